//! Daemons of several hosts that read one repository: each converges to what is meant for it, and to nothing else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use evenkeel::engine::sim::Op;
use evenkeel::metrics::api::StatusReport;
use evenkeel::source::git::{Checkout, GitSettings, Login, Remote};
use evenkeel::state::condition::ConditionKind;

use crate::rig::{Rig, Running, snapshot};
use crate::support::repository::Repository;

const FLEET: &str = "\
[hosts.fra1]
labels = { role = 'web' }
vars = { GREETING = 'hallo' }

[hosts.nyc1]
labels = { role = 'web' }
vars = { GREETING = 'hello' }
profiles = ['backup']

[hosts.db1]
labels = { role = 'db' }
";

const SHOP: &str = "\
[services.web]
image = 'web:1'
on_hosts = ['role=web']
environment = { GREETING = '${GREETING}' }

[services.db]
image = 'db:1'
deploy.placement.constraints = ['node.labels.role == db']

[services.exporter]
image = 'exporter:1'
deploy.mode = 'global'

[services.backup]
image = 'backup:1'
profiles = ['backup']
";

/// One host's own copy of the repository.
fn checkout(remote: &Repository, state: &Path) -> Checkout {
    let remote = Remote::new(&remote.url(), Login::None).unwrap();
    let settings = GitSettings { branch: Some("main".to_owned()), ..GitSettings::new("infra", remote) };
    Checkout::new(&settings, state, &Arc::new(AtomicBool::new(false)))
}

fn all_ready(report: &StatusReport) -> bool {
    !report.services.is_empty()
        && report.services.iter().all(|row| row.condition.kind == ConditionKind::Ready)
}

/// A push, which every host fetches for itself.
async fn settle(hosts: &mut [(Running, Checkout)], remote: &Repository, subject: &str) {
    let commit = remote.commit(subject);
    for (host, checkout) in hosts.iter_mut() {
        let snapshot = checkout.fetch().unwrap().snapshot;
        assert_eq!(snapshot.revision.commit.as_ref().unwrap().id, commit);
        host.feed_quiet((*snapshot).clone());
    }
    for (host, _) in hosts.iter() {
        host.until("all services to be ready", all_ready).await;
    }
    tokio::time::sleep(Duration::from_secs(1_800)).await;
}

/// Requests that make or change something.
fn writes(host: &Running) -> u64 {
    let all = [
        Op::Pull,
        Op::Tag,
        Op::Untag,
        Op::Create,
        Op::Start,
        Op::Stop,
        Op::SetRestart,
        Op::SetResources,
        Op::Deliver,
        Op::Rename,
        Op::Remove,
        Op::Connect,
        Op::Disconnect,
        Op::CreateNetwork,
        Op::RemoveNetwork,
        Op::CreateVolume,
    ];
    host.sim(|sim| all.iter().map(|op| sim.calls(*op)).sum())
}

#[tokio::test(start_paused = true)]
async fn three_hosts_read_one_repository_and_converge_to_three_states() {
    let folder = tempfile::tempdir().unwrap();
    let remote = Repository::new(&folder.path().join("remote"));
    remote.write("fleet.toml", FLEET);
    remote.write("shop/all.toml", SHOP);
    let mut hosts = Vec::new();
    for name in ["fra1", "nyc1", "db1"] {
        let mut rig = Rig::new();
        rig.name = name;
        hosts.push((rig.daemon().await, checkout(&remote, &folder.path().join(name))));
    }
    settle(&mut hosts, &remote, "Three hosts").await;
    let states = |hosts: &[(Running, Checkout)]| {
        hosts.iter().map(|(host, _)| host.rig.containers()).collect::<Vec<_>>()
    };
    assert_eq!(
        states(&hosts),
        [
            vec!["shop-exporter-1 exporter:1 running", "shop-web-1 web:1 running"],
            vec![
                "shop-backup-1 backup:1 running",
                "shop-exporter-1 exporter:1 running",
                "shop-web-1 web:1 running"
            ],
            vec!["shop-db-1 db:1 running", "shop-exporter-1 exporter:1 running"],
        ]
    );
    let greetings: Vec<_> = hosts
        .iter()
        .take(2)
        .map(|(host, _)| host.sim(|sim| sim.named("shop-web-1").unwrap().own.as_ref().unwrap().spec.clone()))
        .collect();
    assert_ne!(greetings[0], greetings[1], "each has its own variables");

    // One edit that concerns one host: the others are asked to do nothing.
    let before: Vec<u64> = hosts.iter().map(|(host, _)| writes(host)).collect();
    remote.write("shop/all.toml", &SHOP.replace("db:1", "db:2"));
    settle(&mut hosts, &remote, "Another database").await;
    let after: Vec<u64> = hosts.iter().map(|(host, _)| writes(host)).collect();
    assert_eq!(&after[..2], &before[..2]);
    assert_eq!(hosts[2].0.rig.containers(), ["shop-db-1 db:2 running", "shop-exporter-1 exporter:1 running"]);

    // A label that moves takes its services along: gone from one host, there on the other.
    let moved = FLEET.replace(
        "[hosts.db1]\nlabels = { role = 'db' }",
        "[hosts.db1]\nlabels = { role = 'web' }\nvars = { GREETING = 'x' }",
    );
    let moved = moved.replacen("labels = { role = 'web' }", "labels = { role = 'db' }", 1);
    remote.write("fleet.toml", &moved);
    settle(&mut hosts, &remote, "A label moves").await;
    assert_eq!(
        states(&hosts),
        [
            vec!["shop-db-1 db:2 running", "shop-exporter-1 exporter:1 running"],
            vec![
                "shop-backup-1 backup:1 running",
                "shop-exporter-1 exporter:1 running",
                "shop-web-1 web:1 running"
            ],
            vec!["shop-exporter-1 exporter:1 running", "shop-web-1 web:1 running"],
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_paused_host_is_watched_and_nothing_on_it_is_changed() {
    let mut rig = Rig::new();
    rig.name = "fra1";
    let running = rig.daemon().await;
    let shop = "[services.web]\nimage = 'web:1'\nrestart = 'always'\nnetworks = ['front']\n[services.old]\nimage = 'old:1'\n[services.more]\nimage = 'more:1'\n[networks.front]\n";
    let fleet = "[hosts.fra1]\npaused = false\n";
    running.feed_quiet(snapshot(&[("fleet.toml", fleet), ("shop/all.toml", shop)]));
    running.until("all services to be ready", all_ready).await;
    running.pass_time(1_800_000).await;
    let before = writes(&running);
    // Paused, and everything else changes with it: an image, a network, a service that leaves, one that comes.
    let fleet = "[hosts.fra1]\npaused = true\n";
    let other = "[services.web]\nimage = 'web:2'\nrestart = 'always'\nnetworks = ['front']\n[services.new]\nimage = 'new:1'\nvolumes = ['data:/d']\n[services.more]\nimage = 'more:1'\n[networks.front]\ninternal = true\n[networks.back]\n[volumes.data]\n";
    running.feed_quiet(snapshot(&[("fleet.toml", fleet), ("shop/all.toml", other)]));
    for name in ["web", "old", "new", "more"] {
        let row = running.until_condition(name, ConditionKind::Paused).await;
        assert!(row.condition.message.contains("fleet.toml, hosts.fra1"), "{row:#?}");
    }
    let why = running.status("web").unwrap().condition.message;
    assert!(why.contains("image web:1 -> web:2"), "what would be done is told: {why}");
    running.sim(|sim| {
        let web = sim.named("shop-more-1").unwrap().id.clone();
        sim.docker_kill(&web);
    });
    running.pass_time(3_600_000).await;
    assert_eq!(writes(&running), before, "something was done on a paused host");
    assert_eq!(
        running.rig.containers(),
        ["shop-more-1 more:1 exited", "shop-old-1 old:1 running", "shop-web-1 web:1 running"]
    );
    let text = running.rig.metrics.render().unwrap();
    assert!(
        text.contains("evenkeel_service_condition{condition=\"paused\",project=\"shop\",service=\"web\"} 1"),
        "{text}"
    );
    // And on.
    let fleet = "[hosts.fra1]\n";
    running.feed_quiet(snapshot(&[("fleet.toml", fleet), ("shop/all.toml", other)]));
    running.until_serves("web", "web:2").await;
    running.until_serves("new", "new:1").await;
    running.until("the old one to be gone", |_| running.status("old").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_does_not_load_any_more_unpauses_nothing() {
    let web = "[services.web]\nimage = 'web:1'\nrestart = 'always'\n";
    let own = format!("{web}paused = true\n");
    let paused = "[hosts.box]\npaused = true\n";
    let table = [
        // At the host, and the whole file is no TOML any more.
        (
            [("fleet.toml", paused), ("shop/web.toml", web)],
            [("fleet.toml", "[hosts.box"), ("shop/web.toml", web)],
        ),
        // At the service.
        (
            [("fleet.toml", ""), ("shop/web.toml", &own)],
            [("fleet.toml", ""), ("shop/web.toml", "[services.")],
        ),
    ];
    for (before, broken) in table {
        let running = Rig::new().daemon().await;
        running.feed_quiet(snapshot(&[("shop/web.toml", web)]));
        running.until_serves("web", "web:1").await;
        running.feed_quiet(snapshot(&before));
        running.until_condition("web", ConditionKind::Paused).await;
        running.feed_quiet(snapshot(&broken));
        running.pass_time(60_000).await;
        running.sim(|sim| {
            let web = sim.named("shop-web-1").unwrap().id.clone();
            sim.docker_kill(&web);
        });
        running.pass_time(3_600_000).await;
        assert_eq!(running.rig.containers(), ["shop-web-1 web:1 exited"], "{broken:?}");
        running.until_condition("web", ConditionKind::Paused).await;
        // It loads again, and says nothing of a pause.
        running.feed_quiet(snapshot(&[("shop/web.toml", web)]));
        running.until_serves("web", "web:1").await;
        assert_eq!(running.rig.containers(), ["shop-web-1 web:1 running"]);
    }
}

#[test]
fn a_plan_of_a_paused_host_says_what_would_be_done_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("desired/shop")).unwrap();
    for (path, text) in [
        ("evenkeel.toml", ""),
        ("desired/fleet.toml", "[hosts.fra1]\npaused = true\n"),
        ("desired/shop/web.toml", "[services.web]\nimage = 'web:1'\n"),
    ] {
        std::fs::write(folder.path().join(path), text).unwrap();
    }
    let arguments = [
        "--config",
        "evenkeel.toml",
        "plan",
        "--engine",
        "simulated",
        "--host",
        "fra1",
        "--detailed-exitcode",
    ];
    let output = crate::cli::evenkeel(&arguments).current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "nothing is pending: {text}");
    for part in [
        "! shop/web  paused  shop/web.toml:1",
        "    paused: nothing is changed while it is paused (fleet.toml, hosts.fra1); else it would be acted upon, because new in shop/web.toml:1",
        "1 left as they are: nothing to do",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_service_stays_and_the_others_go_on() {
    let running = Rig::new().with("[services.web]\nimage = 'web:1'\n[services.db]\nimage = 'db:1'\n").await;
    running.until("all services to be ready", all_ready).await;
    running.feed(snapshot(&[(
        "shop/all.toml",
        "[services.web]\nimage = 'web:2'\npaused = true\n[services.db]\nimage = 'db:2'\n",
    )]));
    running.until_serves("db", "db:2").await;
    let row = running.until_condition("web", ConditionKind::Paused).await;
    assert!(row.condition.message.contains("shop/all.toml:3"), "{row:#?}");
    running.pass_time(1_800_000).await;
    assert_eq!(running.rig.containers(), ["shop-db-1 db:2 running", "shop-web-1 web:1 running"]);
}

#[tokio::test(start_paused = true)]
async fn a_network_is_not_made_anew_under_a_paused_service() {
    let text = |more: &str, paused: &str| {
        format!(
            "[services.web]\nimage = 'web:1'\n{paused}[services.db]\nimage = 'db:1'\n[networks.default]\n{more}"
        )
    };
    let running = Rig::new().with(&text("", "")).await;
    running.until("all services to be ready", all_ready).await;
    running.feed(snapshot(&[("shop/all.toml", &text("internal = true\n", "paused = true\n"))]));
    running.until_condition("web", ConditionKind::Paused).await;
    running.pass_time(600_000).await;
    assert_eq!(running.sim(|sim| sim.calls(Op::RemoveNetwork)), 0);
    running.feed(snapshot(&[("shop/all.toml", &text("internal = true\n", ""))]));
    running.until_condition("web", ConditionKind::Ready).await;
    running.pass_time(600_000).await;
    assert_eq!(running.sim(|sim| sim.calls(Op::RemoveNetwork)), 1);
}
