//! Answers of several engines, and what they are taken for.

use super::*;

/// An inspect answer of a container of ours, with parts replaced.
fn inspected(patch: &Value) -> ObservedContainer {
    let labels = labels::of_container(&BTreeMap::new(), &plain().labels);
    let mut answer = json!({
        "Id": "5f".repeat(32), "Name": "/shop-web-2", "Created": "2026-11-22T05:33:02.5Z", "Image": image_id("a").0,
        "RestartCount": 2,
        "State": {"Status": "running", "Running": true, "StartedAt": "2026-11-22T05:33:03.000000001Z",
            "FinishedAt": "0001-01-01T00:00:00Z", "ExitCode": 0, "Error": "", "OOMKilled": false, "Dead": false},
        "Config": {"Labels": labels, "StopTimeout": 5, "Tty": false, "Env": ["SECRET=x"]},
        "HostConfig": {"NetworkMode": "1a", "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}},
        "NetworkSettings": {"Networks": {"shop_a": {"NetworkID": "1a", "Aliases": ["web", "5f5f5f5f5f5f"]}}},
        "Mounts": [{"Type": "volume", "Name": "v1", "Destination": "/data"}, {"Type": "bind", "Source": "/x", "Destination": "/x"}],
    });
    merge(&mut answer, patch);
    let answer: answers::Container = serde_json::from_value(answer).unwrap();
    observed::container(&answer, "host-1").unwrap()
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

#[test]
fn an_inspected_container_is_read_whole() {
    let found = inspected(&json!({}));
    assert_eq!((found.id.short(), found.name.as_str()), ("5f5f5f5f5f5f", "shop-web-2"));
    assert_eq!(
        (found.status, found.restart_count, found.stop_timeout),
        (ContainerStatus::Running, 2, Some(5))
    );
    assert_eq!(found.started_at, Some(EngineStamp(1_795_325_583_000_000_001)));
    assert_eq!((found.finished_at, found.created_at), (None, EngineStamp(1_795_325_582_500_000_000)));
    assert_eq!(found.networks["shop_a"].aliases, BTreeSet::from(["web".to_owned()]), "without the short id");
    assert_eq!(found.network_mode, "shop_a");
    assert_eq!(found.volumes, pairs(&[("/data", "v1")]));
    assert_eq!(
        (found.resources, found.restart, found.health),
        (Resources::default(), RestartPolicy::No, Health::None)
    );
}

#[test]
fn states_of_every_engine_have_one_meaning() {
    use ContainerStatus::{Created, Dead, Exited, Paused, Removing, Restarting, Running};
    for (state, expected) in [
        (json!({"Status": "created", "Running": false}), Created),
        (json!({"Status": "restarting", "Running": true, "Restarting": true}), Restarting),
        (json!({"Status": "paused", "Running": true, "Paused": true}), Paused),
        (json!({"Status": "exited", "Running": false}), Exited),
        (json!({"Status": "removing", "Running": false}), Removing),
        (json!({"Status": "dead", "Running": false, "Dead": true}), Dead),
        (json!({"Status": "exited", "Running": false, "Dead": true}), Dead),
        (json!({"Status": "stopped", "Running": false}), Exited),
        (json!({"Status": "configured", "Running": false}), Created),
        (json!({"Status": "stopping", "Running": true}), Running),
        (json!({"Status": "hibernating", "Running": true}), Running),
        (json!({"Status": "hibernating", "Running": false}), Exited),
        (json!({"Status": null, "Running": true, "Paused": true}), Paused),
    ] {
        assert_eq!(inspected(&json!({"State": state})).status, expected, "{state}");
    }
}

#[test]
fn health_is_read_with_the_last_words_of_the_check() {
    let log = json!([{"ExitCode": 0, "Output": "first"}, {"ExitCode": 1, "Output": "connection refused\n"}]);
    for (word, expected) in [
        ("starting", Health::Starting),
        ("healthy", Health::Healthy),
        ("unhealthy", Health::Unhealthy),
        ("none", Health::None),
        ("", Health::None),
    ] {
        let found = inspected(&json!({"State": {"Health": {"Status": word, "Log": log}}}));
        assert_eq!((found.health, found.health_log.as_str()), (expected, "connection refused"), "{word}");
    }
    let long = json!({"State": {"Health": {"Status": "healthy", "Log": [{"Output": "ä".repeat(3000)}]}}});
    assert!(inspected(&long).health_log.len() <= 2048);
    assert_eq!(inspected(&json!({"State": {"Health": {"Status": "healthy", "Log": null}}})).health_log, "");
}

#[test]
fn limits_are_read_without_the_engines_own_additions() {
    let none = Resources::default();
    let mib = |count: u64| count << 20;
    for (host, expected) in [
        (json!({}), none.clone()),
        (
            json!({"Memory": 0, "MemorySwap": 0, "NanoCpus": 0, "CpuShares": 0, "CpusetCpus": "", "PidsLimit": null}),
            none.clone(),
        ),
        (json!({"PidsLimit": 0}), none.clone()),
        (json!({"PidsLimit": -1, "CpuQuota": -1, "MemoryReservation": -1}), none.clone()),
        (
            json!({"Memory": mib(64), "MemorySwap": mib(128)}),
            Resources { memory: Some(mib(64)), ..none.clone() },
        ),
        (
            json!({"Memory": mib(64), "MemorySwap": mib(128) + 1}),
            Resources { memory: Some(mib(64)), memory_swap: Some(128 << 20), ..none.clone() },
        ),
        (
            json!({"Memory": mib(64), "MemorySwap": -1}),
            Resources { memory: Some(mib(64)), memory_swap: Some(-1), ..none.clone() },
        ),
        (json!({"MemorySwap": -1}), Resources { memory_swap: Some(-1), ..none.clone() }),
        (json!({"Memory": 1u64 << 60, "MemorySwap": 1u64 << 61}), none.clone()),
        (json!({"NanoCpus": 1_999_999_999}), none.clone()),
        (json!({"NanoCpus": 2_000_000_000}), Resources { nano_cpus: Some(2_000_000_000), ..none.clone() }),
        (json!({"CpuShares": 1023}), none.clone()),
        (json!({"CpuShares": 1024}), Resources { cpu_shares: Some(1024), ..none.clone() }),
        (json!({"CpuPeriod": 100_001}), none.clone()),
        (json!({"CpusetCpus": "0-3,0"}), none.clone()),
        (json!({"CpusetCpus": "0,0"}), none.clone()),
        (json!({"CpusetCpus": "0-3"}), Resources { cpuset: Some("0-3".to_owned()), ..none.clone() }),
    ] {
        assert_eq!(inspected(&json!({ "HostConfig": host })).resources, expected, "{host}");
    }
}

#[test]
fn an_update_sends_what_differs_and_takes_limits_off_by_raising_them() {
    let none = Resources::default();
    let some = Resources {
        memory: Some(64 << 20),
        nano_cpus: Some(500_000_000),
        cpu_shares: Some(9),
        cpuset: Some("0".to_owned()),
        pids: Some(5),
        ..none.clone()
    };
    let sent = |wanted: &Resources, current: &Resources| {
        serde_json::to_value(resources::update(wanted, current, 4)).unwrap()
    };
    assert_eq!(sent(&some, &some), json!({}));
    assert_eq!(
        sent(&some, &none),
        json!({"Memory": 64 << 20, "MemorySwap": 128 << 20, "NanoCpus": 500_000_000, "CpuShares": 9, "CpusetCpus": "0", "PidsLimit": 5})
    );
    let lifted = sent(&none, &some);
    let host: answers::HostConfig = serde_json::from_value(lifted.clone()).unwrap();
    assert_eq!(resources::observed(&host), none, "{lifted}");
}

#[test]
fn restart_policies_are_read_by_their_words() {
    for (word, count, expected) in [
        ("", 0, RestartPolicy::No),
        ("no", 0, RestartPolicy::No),
        ("always", 0, RestartPolicy::Always),
        ("unless-stopped", 0, RestartPolicy::UnlessStopped),
        ("on-failure", 3, RestartPolicy::OnFailure { max_retries: 3 }),
        ("on-failure", -1, RestartPolicy::OnFailure { max_retries: 0 }),
        ("on-full-moon", 0, RestartPolicy::Always),
    ] {
        let host = json!({"RestartPolicy": {"Name": word, "MaximumRetryCount": count}});
        assert_eq!(inspected(&json!({ "HostConfig": host })).restart, expected, "{word}");
    }
}

#[test]
fn an_image_is_read_with_its_check_and_its_volumes() {
    for (check, expected) in [
        (json!(null), false),
        (json!({"Test": null}), false),
        (json!({"Test": ["NONE"]}), false),
        (json!({"Test": ["CMD", "x"]}), true),
    ] {
        let answer = json!({"Id": "sha256:00", "RepoTags": null, "RepoDigests": ["web@sha256:1"], "Size": 5,
            "Architecture": "arm64", "Variant": "v8", "Config": {"Healthcheck": check, "Volumes": {"/data": {}}}});
        let found = observed::image(serde_json::from_value(answer).unwrap());
        assert_eq!(found.has_healthcheck, expected, "{check}");
        assert_eq!((found.architecture.as_str(), found.size), ("arm64/v8", 5));
        assert_eq!(found.volumes, BTreeSet::from(["/data".to_owned()]));
        assert_eq!((found.tags, found.digests), (Vec::new(), texts(&["web@sha256:1"])));
    }
}

#[test]
fn tags_are_those_of_exactly_one_repository() {
    let images = json!([
        {"Id": "sha256:1", "RepoTags": ["evenkeel/shop-web:aaaa", "evenkeel/shop-web2:bbbb", "web:1"]},
        {"Id": "sha256:2", "RepoTags": ["evenkeel/shop-web:cccc"]},
        {"Id": "sha256:3", "RepoTags": null},
    ]);
    let found = observed::tags_of("evenkeel/shop-web", serde_json::from_value(images).unwrap());
    let expected = [("aaaa", "sha256:1"), ("cccc", "sha256:2")];
    assert_eq!(found, expected.map(|(tag, id)| (tag.to_owned(), ImageId(id.to_owned()))).into());
}

#[test]
fn a_row_of_the_list_leads_with_its_own_name_and_its_published_ports() {
    let row = json!({"Id": "a", "Names": ["/other/alias", "/web"], "State": "running", "ImageID": "sha256:1",
        "Labels": {"x": "y"}, "Ports": [{"PrivatePort": 80, "Type": "tcp"}, {"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}]});
    let found = observed::summary(serde_json::from_value(row).unwrap());
    assert_eq!(found.names, ["web", "other/alias"]);
    assert_eq!(found.host_ports, BTreeSet::from([(8080, "tcp".to_owned())]));
    assert_eq!((found.status, found.labels), (ContainerStatus::Running, pairs(&[("x", "y")])));
}
