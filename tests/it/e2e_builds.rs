//! Images that are built here, on a real engine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::docker::{docker, inspect_image, try_docker};
use crate::support::files::plain;
use crate::support::registry::{PASSWORD, Registry, USER};
use crate::support::repository::Repository;
use crate::support::{Daemon, Host, wait_for};

/// The test program, compiled once.
pub fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("target/test-program/program");
    let made = Command::new(root.join("tests/program/images.sh")).arg("program").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()));
    path
}

/// A host with contexts of builds beside its state files.
pub struct Site {
    pub host: Host,
}

impl Site {
    pub fn new() -> Option<Self> {
        Some(Self { host: Host::new()? })
    }

    pub fn context(&self, name: &str) -> PathBuf {
        self.host.root().join("src").join(name)
    }

    /// Writes a file of a context.
    pub fn put(&self, path: &str, text: &str) {
        let path = self.host.root().join("src").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A context with the program in it.
    pub fn with_program(&self, name: &str, dockerfile: &str) {
        self.put(&format!("{name}/Dockerfile"), dockerfile);
        fs::copy(program(), self.context(name).join("program")).unwrap();
        fs::set_permissions(self.context(name).join("program"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// One of the `[builds]`, made of a folder. Its label is how the clean-up finds its images.
    pub fn build(&self, name: &str, more: &str) -> String {
        let project = &self.host.project;
        let context = self.context(name).display().to_string();
        format!(
            "[builds.{name}]\nimage = \"{project}/{name}\"\ncontext = \"{context}\"\nlabels = {{ \"evenkeel-test\" = \"{project}\" }}\nevery = \"1s\"\n{more}\n"
        )
    }

    pub fn builds(&self) -> Vec<Value> {
        let listed = self.host.evenkeel(&["build", "--list", "--json"]).expect(0).json();
        listed.as_array().cloned().unwrap_or_default()
    }

    /// What is known of one build.
    pub fn of(&self, name: &str) -> Value {
        let name = format!("{}/{name}", self.host.project);
        self.builds().into_iter().find(|build| build["name"] == *name).unwrap_or_default()
    }

    /// The id of the newest good image of a build.
    pub fn image(&self, name: &str) -> String {
        self.of(name).pointer("/image/image_id").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    pub fn becomes(&self, name: &str, state: &str) -> Value {
        wait_for(&format!("{name} is {state}"), || {
            Some(self.of(name)).filter(|build| build["state"] == *state)
        })
    }

    /// The image that a service runs when it is ready, under its plain name.
    pub fn ready(&self, service: &str) -> String {
        let seen = wait_for(&format!("{service} is ready"), || {
            (self.host.condition(service) == "ready").then(|| self.host.serving(service)).flatten()
        });
        seen.json["Image"].as_str().unwrap().to_owned()
    }
}

const SERVES: &str = "FROM scratch\nCOPY program /program\nENTRYPOINT [\"/program\"]\nCMD [\"serve\"]\n";

#[test]
fn what_changes_in_a_context_is_built_and_rolled_out_and_a_failed_build_touches_nothing() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let project = &host.project;
    site.with_program("app", &format!("{SERVES}COPY text /text\nRUN [\"/program\", \"read\", \"/text\"]\n"));
    site.put("app/text", "one\n");
    site.put("app/.dockerignore", "*.md\n");
    let text = site.build("app", "")
        + &plain("web", &format!("{project}/app"), "environment = { RELEASE = \"${service.tag}\" }");
    host.write("it.toml", &text);
    let daemon = host.run();
    let first = site.ready("web");
    assert_eq!(site.becomes("builds.app", "current")["image"]["image_id"], first.as_str());
    let tag = site.of("builds.app")["image"]["tag"].as_str().unwrap().to_owned();
    assert_eq!(host.serving("web").unwrap().variable("RELEASE"), Some(tag.as_str()));
    assert_eq!(inspect_image(&format!("{project}/app:{tag}")), Some(first.clone()));
    let log = host.evenkeel(&["build", "app", "--log"]).expect(0).out;
    assert!(log.contains("COPY text /text") && log.contains("one"), "{log}");

    // What is ignored, touched or renamed back is no change.
    site.put("app/readme.md", "words");
    site.put("app/text", "one\n");
    host.evenkeel(&["build"]).expect(0);
    assert_eq!(site.image("builds.app"), first);
    assert_eq!(site.of("builds.app")["kept"].as_array().map(Vec::len), Some(0));

    site.put("app/text", "two\n");
    let second = wait_for("the new one runs", || Some(site.ready("web")).filter(|image| *image != first));
    let report = site.becomes("builds.app", "current");
    assert_eq!(report["image"]["image_id"], second.as_str());
    assert_eq!(report["image"]["causes"][0], "its source changed");

    // A build that fails is told, is not tried again, and what serves goes on.
    let before = host.serving("web").unwrap();
    site.put("app/Dockerfile", &format!("{SERVES}RUN [\"/program\", \"fail\", \"3\"]\n"));
    let failed = site.becomes("builds.app", "failed");
    assert!(failed["why"].as_str().unwrap().contains("non-zero code: 3"), "{failed}");
    let series =
        format!("evenkeel_builds_total{{build=\"builds.app\",project=\"{project}\",result=\"failed\"}}");
    assert_eq!(daemon.metric(&series), Some(1.0));
    host.evenkeel(&["build"]).expect(1);
    assert_eq!(host.serving("web").unwrap().id, before.id);
    assert_eq!(host.serving("web").unwrap().started_at(), before.started_at());
    assert_eq!(site.image("builds.app"), second);

    // An image that does not run is put back, and the one before serves.
    site.put(
        "app/Dockerfile",
        "FROM scratch\nCOPY program /program\nENTRYPOINT [\"/program\"]\nCMD [\"fail\", \"4\"]\n",
    );
    wait_for("it is rolled back", || (host.condition("web") == "rolled-back").then_some(()));
    assert_eq!(host.serving("web").unwrap().json["Image"], second.as_str());
    drop(daemon);
}

#[test]
fn images_stand_on_each_other_and_a_change_builds_what_hangs_on_it_in_order() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let project = &host.project;
    site.with_program("base", "FROM scratch\nCOPY program /program\nCOPY text /base\n");
    site.put("base/text", "1");
    site.put("lib/Dockerfile", &format!("ARG ON={project}/base\nFROM $ON\nCOPY text /lib\n"));
    site.put("lib/text", "1");
    site.put("app/Dockerfile", &format!("FROM {project}/lib:latest AS lib\nFROM scratch AS unused\nFROM lib\nCOPY --from={project}/base /base /again\nENTRYPOINT [\"/program\"]\n"));
    let all = [site.build("app", ""), site.build("base", ""), site.build("lib", "")].concat();
    host.write("it.toml", &all);
    // Without a daemon a command builds by itself.
    let ended = host.evenkeel(&["build", "--json"]).expect(0);
    let told = ended.json();
    let results: Vec<&str> =
        told.as_array().unwrap().iter().filter_map(|row| row["result"].as_str()).collect();
    assert_eq!(results, ["built", "built", "built"], "{told}");
    let ids = || ["builds.base", "builds.lib", "builds.app"].map(|name| site.of(name)["image"].clone());
    let when = |image: &Value| image["at"].as_i64().unwrap();
    let first = ids();
    assert!(when(&first[0]) <= when(&first[1]) && when(&first[1]) <= when(&first[2]), "{first:?}");

    // Nothing changed, nothing is done.
    host.evenkeel(&["build"]).expect(0);
    assert_eq!(ids(), first);

    // The library alone: it and what hangs on it.
    site.put("lib/text", "2");
    host.evenkeel(&["build"]).expect(0);
    let second = ids();
    assert_eq!(second[0], first[0]);
    assert_eq!(second[1]["causes"], serde_json::json!(["its source changed"]));
    assert_eq!(
        second[2]["causes"],
        serde_json::json!([format!("its base image {project}/lib:latest changed")])
    );

    // By name: what it stands on is built first, what stands on it is not.
    site.put("base/text", "2");
    host.evenkeel(&["build", "lib"]).expect(0);
    let third = ids();
    assert!(third[0] != second[0] && third[1] != second[1] && third[2] == second[2], "{third:?}");
    host.evenkeel(&["build"]).expect(0);
    let causes = ids()[2]["causes"].to_string();
    assert!(causes.contains("/base changed") && causes.contains("/lib:latest changed"), "{causes}");

    // A service's own build, without a daemon, and old images lose their names.
    site.put(
        "web/Dockerfile",
        &format!("FROM {project}/app\nLABEL evenkeel-test={project}\nCMD [\"serve\"]\n"),
    );
    let context = site.context("web");
    let service = format!(
        "[services.web]\nbuild = \"{}\"\nbuild_policy = {{ keep = 1, tag = \"v1\" }}\ndeploy.update_config.monitor = \"1s\"\nstop_grace_period = \"1s\"\n",
        context.display()
    );
    host.write("it.toml", &(all + &service));
    host.evenkeel(&["apply"]).expect(0);
    let image = host.serving("web").unwrap().json["Image"].as_str().unwrap().to_owned();
    assert_eq!(site.image("services.web"), image);
    assert_eq!(inspect_image(&format!("{project}-web:v1")), Some(image.clone()));
    site.put(
        "web/Dockerfile",
        &format!("FROM {project}/app\nLABEL evenkeel-test={project} x=2\nCMD [\"serve\"]\n"),
    );
    host.evenkeel(&["apply"]).expect(0);
    let newer = host.serving("web").unwrap().json["Image"].as_str().unwrap().to_owned();
    assert_ne!(newer, image);
    assert_eq!(inspect_image(&format!("{project}-web:v1")), Some(newer));
    let names = docker(&[
        "image",
        "ls",
        "--format",
        "{{.Repository}}",
        "--filter",
        &format!("reference=evenkeel-build/{project}--services.web"),
    ]);
    assert_eq!(names.lines().count(), 1, "{names}");
    assert!(try_docker(&["image", "inspect", &image]).is_ok(), "the previous revision's image stays");
}

/// What the daemon began to build, in order, since the last time.
fn begun(host: &Host, daemon: &Daemon, seen: &mut usize) -> Vec<String> {
    let log = daemon.log();
    let mark = format!("an image is built build=\"{}/builds.", host.project);
    let names: Vec<String> = log
        .lines()
        .filter_map(|line| Some(line.split_once(&mark)?.1.split('"').next()?.to_owned()))
        .collect();
    let new = names[*seen..].to_vec();
    *seen = names.len();
    new
}

/// A base and a library in the repository that is followed, and an application in one of its own.
#[test]
fn the_complete_story_from_a_commit_to_what_serves() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let project = host.project.clone();
    let infra = Repository::new(&host.root().join("infra"));
    let app = Repository::new(&host.root().join("app.git"));
    let own = |name: &str, context: &str, more: &str| {
        format!(
            "[builds.{name}]\nimage = \"{project}/{name}\"\ncontext = \"{context}\"\nlabels = {{ \"evenkeel-test\" = \"{project}\" }}\n{more}\n"
        )
    };
    let url = format!("file://{}#main:server", app.url());
    let state = own("base", "./base", "")
        + &own("lib", "./lib", "")
        + &own("app", &url, "every = \"1h\"\nargs = { COMMIT = \"${git.hash}\" }")
        + &plain("web", &format!("{project}/app"), "");
    infra.write(&format!("{project}/it.toml"), &state);
    infra.write(
        &format!("{project}/base/Dockerfile"),
        "FROM scratch\nCOPY program /program\nCOPY text /base\n",
    );
    infra.write(&format!("{project}/base/text"), "1");
    let to = infra.path.join(format!("{project}/base/program"));
    fs::copy(program(), &to).unwrap();
    fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
    infra.write(&format!("{project}/lib/Dockerfile"), &format!("FROM {project}/base\nCOPY text /lib\n"));
    infra.write(&format!("{project}/lib/text"), "1");
    infra.commit("Everything");
    let dockerfile = |end: &str| {
        format!(
            "FROM {project}/lib\nARG COMMIT\nENV COMMIT=$COMMIT\nCOPY text /app\nENTRYPOINT [\"/program\"]\n{end}\n"
        )
    };
    app.write("server/Dockerfile", &dockerfile("CMD [\"serve\"]"));
    app.write("server/text", "1");
    app.write("readme", "not in the context");
    let commit = app.commit("The application");
    host.configure(&format!("[source.infra]\nurl = \"{}\"\nbranch = \"main\"\n", infra.url()));
    let daemon = host.run();
    let first = site.ready("web");
    let mut seen = 0;
    assert_eq!(begun(host, &daemon, &mut seen), ["base", "lib", "app"]);
    assert_eq!(host.serving("web").unwrap().variable("COMMIT"), Some(commit.as_str()));
    assert_eq!(site.of("builds.app")["image"]["commit"], commit.as_str());

    // The library: it and the application, and what runs is rolled out.
    infra.write(&format!("{project}/lib/text"), "2");
    infra.commit("A newer library");
    host.evenkeel(&["sync"]).expect(0);
    let second =
        wait_for("the newer library runs", || Some(site.ready("web")).filter(|image| *image != first));
    assert_eq!(begun(host, &daemon, &mut seen), ["lib", "app"]);

    // The application alone.
    app.write("server/text", "2");
    let commit = app.commit("A newer application");
    host.evenkeel(&["build"]).expect(0);
    let third =
        wait_for("the newer application runs", || Some(site.ready("web")).filter(|image| *image != second));
    assert_eq!(begun(host, &daemon, &mut seen), ["app"]);
    assert_eq!(host.serving("web").unwrap().variable("COMMIT"), Some(commit.as_str()));

    // The base: everything, in order.
    infra.write(&format!("{project}/base/text"), "2");
    infra.commit("A newer base");
    host.evenkeel(&["sync"]).expect(0);
    let fourth = wait_for("the newer base runs", || Some(site.ready("web")).filter(|image| *image != third));
    assert_eq!(begun(host, &daemon, &mut seen), ["base", "lib", "app"]);

    // A build that breaks changes nothing that serves.
    let before = host.serving("web").unwrap();
    app.write("server/Dockerfile", &dockerfile("RUN [\"/program\", \"fail\", \"3\"]"));
    app.commit("A build that breaks");
    host.evenkeel(&["build"]).expect(1);
    assert_eq!(begun(host, &daemon, &mut seen), ["app"]);
    let now = host.serving("web").unwrap();
    assert_eq!((now.id.as_str(), now.started_at()), (before.id.as_str(), before.started_at()));
    assert_eq!(site.image("builds.app"), fourth);

    // An image that breaks is put back.
    app.write("server/Dockerfile", &dockerfile("CMD [\"fail\", \"4\"]"));
    app.commit("An image that breaks");
    host.evenkeel(&["build"]).expect(0);
    wait_for("it is rolled back", || (host.condition("web") == "rolled-back").then_some(()));
    assert_eq!(host.serving("web").unwrap().json["Image"], fourth.as_str());
    assert_eq!(begun(host, &daemon, &mut seen), ["app"]);
}

#[test]
fn what_is_pushed_is_run_by_its_digest_and_nothing_is_rolled_out_before() {
    let Some(site) = Site::new() else { return };
    let host = &site.host;
    let Some(mut registry) = Registry::start(host.root()) else { return };
    registry.lock();
    site.with_program("app", SERVES);
    let image = registry.reference("acme/app");
    let text = site
        .build("app", "push = true\ntag = \"v1\"")
        .replace(&format!("\"{}/app\"", host.project), &format!("\"{image}\""));
    host.write("it.toml", &(text + &plain("web", &image, "")));
    // Without a login the registry takes nothing, and so nothing runs.
    let refused = host.evenkeel(&["apply"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(host.of("web").is_empty(), "{refused:?}");
    let failed = site.of("builds.app");
    assert!(failed["failed"]["why"].as_str().is_some_and(|why| why.contains("push")), "{failed}");
    // The login is enough: the image that was built is pushed, and not built again.
    let login =
        format!("[credentials.\"{}\"]\nusername = \"{USER}\"\npassword = \"{PASSWORD}\"\n", registry.name());
    host.write("login.toml", &login);
    host.evenkeel(&["apply"]).expect(0);
    let report = site.of("builds.app");
    let digest = report["image"]["digest"].as_str().unwrap();
    assert_eq!(report["image"]["image"], format!("{image}:v1@{digest}"));
    assert_eq!(report["image"]["id"], failed["failed"]["id"]);
    assert_eq!(host.serving("web").unwrap().json["Image"], report["image"]["image_id"]);
    docker(&["image", "rm", "--force", &format!("{image}:v1")]);
}
