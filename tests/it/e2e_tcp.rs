//! An engine behind TCP, plain and with TLS, found as the `docker` command finds it: a real dockerd that asks for certificates.

use crate::support::docker::docker;
use crate::support::files::plain;
use crate::support::private_engine::PrivateEngine;
use crate::support::tls::{certificates, client_folder, has_openssl};
use crate::support::{Host, wait_for};

fn becomes(host: &Host, service: &str, condition: &str) {
    wait_for(&format!("{service} is {condition}"), || (host.condition(service) == condition).then_some(()));
}

fn set(host: &mut Host, name: &str, value: &str) {
    host.environment.retain(|(known, _)| known != name);
    host.environment.push((name.to_owned(), value.to_owned()));
}

/// What `doctor` says of the engine.
fn engine_finding(host: &Host) -> serde_json::Value {
    let findings = host.evenkeel(&["doctor", "--json"]).json();
    findings.as_array().unwrap().iter().find(|row| row["check"] == "engine").unwrap().clone()
}

#[test]
fn an_engine_behind_tls_is_driven_with_the_certificates_of_docker_cert_path() {
    if !has_openssl() {
        return;
    }
    let Some(mut engine) = PrivateEngine::start(false) else { return };
    let Some(mut host) = Host::new() else { return };
    let (one, two) = (host.image("1.0", &[], &[]), host.image("1.1", &[], &[]));
    let (ours, theirs) = (host.root().join("ours"), host.root().join("theirs"));
    for authority in [&ours, &theirs] {
        std::fs::create_dir(authority).unwrap();
        certificates(authority);
    }
    engine.stop();
    engine.flags = ["--host=tcp://127.0.0.1:2376".to_owned(), "--tlsverify".to_owned()].to_vec();
    for (flag, file) in [("tlscacert", "ca.pem"), ("tlscert", "server.pem"), ("tlskey", "server-key.pem")] {
        engine.flags.push(format!("--{flag}={}", ours.join(file).display()));
    }
    engine.up();
    host.prefix = engine.prefix();
    host.docker_host = Some("tcp://127.0.0.1:2376".to_owned());
    set(&mut host, "DOCKER_TLS_VERIFY", "1");
    let good = client_folder(&host.root().join("good"), &ours, Some(&ours));
    set(&mut host, "DOCKER_CERT_PATH", &good.display().to_string());

    // Whoever trusts another authority, or is of another one, or says nothing, is told so and does nothing.
    host.write("web.toml", &plain("web", &one, ""));
    for (name, authority, client) in
        [("stranger", &theirs, Some(&*ours)), ("pretender", &ours, Some(&*theirs)), ("nobody", &ours, None)]
    {
        let folder = client_folder(&host.root().join(name), authority, client);
        set(&mut host, "DOCKER_CERT_PATH", &folder.display().to_string());
        let refused = host.evenkeel(&["apply"]).expect(1);
        assert!(refused.err.contains("tcp://127.0.0.1:2376"), "{name}: {}", refused.err);
        let finding = engine_finding(&host);
        assert_eq!(finding["level"], "fail", "{name}: {finding}");
        assert!(finding["fix"].as_str().unwrap().contains("DOCKER_CERT_PATH"), "{name}: {finding}");
    }
    assert!(host.containers().is_empty());

    set(&mut host, "DOCKER_CERT_PATH", &good.display().to_string());
    assert_eq!(engine_finding(&host)["level"], "ok");
    host.evenkeel(&["apply"]).expect(0);
    assert_eq!(host.serving("web").unwrap().image(), one);
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    host.write("web.toml", &plain("web", &two, ""));
    wait_for("the new one serves", || host.serving("web").filter(|seen| seen.image() == two));
    becomes(&host, "web", "ready");
    // Events come this way, too: nobody looks again within this time by himself.
    let before = host.serving("web").unwrap();
    docker(&["kill", &before.id]);
    wait_for("it is back", || host.serving("web").filter(|seen| seen.started_at() > before.started_at()));
}

#[test]
fn an_engine_behind_plain_tcp_is_driven_like_one_behind_a_socket() {
    let Some(mut engine) = PrivateEngine::start(false) else { return };
    let Some(mut host) = Host::new() else { return };
    let image = host.image("1.0", &[], &[]);
    engine.stop();
    engine.flags = vec!["--host=tcp://127.0.0.1:2375".to_owned(), "--tls=false".to_owned()];
    engine.up();
    host.prefix = engine.prefix();
    host.docker_host = Some("tcp://127.0.0.1:2375".to_owned());
    host.write("web.toml", &plain("web", &image, ""));
    host.evenkeel(&["plan", "--detailed-exitcode"]).expect(2);
    host.evenkeel(&["apply"]).expect(0);
    assert_eq!(host.serving("web").unwrap().image(), image);
    let _daemon = host.run();
    becomes(&host, "web", "ready");
    // The flag says the same, and stands above the environment.
    host.docker_host = Some("tcp://127.0.0.1:1".to_owned());
    host.evenkeel(&["plan", "--docker-host", "tcp://127.0.0.1:2375"]).expect(0);
    host.evenkeel(&["plan"]).expect(1);
}
