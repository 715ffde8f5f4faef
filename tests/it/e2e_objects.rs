//! Dependencies, shared namespaces, volumes, and what other people do to a host, on the real engine.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::docker::{docker, inspect, try_docker};
use crate::support::files::{checked, plain};
use crate::support::wait::{free_port, page};
use crate::support::{Host, stays, wait_for};

fn becomes(host: &Host, service: &str, condition: &str) {
    wait_for(&format!("{service} is {condition}"), || (host.condition(service) == condition).then_some(()));
}

#[test]
fn a_service_starts_after_what_it_depends_on_is_healthy_or_has_completed() {
    let Some(host) = Host::new() else { return };
    let (image, slow) =
        (host.image("1.0", &[], &[]), host.image("slow", &[("HEALTHY_AFTER_MS", "2000")], &[]));
    let check = r#"healthcheck = { test = ["CMD", "/program", "check"], interval = "300ms", retries = 50 }"#;
    let text = [
        plain("db", &slow, check),
        format!(
            "[services.migrate]\nimage = \"{image}\"\ncommand = [\"sleep\", \"1500\"]\ndepends_on = {{ db = \"service_healthy\" }}\n"
        ),
        plain(
            "web",
            &image,
            r#"depends_on = { db = "service_healthy", migrate = "service_completed_successfully" }"#,
        ),
    ];
    host.write("app.toml", &text.join("\n"));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    becomes(&host, "migrate", "completed");
    let (db, web) = (host.serving("db").unwrap(), host.serving("web").unwrap());
    let migrate = inspect(&host.name("migrate")).unwrap();
    assert!(db.healthy());
    assert!(db.started_at() < migrate.started_at());
    assert!(migrate.finished_at() < web.started_at(), "{} {}", migrate.finished_at(), web.started_at());
}

#[test]
fn a_service_waits_for_a_dependency_that_fails_and_says_so() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let migrate =
        |command: &str| format!("[services.migrate]\nimage = \"{image}\"\ncommand = [\"{command}\"]\n");
    let web = plain("web", &image, r#"depends_on = { migrate = "service_completed_successfully" }"#);
    host.write("app.toml", &(migrate("fail") + &web));
    let _daemon = host.run();
    becomes(&host, "migrate", "failed");
    becomes(&host, "web", "waiting");
    let message = host.status("web").unwrap()["condition"]["message"].to_string();
    assert!(message.contains("migrate"), "{message}");
    assert!(host.running("web").is_empty());
    host.write("app.toml", &(migrate("ok") + &web));
    becomes(&host, "web", "ready");
}

#[test]
fn a_container_in_another_ones_network_namespace_follows_it() {
    let Some(host) = Host::new() else { return };
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    let file = |image: &str| {
        plain("vpn", image, "")
            + &plain("app", &one, "network_mode = \"service:vpn\"\nenvironment = { PORT = 9000 }")
    };
    host.write("app.toml", &file(&one));
    let _daemon = host.run();
    becomes(&host, "app", "ready");
    let (vpn, app) = (host.serving("vpn").unwrap(), host.serving("app").unwrap());
    assert_eq!(app.network_mode(), format!("container:{}", vpn.id));

    host.write("app.toml", &file(&two));
    let vpn = wait_for("vpn is replaced", || host.serving("vpn").filter(|seen| seen.image() == two));
    wait_for("app follows", || {
        host.serving("app").filter(|seen| seen.network_mode() == format!("container:{}", vpn.id))
    });
    becomes(&host, "app", "ready");
    // The namespace really is shared.
    let seen = docker(&["exec", &vpn.id, "/program", "get", "http://127.0.0.1:9000/version"]);
    assert_eq!(seen, "1.0");
}

#[test]
fn services_find_each_other_by_name_and_survive_a_replacement_of_the_other() {
    let Some(host) = Host::new() else { return };
    let (one, two, port) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]), free_port());
    let file = |image: &str| plain("db", image, "") + &checked("web", &one, port, "");
    host.write("app.toml", &file(&one));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    let ask = || page(port, "/get?http://db:8080/version");
    wait_for("db answers by name", || ask().filter(|version| version == "1.0"));
    let before = host.serving("web").unwrap();
    host.write("app.toml", &file(&two));
    wait_for("the new db answers by the same name", || ask().filter(|version| version == "1.1"));
    assert_eq!(host.serving("web").unwrap().started_at(), before.started_at());
}

#[test]
fn a_volume_is_kept_across_replacement_and_removal_of_its_service() {
    let Some(host) = Host::new() else { return };
    let (one, two, port) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]), free_port());
    let counting = "environment = { COUNT_FILE = \"/data/starts\" }\nvolumes = [\"data:/data\"]";
    let other = plain("other", &one, "");
    let file = |image: &str| checked("web", image, port, counting) + &other + "[volumes]\ndata = {}\n";
    let starts = |count: &str| {
        wait_for(&format!("start number {count}"), || {
            page(port, "/file?/data/starts").filter(|text| text.trim() == count)
        })
    };
    host.write("app.toml", &file(&one));
    let _daemon = host.run();
    starts("1");
    becomes(&host, "web", "ready");
    host.write("app.toml", &file(&two));
    starts("2");
    becomes(&host, "web", "ready");
    becomes(&host, "other", "ready");

    host.write("app.toml", &(other.clone() + "[volumes]\ndata = {}\n"));
    wait_for("web is removed", || host.of("web").is_empty().then_some(()));
    let volume = format!("{}_data", host.project);
    docker(&["volume", "inspect", &volume]);

    // Even when no file names the volume any more.
    host.write("app.toml", &other);
    stays("the volume is there", Duration::from_secs(3), || {
        try_docker(&["volume", "inspect", &volume]).is_ok()
    });
    host.write("app.toml", &file(&two));
    starts("3");
}

#[test]
fn an_anonymous_volume_is_handed_to_the_successor() {
    let Some(host) = Host::new() else { return };
    let (one, two, port) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]), free_port());
    let counting = "environment = { COUNT_FILE = \"/data/starts\" }\nvolumes = [\"/data\"]";
    host.write("app.toml", &checked("web", &one, port, counting));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    host.write("app.toml", &checked("web", &two, port, counting));
    wait_for("the count goes on", || page(port, "/file?/data/starts").filter(|text| text.trim() == "2"));
    assert_eq!(page(port, "/version").as_deref(), Some("1.1"));
    // Anonymous volumes carry no label of ours, so this test removes its own.
    becomes(&host, "web", "ready");
    let format = "{{range .Mounts}}{{.Name}}{{end}}";
    let volume = docker(&["inspect", "--format", format, &host.running("web")[0].id]);
    drop(_daemon);
    for seen in host.containers() {
        docker(&["rm", "--force", &seen.id]);
    }
    docker(&["volume", "rm", &volume]);
}

#[test]
fn what_dies_is_running_again() {
    let Some(host) = Host::new() else { return };
    let (image, port) = (host.image("1.0", &[], &[]), free_port());
    host.write("web.toml", &checked("web", &image, port, ""));
    let _daemon = host.run();
    becomes(&host, "web", "ready");

    // Killed through the engine, which then does not restart it.
    let before = host.serving("web").unwrap();
    docker(&["kill", &before.id]);
    wait_for("the killed one runs again", || {
        host.serving("web").filter(|seen| seen.started_at() > before.started_at())
    });
    wait_for("and serves", || page(port, "/version"));

    // Removed by hand.
    docker(&["rm", "--force", &host.serving("web").unwrap().id]);
    wait_for("the removed one is there again", || host.serving("web").filter(|seen| seen.id != before.id));
    becomes(&host, "web", "ready");
    assert_eq!(page(port, "/version").as_deref(), Some("1.0"));
}

#[test]
fn a_service_that_completed_is_left_alone() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    host.write("app.toml", &format!("[services.once]\nimage = \"{image}\"\ncommand = [\"ok\"]\n"));
    let daemon = host.run();
    becomes(&host, "once", "completed");
    let before = inspect(&host.name("once")).unwrap();
    daemon.reload();
    stays("the completed one", Duration::from_secs(3), || {
        inspect(&host.name("once")).map(|seen| (seen.id.clone(), seen.started_at().to_owned()))
    });
    assert_eq!(before.state(), "exited");
}

#[test]
fn a_foreign_container_with_the_wanted_name_is_left_alone_and_reported() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let name = host.name("web");
    let foreign = host.foreign(&name, &image, &[]);
    host.write("web.toml", &(plain("web", &image, "") + &plain("other", &image, "")));
    let _daemon = host.run();
    becomes(&host, "other", "ready");
    let row = wait_for("the conflict is told", || {
        host.status("web")
            .filter(|row| row["condition"]["message"].as_str().is_some_and(|text| text.contains(&name)))
    });
    assert_ne!(row["condition"]["kind"], "ready");
    let seen = inspect(&foreign).unwrap();
    assert!(seen.running() && seen.name == name, "the foreign one was touched: {seen:?}");

    docker(&["rm", "--force", &foreign]);
    becomes(&host, "web", "ready");
}

#[test]
fn a_foreign_network_is_not_joined_and_a_foreign_volume_not_mounted() {
    let Some(host) = Host::new() else { return };
    let (image, test) = (host.image("1.0", &[], &[]), format!("evenkeel-test={}", host.project));
    let name = |key: &str| format!("{}_{key}", host.project);
    let foreign = [
        ("network", "front", "com.docker.compose.project=other"),
        ("volume", "data", "dev.evenkeel.owner=other"),
    ];
    for (kind, key, mark) in foreign {
        docker(&[kind, "create", "--label", &test, "--label", mark, &name(key)]);
    }
    // Nobody's: made by hand, or by an engine that missed it.
    docker(&["volume", "create", "--label", &test, &name("plain")]);
    let text = plain("web", &image, "networks = [\"front\"]")
        + &plain("db", &image, "volumes = [\"data:/data\"]")
        + &plain("other", &image, "volumes = [\"plain:/data\"]")
        + "[networks]\nfront = {}\n[volumes]\ndata = {}\nplain = {}\n";
    host.write("app.toml", &text);
    let _daemon = host.run();
    becomes(&host, "other", "ready");
    for (service, key) in [("web", "front"), ("db", "data")] {
        becomes(&host, service, "failed");
        let message = host.status(service).unwrap()["condition"]["message"].to_string();
        assert!(message.contains(&name(key)) && message.contains("external = true"), "{message}");
        assert!(host.of(service).is_empty(), "{service} was made with what is not ours");
    }
    for (kind, key, _) in foreign {
        docker(&[kind, "rm", &name(key)]);
    }
    becomes(&host, "web", "ready");
    becomes(&host, "db", "ready");
}

#[test]
fn a_port_held_by_someone_else_is_reported_and_taken_when_it_is_free() {
    let Some(host) = Host::new() else { return };
    let (image, port) = (host.image("1.0", &[], &[]), free_port());
    let squatter = TcpListener::bind(("127.0.0.1", port)).unwrap();
    host.write("web.toml", &checked("web", &image, port, ""));
    let _daemon = host.run();
    wait_for("the port is told", || {
        host.status("web").filter(|row| {
            row["condition"]["message"].as_str().is_some_and(|text| text.contains(&port.to_string()))
        })
    });
    drop(squatter);
    becomes(&host, "web", "ready");
    assert_eq!(page(port, "/version").as_deref(), Some("1.0"));
}

#[test]
fn an_update_to_a_port_held_by_a_foreign_container_keeps_the_old_one_serving() {
    let Some(host) = Host::new() else { return };
    let (image, port, taken) = (host.image("1.0", &[], &[]), free_port(), free_port());
    host.foreign(
        &format!("{}-foreign", host.project),
        &image,
        &["--publish", &format!("127.0.0.1:{taken}:8080")],
    );
    host.write("web.toml", &checked("web", &image, port, ""));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    host.write("web.toml", &checked("web", &image, taken, ""));
    wait_for("the port is told", || {
        host.status("web").filter(|row| {
            row["condition"]["message"].as_str().is_some_and(|text| text.contains(&taken.to_string()))
        })
    });
    wait_for("the old one serves", || page(port, "/version"));
}

#[test]
fn a_missing_image_stops_nothing() {
    let Some(host) = Host::new() else { return };
    let (image, port) = (host.image("1.0", &[], &[]), free_port());
    host.write("web.toml", &checked("web", &image, port, ""));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    let before = host.serving("web").unwrap();
    // A port of loopback where nothing listens: as absent as an image can be.
    let absent = format!("127.0.0.1:1/{}/app:2.0", host.project);
    host.write("web.toml", &checked("web", &absent, port, ""));
    wait_for("the image is told", || {
        host.status("web")
            .filter(|row| row["condition"]["message"].as_str().is_some_and(|text| text.contains(&absent)))
    });
    let after = host.serving("web").unwrap();
    assert_eq!((after.id.as_str(), after.started_at()), (before.id.as_str(), before.started_at()));
    // It appears, and nobody has to touch the file.
    host.image_named(&absent, "2.0", &[], &[]);
    wait_for("the new image serves", || page(port, "/version").filter(|version| version == "2.0"));
}

#[test]
fn networks_are_made_joined_and_left_without_a_restart() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let file = |networks: &str| {
        plain("web", &image, &format!("networks = {networks}"))
            + &plain("peer", &image, r#"networks = ["front", "back"]"#)
            + "[networks]\nfront = {}\nback = {}\n"
    };
    let joined = || {
        host.serving("web").map(|seen| {
            let networks = seen.json.pointer("/NetworkSettings/Networks").cloned().unwrap_or_default();
            networks.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
        })
    };
    let [front, back] = ["front", "back"].map(|key| format!("{}_{key}", host.project));
    host.write("app.toml", &file(r#"["front"]"#));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    let before = host.serving("web").unwrap();
    assert_eq!(joined(), Some(vec![front.clone()]));
    host.write("app.toml", &file(r#"["front", "back"]"#));
    wait_for("both are joined", || (joined() == Some(vec![back.clone(), front.clone()])).then_some(()));
    host.write("app.toml", &file(r#"["back"]"#));
    wait_for("one is left", || (joined() == Some(vec![back.clone()])).then_some(()));
    assert_eq!(host.serving("web").unwrap().started_at(), before.started_at());
}
