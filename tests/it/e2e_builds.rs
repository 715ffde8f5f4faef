//! Images that are built here, on a real engine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::docker::{docker, inspect_image, try_docker};
use crate::support::files::plain;
use crate::support::{Host, wait_for};

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
