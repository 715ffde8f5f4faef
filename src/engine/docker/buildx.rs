//! Building with BuildKit, through `docker buildx` where that program is: its protocol asks for a gRPC server in here, and everybody who needs what
//! only BuildKit can do has the program.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::Docker;
use super::fault::failed_build;
use crate::engine::build::{BuildOrder, Tell};
use crate::engine::{EngineError, Observe, Result};
use crate::state::plan::Failure;

/// What is kept of the last words, to say why it failed.
const LAST_LINES: usize = 12;

impl Docker {
    /// `why`: what needs BuildKit.
    pub(super) async fn build_with_buildx(
        &self,
        order: &BuildOrder,
        why: &str,
        tell: Tell<'_>,
    ) -> Result<()> {
        let failed = |kind, text: String| EngineError::new("build", &order.name, kind, text);
        if !is_there().await {
            let text = format!(
                "{why} needs BuildKit, and there is no `docker buildx` here: install docker-buildx (or docker-buildx-plugin), or do without it"
            );
            return Err(failed(Failure::Invalid, text));
        }
        let folder =
            Unpacked::new(&order.folder).map_err(|error| failed(Failure::Internal, error.to_string()))?;
        let (context, to) = (order.context.clone(), folder.0.join("context"));
        let unpacked = tokio::task::spawn_blocking(move || unpack(&context, &to));
        unpacked
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|error| failed(Failure::Internal, error.to_string()))?;
        let mut command = Command::new("docker");
        command
            .args(arguments(order, &folder.0))
            .env("DOCKER_HOST", self.address())
            .env("DOCKER_BUILDKIT", "1");
        // By the environment, where nobody else sees them.
        let values =
            order.spec.args.iter().filter_map(|(name, value)| Some((name, value.as_ref()?.expose())));
        command.envs(values);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let child = command.spawn().map_err(|error| failed(Failure::Internal, error.to_string()))?;
        let mut running = Running(child);
        let (out, err) = (running.0.stdout.take(), running.0.stderr.take());
        let (_, last) = tokio::join!(lines(out, tell), lines(err, tell));
        let status = running.0.wait().await.map_err(|error| failed(Failure::Unknown, error.to_string()))?;
        if !status.success() {
            let text = last.join("\n");
            let shown = last.iter().rev().find(|line| line.contains("ERROR")).or(last.last());
            let shown = shown.cloned().unwrap_or_else(|| format!("docker buildx ended with {status}"));
            return Err(failed(failed_build(&text), shown));
        }
        match self.inspect_image(&order.name).await? {
            Some(_) => Ok(()),
            None => {
                let why = "the build ended, and its image is not on this engine: the builder in use does not load into it (docker buildx use default)";
                Err(failed(Failure::Invalid, why.to_owned()))
            }
        }
    }
}

/// Ends the program with everything that it started.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let group =
            self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let (Ok(None), Some(group)) = (self.0.try_wait(), group) {
            let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// A folder that goes with the build.
struct Unpacked(PathBuf);

impl Unpacked {
    fn new(folder: &Path) -> std::io::Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
        Ok(Self(folder.to_owned()))
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn unpack(context: &crate::engine::build::Pack, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    let (reader, mut writer) = std::io::pipe()?;
    let context = context.clone();
    let packing = std::thread::spawn(move || context(&mut writer));
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_mtime(true);
    archive.set_preserve_permissions(true);
    archive.unpack(to)?;
    packing.join().unwrap_or_else(|_| Err(std::io::Error::other("the context could not be read")))
}

async fn is_there() -> bool {
    let asked = Command::new("docker")
        .args(["buildx", "version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status();
    asked.await.is_ok_and(|status| status.success())
}

fn arguments(order: &BuildOrder, folder: &Path) -> Vec<String> {
    let spec = &order.spec;
    let (options, kit) = (&spec.options, &spec.buildkit);
    let context = folder.join("context");
    let mut words: Vec<String> =
        ["buildx", "build", "--progress", "plain", "--load"].map(str::to_owned).into();
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    add("--tag", order.name.clone());
    add("--file", context.join(&order.dockerfile).to_string_lossy().into_owned());
    spec.target.iter().for_each(|target| add("--target", target.clone()));
    // Without a value it is taken from the environment.
    spec.args.keys().for_each(|name| add("--build-arg", name.clone()));
    spec.labels.iter().for_each(|(name, value)| add("--label", format!("{name}={value}")));
    options.cache_from.iter().for_each(|from| add("--cache-from", from.clone()));
    options.network.iter().for_each(|network| add("--network", network.clone()));
    options.platforms.first().into_iter().for_each(|platform| add("--platform", platform.clone()));
    options.shm_size.iter().for_each(|size| add("--shm-size", size.to_string()));
    options.extra_hosts.iter().for_each(|host| add("--add-host", host.clone()));
    options
        .ulimits
        .iter()
        .for_each(|(name, limit)| add("--ulimit", format!("{name}={}:{}", limit.soft, limit.hard)));
    kit.additional_contexts
        .iter()
        .for_each(|(name, value)| add("--build-context", format!("{name}={value}")));
    kit.cache_to.iter().for_each(|to| add("--cache-to", to.clone()));
    kit.ssh.iter().for_each(|key| add("--ssh", key.clone()));
    kit.entitlements.iter().for_each(|what| add("--allow", what.clone()));
    if options.privileged {
        add("--allow", "security.insecure".to_owned());
    }
    kit.provenance.iter().for_each(|how| add("--provenance", how.clone()));
    kit.sbom.iter().for_each(|how| add("--sbom", how.clone()));
    order.secrets.iter().for_each(|(id, path)| add("--secret", format!("id={id},src={}", path.display())));
    words.extend(options.no_cache.then(|| "--no-cache".to_owned()));
    words.extend(options.pull.then(|| "--pull".to_owned()));
    words.push(context.to_string_lossy().into_owned());
    words
}

/// Hands every line on, and keeps the last ones.
async fn lines(from: Option<impl AsyncRead + Unpin>, tell: Tell<'_>) -> Vec<String> {
    let mut last: Vec<String> = Vec::new();
    let Some(from) = from else { return last };
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tell(&format!("{line}\n"));
        if last.len() == LAST_LINES {
            last.remove(0);
        }
        last.push(line);
    }
    last
}
