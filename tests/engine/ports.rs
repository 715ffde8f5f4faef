//! Published ports: who gets which, and when they are free again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use evenkeel::desired::spec::{ContainerPort, NetworkMode, PortBinding, Protocol, RestartPolicy};
use evenkeel::engine::ContainerFilter;
use evenkeel::state::observed::{ContainerId, ContainerStatus, label};
use evenkeel::state::plan::Failure;

use crate::bench::{App, Bench, creation, kind, look, pass, publish, until, until_status};

contract!(
    of_a_range_every_container_gets_the_first_port_that_is_free,
    a_port_of_the_engines_own_choice_is_shown,
    one_port_is_held_once_per_protocol,
    one_port_is_held_once_per_address_and_every_address_is_all_of_them,
    a_port_is_free_when_its_holder_was_killed_or_removed_by_force,
    a_container_that_ended_by_itself_holds_no_port,
    a_paused_container_holds_its_port,
    a_restart_that_finds_its_port_taken_is_the_last,
);

fn binding(
    host_ip: Option<&str>,
    host_port: Option<(u16, u16)>,
    container: u16,
    protocol: Protocol,
) -> PortBinding {
    let host_ip = host_ip.map(|ip| ip.parse::<IpAddr>().unwrap());
    PortBinding { container: ContainerPort { port: container, protocol }, host_ip, host_port }
}

async fn published(bench: &dyn Bench, service: &str, ports: &[PortBinding]) -> ContainerId {
    let mut order = creation(bench, service, App::Serves).await;
    order.spec.network_mode = NetworkMode::Bridge;
    order.spec.ports = ports.iter().cloned().collect();
    bench.engine().create(&order).await.unwrap()
}

/// The host's ports that the list shows for a container.
async fn held(bench: &dyn Bench, id: &ContainerId) -> BTreeSet<(u16, String)> {
    let labels = [(label::OWNER.to_owned(), bench.project().to_owned())].into();
    let list = bench
        .engine()
        .list_containers(&ContainerFilter { labels, ..ContainerFilter::default() })
        .await
        .unwrap();
    list.into_iter().find(|row| row.id == *id).unwrap().host_ports.into_iter().collect()
}

fn tcp(port: u16) -> BTreeSet<(u16, String)> {
    BTreeSet::from([(port, "tcp".to_owned())])
}

async fn of_a_range_every_container_gets_the_first_port_that_is_free(bench: &dyn Bench) {
    let engine = bench.engine();
    // Two neighbours that are free; on a real host the second may be anybody's.
    let mut port = bench.free_port();
    while !bench.is_free(port + 1) {
        port = bench.free_port();
    }
    let range = [binding(None, Some((port, port + 1)), 8080, Protocol::Tcp)];
    let mut all = Vec::new();
    for service in ["a", "b", "c"] {
        all.push(published(bench, service, &range).await);
    }
    engine.start(&all[0]).await.unwrap();
    engine.start(&all[1]).await.unwrap();
    assert_eq!(held(bench, &all[0]).await, tcp(port));
    assert_eq!(held(bench, &all[1]).await, tcp(port + 1));
    assert_eq!(kind(engine.start(&all[2]).await), Failure::PortBusy);
    engine.stop(&all[0], Some(1)).await.unwrap();
    engine.start(&all[2]).await.unwrap();
    assert_eq!(held(bench, &all[2]).await, tcp(port));
}

async fn a_port_of_the_engines_own_choice_is_shown(bench: &dyn Bench) {
    let id = published(bench, "web", &[binding(None, None, 8080, Protocol::Tcp)]).await;
    assert!(held(bench, &id).await.is_empty(), "before the start it has none");
    bench.engine().start(&id).await.unwrap();
    assert_eq!(held(bench, &id).await.len(), 1);
    bench.engine().stop(&id, Some(1)).await.unwrap();
    assert!(held(bench, &id).await.is_empty());
}

async fn one_port_is_held_once_per_protocol(bench: &dyn Bench) {
    let port = bench.free_port();
    let both = [Protocol::Tcp, Protocol::Udp].map(|p| binding(None, Some((port, port)), 8080, p));
    let web = published(bench, "web", &both).await;
    bench.engine().start(&web).await.unwrap();
    let expected = ["tcp", "udp"].map(|protocol| (port, protocol.to_owned()));
    assert_eq!(held(bench, &web).await, BTreeSet::from(expected));
}

async fn one_port_is_held_once_per_address_and_every_address_is_all_of_them(bench: &dyn Bench) {
    let engine = bench.engine();
    let port = bench.free_port();
    let mut all = Vec::new();
    for (service, ip) in
        [("a", Some("127.0.0.1")), ("b", Some("127.0.0.2")), ("c", None), ("d", Some("127.0.0.1"))]
    {
        all.push(published(bench, service, &[binding(ip, Some((port, port)), 8080, Protocol::Tcp)]).await);
    }
    engine.start(&all[0]).await.unwrap();
    engine.start(&all[1]).await.unwrap();
    for late in &all[2..] {
        assert_eq!(kind(engine.start(late).await), Failure::PortBusy);
    }
    for id in &all[..2] {
        engine.stop(id, Some(1)).await.unwrap();
    }
    engine.start(&all[2]).await.unwrap();
    assert_eq!(kind(engine.start(&all[3]).await), Failure::PortBusy, "every address is this one too");
}

async fn a_port_is_free_when_its_holder_was_killed_or_removed_by_force(bench: &dyn Bench) {
    let engine = bench.engine();
    let port = bench.free_port();
    let fixed = [binding(None, Some((port, port)), 8080, Protocol::Tcp)];
    let (a, b) = (published(bench, "a", &fixed).await, published(bench, "b", &fixed).await);
    engine.start(&a).await.unwrap();
    bench.docker_kill(&a);
    until_status(bench, &a, ContainerStatus::Exited).await;
    engine.start(&b).await.unwrap();
    bench.docker_rm_f(&b);
    assert_eq!(engine.inspect(&b).await.unwrap(), None, "force removes what runs");
    engine.start(&a).await.unwrap();
}

async fn a_container_that_ended_by_itself_holds_no_port(bench: &dyn Bench) {
    let engine = bench.engine();
    let port = bench.free_port();
    let mut job = creation(bench, "job", App::Exits { after: 300, code: 0 }).await;
    publish(&mut job, port);
    let job = engine.create(&job).await.unwrap();
    let web = published(bench, "web", &[binding(None, Some((port, port)), 8080, Protocol::Tcp)]).await;
    engine.start(&job).await.unwrap();
    until_status(bench, &job, ContainerStatus::Exited).await;
    // When the container is seen to have ended, its port may be held a moment longer (RELIABILITY.md fact 7).
    for _ in 0..100 {
        if engine.start(&web).await.is_ok() {
            break;
        }
        pass(50).await;
    }
    assert_eq!(look(bench, &web).await.status, ContainerStatus::Running);
}

async fn a_paused_container_holds_its_port(bench: &dyn Bench) {
    let engine = bench.engine();
    let port = bench.free_port();
    let fixed = [binding(None, Some((port, port)), 8080, Protocol::Tcp)];
    let (a, b) = (published(bench, "a", &fixed).await, published(bench, "b", &fixed).await);
    engine.start(&a).await.unwrap();
    bench.docker_pause(&a);
    assert_eq!(held(bench, &a).await, tcp(port));
    assert_eq!(kind(engine.start(&b).await), Failure::PortBusy);
    engine.stop(&a, Some(1)).await.unwrap();
    engine.start(&b).await.unwrap();
}

async fn a_restart_that_finds_its_port_taken_is_the_last(bench: &dyn Bench) {
    let engine = bench.engine();
    let port = bench.free_port();
    let mut order = creation(bench, "web", App::Exits { after: 50, code: 1 }).await;
    publish(&mut order, port);
    let id = engine.create(&order).await.unwrap();
    engine.set_restart(&id, RestartPolicy::Always).await.unwrap();
    engine.start(&id).await.unwrap();
    // Between two starts nobody holds the port, and by now the pauses are long.
    until(bench, &id, "has long pauses", |seen| {
        seen.restart_count >= 5 && seen.status == ContainerStatus::Restarting
    })
    .await;
    let listening = bench.listen(port);
    let seen = until_status(bench, &id, ContainerStatus::Exited).await;
    assert_ne!(seen.error, "", "the engine keeps the reason");
    drop(listening);
    pass(1000).await;
    let later = look(bench, &id).await;
    assert_eq!(
        (later.status, later.started_at),
        (ContainerStatus::Exited, seen.started_at),
        "never tried again"
    );
    assert_eq!(later.restart, RestartPolicy::Always);
}
