//! `evenkeel validate` from outside: one host, every host, and what machines get.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::cli::evenkeel;

/// A repository: the desired state is in its folder `infra`.
struct Repository {
    dir: tempfile::TempDir,
}

const FLEET: &str = "\
[hosts.fra1]
labels = { role = 'web' }
vars = { TAG = '1' }

[hosts.nyc1]
labels = { role = 'web' }

[hosts.db1]
labels = { role = 'db' }
";

impl Repository {
    fn new(files: &[(&str, &str)]) -> Self {
        let repository = Self { dir: tempfile::tempdir().unwrap() };
        for (path, text) in files {
            let path = repository.dir.path().join("infra").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::fs::write(repository.path().join("evenkeel.toml"), "").unwrap();
        repository
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn validate(&self, args: &[&str]) -> Output {
        let mut command = evenkeel(&["--config", "evenkeel.toml", "validate"]);
        // No engine could be asked: there is none at this address.
        command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").current_dir(self.path()).args(args);
        command.output().unwrap()
    }

    fn lines(&self, args: &[&str]) -> Vec<String> {
        let output = self.validate(args);
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

/// `TAG` is set on one of two hosts; the database waits for something that is nowhere near it; one mistake is everybody's.
fn faulty() -> Repository {
    Repository::new(&[
        ("fleet.toml", FLEET),
        (
            "shop/web.toml",
            "on_hosts = ['role=web']\n[services.web]\nimage = 'web:${TAG}'\nrestart = 'allways'\n",
        ),
        (
            "shop/db.toml",
            "[services.db]\nimage = 'db:1'\non_hosts = ['role=db']\n\n[services.cache]\nimage = 'cache:1'\nimgae = 'x'\n",
        ),
    ])
}

#[test]
fn every_host_is_checked_and_a_problem_of_some_names_them() {
    let repository = faulty();
    let output = repository.validate(&["infra", "--all-hosts", "--format", "short"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "shop/db.toml:7:1: error[unknown-key]: unknown key `imgae` in services.cache",
            "shop/web.toml:3:14: error[unset-variable]: variable `TAG` is not set (on nyc1)",
            "shop/web.toml:4:11: error[bad-choice]: `allways` is not a restart policy (on fra1, nyc1)",
        ]
    );
    // One host sees its own part only.
    let one = repository.lines(&["infra", "--host", "db1", "--format", "short"]);
    assert_eq!(one, ["shop/db.toml:7:1: error[unknown-key]: unknown key `imgae` in services.cache"]);
}

#[test]
fn people_are_told_which_hosts_and_how_many_there_are() {
    let output = faulty().validate(&["infra", "--all-hosts"]);
    let (text, notes) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(text.contains("  = note: on nyc1\n"), "{text}");
    assert!(notes.starts_with("3 services on 3 hosts: 3 errors"), "{notes}");
}

#[test]
fn the_same_mistake_on_many_hosts_is_told_once() {
    let fleet: String = (1..=12).map(|number| format!("[hosts.web{number:02}]\n")).collect();
    let text = "on_hosts = ['!web12']\n[services.a]\nimage = 'a'\nports = ['80:80']\n[services.b]\nimage = 'b'\nports = ['80:80']\n";
    let repository = Repository::new(&[("fleet.toml", &fleet), ("shop/a.toml", text)]);
    assert_eq!(
        repository.lines(&["infra", "--all-hosts", "--format", "short"]),
        [
            "shop/a.toml:7:10: error[port-clash]: host port 80/tcp is published twice on host `web01` (on web01, web02, web03, web04, web05, web06, web07, web08 and 3 more)"
        ]
    );
}

#[test]
fn without_problems_it_ends_with_0_and_warnings_are_none() {
    let web = "[services.web]\nimage = 'web:1'\n";
    let good = Repository::new(&[("fleet.toml", FLEET), ("shop/web.toml", web)]);
    for format in ["text", "short", "json", "github", "gitlab", "sarif"] {
        let output = good.validate(&["infra", "--all-hosts", "--format", format]);
        assert_eq!(output.status.code(), Some(0), "{format}: {output:?}");
    }
    let warned =
        Repository::new(&[("fleet.toml", FLEET), ("shop/web.toml", &format!("{web}attach = false\n"))]);
    assert_eq!(warned.validate(&["infra", "--all-hosts"]).status.code(), Some(0));
    assert_eq!(warned.lines(&["infra", "--all-hosts", "--format", "short"]).len(), 1);
    // Where no host is listed, this one stands for all.
    let single = Repository::new(&[("shop/web.toml", web)]);
    assert_eq!(single.validate(&["infra", "--all-hosts"]).status.code(), Some(0));
    assert_eq!(single.validate(&["infra", "--all-hosts", "--host", "x"]).status.code(), Some(64));
}

#[test]
fn what_is_no_service_is_counted_too() {
    let text = "[services.web]\nimage = 'web:1'\n[jobs.dump]\nimage = 'web:1'\nschedule = '@daily'\n[jobs.tidy]\nimage = 'web:1'\n[builds.docs]\ncontext = './docs'\nimage = 'docs'\n[artifacts.site]\nfrom = 'builds.docs'\npath = '/site'\nto = '/srv/site'\n";
    let all = Repository::new(&[("shop/web.toml", text)]);
    let notes = String::from_utf8(all.validate(&["infra"]).stderr).unwrap();
    assert!(notes.starts_with("1 service, 2 jobs, 1 build, 1 artifact: "), "{notes}");
}

#[test]
fn json_says_of_each_problem_whom_it_concerns() {
    let output = faulty().validate(&["infra", "--all-hosts", "--format", "json"]);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows: Vec<(&str, &Value)> =
        list.as_array().unwrap().iter().map(|row| (row["slug"].as_str().unwrap(), &row["hosts"])).collect();
    assert_eq!(
        rows,
        [
            ("unknown-key", &json!(["db1", "fra1", "nyc1"])),
            ("unset-variable", &json!(["nyc1"])),
            ("bad-choice", &json!(["fra1", "nyc1"])),
        ]
    );
}

#[test]
fn annotations_name_files_from_the_root_of_the_repository() {
    let repository = faulty();
    for root in ["infra", "./infra", "./infra/", repository.path().join("infra").to_str().unwrap()] {
        let lines = repository.lines(&[root, "--all-hosts", "--format", "github"]);
        assert_eq!(lines.len(), 3, "{lines:#?}");
        let unset = &lines[1];
        assert!(
            unset.starts_with("::error file=infra/shop/web.toml,line=3,col=14,title=unset-variable::"),
            "{unset}"
        );
        assert!(unset.ends_with("%0Aon nyc1"), "{unset}");
    }
    let inside = evenkeel(&["validate", "--all-hosts", "--format", "github", "."])
        .current_dir(repository.path().join("infra"))
        .output()
        .unwrap();
    assert!(String::from_utf8(inside.stdout).unwrap().contains("file=shop/web.toml"));
}

#[test]
fn gitlab_gets_a_code_quality_report() {
    let list = faulty().validate(&["infra", "--all-hosts", "--format", "gitlab"]);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    let rows = list.as_array().unwrap();
    assert_eq!(rows[1]["location"], json!({ "path": "infra/shop/web.toml", "lines": { "begin": 3 } }));
    assert_eq!((&rows[1]["check_name"], &rows[1]["severity"]), (&json!("unset-variable"), &json!("major")));
    assert!(rows[1]["description"].as_str().unwrap().ends_with(". on nyc1"), "{list:#}");
    let prints: BTreeSet<&str> = rows.iter().map(|row| row["fingerprint"].as_str().unwrap()).collect();
    assert_eq!(prints.len(), rows.len());
}

/// The part of SARIF 2.1.0 that is written here, as strict as the standard is about it: what is required, which words there
/// are, and that counting begins at 1.
fn sarif_schema() -> Value {
    let text = json!({ "type": "object", "required": ["text"], "additionalProperties": false,
        "properties": { "text": { "type": "string", "minLength": 1 } } });
    let physical = json!({ "type": "object", "required": ["artifactLocation"], "additionalProperties": false, "properties": {
        "artifactLocation": { "type": "object", "required": ["uri"], "additionalProperties": false,
            "properties": { "uri": { "type": "string", "pattern": "^[!-~]+$", "not": { "pattern": "[ <>\"{}|\\\\^`#?]" } } } },
        "region": { "type": "object", "additionalProperties": false, "properties": {
            "startLine": { "type": "integer", "minimum": 1 }, "startColumn": { "type": "integer", "minimum": 1 },
            "endLine": { "type": "integer", "minimum": 1 }, "endColumn": { "type": "integer", "minimum": 1 } } },
    } });
    let location = json!({ "type": "object", "additionalProperties": false,
        "properties": { "physicalLocation": physical, "message": text } });
    json!({ "type": "object", "required": ["version", "runs"], "properties": {
        "$schema": { "type": "string" },
        "version": { "const": "2.1.0" },
        "runs": { "type": "array", "items": { "type": "object", "required": ["tool"], "additionalProperties": false, "properties": {
            "columnKind": { "enum": ["utf16CodeUnits", "unicodeCodePoints"] },
            "tool": { "type": "object", "required": ["driver"], "properties": { "driver": {
                "type": "object", "required": ["name"], "properties": {
                    "name": { "type": "string" }, "version": { "type": "string" },
                    "rules": { "type": "array", "uniqueItems": true, "items": { "type": "object", "required": ["id"] } },
            } } } },
            "results": { "type": "array", "items": { "type": "object", "required": ["message"], "additionalProperties": false, "properties": {
                "ruleId": { "type": "string" },
                "level": { "enum": ["none", "note", "warning", "error"] },
                "message": text,
                "locations": { "type": "array", "items": location },
                "relatedLocations": { "type": "array", "uniqueItems": true, "items": location },
                "properties": { "type": "object" },
            } } },
        } } },
    } })
}

#[test]
fn sarif_is_as_the_standard_wants_it() {
    let repository = Repository::new(&[
        ("fleet.toml", FLEET),
        ("a b/wéb.toml", "[services.web]\nimage = 'web:1'\nimgae = 1\n"),
        ("shop/a.toml", "[services.web]\nimage = 'web:1'\n"),
        ("shop/b.toml", "[services.web]\nimage = 'web:2'\n"),
        ("shop/empty.toml", "x"),
    ]);
    let output = repository.validate(&["infra", "--all-hosts", "--format", "sarif"]);
    let sarif: Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema = jsonschema::draft7::new(&sarif_schema()).unwrap();
    let errors: Vec<String> =
        schema.iter_errors(&sarif).map(|error| format!("{error} at {}", error.instance_path)).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{sarif:#}");
    let run = &sarif["runs"][0];
    let rules: BTreeSet<&str> = run["tool"]["driver"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["id"].as_str().unwrap())
        .collect();
    let results = run["results"].as_array().unwrap();
    assert!(
        results.len() >= 3 && results.iter().all(|result| rules.contains(result["ruleId"].as_str().unwrap()))
    );
    let uris: BTreeSet<&str> = results
        .iter()
        .map(|result| result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap())
        .collect();
    assert!(uris.contains("infra/a%20b/w%C3%A9b.toml"), "{uris:?}");
    let twice = results.iter().find(|result| result["ruleId"] == "defined-twice").unwrap();
    let first = &twice["relatedLocations"][0];
    assert_eq!(first["physicalLocation"]["artifactLocation"]["uri"], "infra/shop/a.toml");
    assert_eq!(first["message"]["text"], "first definition");
    assert_eq!(twice["properties"]["hosts"], json!(["db1", "fra1", "nyc1"]));
}
