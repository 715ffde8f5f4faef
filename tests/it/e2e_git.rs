//! A repository, the real binary and the real engine: from the push to the container.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::files::plain;
use crate::support::repository::Repository;
use crate::support::wait::page;
use crate::support::{Daemon, Host, machine, stays, wait_for};

/// A host that follows a repository.
struct Site {
    host: Host,
    remote: Repository,
}

impl Site {
    fn new() -> Option<Self> {
        let host = Host::new()?;
        let remote = Repository::new(&host.root().join("remote"));
        Some(Self { host, remote })
    }

    /// Settings with one source named `infra`; `more` is further lines of it.
    fn settings(&self, url: &str, more: &str) {
        let text = format!("[source.infra]\nurl = \"{url}\"\nbranch = \"main\"\n{more}\n");
        self.host.configure(&text);
    }

    fn write(&self, name: &str, text: &str) {
        self.remote.write(&format!("{}/{name}", self.host.project), text);
    }

    fn run(&self) -> Daemon {
        self.settings(&self.remote.url(), "");
        self.host.run()
    }

    fn becomes(&self, service: &str, condition: &str) {
        wait_for(&format!("{service} is {condition}"), || {
            (self.host.condition(service) == condition).then_some(())
        });
    }

    /// What a `sync` came to: its exit code and the source as it is then.
    fn sync(&self) -> (i32, serde_json::Value) {
        let ended = self.host.evenkeel(&["sync", "--json"]);
        let source = ended.json().pointer("/0").cloned().unwrap_or_default();
        (ended.code, source)
    }
}

fn lives(host: &Host, service: &str) -> (String, String) {
    let seen = host.serving(service).unwrap();
    (seen.id.clone(), seen.started_at().to_owned())
}

#[test]
fn a_push_is_on_the_host_and_every_change_leads_back_to_its_commit() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    site.write("a.toml", &plain("a", &one, "volumes = [\"./a.conf:/etc/a.conf\"]"));
    site.write("a.conf", "one\n");
    site.write("b.toml", &plain("b", &one, ""));
    let first = site.remote.commit("Run both");
    let daemon = site.run();
    site.becomes("a", "ready");
    site.becomes("b", "ready");
    let b = lives(host, "b");
    let place = format!("{}/a.toml:2@{first} Ada Lovelace: Run both", host.project);
    assert_eq!(host.serving("a").unwrap().label("dev.evenkeel.source"), place);
    let series = format!(
        "evenkeel_source_commit_info{{author=\"Ada Lovelace\",commit=\"{first}\",source=\"infra\",subject=\"Run both\"}}"
    );
    assert_eq!(daemon.metric(&series), Some(1.0));
    let traced = format!("commit=\"{first}\",image=\"{one}\"");
    let line = format!("source=\"{}/a.toml:2\",subject=\"Run both\"", host.project);
    let exported = daemon.metrics().expect("the page of metrics");
    let origin =
        exported.lines().find(|row| row.starts_with("evenkeel_service_revision_info") && row.contains(&line));
    assert!(origin.is_some_and(|row| row.contains(&traced)), "{exported}");

    // One commit that touches one service restarts one service.
    site.write("a.toml", &plain("a", &two, "volumes = [\"./a.conf:/etc/a.conf\"]"));
    let second = site.remote.commit("Use 1.1");
    assert_eq!(site.sync().0, 0);
    wait_for("a is replaced", || host.serving("a").filter(|seen| seen.image() == two));
    site.becomes("a", "ready");
    assert_eq!(lives(host, "b"), b);
    let why = host.evenkeel(&["why", &host.id("a"), "--json"]).expect(0).json();
    assert_eq!(why["status"]["commit"]["id"], second.as_str());
    assert_eq!(why["status"]["commit"]["author"], "Ada Lovelace");
    assert_eq!(why["revisions"][0]["commit"]["subject"], "Use 1.1");
    let history = host.evenkeel(&["history", &host.id("a"), "--json"]).expect(0).json();
    assert_eq!(history[0]["commit"]["id"], second.as_str());
    assert!(
        history.to_string().contains(&format!(
            "{}/a.toml:2 in {} by Ada Lovelace",
            host.project,
            &second[..8]
        )),
        "{history}"
    );
    let told = host.evenkeel(&["status"]).expect(0).out;
    assert!(told.contains("Use 1.1") && told.contains(&second[..8]), "{told}");

    // What it mounts is part of it; what nobody mounts is not.
    let before = lives(host, "a");
    site.write("notes.md", "nothing runs on this\n");
    site.remote.commit("Words");
    assert_eq!(site.sync().0, 0);
    stays("nothing is touched", Duration::from_secs(2), || {
        (lives(host, "a"), lives(host, "b")) == (before.clone(), b.clone())
    });
    site.write("a.conf", "two\n");
    site.remote.commit("Another setting");
    assert_eq!(site.sync().0, 0);
    wait_for("a is replaced", || (lives_if(host, "a")? != before).then_some(()));
    site.becomes("a", "ready");
    assert_eq!(mounted(host, "a", "/etc/a.conf"), "two\n");
    assert_eq!(lives(host, "b"), b);

    // What a commit no longer has goes at once: a commit is never half written.
    site.remote.git(&["rm", "--quiet", &format!("{}/b.toml", host.project)]);
    site.remote.commit("Without b");
    assert_eq!(site.sync().0, 0);
    wait_for("b is removed", || host.of("b").is_empty().then_some(()));
}

fn lives_if(host: &Host, service: &str) -> Option<(String, String)> {
    let seen = host.serving(service)?;
    Some((seen.id.clone(), seen.started_at().to_owned()))
}

/// What a container of this service has at a path of its own, read where it is mounted from.
fn mounted(host: &Host, service: &str, target: &str) -> String {
    fs::read_to_string(mount_source(host, service, target)).unwrap()
}

fn mount_source(host: &Host, service: &str, target: &str) -> PathBuf {
    let seen = host.serving(service).unwrap();
    let mounts = seen.json["Mounts"].as_array().cloned().unwrap_or_default();
    let mount = mounts.iter().find(|mount| mount["Destination"] == target).unwrap();
    PathBuf::from(mount["Source"].as_str().unwrap())
}

#[test]
fn a_bad_file_that_is_mounted_goes_back_with_its_revision_and_is_not_tried_again_by_the_next_sync() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let good = host.image("1.0", &[], &[]);
    let broken = host.image("broken", &[], &["exit", "3"]);
    let text = |image: &str| plain("a", image, "volumes = [\"./a.conf:/etc/a.conf\"]");
    site.write("a.toml", &text(&good));
    site.write("a.conf", "good\n");
    site.remote.commit("Good");
    let daemon = site.run();
    site.becomes("a", "ready");

    site.write("a.toml", &text(&broken));
    site.write("a.conf", "bad\n");
    site.remote.commit("Bad");
    assert_eq!(site.sync().0, 0);
    site.becomes("a", "rolled-back");
    assert_eq!(mounted(host, "a", "/etc/a.conf"), "good\n");
    let before = lives(host, "a");

    // The same content in another commit, and every sync of it, changes nothing.
    site.write("readme", "about something else\n");
    let words = site.remote.commit("Words");
    let (code, source) = site.sync();
    assert_eq!((code, source["commit"]["id"].as_str()), (0, Some(words.as_str())));
    daemon.reload();
    stays("the rejected revision is not tried", Duration::from_secs(3), || {
        (lives(host, "a") == before, host.of("a").len())
    });
    assert_eq!(host.condition("a"), "rolled-back");

    // By hand, the same: a rollback stands until a commit changes the service.
    let next = host.image("1.1", &[], &[]);
    site.write("a.toml", &text(&next));
    site.remote.commit("Mended");
    assert_eq!(site.sync().0, 0);
    wait_for("the mended one runs", || host.serving("a").filter(|seen| seen.image() == next));
    site.becomes("a", "ready");
    host.evenkeel(&["rollback", &host.id("a")]).expect(0);
    assert_eq!(host.serving("a").unwrap().image(), good);
    site.write("readme", "about nothing\n");
    site.remote.commit("More words");
    assert_eq!(site.sync().0, 0);
    stays("it stays where it was put", Duration::from_secs(2), || {
        host.serving("a").map(|seen| seen.image().to_owned())
    });
    assert_eq!(host.serving("a").unwrap().image(), good);
}

#[test]
fn a_broken_commit_freezes_and_a_mended_one_goes_on() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    site.write("a.toml", &plain("a", &one, ""));
    site.write("b.toml", &plain("b", &one, ""));
    site.remote.commit("Good");
    let _daemon = site.run();
    site.becomes("a", "ready");
    site.becomes("b", "ready");
    let a = lives(host, "a");
    site.write("a.toml", "[services.a\n");
    site.write("b.toml", &plain("b", &two, ""));
    site.remote.commit("Broken");
    site.sync();
    site.becomes("a", "frozen");
    wait_for("b goes on", || host.serving("b").filter(|seen| seen.image() == two));
    assert_eq!(lives(host, "a"), a);
    site.write("a.toml", &plain("a", &two, ""));
    site.remote.commit("Mended");
    site.sync();
    wait_for("a goes on", || host.serving("a").filter(|seen| seen.image() == two));
}

#[test]
fn an_unreachable_repository_stops_nothing_also_across_a_restart() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    site.write("a.toml", &plain("a", &one, ""));
    let first = site.remote.commit("First");
    let mut daemon = site.run();
    site.becomes("a", "ready");
    let before = lives(host, "a");
    let aside = host.root().join("aside");
    fs::rename(&site.remote.path, &aside).unwrap();
    let (code, source) = site.sync();
    assert_eq!((code, source["commit"]["id"].as_str()), (1, Some(first.as_str())));
    assert!(source["trouble"].as_str().is_some_and(|why| why.contains("ls-remote")), "{source}");
    daemon.kill();
    let daemon = host.run();
    site.becomes("a", "ready");
    stays("it runs on", Duration::from_secs(2), || lives(host, "a") == before);
    wait_for("it is ready: the forge is down, this host is not", || page(daemon.port, "/readyz"));
    // It is looked after meanwhile.
    crate::support::docker::docker(&["rm", "--force", &host.serving("a").unwrap().id]);
    wait_for("it is back", || host.serving("a").filter(|seen| seen.image() == one));

    fs::rename(&aside, &site.remote.path).unwrap();
    site.write("a.toml", &plain("a", &two, ""));
    site.remote.commit("Second");
    assert_eq!(site.sync().0, 0);
    wait_for("a goes on", || host.serving("a").filter(|seen| seen.image() == two));
}

#[test]
fn killed_while_it_fetches_it_goes_on_from_what_it_finds() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    site.write("a.toml", &plain("a", &one, "volumes = [\"./payload:/payload:ro\"]"));
    site.write("payload/x", "one\n");
    site.remote.commit("First");
    site.settings(&site.remote.url(), "");
    // A git that takes its time, so that it can be killed in the middle of it.
    let slow = host.root().join("bin");
    fs::create_dir(&slow).unwrap();
    let git = String::from_utf8(Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout)
        .unwrap();
    let mut daemon = host.run();
    site.becomes("a", "ready");
    let before = lives(host, "a");
    daemon.kill();

    let path = format!("{}:{}", slow.display(), std::env::var("PATH").unwrap());
    for (round, step) in ["fetch", "cat-file", "update-ref"].into_iter().enumerate() {
        fs::write(
            slow.join("git"),
            format!(
                "#!/bin/sh\ncase \" $* \" in *\" {step} \"*) touch {}/slow; sleep 2;; esac\nexec {} \"$@\"\n",
                host.root().display(),
                git.trim()
            ),
        )
        .unwrap();
        make_executable(&slow.join("git"));
        site.write("payload/x", &format!("{round}\n"));
        site.remote.commit(step);
        let mut slowed = Host::command(host);
        slowed.env("PATH", &path).args(["run", "--listen", "off"]);
        let mut child = slowed.stderr(std::process::Stdio::null()).spawn().unwrap();
        wait_for(&format!("git {step} is at work"), || host.root().join("slow").exists().then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_file(host.root().join("slow")).unwrap();
        assert!(host.serving("a").is_some(), "killed at {step}");
    }
    site.write("a.toml", &plain("a", &two, "volumes = [\"./payload:/payload:ro\"]"));
    site.remote.commit("Last");
    let _daemon = host.run();
    wait_for("a goes on", || host.serving("a").filter(|seen| seen.image() == two));
    assert_ne!(lives(host, "a"), before);
    let source = host.serving("a").unwrap().json["Mounts"][0]["Source"].as_str().unwrap().to_owned();
    assert_eq!(fs::read_to_string(Path::new(&source).join("x")).unwrap(), "2\n");
}

fn make_executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn two_repositories_and_a_directory_side_by_side_each_own_their_projects() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let image = host.image("1.0", &[], &[]);
    let other = Repository::new(&host.root().join("other"));
    site.write("a.toml", &plain("a", &image, ""));
    site.remote.commit("One");
    let second = format!("{}x", host.project);
    other.write(&format!("{second}/b.toml"), &plain("b", &image, ""));
    other.commit("Two");
    let third = format!("{}y", host.project);
    host.write_at(&format!("{third}/c.toml"), &plain("c", &image, ""));
    let settings = |other_url: &str| {
        host.configure(&format!(
            "[source.infra]\nurl = \"{}\"\n[source.other]\nurl = \"{other_url}\"\n[source.local]\ndir = \"{}\"\n",
            site.remote.url(),
            host.desired.display()
        ));
    };
    settings(&other.url());
    let mut daemon = host.run();
    let ready = |service: &str| {
        wait_for(&format!("{service} is ready"), || {
            let all = host.evenkeel(&["status", "--json"]).json();
            let rows = all["services"].as_array().cloned().unwrap_or_default();
            rows.iter()
                .any(|row| row["service"] == service && row["condition"]["kind"] == "ready")
                .then_some(())
        });
    };
    ready(&format!("{}/a", host.project));
    ready(&format!("{second}/b"));
    ready(&format!("{third}/c"));

    // A source that cannot be read any more, with nothing remembered of it: nothing it defined is removed.
    daemon.kill();
    fs::remove_dir_all(host.state.join("git/other")).unwrap();
    settings(&format!("{}/gone", host.root().display()));
    let _daemon = host.run();
    ready(&format!("{}/a", host.project));
    let count = || host.containers().iter().filter(|seen| seen.running()).count();
    assert_eq!(stays("all three run", Duration::from_secs(4), count), 3);
    let told = host.evenkeel(&["status", "--json"]).json();
    assert!(told["host"]["desired"]["problems"].to_string().contains("missing-source"), "{told}");

    // The same project in two sources: left as it is, and told.
    host.write("a.toml", &plain("a", &host.image("1.1", &[], &[]), ""));
    site.becomes("a", "frozen");
    assert_eq!(host.serving("a").unwrap().image(), image);
}

#[test]
fn a_poll_that_finds_nothing_asks_the_engine_nothing() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    site.write("a.toml", &plain("a", &host.image("1.0", &[], &[]), ""));
    site.remote.commit("First");
    site.settings(&site.remote.url(), "poll = \"10s\"");
    let daemon = host.run();
    site.becomes("a", "ready");
    let polls =
        || daemon.metric("evenkeel_sync_total{result=\"unchanged\",source=\"infra\"}").unwrap_or_default();
    let calls = || -> f64 {
        let text = daemon.metrics().unwrap_or_default();
        let counts = text.lines().filter(|line| line.starts_with("evenkeel_engine_requests_total{"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    // What others do on the same engine, and the regular look once a minute, may fall into the moment of one poll, not of four.
    let quiet = (0..4).any(|_| {
        let seen = polls();
        let mut before = calls();
        wait_for("a poll", || {
            let over = polls() > seen;
            if !over {
                before = calls();
            }
            over.then_some(())
        });
        std::thread::sleep(Duration::from_millis(100));
        calls() == before
    });
    assert!(quiet, "every poll had the engine asked something");
}

#[test]
fn only_signed_webhooks_wake_it() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let secret = "0123456789abcdef0123456789abcdef";
    let file = host.root().join("webhook");
    fs::write(&file, format!("{secret}\n")).unwrap();
    let image = |tag: &str| host.image(tag, &[], &[]);
    site.write("a.toml", &plain("a", &image("1.0"), ""));
    site.remote.commit("First");
    site.settings(
        &site.remote.url(),
        &format!("poll = \"1h\"\nwebhook_secret_file = \"{}\"", file.display()),
    );
    let daemon = host.run();
    site.becomes("a", "ready");

    let body = "{\"ref\": \"refs/heads/main\"}";
    let post = |kind: &str, header: &str, body: &str| -> u16 {
        let mut call = Command::new("curl");
        call.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", header, "--data-binary", body]);
        call.arg(format!("http://127.0.0.1:{}/v1/webhook/{kind}", daemon.port));
        String::from_utf8(call.output().unwrap().stdout).unwrap().parse().unwrap()
    };
    let good = signature(secret, body);
    let kinds = [
        ("github", format!("X-Hub-Signature-256: sha256={good}")),
        ("gitlab", format!("X-Gitlab-Token: {secret}")),
        ("gitea", format!("X-Gitea-Signature: {good}")),
        ("forgejo", format!("X-Forgejo-Signature: {good}")),
        ("generic", format!("X-Evenkeel-Signature-256: sha256={good}")),
    ];
    for (number, (kind, header)) in kinds.iter().enumerate() {
        let next = image(&format!("2.{number}"));
        site.write("a.toml", &plain("a", &next, ""));
        site.remote.commit(kind);
        let wrong =
            header.replace(&good, &signature("another secret of some length", body)).replace(secret, "wrong");
        assert_eq!(post(kind, &wrong, body), 401, "{kind} with a wrong signature");
        assert_eq!(post(kind, "X-Nothing: 1", body), 401, "{kind} without a signature");
        if *kind != "gitlab" {
            assert_eq!(post(kind, header, "{}"), 401, "{kind} with the signature of another body");
        }
        assert_ne!(host.serving("a").map(|seen| seen.image().to_owned()), Some(next.clone()));
        assert_eq!(post(kind, header, body), 202, "{kind}");
        wait_for(&format!("the push told by {kind} runs"), || {
            host.serving("a").filter(|seen| seen.image() == next)
        });
    }
    // Sent again by whoever saw it: one more look, and nothing else.
    let before = lives(host, "a");
    for _ in 0..5 {
        assert_eq!(post(kinds[0].0, &kinds[0].1, body), 202);
    }
    assert_eq!(post("bitbucket", &kinds[0].1, body), 404);
    stays("nothing changes", Duration::from_secs(2), || lives(host, "a") == before);
    let counted = |result: &str| {
        daemon.metric(&format!("evenkeel_webhook_requests_total{{kind=\"github\",result=\"{result}\"}}"))
    };
    assert_eq!((counted("accepted"), counted("refused")), (Some(6.0), Some(3.0)));
    assert!(!daemon.log().contains(secret));
}

fn signature(secret: &str, body: &str) -> String {
    let script = "printf %s \"$BODY\" | openssl dgst -sha256 -hmac \"$SECRET\" -r | cut -d' ' -f1";
    let output =
        Command::new("sh").args(["-c", script]).env("BODY", body).env("SECRET", secret).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn apply_and_plan_take_a_repository_without_a_daemon() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    site.write("a.toml", &plain("a", &one, "volumes = [\"./a.conf:/etc/a.conf\"]"));
    site.write("a.conf", "one\n");
    site.remote.commit("First");
    let url = site.remote.url();
    let repo = ["--repo", url.as_str(), "--branch", "main"];
    let command = |arguments: &[&str]| host.evenkeel(&[arguments, &repo[..]].concat());
    host.directory.store(false, std::sync::atomic::Ordering::SeqCst);
    let ended = command(&["plan", "--detailed-exitcode"]).expect(2);
    assert!(ended.out.contains("create") && !host.state.join("git").exists(), "a plan leaves nothing behind");
    // As the system's service has it: nothing that evenkeel writes is for others, but what containers mount is.
    let script = "umask 077; exec \"$0\" \"$@\"";
    let mut apply = Command::new("sh");
    apply.args(["-c", script, crate::support::host::BINARY, "apply"]).args(repo);
    let own = host.command();
    apply.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = apply.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(host.serving("a").unwrap().image(), one);
    assert_eq!(mounted(host, "a", "/etc/a.conf"), "one\n");
    let source = mount_source(host, "a", "/etc/a.conf");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&source), mode(source.parent().unwrap())), (0o644, 0o755));
    assert_eq!(mode(&host.state), 0o700, "and nobody else gets there");
    command(&["plan", "--detailed-exitcode"]).expect(0);

    site.remote.git(&["checkout", "--quiet", "-b", "next"]);
    site.write("a.toml", &plain("a", &two, "volumes = [\"./a.conf:/etc/a.conf\"]"));
    site.remote.commit("Next");
    let ended = command(&["plan", "--detailed-exitcode", "--ref", "next"]).expect(2);
    assert!(ended.out.contains(&one) && ended.out.contains(&two), "{}", ended.out);
    command(&["plan", "--detailed-exitcode"]).expect(0);
    let told = command(&["status", "--json"]).expect(0).json();
    assert_eq!(told["host"]["desired"]["sources"][0]["commit"]["subject"], "First");
    fs::rename(&site.remote.path, host.root().join("gone")).unwrap();
    let ended = command(&["apply"]).expect(1);
    assert!(ended.err.contains("ls-remote"), "{}", ended.err);
    let told = command(&["doctor"]).expect(1);
    assert!(told.out.contains("repository"), "{}", told.out);
}

#[test]
fn a_token_for_http_and_a_key_for_ssh_are_in_no_log_and_on_no_command_line() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let image = host.image("1.0", &[], &[]);
    site.write("a.toml", &plain("a", &image, ""));
    site.remote.commit("First");
    let token = "t0ken-0123456789-abcdefghij";
    let file = host.root().join("token");
    fs::write(&file, format!("{token}\n")).unwrap();
    let http = crate::support::forge::http(&site.remote.path, "x-access-token", token);
    site.settings(&http.url(), &format!("token_file = \"{}\"", file.display()));
    let mut daemon = host.run();
    site.becomes("a", "ready");
    assert!(http.refused() > 0 && http.accepted() > 0, "it was asked for, and given");
    assert!(!daemon.log().contains(token));
    assert!(!http.command_lines().contains(token), "{}", http.command_lines());
    assert!(http.command_lines().contains("ls-remote"), "the command lines were looked at while git ran");
    let told = host.evenkeel(&["status", "--json"]).expect(0).out;
    assert!(!told.contains(token));

    // A wrong token is told as what it is, and nothing is lost.
    fs::write(&file, "wrong-token-wrong-token\n").unwrap();
    let (code, source) = site.sync();
    assert_eq!(code, 1);
    assert!(source["trouble"].as_str().is_some_and(|why| why.contains("Authentication failed")), "{source}");
    assert!(!source.to_string().contains("wrong-token"));
    daemon.terminate();

    let Some(ssh) = crate::support::forge::ssh(host.root()) else {
        machine::skip("no sshd here");
        return;
    };
    let url = ssh.url(&site.remote.path);
    site.settings(
        &url,
        &format!(
            "ssh_key_file = \"{}\"\nknown_hosts_file = \"{}\"",
            ssh.key.display(),
            ssh.known_hosts.display()
        ),
    );
    let two = host.image("1.1", &[], &[]);
    site.write("a.toml", &plain("a", &two, ""));
    site.remote.commit("Over ssh");
    let _daemon = host.run();
    wait_for("the push runs", || host.serving("a").filter(|seen| seen.image() == two));
    // A host key that is not the known one is not believed.
    let known = fs::read_to_string(&ssh.known_hosts).unwrap();
    fs::write(&ssh.known_hosts, known.replace("AAAA", "AAAB")).unwrap();
    assert_eq!(site.sync().0, 1);
}
