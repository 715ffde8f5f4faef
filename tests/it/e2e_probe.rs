//! Probes and approvals on the real engine.

use std::time::Duration;

use crate::support::docker::{docker, inspect};
use crate::support::files::plain;
use crate::support::wait::{free_port, page};
use crate::support::{Daemon, Host, stays, wait_for};

fn becomes(host: &Host, service: &str, condition: &str) {
    wait_for(&format!("{service} is {condition}"), || (host.condition(service) == condition).then_some(()));
}

fn reason(host: &Host, service: &str) -> String {
    let row = host.status(service).unwrap_or_default();
    row.pointer("/condition/reason").and_then(|text| text.as_str()).unwrap_or_default().to_owned()
}

/// A published port only for the test itself: probes go to the container's own address.
fn probed(service: &str, image: &str, port: u16, probe: &str) -> String {
    let times = r#"interval = "200ms", timeout = "2s", threshold = 2"#;
    plain(service, image, &format!("ports = [\"127.0.0.1:{port}:8080\"]\nprobe = {{ {probe}, {times} }}"))
}

const HTTP: &str = r#"http = { port = 8080, path = "/healthz" }"#;

#[test]
fn a_revision_whose_probe_fails_is_put_back() {
    let Some(host) = Host::new() else { return };
    let (good, bad, port) =
        (host.image("1.0", &[], &[]), host.image("bad", &[("NEVER_HEALTHY", "1")], &[]), free_port());
    host.write("web.toml", &probed("web", &good, port, HTTP));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    let row = host.status("web").unwrap();
    assert_eq!(row.pointer("/containers/0/health").unwrap(), "healthy", "a probe is a health");

    host.write("web.toml", &probed("web", &bad, port, HTTP));
    becomes(&host, "web", "rolled-back");
    assert_eq!(page(port, "/version").as_deref(), Some("1.0"));
    let why = host.evenkeel(&["why", &host.id("web")]).out;
    assert!(why.contains("its probe fails: GET /healthz answered 503"), "{why}");
}

#[test]
fn a_probe_that_fails_later_is_told_and_restarts_when_asked_to() {
    let Some(host) = Host::new() else { return };
    let (image, port) = (host.image("1.0", &[], &[]), free_port());
    host.write("web.toml", &probed("web", &image, port, HTTP));
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    let before = host.serving("web").unwrap();
    page(port, "/sick");
    becomes(&host, "web", "degraded");
    assert_eq!(reason(&host, "web"), "ProbeFailing");
    page(port, "/well");
    becomes(&host, "web", "ready");
    let after = host.serving("web").unwrap();
    assert_eq!((&after.id, after.started_at()), (&before.id, before.started_at()), "nothing was restarted");

    // Another reaction is in force at once, in the same container.
    host.write("web.toml", &probed("web", &image, port, &format!("{HTTP}, on_failure = \"restart\"")));
    wait_for("the daemon has taken it over", || {
        let plan = host.evenkeel(&["plan", "--json"]).json();
        (plan.pointer("/services/0/action")? == "none").then_some(())
    });
    page(port, "/sick");
    let again = wait_for("it was restarted", || {
        host.serving("web").filter(|seen| seen.started_at() != before.started_at())
    });
    assert_eq!(again.id, before.id);
    becomes(&host, "web", "ready");
}

#[test]
fn a_command_and_a_connection_are_probes_as_well() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let (one, two) = (free_port(), free_port());
    host.write("exec.toml", &probed("exec", &image, one, r#"exec = { command = ["/program", "check"] }"#));
    host.write("tcp.toml", &probed("tcp", &image, two, "tcp = { port = 8080 }"));
    let shares = plain(
        "shares",
        &host.image("quiet", &[("PORT", "9090")], &[]),
        "network_mode = \"service:tcp\"\nprobe = { tcp = { port = 8080 }, interval = \"200ms\" }",
    );
    host.write("shares.toml", &shares);
    let _daemon = host.run();
    for service in ["exec", "tcp", "shares"] {
        becomes(&host, service, "ready");
    }
    page(one, "/sick");
    becomes(&host, "exec", "degraded");
    let row = host.status("exec").unwrap();
    let text = row.pointer("/condition/message").unwrap().as_str().unwrap().to_owned();
    assert!(text.contains("the command ended with 1"), "{text}");
}

#[test]
fn what_cannot_be_dialled_says_so() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let file = plain(
        "web",
        &image,
        "network_mode = \"container:alone\"\nenvironment = { PORT = \"9090\" }\nprobe = { tcp = { port = 8080 }, interval = \"200ms\", threshold = 2 }",
    );
    let name = format!("{}-alone", host.project);
    host.foreign(&name, &image, &["--network", "none"]);
    host.write("web.toml", &file.replace("container:alone", &format!("container:{name}")));
    let _daemon = host.run();
    becomes(&host, "web", "failed");
    let why = host.evenkeel(&["why", &host.id("web")]).out;
    assert!(why.contains("it has no network, so nobody can dial it"), "{why}");
}

fn restarted(host: &Host, mut daemon: Daemon) -> Daemon {
    daemon.kill();
    host.run()
}

#[test]
fn a_protected_service_is_replaced_only_after_a_word_about_that_revision() {
    let Some(host) = Host::new() else { return };
    let image = |tag: &str| host.image(tag, &[], &[]);
    let (one, two, three) = (image("1.0"), image("1.1"), image("1.2"));
    let file = |image: &str| plain("db", image, "protect = true");
    host.write("db.toml", &file(&one));
    let daemon = host.run();
    becomes(&host, "db", "ready");
    let old = host.serving("db").unwrap();

    host.write("db.toml", &file(&two));
    becomes(&host, "db", "awaiting-approval");
    assert_eq!(reason(&host, "db"), "Protected");
    let shown = host.status("db").unwrap().pointer("/awaiting").unwrap().as_str().unwrap().to_owned();
    let plan = host.evenkeel(&["plan"]).out;
    assert!(plan.contains("waits for approval"), "{plan}");
    // The daemon dies and is back: it waits as before.
    let _daemon = restarted(&host, daemon);
    becomes(&host, "db", "awaiting-approval");
    stays("the old one serves", Duration::from_secs(2), || host.serving("db").map(|seen| seen.id));

    // The files move on: a word about what was shown before is not a word about this.
    host.write("db.toml", &file(&three));
    wait_for("another revision waits", || {
        host.status("db")?.pointer("/awaiting").filter(|id| **id != *shown).cloned()
    });
    let refused = host.evenkeel(&["approve", &host.id("db"), "--revision", &shown]).expect(1);
    assert!(refused.err.contains("what waits for approval is revision"), "{}", refused.err);
    assert_eq!(host.serving("db").unwrap().id, old.id);

    host.evenkeel(&["approve", &host.id("db")]).expect(0);
    becomes(&host, "db", "ready");
    assert_eq!(host.serving("db").unwrap().image(), three);
    let history = host.evenkeel(&["history", &host.id("db")]).out;
    assert!(history.contains("approved") && history.contains("awaiting"), "{history}");

    // And nothing removes it.
    let now = host.serving("db").unwrap();
    host.remove("db.toml");
    becomes(&host, "db", "orphaned");
    wait_for("it is protected, not only waiting for quiet", || {
        (reason(&host, "db") == "Protected").then_some(())
    });
    stays("it serves", Duration::from_secs(3), || inspect(&now.id).is_some_and(|seen| seen.running()));
    docker(&["rm", "--force", &now.id]);
}
