//! The twelve measured facts of RELIABILITY.md section 0, as behaviour of the simulated engine. Those that need an engine to be
//! killed or filled are measured on a private real one too (`private`).

use std::collections::{BTreeMap, BTreeSet};

use evenkeel::desired::spec::RestartPolicy;
use evenkeel::engine::ContainerFilter;
use evenkeel::engine::sim::{
    Behaviour, Fault, Foreign, Host, HostPort, Moment, Op, Revival, Sim, WantedPort, made_up,
};
use evenkeel::state::observed::{ContainerId, ContainerStatus};
use evenkeel::state::plan::{Creation, Failure};
use evenkeel::{desired::spec::Protocol, engine::Observe};
use futures_util::StreamExt;

use crate::bench::{creation, join, kind, network, publish};
use crate::simulated::Simulated;

const PORT: u16 = 18_080;
const NO: RestartPolicy = RestartPolicy::No;
pub const ALWAYS: RestartPolicy = RestartPolicy::Always;
pub const UNLESS_STOPPED: RestartPolicy = RestartPolicy::UnlessStopped;
const ON_FAILURE: RestartPolicy = RestartPolicy::OnFailure { max_retries: 0 };

/// Facts 2 and 3, measured: what becomes of a running and of a stopped container when the engine is killed and comes back.
pub const AFTER_A_KILL: [(RestartPolicy, ContainerStatus, ContainerStatus); 4] = [
    (NO, ContainerStatus::Exited, ContainerStatus::Exited),
    (ALWAYS, ContainerStatus::Running, ContainerStatus::Running),
    (ON_FAILURE, ContainerStatus::Running, ContainerStatus::Running),
    (UNLESS_STOPPED, ContainerStatus::Exited, ContainerStatus::Exited),
];

/// A creation whose image is on this host.
async fn order(host: &mut Host, service: &str) -> Creation {
    let bench = Simulated::new();
    let order = creation(&bench, service, crate::bench::App::Serves).await;
    host.load_image(order.image.clone());
    order
}

async fn published(host: &mut Host, service: &str) -> ContainerId {
    let mut order = order(host, service).await;
    publish(&mut order, PORT);
    host.create(&order).unwrap()
}

fn status(host: &Host, id: &ContainerId) -> ContainerStatus {
    host.containers.get(id).expect("the container is there").status
}

#[tokio::test(start_paused = true)]
async fn fact_1_an_abandoned_request_is_not_a_failed_request() {
    for (fault, at_once, later) in [
        (Fault::Lost, ContainerStatus::Created, ContainerStatus::Created),
        (Fault::DoneButUnknown, ContainerStatus::Running, ContainerStatus::Running),
        (Fault::DoneLater(5000), ContainerStatus::Created, ContainerStatus::Running),
    ] {
        let mut host = Host::new();
        let order = order(&mut host, "web").await;
        let id = host.create(&order).unwrap();
        host.fail(Op::Start, fault.clone());
        assert_eq!(kind(host.start(&id)), Failure::Unknown);
        assert_eq!(status(&host, &id), at_once, "{fault:?}");
        host.advance(10_000);
        assert_eq!(status(&host, &id), later, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fact_1_a_frozen_container_carries_out_what_was_abandoned_when_it_wakes() {
    let mut host = Host::new();
    let order = order(&mut host, "web").await;
    let id = host.create(&order).unwrap();
    host.start(&id).unwrap();
    host.hang_on(&id);
    assert_eq!(kind(host.stop(&id, None)), Failure::Unknown);
    assert_eq!(kind(host.inspect(&id)), Failure::Unknown);
    assert_eq!(host.list(&ContainerFilter::default()).unwrap().len(), 1, "the list never hangs");
    assert_eq!(status(&host, &id), ContainerStatus::Running);
    host.wake(&id);
    host.advance(1000);
    assert_eq!(status(&host, &id), ContainerStatus::Exited);
}

#[tokio::test(start_paused = true)]
async fn facts_2_and_3_what_a_killed_engine_brings_back() {
    for (policy, was_running, was_stopped) in AFTER_A_KILL {
        let mut host = Host::new();
        let mut make = Vec::new();
        for service in ["running", "stopped"] {
            let order = order(&mut host, service).await;
            let id = host.create(&order).unwrap();
            // Ends with 137, as applications do that have no handler as process 1.
            host.script_container(&id, Behaviour { stop_code: 137, ..Behaviour::default() });
            host.set_restart(&id, policy).unwrap();
            host.start(&id).unwrap();
            make.push(id);
        }
        let [running, stopped] = make.as_slice() else { unreachable!() };
        host.stop(stopped, None).unwrap();
        let before = host.containers.get(running).unwrap().started_at;
        let session = host.session;
        host.crash();
        assert_eq!(
            (status(&host, running), status(&host, stopped)),
            (was_running, was_stopped),
            "{policy:?}"
        );
        assert!(host.session > session);
        let after = host.containers.get(running).unwrap();
        assert_eq!(after.restart_count, 0, "the engine's own restart is not counted");
        assert!(was_running == ContainerStatus::Exited || after.started_at > before, "but has a stamp");
    }
}

#[tokio::test(start_paused = true)]
async fn fact_3_an_orderly_restart_brings_unless_stopped_back() {
    let mut host = Host::new();
    let mut ids = Vec::new();
    for service in ["running", "stopped"] {
        let order = order(&mut host, service).await;
        let id = host.create(&order).unwrap();
        host.set_restart(&id, UNLESS_STOPPED).unwrap();
        host.start(&id).unwrap();
        ids.push(id);
    }
    host.stop(&ids[1], None).unwrap();
    host.restart_orderly();
    assert_eq!(status(&host, &ids[0]), ContainerStatus::Running);
    assert_eq!(status(&host, &ids[1]), ContainerStatus::Exited);
}

#[tokio::test(start_paused = true)]
async fn fact_2_after_a_crash_old_and_new_race_for_the_port() {
    let mut seen = BTreeSet::new();
    for revival in [Revival::OldestFirst, Revival::NewestFirst] {
        let mut host = Host::new();
        let old = published(&mut host, "old").await;
        let new = published(&mut host, "new").await;
        for id in [&old, &new] {
            host.set_restart(id, ALWAYS).unwrap();
        }
        host.start(&old).unwrap();
        host.stop(&old, None).unwrap();
        host.start(&new).unwrap();
        host.kill();
        host.restart_in(revival);
        let loser = if status(&host, &old) == ContainerStatus::Running { &new } else { &old };
        let lost = host.containers.get(loser).unwrap();
        assert_eq!(lost.status, ContainerStatus::Exited, "two containers never hold one port");
        assert!(lost.error.contains("port is already allocated"), "{}", lost.error);
        seen.insert(loser == &new);
    }
    assert_eq!(seen.len(), 2, "either may win");
}

#[tokio::test(start_paused = true)]
async fn fact_4_an_engine_killed_inside_start_leaks_the_port_until_it_is_restarted_again() {
    let mut host = Host::new();
    let id = published(&mut host, "web").await;
    let other = published(&mut host, "other").await;
    host.fail(Op::Start, Fault::EngineDies(Moment::Midway));
    assert_eq!(kind(host.start(&id)), Failure::Unknown);
    assert_eq!(kind(host.start(&id)), Failure::Unreachable);
    host.restart();
    assert_eq!(status(&host, &id), ContainerStatus::Created);
    assert_eq!(kind(host.start(&id)), Failure::PortBusy);
    host.remove(&id, false).unwrap();
    assert_eq!(kind(host.start(&other)), Failure::PortBusy, "nobody holds it and nobody gets it");
    host.crash();
    host.start(&other).unwrap();
}

#[tokio::test(start_paused = true)]
async fn fact_4_an_engine_killed_inside_remove_leaves_a_dead_container() {
    let mut host = Host::new();
    let order = order(&mut host, "web").await;
    let id = host.create(&order).unwrap();
    host.fail(Op::Remove, Fault::EngineDies(Moment::Midway));
    assert_eq!(kind(host.remove(&id, false)), Failure::Unknown);
    host.restart();
    assert_eq!(status(&host, &id), ContainerStatus::Dead);
    assert_eq!(kind(host.create(&order)), Failure::Conflict, "its name is still taken");
    assert_eq!(kind(host.start(&id)), Failure::Conflict);
    host.remove(&id, true).unwrap();
    host.create(&order).unwrap();
}

#[tokio::test(start_paused = true)]
async fn fact_5_the_list_may_be_stale() {
    let mut host = Host::new();
    let order = order(&mut host, "web").await;
    let id = host.create(&order).unwrap();
    host.start(&id).unwrap();
    host.fail(Op::List, Fault::StaleRead);
    host.process_dies(&id, 1);
    let row = |host: &mut Host| host.list(&ContainerFilter::default()).unwrap().remove(0).status;
    assert_eq!(row(&mut host), ContainerStatus::Running, "what was true a moment ago");
    assert_eq!(host.inspect(&id).unwrap().unwrap().status, ContainerStatus::Exited);
    assert_eq!(row(&mut host), ContainerStatus::Exited);
}

#[tokio::test(start_paused = true)]
async fn fact_6_events_are_forgotten_lost_and_gone_with_the_engine() {
    let mut host = Host::new();
    let order = order(&mut host, "web").await;
    let id = host.create(&order).unwrap();
    for _ in 0..200 {
        host.start(&id).unwrap();
        host.stop(&id, None).unwrap();
    }
    assert_eq!(host.events_since(0).count(), 256);
    let sim = Sim::from(host);
    let mut events = sim.events().await.unwrap();
    sim.with(|host| host.events_lost = 1);
    sim.with(|host| host.docker_start(&id));
    sim.with(|host| host.docker_kill(&id));
    assert_eq!(events.next().await.unwrap().unwrap().action, "kill", "`start` was never told");
    sim.with(Host::crash);
    while let Some(event) = events.next().await {
        event.unwrap();
    }
    assert_eq!(sim.with(|host| host.events_since(0).count()), 0, "the stream ended, and the history with it");
}

#[tokio::test(start_paused = true)]
async fn fact_7_a_port_is_free_when_stop_has_returned() {
    let mut host = Host::new();
    let (a, b) = (published(&mut host, "a").await, published(&mut host, "b").await);
    for id in [&a, &b, &a] {
        host.start(id).unwrap();
        host.stop(id, None).unwrap();
    }
    host.start(&a).unwrap();
    host.docker_rm_f(&a);
    host.start(&b).unwrap();
}

#[tokio::test(start_paused = true)]
async fn fact_8_a_full_disk_lets_containers_end_and_none_begin() {
    let mut host = Host::new();
    let order = order(&mut host, "web").await;
    let id = host.create(&order).unwrap();
    host.start(&id).unwrap();
    let image = order.image.id.clone();
    host.disk_full = true;
    host.tag(&image, "evenkeel/x", "0a1b2c3d").unwrap();
    let bench = Simulated::new();
    host.create_network(&network(&bench, "default"), "contract").unwrap();
    assert_eq!(kind(host.rename(&id, "other")), Failure::NoSpace);
    assert_eq!(kind(host.set_restart(&id, ALWAYS)), Failure::NoSpace);
    host.stop(&id, None).unwrap();
    assert_eq!(kind(host.start(&id)), Failure::NoSpace, "not even what ran a moment ago");
    host.registry.any = true;
    assert_eq!(kind(host.pull("something:1")), Failure::NoSpace);
    host.remove(&id, false).unwrap();
    assert_eq!(kind(host.create(&order)), Failure::NoSpace);
    host.disk_full = false;
    host.create(&order).unwrap();
}

#[tokio::test(start_paused = true)]
async fn fact_9_a_missing_network_and_a_restarting_container_are_not_found() {
    let mut host = Host::new();
    let bench = Simulated::new();
    let spec = network(&bench, "default");
    let network = host.create_network(&spec, "contract").unwrap();
    let mut attached = order(&mut host, "web").await;
    join(&mut attached, &spec.name, &network);
    let id = host.create(&attached).unwrap();
    host.network_prune();
    assert_eq!(kind(host.start(&id)), Failure::NotFound);
    assert!(host.inspect(&id).unwrap().is_some(), "the network is gone, not the container");

    let looping = order(&mut host, "loop").await;
    let id = host.create(&looping).unwrap();
    host.script_container(&id, Behaviour::exits(10, 1));
    host.set_restart(&id, ALWAYS).unwrap();
    host.start(&id).unwrap();
    host.advance(50);
    assert_eq!(status(&host, &id), ContainerStatus::Restarting);
    assert_eq!(kind(host.rename(&id, "other")), Failure::NotFound);
    assert_eq!(host.inspect(&id).unwrap().unwrap().name, looping.name);
}

#[tokio::test(start_paused = true)]
async fn fact_10_prune_eats_the_safety_net() {
    let mut host = Host::new();
    let mut ids = Vec::new();
    for service in ["previous", "serving", "staged"] {
        let order = order(&mut host, service).await;
        ids.push(host.create(&order).unwrap());
    }
    host.start(&ids[0]).unwrap();
    host.stop(&ids[0], None).unwrap();
    host.start(&ids[1]).unwrap();
    let kept = host.load_image(made_up("kept:1"));
    host.tag(&kept, "evenkeel/x", "0a1b2c3d").unwrap();
    host.container_prune();
    assert_eq!(host.containers.keys().collect::<Vec<_>>(), [&ids[1]], "only what runs is safe");
    assert!(host.images.contains_key(&kept));
    host.system_prune_all();
    assert!(!host.images.contains_key(&kept), "a tag does not save an image from `prune --all`");
    assert_eq!(status(&host, &ids[1]), ContainerStatus::Running);
}

#[test]
fn fact_11_a_file_cut_at_any_line_is_still_toml() {
    let whole = "[services.web]\nimage = \"web:1\"\nports = [\"80:80\"]\n\n[services.db]\nimage = \"db:1\"\n";
    let ends = whole.match_indices('\n').map(|(at, _)| at + 1);
    let mut lacking = 0;
    for end in ends {
        let cut: toml::Table = whole[..end].parse().expect("a file cut at a line parses");
        lacking += usize::from(cut["services"].get("db").is_none());
    }
    assert!(lacking > 0, "so a service that left a file may still be wanted");
}

#[tokio::test(start_paused = true)]
async fn fact_12_without_a_fence_a_late_start_makes_two_holders_and_removal_prevents_it() {
    for fenced in [false, true] {
        let mut host = Host::new();
        let old = published(&mut host, "old").await;
        let new = published(&mut host, "new").await;
        host.fail(Op::Start, Fault::DoneLater(60_000));
        assert_eq!(kind(host.start(&new)), Failure::Unknown);
        if fenced {
            host.remove(&new, false).unwrap();
        }
        // The way back, while the late start is still on its way; then the old one ends for a moment.
        host.start(&old).unwrap();
        host.stop(&old, None).unwrap();
        host.advance(60_000);
        let back = host.start(&old);
        match fenced {
            true => back.unwrap(),
            false => assert_eq!(kind(back), Failure::PortBusy, "the late start took the port"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_hosts_are_one_state_when_only_time_differs() {
    let make = async |wait: u64| {
        let mut host = Host::new();
        host.advance(wait);
        let id = published(&mut host, "web").await;
        host.start(&id).unwrap();
        host.advance(500);
        host
    };
    let (early, late) = (make(0).await, make(7000).await);
    assert_ne!(early, late);
    assert_eq!(early.fingerprint(), late.fingerprint());
    let mut other = early.clone();
    other.disk_full = true;
    assert_ne!(early.fingerprint(), other.fingerprint());
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_host_goes_on_where_the_host_is() {
    let bench = Simulated::new();
    let sim = bench.sim.clone();
    let mut web = creation(&bench, "web", crate::bench::App::HealthyAfter(0)).await;
    publish(&mut web, PORT);
    let stopped = creation(&bench, "stopped", crate::bench::App::Serves).await;
    let (web, stopped) = sim.with(|host| (host.create(&web).unwrap(), host.create(&stopped).unwrap()));
    sim.with(|host| {
        host.start(&web).unwrap();
        host.start(&stopped).unwrap();
        host.stop(&stopped, None).unwrap();
        let ports = BTreeSet::from([WantedPort { ip: None, range: Some((81, 81)), protocol: Protocol::Tcp }]);
        host.foreign(Foreign {
            name: "theirs".to_owned(),
            image: "theirs".to_owned(),
            labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            ports,
            restart: NO,
            running: true,
        });
    });
    let before = sim.snapshot();
    let wants = evenkeel::engine::sim::Wants::default();
    let mut copy = evenkeel::engine::sim::seed(&sim, "contract", &wants).await.unwrap();
    assert!(copy.facts.simulated);
    for id in [&web, &stopped] {
        let mut host = before.clone();
        assert_eq!(copy.inspect(id).unwrap(), host.inspect(id).unwrap(), "a copy looks the same");
    }
    assert!(
        copy.port_holder(&HostPort::tcp(PORT)).is_some() && copy.port_holder(&HostPort::tcp(81)).is_some()
    );
    assert!(copy.named("theirs").is_some());
    assert!(copy.images.contains_key(&copy.containers[&web].image), "its images came along");
    copy.advance(5000);
    copy.stop(&web, None).unwrap();
    copy.start(&web).unwrap();
    let again = copy.inspect(&web).unwrap().unwrap();
    assert!(again.started_at > before.containers[&web].started_at, "time goes on from where it was");
    copy.pull("never/seen:1").unwrap();
    assert_eq!(copy.assumed_images().iter().collect::<Vec<_>>(), ["never/seen:1"]);
    assert_eq!(sim.snapshot().calls(Op::Stop), before.calls(Op::Stop), "the host itself was only read");
}
