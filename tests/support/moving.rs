//! Moving in, as a user does it: docker compose starts a project from its files, evenkeel converts them, takes over what runs, and goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Host;
use super::compose::{Version, program};
use super::docker::{aim, try_docker, try_labelled};
use super::stand_in::{Kind, StandIns};

/// How it went with one project.
#[derive(Debug, PartialEq, Eq)]
pub enum Went {
    /// How many services are held because they differ on purpose, and whether a tag was changed as well.
    Well {
        containers: usize,
        held: usize,
        replaced: bool,
    },
    /// docker compose itself does not start it here, and why.
    NotStarted(String),
    Wrong(String),
}

/// A container's identity: its name, and what a restart or a replacement would change.
type Row = (String, (String, String, String));

/// One project on an engine of the test's own, on which nothing else is.
pub struct Moving<'a> {
    host: &'a Host,
    images: &'a mut StandIns,
    version: Version,
    compose: PathBuf,
    folder: PathBuf,
    project: String,
    /// What docker compose reads out of the files.
    model: Value,
    named: BTreeSet<String>,
    /// Folders of the machine that docker compose had made for what is mounted.
    strewn: Vec<PathBuf>,
    ports: u16,
}

impl<'a> Moving<'a> {
    /// The project's files lie in `folder`, below the host's desired state. `None` where this version of Compose cannot be had.
    pub fn new(host: &'a Host, images: &'a mut StandIns, version: Version, folder: &Path) -> Option<Self> {
        Some(Self {
            host,
            images,
            version,
            compose: program(version)?,
            folder: folder.to_owned(),
            project: String::new(),
            model: Value::Null,
            named: BTreeSet::new(),
            strewn: Vec::new(),
            ports: 20_000,
        })
    }

    /// All of it, and nothing is left behind.
    pub fn through(mut self) -> Went {
        let went = match self.start() {
            Err(why) => Went::NotStarted(why),
            Ok(()) => match self.take_over() {
                Ok((containers, held)) => match self.change_a_tag() {
                    Ok(replaced) => Went::Well { containers, held, replaced },
                    Err(why) => Went::Wrong(why),
                },
                Err(why) => Went::Wrong(why),
            },
        };
        self.clean_up();
        went
    }

    fn call(&self, program: &Path, arguments: &[&str]) -> Result<(String, String), String> {
        let mut command = Command::new("timeout");
        command.arg("120").arg(program).args(arguments);
        // Variables of whoever runs this are none of the project's.
        let own = |name: &str| (name.to_owned(), std::env::var(name).unwrap_or_default());
        command.env_clear().envs(["PATH", "HOME"].map(own));
        command.current_dir(&self.folder).stdin(Stdio::null());
        aim(&mut command);
        let output = command.output().map_err(|error| error.to_string())?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok((out.into_owned(), err.into_owned())) } else { Err(err.into_owned()) }
    }

    /// docker compose starts it, with whatever the files need made up.
    pub fn start(&mut self) -> Result<(), String> {
        self.read()?;
        self.project = self.model["name"].as_str().unwrap_or_default().to_owned();
        self.surroundings()?;
        let (links, users) = self.words();
        self.images.know(&links, &users);
        let ends = self.awaited();
        for (name, service) in services(&self.model) {
            let own = |joint: char| format!("{}{joint}{name}", self.project);
            let references = match service["image"].as_str() {
                Some(image) => vec![image.to_owned()],
                None => vec![own('-'), own('_')],
            };
            let kind = if ends.contains(name) { Kind::Ends } else { Kind::Runs };
            for reference in references {
                self.images.name(kind, &reference)?;
                self.named.insert(reference);
            }
        }
        let up: &[&str] = match self.version {
            Version::One => &["up", "--detach", "--no-build"],
            Version::Two => &["up", "--detach", "--no-build", "--pull", "never"],
        };
        self.call(&self.compose, up).map(drop).map_err(|err| last_line(&err))
    }

    /// Reads the files with version 2; variables that are set nowhere and files that are not there are made up.
    fn read(&mut self) -> Result<(), String> {
        let reader = program(Version::Two).ok_or("docker compose cannot be had")?;
        for _ in 0..40 {
            let answer = self.call(&reader, &["config", "--format", "json"]);
            let said = match &answer {
                Ok((_, err)) | Err(err) => err.clone(),
            };
            if self.make_up(&said) {
                continue;
            }
            let (out, _) = answer.map_err(|err| last_line(&err))?;
            self.model = serde_json::from_str(&out).map_err(|error| error.to_string())?;
            return Ok(());
        }
        Err("more is missing than can be made up".to_owned())
    }

    /// Makes up what docker compose misses; whether there was something.
    fn make_up(&mut self, said: &str) -> bool {
        let between = |line: &str, start: &str, end: &str| -> Option<String> {
            let (_, rest) = line.split_once(start)?;
            Some(rest.split_once(end)?.0.to_owned())
        };
        let mut names = BTreeSet::new();
        for line in said.lines() {
            names.extend(between(line, "The \\\"", "\\\" variable is not set"));
            names.extend(between(line, "required variable ", " is missing a value"));
            if let Some(file) = between(line, "env file ", " not found") {
                fs::create_dir_all(Path::new(&file).parent().unwrap()).unwrap();
                fs::write(&file, "").unwrap();
                return true;
            }
        }
        if names.is_empty() {
            return false;
        }
        let env = self.folder.join(".env");
        let mut text = fs::read_to_string(&env).unwrap_or_default();
        for name in names {
            let value = self.dummy(&name);
            text.push_str(&format!("\n{name}={value}\n"));
        }
        fs::write(env, text).unwrap();
        true
    }

    /// A value that makes sense for a variable of this name.
    fn dummy(&mut self, name: &str) -> String {
        let has = |parts: &[&str]| parts.iter().any(|part| name.to_ascii_uppercase().contains(part));
        if has(&["PORT"]) {
            self.ports += 1;
            return self.ports.to_string();
        }
        let value = match () {
            () if has(&["SUBNET", "CIDR"]) => "10.213.0.0/24",
            () if has(&["DIR", "PATH", "ROOT", "LOCATION", "FOLDER", "STORAGE"]) => "./data",
            () if has(&["MEM", "SIZE", "LIMIT"]) => "64m",
            () if has(&["_IP", "IP_", "ADDR"]) => "127.0.0.1",
            () if has(&["HOST", "DOMAIN", "FQDN"]) => "example.test",
            () => "1",
        };
        value.to_owned()
    }

    /// External networks and volumes, files of configs and secrets, and what is mounted from the machine.
    fn surroundings(&mut self) -> Result<(), String> {
        for kind in ["network", "volume"] {
            for (_, object) in entries(&self.model[&format!("{kind}s")]) {
                if object["external"] == true {
                    let name = object["name"].as_str().unwrap_or_default();
                    try_docker(&[kind, "create", name])?;
                }
            }
        }
        let provided = ["configs", "secrets"].into_iter().flat_map(|kind| entries(&self.model[kind]));
        let files: Vec<PathBuf> = provided
            .filter_map(|(_, object)| object["file"].as_str())
            .map(|file| self.folder.join(file))
            .collect();
        for file in files {
            self.put(&file, b"made up\n")?;
        }
        let (programs, _) = self.words();
        let mut sources = Vec::new();
        for (_, service) in services(&self.model) {
            for mount in list(&service["volumes"]).filter(|mount| mount["type"] == "bind") {
                let of = |key: &str| mount[key].as_str().unwrap_or_default().to_owned();
                let made = mount["bind"]["create_host_path"] == true;
                sources.push((PathBuf::from(of("source")), programs.contains(&of("target")), made));
            }
        }
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-program/program");
        for (source, runs, made) in sources {
            self.note(&source);
            if !runs && !made && !source.exists() {
                fs::create_dir_all(&source).map_err(|error| error.to_string())?;
            }
            if runs && !source.exists() {
                self.put(&source, &fs::read(&stand_in).unwrap_or_default())?;
                let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                fs::set_permissions(&source, executable).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn put(&mut self, file: &Path, bytes: &[u8]) -> Result<(), String> {
        if file.exists() {
            return Ok(());
        }
        self.note(file);
        let put =
            fs::create_dir_all(file.parent().unwrap_or(Path::new("/"))).and_then(|()| fs::write(file, bytes));
        put.map_err(|error| format!("{}: {error}", file.display()))
    }

    /// What will be made for this path outside of the folder goes afterwards.
    fn note(&mut self, path: &Path) {
        let missing = path.ancestors().take_while(|path| !path.exists()).last();
        if let Some(missing) = missing
            && !missing.starts_with(&self.folder)
        {
            self.strewn.push(missing.to_owned());
        }
    }

    /// Programs that are called by name, and users.
    fn words(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut programs, mut users) = (BTreeSet::new(), BTreeSet::new());
        for (_, service) in services(&self.model) {
            programs.extend(service["entrypoint"][0].as_str().map(str::to_owned));
            let test = &service["healthcheck"]["test"];
            if test[0] == "CMD" {
                programs.extend(test[1].as_str().map(str::to_owned));
            }
            let user = service["user"].as_str().unwrap_or_default().split(':');
            let groups = list(&service["group_add"]).filter_map(Value::as_str);
            let named = |name: &&str| !name.is_empty() && !name.bytes().all(|byte| byte.is_ascii_digit());
            users.extend(user.chain(groups).filter(named).filter(|name| *name != "root").map(str::to_owned));
        }
        programs.retain(|name| !name.is_empty());
        (programs, users)
    }

    /// Services whose end others wait for.
    fn awaited(&self) -> BTreeSet<String> {
        let all = services(&self.model).flat_map(|(_, service)| entries(&service["depends_on"]));
        let ends = all.filter(|(_, on)| on["condition"] == "service_completed_successfully");
        ends.map(|(name, _)| name.to_owned()).collect()
    }

    fn rows(
        &self,
        which: impl Fn(&super::docker::Seen) -> bool,
    ) -> BTreeMap<String, (String, String, String)> {
        let filter = format!("com.docker.compose.project={}", self.project);
        let mut all = try_labelled(&filter).unwrap_or_default();
        all.retain(which);
        let row = |seen: super::docker::Seen| -> Row {
            let restarts = seen.json["RestartCount"].to_string();
            (seen.name.clone(), (seen.id.clone(), seen.started_at().to_owned(), restarts))
        };
        all.into_iter().map(row).collect()
    }

    fn evenkeel(&self, arguments: &[&str], code: i32) -> Result<super::host::Ended, String> {
        let mut command = self.host.command();
        command.current_dir(&self.folder).args(arguments);
        let ended: super::host::Ended = command.output().map_err(|error| error.to_string())?.into();
        if ended.code == code {
            return Ok(ended);
        }
        let text = format!("{} {}", ended.err.trim(), ended.out.trim());
        Err(format!("evenkeel {} ended with {}: {text}", arguments.join(" "), ended.code))
    }

    /// `convert`, `adopt`, `plan`, `apply`: the same containers, nothing to do. How many there are.
    fn take_over(&self) -> Result<(usize, usize), String> {
        let before = self.rows(|_| true);
        let told = self.evenkeel(&["convert", "--json"], 0)?.json();
        let errors: Vec<String> = list(&told["problems"])
            .filter(|problem| problem["severity"] == "error")
            .map(|problem| format!("{} {}", problem["slug"], problem["message"]))
            .collect();
        if !errors.is_empty() {
            return Err(format!("does not load: {}", errors.join("; ")));
        }
        let report = self.evenkeel(&["adopt", &self.project, "--yes", "--json"], 0)?.json();
        let held = list(&report["services"]).filter(|service| self.differs_on_purpose(service)).count();
        let differs =
            |service: &&Value| service["consequence"] != "nothing" && !self.differs_on_purpose(service);
        let other: Vec<String> =
            list(&report["services"]).filter(differs).map(|service| service.to_string()).collect();
        if !other.is_empty() {
            return Err(format!("differs: {}", other.join("; ")));
        }
        let taken: usize = list(&report["services"]).map(|one| list(&one["containers"]).count()).sum();
        if taken != before.len() {
            return Err(format!("{taken} of {} containers taken over: {}", before.len(), report["notes"]));
        }
        self.nothing_to_do()?;
        // What is held is left as it is, and that is said.
        self.evenkeel(&["apply", "--timeout", "60s"], if held > 0 { 4 } else { 0 })?;
        let after = self.rows(|_| true);
        if after != before {
            return Err(format!("not as it was: {before:?}, now {after:?}"));
        }
        self.listed()?;
        Ok((before.len(), held))
    }

    /// It differs in nothing but what docs/from-compose.md says under "What differs": `deploy.labels` go on containers here, and files
    /// of secrets and configs are copied.
    fn differs_on_purpose(&self, service: &Value) -> bool {
        let name = service["service"].as_str().and_then(|id| id.rsplit('/').next()).unwrap_or_default();
        let labels = &self.model["services"][name]["deploy"]["labels"];
        let known = |difference: &Value| {
            let path = difference["path"].as_str().unwrap_or_default();
            let of_deploy = path.strip_prefix("labels.").filter(|_| difference["old"].is_null());
            of_deploy.is_some_and(|label| labels.get(label).is_some())
                || difference["new"].to_string().contains("/secrets/")
        };
        let mut all = list(&service["differences"]).peekable();
        all.peek().is_some() && all.all(known)
    }

    fn nothing_to_do(&self) -> Result<(), String> {
        let plan = self.evenkeel(&["plan", "--json"], 0)?.json();
        if plan["pending"] == false { Ok(()) } else { Err(format!("something to do: {plan}")) }
    }

    /// docker compose still knows them all.
    fn listed(&self) -> Result<(), String> {
        let words: &[&str] = match self.version {
            Version::One => &["ps", "--all", "--quiet"],
            Version::Two => &["ps", "--all", "--quiet", "--no-trunc"],
        };
        let (out, _) = self.call(&self.compose, words)?;
        let listed: BTreeSet<&str> = out.lines().collect();
        let rows = self.rows(|_| true);
        let lost: Vec<&String> =
            rows.iter().filter(|(_, row)| !listed.contains(row.0.as_str())).map(|(name, _)| name).collect();
        if lost.is_empty() { Ok(()) } else { Err(format!("docker compose does not list {lost:?}")) }
    }

    /// Another tag for one service replaces its container and no other. `false`: the project has no service to show it with.
    fn change_a_tag(&mut self) -> Result<bool, String> {
        let Some((file, service, reference)) = self.changeable() else { return Ok(false) };
        let before = self.rows(|_| true);
        let other = format!("{}:moved-in", repository(&reference));
        self.images.name(Kind::RunsToo, &other)?;
        self.named.insert(other.clone());
        let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        fs::write(&file, text.replace(&format!("\"{reference}\""), &format!("\"{other}\"")))
            .map_err(|error| error.to_string())?;
        self.evenkeel(&["apply", "--timeout", "90s"], 0)?;
        let is_of = |seen: &super::docker::Seen| seen.label("com.docker.compose.service") == service;
        let ids = |rows: &BTreeMap<String, (String, String, String)>| -> BTreeSet<String> {
            rows.values().map(|row| row.0.clone()).collect()
        };
        let (own, others) = (self.rows(|seen| is_of(seen) && seen.running()), self.rows(|seen| !is_of(seen)));
        let fresh = ids(&own).is_disjoint(&ids(&before)) && !own.is_empty();
        let kept = others.iter().all(|(name, row)| before.get(name) == Some(row));
        if !fresh || !kept || own.len() + others.len() != before.len() {
            return Err(format!(
                "{service} and no other was to be replaced: {before:?}, now {own:?} and {others:?}"
            ));
        }
        self.nothing_to_do()?;
        self.listed()?;
        Ok(true)
    }

    /// A service with an image of its own that nobody hangs on, the state file it is in, and its reference.
    fn changeable(&self) -> Option<(PathBuf, String, String)> {
        let all: Vec<(&str, &Value)> = services(&self.model).collect();
        let text = self.model.to_string();
        for (name, service) in &all {
            let Some(image) = service["image"].as_str() else { continue };
            let alone = all.iter().filter(|(_, other)| other["image"] == image).count() == 1;
            let tied = text.contains(&format!("\"service:{name}\""))
                || all.iter().any(|(_, other)| {
                    other["volumes_from"].to_string().contains(name)
                        || other["depends_on"][name]["restart"] == true
                });
            let plain = service["build"].is_null()
                && service["pull_policy"].is_null()
                && service["healthcheck"].is_null();
            if !alone || tied || !plain || self.awaited().contains(*name) {
                continue;
            }
            let files = fs::read_dir(&self.folder).ok()?.flatten().map(|entry| entry.path());
            for file in files.filter(|file| file.extension().is_some_and(|end| end == "toml")) {
                let text = fs::read_to_string(&file).unwrap_or_default();
                if text.matches(&format!("\"{image}\"")).count() == 1 {
                    return Some((file, (*name).to_owned(), image.to_owned()));
                }
            }
        }
        None
    }

    /// Removes everything that is on the engine, but the stand-ins.
    pub fn clean_up(&mut self) {
        let each = |list: &[&str], remove: &[&str]| {
            let found = try_docker(list).unwrap_or_default();
            if !found.is_empty() {
                let _ = try_docker(&[remove, &found.lines().collect::<Vec<_>>()].concat());
            }
        };
        each(&["ps", "--all", "--quiet"], &["rm", "--force", "--volumes"]);
        each(&["network", "ls", "--quiet", "--filter", "type=custom"], &["network", "rm"]);
        each(&["volume", "ls", "--quiet"], &["volume", "rm"]);
        let kept = try_docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).unwrap_or_default();
        let kept: BTreeSet<String> =
            kept.lines().filter(|name| !name.starts_with("stand-in:")).map(str::to_owned).collect();
        StandIns::forget(&kept);
        for path in &self.strewn {
            let _ = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
        }
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn services(model: &Value) -> impl Iterator<Item = (&str, &Value)> {
    entries(&model["services"])
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn last_line(text: &str) -> String {
    text.trim().lines().last().unwrap_or_default().trim().chars().take(300).collect()
}

/// A reference without its tag.
fn repository(reference: &str) -> &str {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    }
}
