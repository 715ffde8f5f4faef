//! `evenkeel convert` from outside: what it finds, writes, copies and refuses.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::cli::evenkeel;

/// A folder with a project `My.Shop` in it.
struct Folder(tempfile::TempDir);

const COMPOSE: &str = "services:\n  web:\n    image: web:${TAG}\n    env_file: web.env\n    volumes:\n      - ./data:/data\n      - ./conf:/conf:ro\n";

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            let path = folder.path().join("My.Shop").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs in the folder of the project.
    fn convert(&self, args: &[&str]) -> Output {
        let mut command = evenkeel(&["--config", "/dev/null", "convert"]);
        command.args(args).current_dir(self.path().join("My.Shop")).env_remove("COMPOSE_PROJECT_NAME");
        command.output().unwrap()
    }

    fn good(&self, args: &[&str]) -> (String, String) {
        let output = self.convert(args);
        let (out, told) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{out}{told}");
        (out, told)
    }

    fn bad(&self, args: &[&str]) -> String {
        let output = self.convert(args);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        text(&output.stderr)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn beside_the_compose_file_every_path_stays() {
    let folder = Folder::new(&[("compose.yaml", COMPOSE), (".env", "TAG=1.8\n"), ("web.env", "A=1\n")]);
    let (_, told) = folder.good(&[]);
    let toml = folder.read("My.Shop/compose.toml");
    assert!(
        toml.starts_with(
            "name = \"myshop\"\n\n[services.web]\nimage = \"web:${TAG}\"\nenv_file = \"web.env\"\n"
        ),
        "{toml}"
    );
    assert!(toml.contains("\"./data:/data\""), "{toml}");
    assert!(told.contains("project myshop: 1 services, 0 notes, 0 errors"), "{told}");
    // What was written is what the loader takes.
    let validated =
        evenkeel(&["--config", "/dev/null", "validate", "."]).current_dir(folder.path()).output().unwrap();
    assert_eq!(validated.status.code(), Some(0), "{}", text(&validated.stdout));

    // The same again is nothing new; anything else needs consent.
    folder.good(&[]);
    fs::write(folder.path().join("My.Shop/compose.toml"), "# mine\n").unwrap();
    assert!(folder.bad(&[]).contains("compose.toml is there already: say --force"));
    assert_eq!(folder.read("My.Shop/compose.toml"), "# mine\n");
    folder.good(&["--force"]);
    assert_eq!(folder.read("My.Shop/compose.toml"), toml);
}

#[test]
fn elsewhere_paths_mean_the_same_files_or_are_told_of() {
    let folder = Folder::new(&[
        ("compose.yaml", COMPOSE),
        (".env", "TAG=1.8\n"),
        ("web.env", "A=1\n"),
        ("conf/a", "a"),
        ("data/b", "b"),
    ]);
    let (_, told) = folder.good(&["compose.yaml", "-o", "../desired"]);
    let toml = folder.read("desired/myshop/compose.toml");
    let here = fs::canonicalize(folder.path()).unwrap();
    assert!(!toml.contains("name ="), "{toml}");
    for name in ["data", "conf"] {
        let path = here.join("My.Shop").join(name);
        assert!(toml.contains(&format!("\"{}:/{name}", path.display())), "{toml}");
        assert!(told.contains(&format!("note[path]: `./{name}` is written as {}", path.display())), "{told}");
    }
    assert!(
        told.contains("compose.yaml:4:15: note[copy-file]: copy ") && told.contains("desired/myshop/web.env"),
        "{told}"
    );
    assert_eq!(folder.read("desired/myshop/.env"), "TAG=1.8\n");
    assert!(!folder.path().join("desired/myshop/web.env").exists());

    let (_, told) = folder.good(&["compose.yaml", "-o", "../copied", "--copy"]);
    let toml = folder.read("copied/myshop/compose.toml");
    assert!(toml.contains("\"./conf:/conf:ro\"") && !toml.contains("\"./data:"), "{toml}");
    assert_eq!(
        (folder.read("copied/myshop/web.env"), folder.read("copied/myshop/conf/a")),
        ("A=1\n".to_owned(), "a".to_owned())
    );
    assert!(!folder.path().join("copied/myshop/data").exists(), "data that is written to stays where it is");
    assert!(told.contains("0 errors when it is loaded"), "{told}");
}

#[test]
fn override_files_are_found_and_keep_their_order() {
    let over = |image: &str| format!("services:\n  web:\n    image: {image}\n");
    let (a, b) = (over("a:1"), over("b:1"));
    let folder = Folder::new(&[
        ("compose.yaml", COMPOSE),
        ("compose.override.yaml", "name: ignored\nservices:\n  web:\n    ports: !override\n      - 80:80\n"),
        ("z.yaml", &a),
        ("a.yaml", &b),
    ]);
    folder.good(&[]);
    let toml = folder.read("My.Shop/compose.override.toml");
    assert_eq!(
        toml,
        "override = true\nreset = [\"services.web.ports\"]\n\n[services.web]\nports = [\"80:80\"]\n"
    );
    assert!(folder.read("My.Shop/compose.toml").starts_with("name = \"ignored\""));

    folder.good(&["compose.yaml", "-f", "z.yaml", "-f", "a.yaml", "--name", "x", "-o", "../d"]);
    assert!(folder.read("d/x/override-01-z.toml").contains("a:1"));
    assert!(folder.read("d/x/override-02-a.toml").contains("b:1"));
    assert!(
        !folder.path().join("d/x/compose.override.toml").exists(),
        "files that are named are all there are"
    );
}

#[test]
fn the_name_is_the_one_that_compose_uses() {
    let cases: [(&str, &str, &[&str], &str); 5] = [
        ("", "", &[], "myshop"),
        ("name: shop-${STAGE}\n", "STAGE=live\n", &[], "shop-live"),
        ("name: shop\n", "COMPOSE_PROJECT_NAME=Other\n", &[], "other"),
        ("name: shop\n", "COMPOSE_PROJECT_NAME=other\n", &["--name", "mine"], "mine"),
        ("name: shop\n", "", &[], "shop"),
    ];
    for (head, env, args, name) in cases {
        let folder = Folder::new(&[
            ("compose.yaml", &format!("{head}services:\n  web:\n    image: web:1\n")),
            (".env", env),
        ]);
        let (out, _) = folder.good(&[args, &["--json", "--stdout"]].concat());
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(told["project"], name, "{head}{env}");
        let toml = told["files"][0]["toml"].as_str().unwrap();
        assert!(toml.contains(&format!("name = \"{name}\"\n")), "{toml}");
        assert_eq!(told["written"], false);
        assert!(!folder.path().join("My.Shop/compose.toml").exists());
    }
}

#[test]
fn included_and_extended_files_come_along() {
    let folder = Folder::new(&[
        (
            "docker-compose.yml",
            "include: [sub/more.yaml, none.yaml]\nservices:\n  web:\n    extends: {file: ../common.yaml, service: base}\n",
        ),
        ("sub/more.yaml", "services:\n  more:\n    image: more:1\n"),
        ("../common.yaml", "services:\n  base:\n    image: base:1\n"),
    ]);
    let (_, told) = folder.good(&[]);
    let toml = folder.read("My.Shop/docker-compose.toml");
    assert!(toml.contains("include = [\"sub/more.toml\", \"none.yaml\"]"), "{toml}");
    assert!(toml.contains("extends = { file = \"../common.toml\", service = \"base\" }"), "{toml}");
    assert!(
        folder.read("My.Shop/sub/more.toml").contains("more:1")
            && folder.read("common.toml").contains("base:1")
    );
    assert!(told.contains("docker-compose.yml:1:26: note[missing-file]"), "{told}");

    folder.good(&["-o", "../d"]);
    assert!(folder.read("d/myshop/docker-compose.toml").contains("file = \"common.toml\""));
    assert!(
        folder.read("d/myshop/common.toml").contains("base:1")
            && folder.read("d/myshop/sub/more.toml").contains("more:1")
    );
}

#[test]
fn every_loss_is_told_and_errors_have_their_place() {
    let folder = Folder::new(&[("compose.yaml", "services:\n  web:\n    image: web:${A}\n    imagee: x\n")]);
    let (out, told) = folder.good(&["--stdout"]);
    assert!(out.contains("x-imagee = \"x\""), "{out}");
    assert!(told.contains("compose.yaml:4:5: note[unknown-key]: `services.web.imagee`"), "{told}");
    assert!(told.contains("note[unset-variable]: `A` is set nowhere"), "{told}");

    let folder = Folder::new(&[("compose.yaml", "services:\n  web: [\n")]);
    assert!(folder.bad(&[]).contains("compose.yaml:3:1: error[yaml-syntax]"));
    assert!(Folder::new(&[("x", "")]).bad(&[]).contains("no compose file in"));
    assert!(Folder::new(&[("x", "")]).bad(&["none.yaml"]).contains("cannot read"));
}
