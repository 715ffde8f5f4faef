//! Secrets and configs on the real engine: what a container reads, what others see, and what a change, a rollback and a reboot do.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::docker::{docker, inspect, try_docker};
use crate::support::wait::{free_port, page};
use crate::support::{Host, age, wait_for};

/// A host with a folder in memory of its own.
struct Corner {
    host: Host,
    memory: tempfile::TempDir,
}

impl Corner {
    fn new() -> Option<Self> {
        let mut host = Host::new()?;
        let memory = tempfile::Builder::new().prefix("evenkeel-test-").tempdir_in("/dev/shm").unwrap();
        let folder = memory.path().join("secrets").display().to_string();
        host.environment.push(("EVENKEEL_SECRETS_DIR".to_owned(), folder));
        Some(Self { host, memory })
    }

    fn folder(&self) -> PathBuf {
        self.memory.path().join("secrets")
    }

    fn set(&self, name: &str, value: &str) {
        let ended = self.piped(&["secret", "set", name], value);
        assert!(ended.0, "secret set {name}: {}", ended.1);
    }

    fn piped(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut command = self.host.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    fn becomes(&self, service: &str, condition: &str) {
        wait_for(&format!("{service} is {condition}"), || {
            (self.host.condition(service) == condition).then_some(())
        });
    }
}

/// A service that shows its files on this port.
fn shows(service: &str, image: &str, port: u16, more: &str) -> String {
    format!(
        "[services.{service}]\nimage = \"{image}\"\nports = [\"127.0.0.1:{port}:8080\"]\nrestart = \"unless-stopped\"\nstop_grace_period = \"3s\"\ndeploy.update_config.monitor = \"1s\"\n{more}\n"
    )
}

fn reads(port: u16, file: &str, text: &str) {
    wait_for(&format!("{file} holds what it should"), || {
        (page(port, &format!("/file?{file}")).as_deref() == Some(text)).then_some(())
    });
}

/// Every byte below a folder.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, text);
        }
        fs::read(path).unwrap_or_default().windows(text.len()).any(|part| part == text.as_bytes())
    })
}

#[test]
fn a_container_reads_its_secrets_and_nobody_else_sees_them() {
    let Some(mut corner) = Corner::new() else { return };
    corner.host.environment.push(("SHOP_PASSWORD".to_owned(), "hunter2-env".to_owned()));
    let corner = &corner;
    let host = &corner.host;
    let (image, port) = (host.image("1.0", &[], &[]), free_port());
    corner.set("shop-token", "hunter2-external\n");
    let grants = r#"read_only = true
secrets = ["password", { source = "token", target = "/etc/app/token", uid = "1000", gid = "1001", mode = 0o440 }, "plain"]
configs = [{ source = "ini", target = "/etc/app/app.ini" }]"#;
    let definitions = r#"
[secrets]
password = { environment = "SHOP_PASSWORD" }
token = { external = true, name = "shop-token" }
plain = { file = "files/plain.txt" }
[configs.ini]
content = "port = ${PORT:-8080}\n"
"#;
    host.write("files/plain.txt", "hunter2-file");
    host.write("app.toml", &(shows("web", &image, port, grants) + definitions));
    let daemon = host.run();
    corner.becomes("web", "ready");
    reads(port, "/run/secrets/password", "hunter2-env");
    reads(port, "/run/secrets/plain", "hunter2-file");
    reads(port, "/etc/app/token", "hunter2-external");
    reads(port, "/etc/app/app.ini", "port = 8080\n");
    assert_eq!(page(port, "/stat?/etc/app/token").as_deref(), Some("440 1000 1001"));
    assert_eq!(page(port, "/stat?/run/secrets/password").as_deref(), Some("444 0 0"));

    let id = host.id("web");
    let observed = host.evenkeel(&["observe"]).expect(0).out;
    let shown = [
        host.serving("web").unwrap().json.to_string(),
        docker(&["image", "inspect", host.serving("web").unwrap().image()]),
        host.evenkeel(&["status", "--json"]).expect(0).out,
        host.evenkeel(&["why", &id, "--json"]).expect(0).out,
        host.evenkeel(&["plan", "--json"]).expect(0).out,
        host.evenkeel(&["history", "--json"]).expect(0).out,
        host.evenkeel(&["secret", "list"]).expect(0).out,
        observed.clone(),
        daemon.log(),
        daemon.metrics().unwrap(),
    ];
    assert!(shown[0].contains("/run/secrets/password"), "the mount is seen");
    for (number, text) in shown.iter().enumerate() {
        assert!(!text.contains("hunter2"), "text {number} shows a value");
    }
    assert!(!holds(&host.state, "hunter2"), "a value can be read in the state directory");

    let list = host.evenkeel(&["secret", "list", "--json"]).expect(0).json();
    let row = |name: &str| list.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
    assert_eq!(row("token")["from"], "external");
    assert_eq!(row("password")["state"], "present");
    assert_eq!(row("password")["users"], serde_json::json!([id]));
    // A plan elsewhere, which has none of the values, sees no change either.
    let file = host.root().join("seen.json");
    fs::write(&file, observed).unwrap();
    let plan = host
        .command()
        .env_remove("SHOP_PASSWORD")
        .env("EVENKEEL_STATE", host.root().join("elsewhere"))
        .args(["plan", "--observed", &file.display().to_string(), "--detailed-exitcode"])
        .output()
        .unwrap();
    assert_eq!(
        plan.status.code(),
        Some(0),
        "{}{}",
        String::from_utf8_lossy(&plan.stdout),
        String::from_utf8_lossy(&plan.stderr)
    );
    host.evenkeel(&["plan", "--detailed-exitcode"]).expect(0);
}

#[test]
fn a_changed_secret_replaces_exactly_its_users_and_a_rollback_gets_the_old_one() {
    let Some(corner) = Corner::new() else { return };
    let host = &corner.host;
    let image = host.image("1.0", &[], &[]);
    let (a, b) = (free_port(), free_port());
    corner.set("token", "first");
    let text = shows("a", &image, a, "secrets = [\"token\"]")
        + &shows("b", &image, b, "")
        + "[secrets.token]\nexternal = true\n";
    host.write("app.toml", &text);
    let mut daemon = host.run();
    corner.becomes("a", "ready");
    corner.becomes("b", "ready");
    reads(a, "/run/secrets/token", "first");
    let (first, other) = (host.serving("a").unwrap(), host.serving("b").unwrap());

    corner.set("token", "second");
    reads(a, "/run/secrets/token", "second");
    wait_for("it was replaced", || host.serving("a").filter(|seen| seen.id != first.id));
    corner.becomes("a", "ready");
    let now = host.serving("b").unwrap();
    assert_eq!((&now.id, now.started_at()), (&other.id, other.started_at()), "b uses no secret");

    host.evenkeel(&["rollback", &host.id("a")]).expect(0);
    reads(a, "/run/secrets/token", "first");
    host.evenkeel(&["release", &host.id("a")]).expect(0);
    reads(a, "/run/secrets/token", "second");
    corner.becomes("a", "ready");

    // Without the old value there is no way back to it, and no other value takes its place.
    assert!(daemon.terminate().success());
    fs::remove_dir_all(host.state.join("secrets/values")).unwrap();
    docker(&["stop", "--time", "1", &host.name("a")]);
    fs::remove_dir_all(corner.folder()).unwrap();
    daemon = host.run();
    wait_for("a runs again", || host.serving("a"));
    reads(a, "/run/secrets/token", "second");
    let ended = host.evenkeel(&["rollback", &host.id("a")]);
    wait_for("it is said that the value is gone", || {
        let why = host.evenkeel(&["why", &host.id("a")]).out + &ended.err + &daemon.log();
        why.contains("is not on this host any more").then_some(())
    });
    wait_for("the one with its value serves", || {
        (page(a, "/file?/run/secrets/token").as_deref() == Some("second")).then_some(())
    });
}

#[test]
fn a_secret_that_is_told_by_a_signal_changes_under_the_running_container() {
    let Some(corner) = Corner::new() else { return };
    let host = &corner.host;
    let (image, port) = (host.image("1.0", &[], &[]), free_port());
    corner.set("tls", "first certificate");
    let grant = "secrets = [{ source = \"tls\", target = \"/etc/tls.pem\", on_change = \"SIGHUP\" }]";
    host.write("app.toml", &(shows("web", &image, port, grant) + "[secrets.tls]\nexternal = true\n"));
    let mut daemon = host.run();
    corner.becomes("web", "ready");
    reads(port, "/etc/tls.pem", "first certificate");
    let before = host.serving("web").unwrap();
    assert_eq!(page(port, "/hups").as_deref(), Some("0"), "nothing is told at the start");

    corner.set("tls", "second");
    reads(port, "/etc/tls.pem", "second");
    wait_for("it was told", || (page(port, "/hups").as_deref() == Some("1")).then_some(()));
    let after = host.serving("web").unwrap();
    assert_eq!((&after.id, after.started_at()), (&before.id, before.started_at()), "it runs on");
    let history = host.evenkeel(&["history", &host.id("web"), "--json"]).expect(0).json();
    let updated = history.as_array().unwrap().iter().any(|row| {
        row["event"] == "updated" && row["reason"].as_str().unwrap().contains("secret tls changed")
    });
    assert!(updated, "{history:#}");
    host.evenkeel(&["plan", "--detailed-exitcode"]).expect(0);

    // While evenkeel is away: told once it is back, and once.
    assert!(daemon.terminate().success());
    corner.set("tls", "third");
    let plan = host.evenkeel(&["plan"]).expect(0).out;
    assert!(plan.contains("send it SIGHUP") && !plan.contains("third"), "{plan}");
    daemon = host.run();
    reads(port, "/etc/tls.pem", "third");
    wait_for("it was told", || (page(port, "/hups").as_deref() == Some("2")).then_some(()));
    corner.becomes("web", "ready");
    assert_eq!(page(port, "/hups").as_deref(), Some("2"));
    assert_eq!(host.serving("web").unwrap().id, before.id);

    // After a reboot it has what it had last.
    assert!(daemon.terminate().success());
    docker(&["stop", "--time", "1", &host.name("web")]);
    fs::remove_dir_all(corner.folder()).unwrap();
    let _daemon = host.run();
    wait_for("it runs again", || host.serving("web"));
    reads(port, "/etc/tls.pem", "third");
    assert_eq!(host.serving("web").unwrap().id, before.id);
}

#[test]
fn after_a_reboot_what_the_engine_could_not_start_is_started_with_its_files() {
    let Some(corner) = Corner::new() else { return };
    let host = &corner.host;
    let (image, port) = (host.image("1.0", &[], &[]), free_port());
    corner.set("token", "kept");
    host.write(
        "app.toml",
        &(shows("web", &image, port, "secrets = [\"token\"]") + "[secrets.token]\nexternal = true\n"),
    );
    let mut daemon = host.run();
    corner.becomes("web", "ready");
    let before = host.serving("web").unwrap();
    assert!(daemon.terminate().success());
    docker(&["stop", "--time", "1", &host.name("web")]);
    fs::remove_dir_all(corner.folder()).unwrap();
    // The engine is up first, and finds nothing to mount.
    let error = try_docker(&["start", &host.name("web")]).unwrap_err();
    assert!(error.contains("mount") || error.contains("no such file"), "{error}");
    assert!(!inspect(&host.name("web")).unwrap().running());
    let _daemon = host.run();
    wait_for("it runs again", || host.serving("web"));
    reads(port, "/run/secrets/token", "kept");
    corner.becomes("web", "ready");
    assert_eq!(host.serving("web").unwrap().id, before.id, "the same container");
}

#[test]
fn encrypted_files_of_the_repository_are_opened_with_the_hosts_key() {
    let Some(mut corner) = Corner::new() else { return };
    let Some(programs) = age::age() else { return };
    let own = corner.host.root().join("programs");
    age::put_sops(&own);
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{}:{path}", programs.display(), own.display());
    corner.host.environment.push(("PATH".to_owned(), path));
    let corner = &corner;
    let host = &corner.host;
    let (image, port) = (host.image("1.0", &[], &[]), free_port());

    let key = host.evenkeel(&["secret", "key"]).expect(0);
    assert!(key.out.starts_with("age1"), "{key:?}");
    assert_eq!(host.evenkeel(&["secret", "key"]).expect(0).out, key.out, "one key, for good");
    let (good, sealed) = corner.piped(&["secret", "encrypt", "-"], "hunter2-age");
    assert!(good && sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"), "{sealed}");
    host.write("files/a.age", &sealed);
    host.write("files/s.yaml", &age::sops_sealed("password: hunter2-sops"));
    let text = shows("web", &image, port, "secrets = [\"a\", \"s\"]")
        + &shows("other", &image, free_port(), "")
        + "[secrets]\na = { age = \"files/a.age\" }\ns = { sops = \"files/s.yaml\" }\n";
    host.write("app.toml", &text);
    host.evenkeel(&["validate"]).expect(0);
    let daemon = host.run();
    corner.becomes("web", "ready");
    reads(port, "/run/secrets/a", "hunter2-age");
    reads(port, "/run/secrets/s", "password: hunter2-sops\n");
    assert!(!host.serving("web").unwrap().json.to_string().contains("hunter2"));
    let doctor = host.evenkeel(&["doctor"]).out;
    assert!(doctor.contains("the program `age`") && doctor.contains("nobody else may read it"), "{doctor}");

    // A file for somebody else's key: the services that need it stay as they are, the others do not care.
    let before = host.serving("web").unwrap();
    let stranger = host.root().join("stranger.key");
    let made =
        std::process::Command::new(programs.join("age-keygen")).arg("-o").arg(&stranger).output().unwrap();
    assert!(made.status.success());
    let (_, theirs) = (0, fs::read_to_string(&stranger).unwrap());
    let recipient = theirs.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    let elsewhere = host.root().join("elsewhere.key").display().to_string();
    let mut command = host.command();
    command
        .env("EVENKEEL_AGE_KEY_FILE", &elsewhere)
        .args(["secret", "encrypt", "--to", recipient, "--output"]);
    let file = host.root().join("plain.txt");
    fs::write(&file, "hunter2-other").unwrap();
    let target = host.desired.join(&host.project).join("files/a.age");
    let output = command.arg(&target).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    corner.becomes("web", "frozen");
    let why = host.evenkeel(&["why", &host.id("web")]).out;
    assert!(why.contains("secret `a` is not to be had on this host"), "{why}");
    assert!(daemon.log().contains("error[secret-unavailable]"));
    assert_eq!(host.serving("web").unwrap().started_at(), before.started_at());
    assert_eq!(host.condition("other"), "ready");
    let list = host.evenkeel(&["secret", "list"]).expect(0);
    assert!(list.out.contains("missing") && list.err.contains("no identity matched"), "{list:?}");

    // Its key gone, doctor says what to do.
    fs::remove_file(host.state.join("age.key")).unwrap();
    let doctor = host.evenkeel(&["doctor"]).out;
    assert!(doctor.contains("this host has no key at"), "{doctor}");
}

/// Every kind of file that sops encrypts in parts, and what is in it once it is opened.
const SOPS_FILES: [(&str, &str, &str); 5] = [
    ("s.yaml", "password: hunter2\ndb:\n    user: x\n", "password: hunter2\ndb:\n    user: x\n"),
    ("s.json", "{\"password\": \"hunter2\"}", "{\n\t\"password\": \"hunter2\"\n}\n"),
    ("s.env", "A=hunter2\nB=two words\n", "A=hunter2\nB=two words\n"),
    ("s.ini", "[db]\npassword=hunter2\n", "[db]\npassword = hunter2\n"),
    ("s.key", "hunter2, as it is", "hunter2, as it is"),
];

#[test]
fn files_of_the_real_sops_are_opened_with_the_hosts_key() {
    let Some(mut corner) = Corner::new() else { return };
    let (Some(age), Some(sops)) = (age::age(), age::sops()) else { return };
    let path = format!("{}:{}:{}", age.display(), sops.display(), std::env::var("PATH").unwrap());
    corner.host.environment.push(("PATH".to_owned(), path));
    let host = &corner.host;
    let (image, port) = (host.image("1.0", &[], &[]), free_port());
    let key = host.evenkeel(&["secret", "key"]).expect(0).out.trim().to_owned();
    let seal = |name: &str, plain: &str, recipient: &str| {
        let file = host.root().join(name);
        fs::write(&file, plain).unwrap();
        let mut command = std::process::Command::new(sops.join("sops"));
        let output = command.args(["encrypt", "--age", recipient]).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let sealed = String::from_utf8(output.stdout).unwrap();
        assert!(!sealed.contains("hunter2"), "{sealed}");
        host.write(&format!("files/{name}"), &sealed);
    };
    let mut text = String::from("[secrets]\n");
    let names: Vec<String> =
        SOPS_FILES.iter().map(|(name, ..)| format!("\"{}\"", name.replace('.', "_"))).collect();
    for (name, plain, _) in SOPS_FILES {
        seal(name, plain, &key);
        text.push_str(&format!("{} = {{ sops = \"files/{name}\" }}\n", name.replace('.', "_")));
    }
    let text = shows("web", &image, port, &format!("secrets = [{}]", names.join(", "))) + &text;
    host.write("app.toml", &text);
    let daemon = host.run();
    corner.becomes("web", "ready");
    for (name, _, opened) in SOPS_FILES {
        reads(port, &format!("/run/secrets/{}", name.replace('.', "_")), opened);
    }
    assert!(!host.serving("web").unwrap().json.to_string().contains("hunter2"));
    let doctor = host.evenkeel(&["doctor"]).out;
    assert!(doctor.contains("the program `sops`"), "{doctor}");
    assert_eq!(daemon.metric("evenkeel_secrets_unavailable"), Some(0.0));

    // Encrypted for another host, and damaged on the way: what uses it stays, and it is said why.
    let before = host.serving("web").unwrap();
    let stranger = std::process::Command::new(age.join("age-keygen")).output().unwrap();
    let stranger = String::from_utf8(stranger.stdout).unwrap();
    let recipient = stranger.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    seal("s.yaml", "password: hunter2-other", recipient);
    corner.becomes("web", "frozen");
    let list = host.evenkeel(&["secret", "list"]).expect(0);
    assert!(list.err.contains("did not match any of the recipients"), "{list:?}");
    assert_eq!(daemon.metric("evenkeel_secrets_unavailable"), Some(1.0));
    let sealed = host.desired.join(&host.project).join("files/s.env");
    let damaged = fs::read_to_string(&sealed).unwrap().replacen("data:", "data:AAAA", 1);
    host.write("files/s.env", &damaged);
    wait_for("both are missed", || {
        (daemon.metric("evenkeel_secrets_unavailable") == Some(2.0)).then_some(())
    });
    assert_eq!(host.serving("web").unwrap().started_at(), before.started_at());
    fs::remove_file(host.state.join("age.key")).unwrap();
    let list = host.evenkeel(&["secret", "list"]).expect(0);
    assert!(list.err.contains("this host has no key at"), "{list:?}");
}

/// Takes a file system away again.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

fn mounts_at(folder: &Path) -> Vec<String> {
    let all = fs::read_to_string("/proc/self/mounts").unwrap();
    let at = folder.display().to_string();
    all.lines().filter(|line| line.split(' ').nth(1) == Some(&at)).map(str::to_owned).collect()
}

#[test]
fn a_folder_on_a_disk_gets_a_file_system_in_memory() {
    let Some(mut host) = Host::new() else { return };
    let folder = host.root().join("on-disk/secrets");
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let in_memory =
        std::process::Command::new("stat").args(["--file-system", "--format=%T"]).arg(host.root()).output();
    let in_memory = String::from_utf8(in_memory.unwrap().stdout).unwrap();
    if !root || namespace("self") != namespace("1") || in_memory.trim() == "tmpfs" {
        crate::support::machine::skip(
            "mounting needs root in the host's own namespace, and a folder on a disk",
        );
        return;
    }
    host.environment.push(("EVENKEEL_SECRETS_DIR".to_owned(), folder.display().to_string()));
    let _mounted = Mounted(folder.clone());
    let corner = Corner { host, memory: tempfile::tempdir().unwrap() };
    let host = &corner.host;
    let (image, port) = (host.image("1.0", &[], &[]), free_port());
    corner.set("token", "hunter2");
    host.write(
        "app.toml",
        &(shows("web", &image, port, "secrets = [\"token\"]") + "[secrets.token]\nexternal = true\n"),
    );
    // Looking mounts nothing.
    let doctor = host.evenkeel(&["doctor"]).out;
    assert!(doctor.contains("would be on a disk"), "{doctor}");
    host.evenkeel(&["plan"]).expect(0);
    assert!(mounts_at(&folder).is_empty());

    let mut daemon = host.run();
    corner.becomes("web", "ready");
    reads(port, "/run/secrets/token", "hunter2");
    let mounts = mounts_at(&folder);
    assert!(mounts.len() == 1 && mounts[0].starts_with("tmpfs"), "{mounts:?}");
    for option in ["noexec", "nosuid", "nodev", "mode=700"] {
        assert!(mounts[0].contains(option), "{option}: {mounts:?}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&folder).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    let doctor = host.evenkeel(&["doctor"]).out;
    assert!(doctor.contains("files of secrets are kept in memory"), "{doctor}");

    // It outlives evenkeel, because containers have it, and is not mounted twice.
    let before = host.serving("web").unwrap();
    assert!(daemon.terminate().success());
    let daemon = host.run();
    corner.becomes("web", "ready");
    assert_eq!(host.serving("web").unwrap().started_at(), before.started_at());
    assert_eq!(mounts_at(&folder).len(), 1);
    drop(daemon);

    // After a reboot there is the folder on the disk, and nothing in it.
    docker(&["stop", "--time", "1", &host.name("web")]);
    let gone = std::process::Command::new("umount").arg(&folder).output().unwrap();
    assert!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing was ever written to the disk");
    let _daemon = host.run();
    wait_for("it runs again", || host.serving("web"));
    corner.becomes("web", "ready");
    reads(port, "/run/secrets/token", "hunter2");
    assert_eq!(host.serving("web").unwrap().id, before.id, "the same container");
    assert_eq!(mounts_at(&folder).len(), 1);
}

#[test]
fn secrets_of_the_host_are_set_shown_and_taken_away() {
    let corner = {
        let mut host = Host::without_engine();
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        host.environment.push(("EVENKEEL_SECRETS_DIR".to_owned(), memory.path().display().to_string()));
        Corner { host, memory }
    };
    let host = &corner.host;
    corner.set("github", "hunter2\n");
    let (good, text) = corner.piped(&["secret", "set", "github"], "hunter2");
    assert!(
        good && text.contains("has this value already"),
        "the line end of one line does not count: {text}"
    );
    assert!(!holds(&host.state, "hunter2"));
    for (input, name) in [("", "empty"), ("x", "a/b"), ("x", "..")] {
        assert!(!corner.piped(&["secret", "set", name], input).0, "{name:?}");
    }
    let list = host.evenkeel(&["secret", "list", "--json"]).expect(0).json();
    assert_eq!(list[0]["name"], "github");
    assert_eq!(list[0]["project"], serde_json::Value::Null);
    host.evenkeel(&["secret", "rm", "github"]).expect(0);
    host.evenkeel(&["secret", "rm", "github"]).expect(1);
    // Without the program nothing is encrypted, and it is said how to get it.
    let output = host.command().env("PATH", "/nowhere").args(["secret", "key"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("apt install age"), "{error}");
}
