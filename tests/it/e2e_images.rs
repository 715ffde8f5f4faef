//! Images that are followed, with a real registry: what is pushed runs, what fails is put back, and whatever the registry does, what runs stays.

use std::time::Duration;

use serde_json::Value;

use crate::support::docker::{docker, inspect_image};
use crate::support::fault::{Fault, Faulty};
use crate::support::files::checked;
use crate::support::registry::{LOGIN, Registry};
use crate::support::repository::Repository;
use crate::support::wait::{free_port, page};
use crate::support::{Host, stays, wait_for};

fn serves(port: u16, version: &str) {
    wait_for(&format!("version {version} serves"), || page(port, "/version").filter(|body| body == version));
}

fn becomes(host: &Host, service: &str, condition: &str) {
    wait_for(&format!("{service} is {condition}"), || (host.condition(service) == condition).then_some(()));
}

/// A host whose images come from a registry behind something that can fail.
struct Scene {
    host: Host,
    registry: Registry,
    faulty: Faulty,
}

impl Scene {
    fn new() -> Option<Self> {
        let host = Host::new()?;
        let registry = Registry::start(host.root())?;
        let faulty = Faulty::before(&registry.name());
        Some(Self { host, registry, faulty })
    }

    /// The image as the files name it.
    fn image(&self) -> String {
        format!("{}/acme/{}", self.faulty.name(), self.host.project)
    }

    /// Pushes a version beside the thing that can fail, as somebody elsewhere does. Returns its digest. The engine that pushes is the one
    /// that pulls here, and one that takes a name away while it pulls the same image under another may lose it: so it keeps a name.
    fn push(&self, tag: &str, version: &str, variables: &[(&str, &str)], command: &[&str]) -> String {
        let reference = self.made(tag, version, variables, command);
        docker(&["tag", &reference, &format!("{}/kept:{version}", self.host.project)]);
        self.pushed(&reference)
    }

    /// The same, and nothing of it stays on the engine: each layer is pulled.
    fn push_away(&self, tag: &str, version: &str) -> String {
        let reference = self.made(tag, version, &[], &[]);
        self.pushed(&reference)
    }

    fn made(&self, tag: &str, version: &str, variables: &[(&str, &str)], command: &[&str]) -> String {
        let reference = self.registry.reference(&format!("acme/{}:{tag}", self.host.project));
        self.host.image_named(&reference, version, variables, command);
        reference
    }

    fn pushed(&self, reference: &str) -> String {
        docker(&["push", "--quiet", reference]);
        let digests = docker(&["image", "inspect", "--format", "{{index .RepoDigests 0}}", reference]);
        docker(&["image", "rm", reference]);
        digests.trim().split_once('@').unwrap().1.to_owned()
    }

    fn images(&self, arguments: &[&str], code: i32) -> Value {
        let all = [&["images", "--json"], arguments].concat();
        self.host.evenkeel(&all).expect(code).json()
    }

    fn row(&self, service: &str) -> Option<Value> {
        let report = self.images(&[], 0);
        let id = self.host.id(service);
        report["images"].as_array()?.iter().find(|row| row["service"] == *id).cloned()
    }
}

fn web(image: &str, port: u16, policy: &str) -> String {
    checked("web", image, port, &format!("image_policy = {{ {policy} }}"))
}

#[test]
fn what_is_pushed_runs_and_what_fails_is_put_back_and_not_taken_again() {
    let Some(scene) = Scene::new() else { return };
    let (host, port) = (&scene.host, free_port());
    let first = scene.push("1.0", "1.0", &[], &[]);
    host.write("web.toml", &web(&scene.image(), port, "semver = \"^1\", every = \"1s\""));
    let daemon = host.run();
    serves(port, "1.0");
    becomes(host, "web", "ready");
    assert_eq!(host.serving("web").unwrap().image(), format!("{}:1.0@{first}", scene.image()));

    scene.push("1.1", "1.1", &[], &[]);
    serves(port, "1.1");
    becomes(host, "web", "ready");

    let bad = scene.push("1.2", "1.2", &[], &["fail", "3"]);
    becomes(host, "web", "rolled-back");
    serves(port, "1.1");
    let row = wait_for("it is told why 1.2 is not taken", || {
        scene
            .row("web")
            .filter(|row| row["passed"][0]["why"].as_str().is_some_and(|why| why.contains("failed here")))
    });
    assert_eq!(
        (&row["chosen"]["digest"], &row["serving"]["tag"]),
        (&Value::from(bad.clone()), &Value::from("1.1"))
    );
    // A hotfix below what failed is taken, and what failed is not taken again for that.
    scene.push("1.1.1", "1.1.1", &[], &[]);
    serves(port, "1.1.1");
    becomes(host, "web", "ready");
    let looks = scene.row("web").unwrap()["looks"].as_u64().unwrap();
    wait_for("it was looked three times more", || {
        (scene.row("web")?["looks"].as_u64()? > looks + 3).then_some(())
    });
    assert_eq!(page(port, "/version").as_deref(), Some("1.1.1"), "what failed was taken again");
    assert!(host.of("web").iter().all(|seen| !seen.image().ends_with(&bad)));

    // Somebody says that it may be tried again: no, but a newer one is.
    scene.push("1.3", "1.3", &[], &[]);
    serves(port, "1.3");
    becomes(host, "web", "ready");
    // The same tag, another image.
    let moved = scene.push("1.3", "1.3-again", &[], &[]);
    serves(port, "1.3-again");
    let pinned = format!("{}:1.3@{moved}", scene.image());
    wait_for("it has the name, and runs by its digest", || {
        host.serving("web").filter(|seen| seen.image() == pinned)
    });
    becomes(host, "web", "ready");

    let series =
        format!("evenkeel_image_check_last_success_timestamp_seconds{{service=\"{}\"}}", host.id("web"));
    assert!(daemon.metric(&series).is_some_and(|at| at > 1.7e9));
    let asked =
        format!("evenkeel_registry_requests_total{{registry=\"{}\",result=\"ok\"}}", scene.faulty.name());
    assert!(daemon.metric(&asked).is_some_and(|count| count > 5.0));
}

#[test]
fn whatever_a_registry_does_what_runs_stays() {
    let Some(scene) = Scene::new() else { return };
    let (host, port) = (&scene.host, free_port());
    scene.push_away("1.0", "1.0");
    host.write("web.toml", &web(&scene.image(), port, "semver = \"^1\", every = \"1s\""));
    let mut daemon = host.run();
    serves(port, "1.0");
    becomes(host, "web", "ready");
    let before = host.serving("web").unwrap();
    for (fault, words) in [
        (Fault::Status(401, String::new()), "it asks who we are"),
        (Fault::Status(403, String::new()), "docker login"),
        (Fault::Status(500, String::new()), "500"),
        (Fault::Cut, "/tags/list"),
        (Fault::Down, "/tags/list"),
        (Fault::Status(429, "Retry-After: 1\r\n".to_owned()), "left alone"),
    ] {
        scene.faulty.set(fault.clone());
        let report = scene.images(&["--check"], 1);
        let trouble = report["images"][0]["trouble"].as_str().unwrap_or_default();
        assert!(trouble.contains(words), "{fault:?}: {report:#}");
        assert_eq!(report["images"][0]["chosen"]["tag"], "1.0", "{fault:?}");
        assert_eq!(host.serving("web").unwrap().id, before.id, "{fault:?}");
    }
    scene.faulty.set(Fault::Slow);
    host.evenkeel(&["images", "--check", "--timeout", "500ms"]);
    becomes(host, "web", "ready");
    assert_eq!(host.serving("web").unwrap().id, before.id);
    let failing = format!("evenkeel_image_check_failing{{service=\"{}\"}}", host.id("web"));
    assert_eq!(daemon.metric(&failing), Some(1.0));

    // A registry that says another digest than what it has: nothing can be pulled by it, and nothing is stopped for it.
    scene.faulty.set(Fault::Lie(format!("sha256:{}", "5".repeat(64))));
    scene.push_away("1.1", "1.1");
    wait_for("the lie is believed", || {
        scene
            .row("web")
            .filter(|row| row["chosen"]["digest"].as_str().is_some_and(|digest| digest.contains("5555")))
    });
    stays("1.0 serves", Duration::from_secs(2), || page(port, "/version"));
    assert_eq!(host.serving("web").unwrap().id, before.id);
    scene.faulty.set(Fault::Nothing);
    serves(port, "1.1");
    wait_for("it is settled", || {
        let seen = host.serving("web").filter(|seen| seen.image().contains(":1.1@"))?;
        (host.condition("web") == "ready" && host.running("web") == [seen]).then_some(())
    });

    // Killed, and started again where no registry is: what was chosen stands, and a container that is gone comes back.
    daemon.kill();
    scene.faulty.set(Fault::Down);
    let plan = host.evenkeel(&["plan", "--detailed-exitcode"]).expect(0);
    assert!(plan.out.contains("nothing to do") || plan.out.contains("unchanged"), "{}", plan.out);
    assert_eq!(host.condition("web"), "ready", "status without a daemon knows what was chosen");
    docker(&["rm", "--force", &host.name("web")]);
    let _daemon = host.run();
    serves(port, "1.1");
    becomes(host, "web", "ready");
}

#[test]
fn a_tag_matures_since_it_was_seen_here_and_not_by_being_pushed_again() {
    let Some(scene) = Scene::new() else { return };
    let (host, port) = (&scene.host, free_port());
    scene.push("1.0", "1.0", &[], &[]);
    // What is there when a service is new is old enough.
    host.write(
        "web.toml",
        &web(&scene.image(), port, "semver = \"^1\", every = \"300ms\", min_age = \"6s\""),
    );
    let _daemon = host.run();
    serves(port, "1.0");
    becomes(host, "web", "ready");
    scene.push("1.1", "1.1", &[], &[]);
    let due = |scene: &Scene| scene.row("web")?["passed"][0]["due"].as_i64();
    let first = wait_for("1.1 is too young", || due(&scene));
    scene.push("1.1", "1.1-again", &[], &[]);
    wait_for("its age has begun anew", || due(&scene).filter(|again| *again > first));
    scene.push("2.0", "2.0", &[], &[]);
    wait_for("a major update is told", || {
        scene
            .row("web")
            .filter(|row| row["update"] == "major" && row["newest"] == "2.0" && row["allowed"] == "1.1")
    });
    serves(port, "1.1-again");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(now > u128::try_from(first).unwrap(), "the first push of 1.1 was never old enough");
    becomes(host, "web", "ready");
    let table = host.evenkeel(&["images"]).expect(0).out;
    assert!(table.contains("2.0: outside of the range"), "{table}");
}

#[test]
fn approval_and_another_services_tag_are_waited_for() {
    let Some(scene) = Scene::new() else { return };
    let (host, port) = (&scene.host, free_port());
    scene.push("1.0", "1.0", &[], &[]);
    let file = format!(
        "{}\nrollout.approve = true\n[services.worker]\nimage = \"{1}\"\nimage_policy.same_as = \"services.web\"\n\
         deploy.update_config.monitor = \"1s\"\nenvironment = {{ RELEASE = \"${{service.tag}}\" }}\n",
        web(&scene.image(), port, "semver = \"^1\", every = \"500ms\""),
        scene.image(),
    );
    host.write("web.toml", &file);
    let _daemon = host.run();
    serves(port, "1.0");
    becomes(host, "web", "ready");
    becomes(host, "worker", "ready");
    scene.push("1.1", "1.1", &[], &[]);
    becomes(host, "web", "awaiting-approval");
    let row = scene.row("web").unwrap();
    assert!(row["passed"][0]["why"].as_str().unwrap().contains("evenkeel approve"), "{row:#}");
    assert_eq!(page(port, "/version").as_deref(), Some("1.0"));
    assert_eq!(host.serving("worker").unwrap().variable("RELEASE"), Some("1.0"));
    host.evenkeel(&["approve", &host.id("web")]).expect(0);
    serves(port, "1.1");
    wait_for("the worker has the tag that web runs", || {
        host.serving("worker").filter(|seen| seen.variable("RELEASE") == Some("1.1"))
    });
    becomes(host, "worker", "ready");
}

#[test]
fn without_a_daemon_apply_looks_once_for_what_was_never_chosen() {
    let Some(mut scene) = Scene::new() else { return };
    let (host, port) = (&scene.host, free_port());
    scene.push("1.0", "1.0", &[], &[]);
    host.write("web.toml", &web(&scene.image(), port, "semver = \"^1\""));
    scene.faulty.set(Fault::Status(500, String::new()));
    let failed = host.evenkeel(&["apply"]);
    assert!(failed.err.contains("web has no image yet") && failed.err.contains("500"), "{failed:?}");
    scene.faulty.set(Fault::Nothing);
    host.evenkeel(&["apply"]).expect(0);
    serves(port, "1.0");
    let asked = scene.faulty.asked().len();
    scene.push("1.1", "1.1", &[], &[]);
    assert!(host.evenkeel(&["apply"]).expect(0).out.contains("nothing to do"));
    assert_eq!(scene.faulty.asked().len(), asked, "what was chosen stands, and nobody is asked");
    let report = scene.images(&["web", "--check"], 0);
    assert_eq!(report["images"][0]["chosen"]["tag"], "1.1", "{report:#}");
    host.evenkeel(&["apply"]).expect(0);
    serves(port, "1.1");
    host.evenkeel(&["images", "nothing"]).expect(1);
    assert!(inspect_image(&format!("{}:1.1", scene.image())).is_none(), "it is pulled by its digest");

    // A registry that wants to know who asks is told what `docker login` left.
    scene.registry.lock();
    let refused = scene.images(&["--check"], 1);
    assert!(refused["images"][0]["trouble"].as_str().unwrap().contains("docker login"), "{refused:#}");
    let folder = scene.host.root().join("docker");
    std::fs::create_dir_all(&folder).unwrap();
    let config = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{LOGIN}\"}}}}}}", scene.faulty.name());
    std::fs::write(folder.join("config.json"), config).unwrap();
    let mut check = scene.host.command();
    let known = check.env("DOCKER_CONFIG", &folder).args(["images", "--check", "--json"]).output().unwrap();
    let known: Value = serde_json::from_slice(&known.stdout).unwrap();
    assert!(known["images"][0]["trouble"].is_null() && known["images"][0]["newest"] == "1.1", "{known:#}");
}

#[test]
fn what_has_proved_itself_is_written_back_and_the_commit_changes_nothing_that_runs() {
    let Some(scene) = Scene::new() else { return };
    let (host, port) = (&scene.host, free_port());
    let repository = Repository::new(&host.root().join("remote"));
    repository.git(&["config", "receive.denyCurrentBranch", "ignore"]);
    repository.write("fleet.toml", "[policy.write_back]\nmessage = \"${service} runs ${tag}, was ${old}\"\n");
    let file = format!("{}/web.toml", host.project);
    // A comment that must stay.
    let text = format!("# The shop.\n{}", web(&scene.image(), port, "semver = \"^1\", every = \"500ms\""));
    repository.write(&file, &text);
    repository.commit("Begin");
    let url = repository.url();
    host.configure(&format!("[source.infra]\nurl = \"{url}\"\nbranch = \"main\"\npoll = \"10s\"\n"));
    let digest = scene.push("1.0", "1.0", &[], &[]);
    let daemon = host.run();
    serves(port, "1.0");
    let at_main = || repository.git(&["show", &format!("main:{file}")]);
    let first =
        wait_for("1.0 is written back", || Some(at_main()).filter(|text| text.contains("current = ")));
    let policy =
        format!("image_policy = {{ semver = \"^1\", every = \"500ms\", current = \"1.0@{digest}\" }}");
    assert!(first.starts_with("# The shop.\n") && first.contains(&policy), "{first}");
    becomes(host, "web", "ready");
    let before = host.serving("web").unwrap();

    // What fails is not written back; what follows it is.
    scene.push("1.1", "1.1", &[], &["fail", "3"]);
    becomes(host, "web", "rolled-back");
    scene.push("1.2", "1.2", &[], &[]);
    serves(port, "1.2");
    wait_for("1.2 is written back", || at_main().contains("current = \"1.2@sha256:").then_some(()));
    let head = repository.git(&["rev-parse", "main"]);
    wait_for("its own commit is in force", || {
        host.evenkeel(&["sync"]);
        let status = host.evenkeel(&["status", "--json"]).json();
        (status["host"]["desired"]["sources"][0]["commit"]["id"] == head.as_str()).then_some(())
    });
    wait_for("it is settled", || {
        let seen = host.serving("web").filter(|seen| seen.image().contains(":1.2@"))?;
        (host.condition("web") == "ready" && host.running("web") == [seen]).then_some(())
    });
    let now = host.serving("web").unwrap();
    assert_ne!(now.id, before.id);
    stays("the container and the branch", Duration::from_secs(3), || {
        (host.serving("web").map(|seen| seen.id), repository.git(&["rev-parse", "main"]))
    });
    let log = repository.git(&["log", "--format=%s", "main"]);
    let id = host.id("web");
    assert_eq!(log, format!("{id} runs 1.2, was 1.0\n{id} runs 1.0, was nothing\nBegin"));
    assert_eq!(daemon.metric("evenkeel_write_back_total{result=\"pushed\",source=\"infra\"}"), Some(2.0));
}
