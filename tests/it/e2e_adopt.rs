//! Adopting what docker compose started, on the real engine: no restart, no new id, and everything goes on from there.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::compose::{Compose, Version};
use crate::support::docker::{docker, inspect, try_docker};
use crate::support::{Host, stays, wait_for};

const A_WHILE: Duration = Duration::from_millis(1500);

/// A project of two services that the test program plays, with a volume, a network of its own, labels, limits and a health check.
fn compose_file(image: &str) -> String {
    format!(
        r#"
services:
  web:
    image: {image}
    restart: unless-stopped
    environment: {{ GREETING: "hello there", EMPTY: "" }}
    labels: {{ traefik.enable: "true" }}
    mem_limit: 64m
    healthcheck: {{ test: ["CMD", "/program", "check"], interval: 1s, retries: 20 }}
    networks: [front, default]
    depends_on: [db]
    scale: 2
  db:
    image: {image}
    restart: always
    command: ["serve"]
    volumes: ["data:/data", "/anonymous"]
    stop_grace_period: 3s
    cap_drop: [NET_RAW]
networks:
  front: {{}}
volumes:
  data: {{}}
"#
    )
}

/// The same in TOML.
fn toml(image: &str) -> String {
    format!(
        r#"
[services.web]
image = "{image}"
restart = "unless-stopped"
environment = {{ GREETING = "hello there", EMPTY = "" }}
labels = {{ "traefik.enable" = "true" }}
mem_limit = "64m"
healthcheck = {{ test = ["CMD", "/program", "check"], interval = "1s", retries = 20 }}
networks = ["front", "default"]
depends_on = ["db"]
deploy.replicas = 2
deploy.update_config.monitor = "1s"

[services.db]
image = "{image}"
restart = "always"
command = ["serve"]
volumes = ["data:/data", "/anonymous"]
stop_grace_period = "3s"
cap_drop = ["NET_RAW"]
deploy.update_config.monitor = "1s"

[networks.front]
[volumes.data]
"#
    )
}

/// Starts the project, and returns how to talk to the Compose that did.
fn started(host: &Host, version: Version, text: &str) -> Option<Compose> {
    let folder = host.root().join("compose");
    fs::create_dir_all(&folder).unwrap();
    let text = match version {
        // Version 1 wants one, and knows no `scale` in it.
        Version::One => format!("version: \"2.4\"\n{}", text.replace("    scale: 2\n", "")),
        Version::Two => text.to_owned(),
    };
    fs::write(folder.join("compose.yaml"), &text).unwrap();
    fs::write(folder.join("docker-compose.yml"), text).unwrap();
    let compose = Compose::new(version, &host.project, &folder)?;
    let mut up = vec!["up", "--detach"];
    if version == Version::One {
        up.extend(["--scale", "web=2"]);
    }
    compose.call(&up);
    Some(compose)
}

/// Ids and starts of everything that runs in the project.
fn running(host: &Host) -> Vec<(String, String, String)> {
    let filter = format!("label=com.docker.compose.project={}", host.project);
    let ids = docker(&["ps", "--quiet", "--no-trunc", "--filter", &filter]);
    let mut all: Vec<_> = ids
        .lines()
        .filter_map(inspect)
        .map(|seen| (seen.name.clone(), seen.id.clone(), seen.started_at().to_owned()))
        .collect();
    all.sort();
    all
}

fn plan(host: &Host) -> Value {
    host.evenkeel(&["plan", "--json"]).expect(0).json()
}

fn nothing_to_do(host: &Host) {
    let plan = plan(host);
    assert_eq!(plan["pending"], false, "{plan:#}");
}

#[test]
fn a_compose_project_is_adopted_as_it_runs_and_goes_on_from_there() {
    for version in [Version::Two, Version::One] {
        let Some(host) = Host::new() else { return };
        let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
        let Some(compose) = started(&host, version, &compose_file(&one)) else { continue };
        host.write("app.toml", &toml(&one));
        let before = running(&host);
        assert_eq!(before.len(), 3, "{before:?}");

        // Shown first, and nothing is done without consent.
        let shown = host.evenkeel(&["adopt", &host.project]).expect(4);
        assert!(shown.out.contains("as the files say: nothing changes"), "{}", shown.out);
        assert!(!shown.out.contains("->"), "nothing differs: {}", shown.out);
        assert_ne!(
            plan(&host)["pending"],
            true,
            "what is not evenkeel's is in the way of nothing: {}",
            plan(&host)
        );

        let report = host.evenkeel(&["adopt", &host.project, "--yes", "--json"]).expect(0).json();
        assert_eq!(report["adopted"], true);
        assert_eq!(report["services"].as_array().unwrap().len(), 2, "{report:#}");
        nothing_to_do(&host);

        // The daemon goes on with it: nothing is restarted, made or renamed.
        let _daemon = host.run();
        for service in ["web", "db"] {
            wait_for("it is ready", || (host.condition(service) == "ready").then_some(()));
        }
        stays("what was adopted runs on as it was", A_WHILE, || running(&host) == before);

        // What dies is repaired, as the very container it is.
        docker(&["kill", &before[0].0]);
        wait_for("it is started again", || {
            let now = running(&host);
            (now.len() == 3 && now[0].1 == before[0].1 && now[0].2 != before[0].2).then_some(())
        });

        // One tag replaces the containers of one service, and the other one is left alone.
        let db: Vec<_> = running(&host).into_iter().filter(|row| row.0.contains("web")).collect();
        let text = toml(&one).replacen(
            &format!("image = \"{one}\"\nrestart = \"always\""),
            &format!("image = \"{two}\"\nrestart = \"always\""),
            1,
        );
        let volumes = |name: &str| inspect(name).map(|seen| seen.json["Mounts"].clone());
        let db_name = before.iter().find(|row| row.0.contains("db")).unwrap().0.clone();
        let mounted = volumes(&db_name).unwrap();
        host.write("app.toml", &text);
        let new = wait_for("db is replaced", || {
            host.serving("db").filter(|seen| seen.image() == two && host.condition("db") == "ready")
        });
        assert_eq!(new.name, host.name("db"));
        let web: Vec<_> = running(&host).into_iter().filter(|row| row.0.contains("web")).collect();
        assert_eq!(web, db, "only db was replaced");
        // Its data is the same, the anonymous volume included.
        let names = |mounts: &Value| {
            let mut names: Vec<String> = mounts
                .as_array()
                .unwrap()
                .iter()
                .map(|mount| format!("{} {}", mount["Destination"], mount["Name"]))
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&new.json["Mounts"]), names(&mounted));
        nothing_to_do(&host);

        // Compose still sees all of them.
        if version == Version::Two {
            let listed = compose.call(&["ps", "--all", "--format", "{{.Name}}"]);
            for (name, ..) in running(&host) {
                assert!(listed.contains(&name), "{name} is not in {listed}");
            }
        }
        let history = host.evenkeel(&["history", &host.id("db"), "--json"]).expect(0);
        assert!(history.out.contains("\"adopted\""), "{}", history.out);
    }
}

#[test]
fn what_differs_is_shown_and_held_until_somebody_releases_it() {
    let Some(host) = Host::new() else { return };
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    let Some(_compose) = started(&host, Version::Two, &compose_file(&one)) else { return };
    // The image of db, a variable of web, and its memory, which is changed in place.
    let text = toml(&one).replacen("hello there", "hello again", 1).replacen("64m", "96m", 1).replacen(
        &format!("image = \"{one}\"\nrestart = \"always\""),
        &format!("image = \"{two}\"\nrestart = \"always\""),
        1,
    );
    host.write("app.toml", &text);
    let before = running(&host);
    let _daemon = host.run();
    wait_for("it is in the way", || {
        (host.condition("db") == "failed" || host.condition("db") == "waiting").then_some(())
    });
    assert_eq!(running(&host), before, "what is not evenkeel's is not touched");

    let shown = host.evenkeel(&["adopt", &host.project, "--dry-run"]).expect(0).out;
    for expected in [
        "environment.GREETING",
        "mem_limit: 64m -> 96m",
        &format!("image: {one} -> {two}"),
        "held as it runs",
    ] {
        assert!(shown.contains(expected), "{expected} in {shown}");
    }
    assert!(!shown.contains("hello"), "values of variables are not shown: {shown}");

    // Consent is to what was shown.
    host.evenkeel(&["adopt", &host.project, "--yes"]).expect(0);
    for service in ["web", "db"] {
        wait_for("it is held", || (host.condition(service) == "held").then_some(()));
    }
    stays("nothing is replaced", A_WHILE, || running(&host) == before);
    nothing_to_do(&host);

    host.evenkeel(&["release", &host.id("db")]).expect(0);
    wait_for("the file's image is rolled out", || host.serving("db").filter(|seen| seen.image() == two));
    let web = |all: &[(String, String, String)]| -> Vec<_> {
        all.iter().filter(|row| row.0.contains("web")).cloned().collect()
    };
    assert_eq!(web(&running(&host)), web(&before), "web is still held");
    // A change of its definition ends the hold.
    host.write("app.toml", &text.replacen("hello again", "hello anew", 1));
    wait_for("web is replaced", || {
        let now = host.running("web");
        (now.len() == 2 && now.iter().all(|seen| seen.variable("GREETING") == Some("hello anew")))
            .then_some(())
    });
    wait_for("and limited", || {
        host.running("web").iter().all(|seen| seen.memory() == 96 << 20).then_some(())
    });
}

#[test]
fn what_is_given_back_runs_on_untouched_and_can_be_adopted_again() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let Some(compose) = started(&host, Version::Two, &compose_file(&image)) else { return };
    // A one-off container and one that no file defines are left alone.
    compose.call(&["run", "--detach", "--name", &format!("{}-once", host.project), "db"]);
    host.write("app.toml", &toml(&image));
    let daemon = host.run();
    wait_for("the daemon has looked", || host.status("db"));
    let report = host.evenkeel(&["adopt", &host.project, "--yes", "--json"]).expect(0).json();
    assert!(report["notes"].to_string().contains("one-off"), "{report:#}");
    wait_for("it is ready", || (host.condition("db") == "ready").then_some(()));
    // One container of evenkeel's own among them.
    host.write("app.toml", &toml(&image).replacen("NET_RAW", "MKNOD", 1));
    let own = wait_for("db is replaced", || host.serving("db").filter(|seen| !seen.service().is_empty()));
    wait_for("it is ready", || (host.condition("db") == "ready").then_some(()));

    let before = running(&host);
    let given = host.evenkeel(&["disown", &host.project, "--json"]).expect(0).json();
    assert_eq!(given["still_defined"].as_array().unwrap().len(), 2, "{given:#}");
    wait_for("it is left alone", || (host.condition("db") == "paused").then_some(()));
    let message = host.status("db").unwrap()["condition"].to_string();
    assert!(message.contains("Disowned") && message.contains("evenkeel adopt"), "{message}");
    docker(&["stop", "--time", "1", &own.name]);
    stays("it is not started again", A_WHILE, || inspect(&own.name).is_some_and(|seen| !seen.running()));
    docker(&["start", &own.name]);
    let row = |all: &[(String, String, String)]| {
        all.iter().map(|row| (row.0.clone(), row.1.clone())).collect::<Vec<_>>()
    };
    assert_eq!(row(&running(&host)), row(&before));
    // Also when it leaves the files, and after a restart of the daemon.
    host.remove("app.toml");
    drop(daemon);
    let daemon = host.run();
    wait_for("it has looked at the host", || {
        daemon.log().matches("the first look at the host is over").nth(1).map(drop)
    });
    stays("what was given back runs on", 2 * A_WHILE, || {
        let now = running(&host);
        row(&before).iter().all(|known| row(&now).contains(known))
    });

    host.write("app.toml", &toml(&image).replacen("NET_RAW", "MKNOD", 1));
    wait_for("it is in the way again", || host.status("db"));
    host.evenkeel(&["adopt", &host.project, "--yes"]).expect(0);
    for service in ["web", "db"] {
        wait_for("it is ready again", || (host.condition(service) == "ready").then_some(()));
    }
    assert_eq!(inspect(&own.name).unwrap().id, own.id);
    drop(daemon);
    let _ = try_docker(&["rm", "--force", &format!("{}-once", host.project)]);
}

#[test]
fn a_container_started_by_hand_is_written_down_and_adopted_as_what_was_written() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &["serve"]);
    let (name, volume) = (format!("{}-by-hand", host.project), format!("{}-data", host.project));
    let label = format!("evenkeel-test={}", host.project);
    docker(&["volume", "create", "--label", &label, &volume]);
    let port = format!("127.0.0.1:{}:8080", crate::support::wait::free_port());
    let mount = format!("{volume}:/data");
    let options = [
        "--env",
        "GREETING=it's $5 \"or\" so",
        "--restart",
        "on-failure:3",
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        "--label",
        "x.y=z",
        "--publish",
        &port,
        "--volume",
        &mount,
        "--tmpfs",
        "/scratch:size=1m",
        "--cap-drop",
        "NET_RAW",
        "--stop-timeout",
        "3",
        "--ulimit",
        "nofile=512:1024",
        "--hostname",
        "greeter",
        "--add-host",
        "db:10.0.0.9",
    ];
    let id = host.foreign(&name, &image, &options);

    let written = host.evenkeel(&["adopt", "--container", &name]).expect(0);
    assert!(written.out.contains("GREETING"), "{}", written.out);
    for line in written.err.lines() {
        assert!(line.contains("its log is kept by"), "everything else can be said: {line}\n{}", written.out);
    }
    let daemon = host.run();
    wait_for("the daemon answers", || daemon.metrics());
    let file = host.desired.join(&host.project).join("greeter.toml");
    let file = file.to_str().unwrap();
    let service = host.id("greeter");
    let adopted =
        host.evenkeel(&["adopt", "--container", &name, "-o", file, "--as", &service, "--yes"]).expect(0);
    assert!(adopted.out.contains("nothing changes"), "{}", adopted.out);
    wait_for("it is ready", || (host.condition("greeter") == "ready").then_some(()));
    let seen = inspect(&name).unwrap();
    assert_eq!(seen.id, id);
    nothing_to_do(&host);
    // What is there is not written over.
    host.evenkeel(&["adopt", "--container", &name, "-o", file]).expect(1);
    // From here on it is a service like any other.
    let text = fs::read_to_string(file).unwrap();
    host.write("greeter.toml", &text.replace("$$5", "$$6"));
    let new = wait_for("it is replaced", || inspect(&name).filter(|seen| seen.id != id && seen.running()));
    assert_eq!(new.variable("GREETING"), Some("it's $6 \"or\" so"));
}
