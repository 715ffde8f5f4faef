//! The commands on the real engine when no daemon runs: they use the store and the engine themselves, and say so.

use crate::support::Host;
use crate::support::files::checked;
use crate::support::wait::{free_port, page};

#[test]
fn a_rollback_a_hold_and_their_release_need_no_daemon() {
    let Some(host) = Host::new() else { return };
    let (one, two, port) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]), free_port());
    let serves = |version: &str| assert_eq!(page(port, "/version").as_deref(), Some(version));
    for image in [&one, &two] {
        host.write("web.toml", &checked("web", image, port, ""));
        host.evenkeel(&["apply"]).expect(0);
    }
    serves("1.1");
    let back = host.evenkeel(&["rollback", "web"]).expect(0);
    assert!(back.err.contains("no daemon runs"), "{}", back.err);
    serves("1.0");
    assert_eq!(host.condition("web"), "held", "status looks for itself");
    host.evenkeel(&["apply"]).expect(4);
    serves("1.0");
    host.evenkeel(&["release", "web"]).expect(0);
    serves("1.1");
    host.evenkeel(&["hold", "web", "-m", "black friday"]).expect(0);
    let why = host.evenkeel(&["why", "web"]).expect(0);
    for part in ["is held", "black friday", "r2", &*two, "good, the one to go back to", "web.toml:"] {
        assert!(why.out.contains(part), "`{part}` is not in:\n{}", why.out);
    }
    let history = host.evenkeel(&["history", "web", "--json"]).expect(0).json();
    assert!(history.as_array().is_some_and(|rows| rows.len() >= 5), "{history}");
}

#[test]
fn the_evidence_against_a_rejected_revision_is_kept_and_retry_tries_it_again() {
    let Some(host) = Host::new() else { return };
    let (good, bad, port) = (host.image("1.0", &[], &[]), host.image("bad", &[], &["fail"]), free_port());
    host.write("web.toml", &checked("web", &good, port, ""));
    host.evenkeel(&["apply"]).expect(0);
    host.write("web.toml", &checked("web", &bad, port, ""));
    host.evenkeel(&["apply"]).expect(3);
    let logs = host.evenkeel(&["logs", "web", "--previous-failure"]).expect(0);
    assert!(logs.out.contains("told to fail"), "{}", logs.out);
    let why = host.evenkeel(&["why", "web"]).expect(0);
    assert!(why.out.contains("rejected") && why.out.contains("told to fail"), "{}", why.out);
    // It fails again, and says so again.
    host.evenkeel(&["retry", "web"]).expect(3);
    assert_eq!(page(port, "/version").as_deref(), Some("1.0"));
}

#[test]
fn removals_that_the_guard_holds_back_go_with_consent() {
    let Some(host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    let file = |names: &[&str]| {
        names.iter().map(|name| crate::support::files::plain(name, &image, "")).collect::<String>()
    };
    host.write("app.toml", &file(&["a", "b", "c"]));
    host.evenkeel(&["apply"]).expect(0);
    host.write("app.toml", &file(&["a"]));
    let refused = host.evenkeel(&["apply"]).expect(4);
    assert!(refused.err.contains("--allow-removals"), "{}", refused.err);
    let plan = host.evenkeel(&["plan"]).expect(0);
    assert!(plan.out.contains("removal waits for consent"), "{}", plan.out);
    host.evenkeel(&["apply", "--allow-removals"]).expect(0);
    assert_eq!(host.containers().len(), 1);
}
