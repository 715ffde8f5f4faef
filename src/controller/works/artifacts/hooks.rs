//! Commands after a switch: on the host, or in a container of their own.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::ArtifactWorker;
use crate::artifacts::owner;
use crate::child;
use crate::controller::execute::evidence;
use crate::controller::host::Host;
use crate::desired::work::{ArtifactSpec, SwitchHook, WorkId};
use crate::engine::copy::Once;

/// As long as the files give it no other time.
const LIMIT: Duration = Duration::from_secs(300);
const OUTPUT_BYTES: u64 = 64 * 1024;
/// How often a command that runs is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Why a command counts as failed.
pub(super) struct HookFailure {
    pub why: String,
    /// The end of what it printed.
    pub output: Option<String>,
}

impl From<String> for HookFailure {
    fn from(why: String) -> Self {
        Self { why, output: None }
    }
}

/// What a command is told of the switch.
pub(super) struct Told<'a> {
    pub id: &'a str,
    pub before: Option<&'a str>,
}

impl ArtifactWorker {
    /// Runs one of them to its end.
    ///
    /// # Errors
    /// Why it counts as failed.
    pub(super) async fn hook(
        &self,
        host: &Host,
        id: &WorkId,
        spec: &ArtifactSpec,
        hook: &SwitchHook,
        told: &Told<'_>,
    ) -> Result<(), HookFailure> {
        let shown = hook.command.first().cloned().unwrap_or_default();
        let limit = hook.timeout_ms.map_or(LIMIT, Duration::from_millis);
        let (code, output) = match &hook.image {
            Some(image) => self.in_a_container(host, id, spec, hook, image, limit).await?,
            None => {
                let command = on_host(hook, spec, told)?;
                let ran = tokio::task::spawn_blocking(move || run(command, limit)).await;
                ran.map_err(|error| format!("{shown}: {error}"))?.map_err(|why| format!("{shown}: {why}"))?
            }
        };
        match code {
            Some(0) => Ok(()),
            code => {
                let ended =
                    code.map_or("did not end in time".to_owned(), |code| format!("ended with {code}"));
                let output = Some(evidence(&output)).filter(|output| !output.is_empty());
                Err(HookFailure { why: format!("{shown} {ended}"), output })
            }
        }
    }

    async fn in_a_container(
        &self,
        host: &Host,
        id: &WorkId,
        spec: &ArtifactSpec,
        hook: &SwitchHook,
        image: &str,
        limit: Duration,
    ) -> Result<(Option<i64>, Vec<u8>), String> {
        let found = host.engine.inspect_image(image).await.map_err(|error| error.to_string())?;
        let facts = match found {
            Some(facts) => facts,
            None => host.engine.pull(image, None, &|_| {}).await.map_err(|error| error.to_string())?,
        };
        let once = Once {
            image: facts.id,
            command: hook.command.clone(),
            user: hook.user.clone(),
            working_dir: hook.working_dir.clone(),
            environment: hook.environment.clone(),
            sees: spec.to.clone(),
        };
        let end = self.engine.once(&once, &id.to_string(), limit).await.map_err(|error| error.to_string())?;
        Ok((end.code, end.output))
    }
}

fn on_host(hook: &SwitchHook, spec: &ArtifactSpec, told: &Told<'_>) -> Result<Command, String> {
    let (program, arguments) = hook.command.split_first().ok_or("there is no command")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    // Not evenkeel's own environment: it holds what is meant for evenkeel.
    let path = std::env::var_os("PATH")
        .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    command.env("PATH", path).env("EVENKEEL_TO", &spec.to).env("EVENKEEL_VERSION", told.id);
    command.env("EVENKEEL_PREVIOUS", told.before.unwrap_or_default());
    for (name, value) in &hook.environment {
        match value {
            Some(value) => command.env(name, value.expose()),
            None => command.envs(std::env::var_os(name).map(|value| (name.clone(), value))),
        };
    }
    command.current_dir(hook.working_dir.as_deref().unwrap_or("/"));
    if let Some(user) = &hook.user {
        let (user, group) = owner::resolve(user)?;
        command.uid(user).gid(group);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    Ok(command)
}

/// Code and output; no code: it was killed, by us when its time was up.
fn run(mut command: Command, limit: Duration) -> Result<(Option<i64>, Vec<u8>), String> {
    let mut program = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => "there is no such program on this host".to_owned(),
        _ => error.to_string(),
    })?;
    let out = child::listen(program.stdout.take(), OUTPUT_BYTES, None);
    let err = child::listen(program.stderr.take(), OUTPUT_BYTES, None);
    let until = Instant::now() + limit;
    let status = loop {
        match program.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break Some(status),
            None if Instant::now() >= until => break None,
            None => std::thread::sleep(LOOK),
        }
    };
    if status.is_none() {
        child::kill(&mut program);
        let _reaped = program.wait();
    }
    let code = status.and_then(|status| status.code()).map(i64::from);
    // A process that it left behind may hold its output open, and is not waited for: what a command starts for good is its affair.
    let mut output = Vec::new();
    for listener in [out, err] {
        let until = Instant::now() + Duration::from_secs(1);
        while !listener.is_finished() && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
        if listener.is_finished() {
            output.extend(listener.join().map(|(bytes, _)| bytes).unwrap_or_default());
        }
    }
    Ok((code, output))
}
