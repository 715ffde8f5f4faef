//! The golden list of series, compared both ways with what is exported (invariant I15).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use evenkeel::desired::hooks::HookPoint;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::snapshot::Commit;
use evenkeel::desired::work::WorkId;
use evenkeel::desired::work::answers::Asker;
use evenkeel::metrics::images::ImageRow;
use evenkeel::metrics::{
    LoadGauges, Metrics, PassResult, RolloutResult, ServiceGauges, Serving, SyncOutcome,
};
use evenkeel::state::condition::ConditionKind;
use evenkeel::state::images::UpdateKind;
use evenkeel::state::jobs::JobRecord;
use evenkeel::state::plan::Failure;
use evenkeel::state::space::Space;
use evenkeel::state::time::Timestamp;

fn web() -> ServiceId {
    ServiceId::new("shop", "web").unwrap()
}

static OUTSIDE: std::collections::BTreeSet<evenkeel::desired::spec::DriftGroup> =
    std::collections::BTreeSet::new();

fn ready<'a>(revision: &'a str, image: &'a str) -> ServiceGauges<'a> {
    ServiceGauges {
        condition: ConditionKind::Ready,
        desired: 2,
        running: 2,
        ready: 1,
        revision: Some(Serving { revision, image, source: "shop/web.toml:3", commit: None }),
        drift: false,
        rejected: false,
        held: true,
        probes_failing: Some(1),
        outside: &OUTSIDE,
        adopted: 1,
    }
}

/// Every method once.
fn used() -> Metrics {
    let metrics = Metrics::new().unwrap();
    metrics.reconciled(PassResult::Acted, Duration::from_millis(40));
    metrics.queue(3, Some(Duration::from_secs(2)));
    metrics.queue_retry();
    metrics.service(&web(), &ready("aaaaaaaa", "nginx:1"));
    metrics.rolled_back(&web());
    metrics.restarted(&web(), 2);
    let built = Asker::Service(web());
    metrics.built(&built, "built", Duration::from_secs(3), Timestamp(1_500));
    metrics.hook_ended(&web(), HookPoint::PreStart, false);
    metrics.probed(&web(), "http", false, Duration::from_millis(2));
    metrics.downtime(&web(), Duration::from_millis(1500));
    metrics.rollout("stop-first", RolloutResult::Committed, Duration::from_secs(12));
    metrics.engine_request("inspect", Ok(()), Duration::from_millis(3));
    metrics.engine_request("create", Err(Failure::PortBusy), Duration::from_millis(3));
    metrics.engine_up(true);
    metrics.engine_event();
    metrics.engine_reconnected();
    metrics.desired_loaded(LoadGauges {
        errors: 1,
        broken_files: 1,
        services: 4,
        secrets_unavailable: 3,
        at: Timestamp(1_500),
    });
    metrics.desired_unreadable();
    metrics.desired_readable(true);
    metrics.pulled(Err(Failure::Registry), Duration::from_secs(1));
    metrics.guard_refused(2);
    metrics.store_writable(true);
    metrics.watch_event();
    metrics.disk_space(Space { free: 10, total: 20 }, true);
    metrics.pruned("image", 2);
    let docs = WorkId::new("shop", "docs").unwrap();
    metrics.artifact(&docs, Some("0123456789ab"), Some(Timestamp(1_500)), "ready");
    metrics.artifact_swapped(&docs, "switched");
    let commit =
        Commit { id: "1a2b3c4d".to_owned(), author: "Ada".to_owned(), subject: "Use 1.28".to_owned(), at: 0 };
    metrics.synced(&SyncOutcome {
        source: "infra",
        result: "unverified",
        took: Duration::from_millis(80),
        well: true,
        unverified: true,
        commit: Some(&commit),
        at: Timestamp(2_500),
    });
    metrics.webhook("github", "accepted");
    metrics.notified(&evenkeel::desired::work::WorkId::new("shop", "ops").unwrap(), "delivered");
    metrics.job(&WorkId::new("shop", "nightly").unwrap(), &JobRecord::default());
    metrics.registry_asked("ghcr.io", "limited");
    metrics.written_back("infra", "pushed");
    metrics.images_followed(&[followed("shop/web", Some(UpdateKind::Minor))]);
    metrics
}

fn followed(service: &str, update: Option<UpdateKind>) -> ImageRow {
    ImageRow {
        service: service.to_owned(),
        kind: "service".to_owned(),
        update,
        looked: Some(Timestamp(3_500)),
        trouble: Some("it is down".to_owned()),
        ..ImageRow::default()
    }
}

#[test]
fn an_update_is_shown_by_its_kind_and_goes_with_whoever_followed() {
    let metrics = used();
    let update =
        |kind: &str| format!("evenkeel_image_update_available{{kind=\"{kind}\",service=\"shop/web\"}}");
    let text = metrics.render().unwrap();
    assert_eq!(value(&text, &update("minor")), Some(1.0));
    assert_eq!(value(&text, "evenkeel_image_check_failing{service=\"shop/web\"}"), Some(1.0));
    let looked = "evenkeel_image_check_last_success_timestamp_seconds{service=\"shop/web\"}";
    assert_eq!(value(&text, looked), Some(3.5));
    metrics.images_followed(&[followed("shop/web", Some(UpdateKind::Major)), followed("shop/db", None)]);
    let text = metrics.render().unwrap();
    assert_eq!((value(&text, &update("minor")), value(&text, &update("major"))), (None, Some(1.0)));
    metrics.images_followed(&[followed("shop/db", None)]);
    let text = metrics.render().unwrap();
    assert_eq!((value(&text, &update("major")), value(&text, looked)), (None, None));
}

fn value(text: &str, series: &str) -> Option<f64> {
    let line =
        text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// `name type {labels} help`, one line per family, as `metrics/exposition.txt` has it.
fn families(text: &str) -> BTreeSet<String> {
    let mut help = BTreeMap::new();
    let mut kind = BTreeMap::new();
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').unwrap();
            help.insert(name.to_owned(), words.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, word) = rest.split_once(' ').unwrap();
            kind.insert(name.to_owned(), word.to_owned());
        } else {
            let end = line.find(['{', ' ']).unwrap();
            let sample = &line[..end];
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| sample.strip_suffix(suffix))
                .find(|base| kind.get(*base).is_some_and(|word| word == "histogram"))
                .unwrap_or(sample);
            let found = labels.entry(name.to_owned()).or_default();
            if let Some(inner) = line[end..].strip_prefix('{') {
                let inner = &inner[..inner.rfind('}').unwrap()];
                found.extend(
                    inner
                        .split("\",")
                        .map(|pair| pair.split_once('=').unwrap().0.to_owned())
                        .filter(|label| label != "le"),
                );
            }
        }
    }
    kind.iter()
        .map(|(name, kind)| {
            let labels: Vec<&str> = labels[name].iter().map(String::as_str).collect();
            format!("{name} {kind} {{{}}} {}", labels.join(","), help[name])
        })
        .collect()
}

#[test]
fn every_series_exported_is_in_the_golden_list_and_the_other_way_round() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("metrics/exposition.txt");
    let exported = families(&used().render().unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    let golden: BTreeSet<String> =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
    let missing: Vec<_> = golden.difference(&exported).collect();
    let unlisted: Vec<_> = exported.difference(&golden).collect();
    assert!(
        missing.is_empty() && unlisted.is_empty(),
        "metrics/exposition.txt and what is exported differ\nlisted, not exported: {missing:#?}\nexported, not listed: {unlisted:#?}"
    );
}

#[test]
fn every_series_is_explained_in_the_documentation() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_to_string(root.join("docs/metrics.md")).unwrap();
    let golden = std::fs::read_to_string(root.join("metrics/exposition.txt")).unwrap();
    let names = golden.lines().filter(|line| line.starts_with("evenkeel_"));
    assert!(names.clone().count() > 20, "the golden list is not there");
    let silent: Vec<&str> = names
        .map(|line| line.split(' ').next().unwrap())
        .filter(|name| !docs.contains(&format!("`{name}`")))
        .collect();
    assert!(silent.is_empty(), "docs/metrics.md does not explain {silent:?}");
}

#[test]
fn names_follow_the_conventions() {
    for line in families(&used().render().unwrap()) {
        let mut words = line.split(' ');
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        assert!(name.starts_with("evenkeel_") || name.starts_with("process_"), "{line}");
        assert_eq!(
            kind == "counter",
            name.ends_with("_total"),
            "counters, and only they, end in _total: {line}"
        );
        assert!(!name.contains("_ms") && !name.contains("milli"), "base units only: {line}");
        assert!(line.ends_with('.'), "help is a sentence: {line}");
    }
}

#[test]
fn exactly_one_condition_is_one() {
    let metrics = used();
    metrics
        .service(&web(), &ServiceGauges { condition: ConditionKind::Frozen, ..ready("aaaaaaaa", "nginx:1") });
    let text = metrics.render().unwrap();
    for kind in ConditionKind::ALL {
        let series = format!(
            "evenkeel_service_condition{{condition=\"{}\",project=\"shop\",service=\"web\"}}",
            kind.as_str()
        );
        let expected = f64::from(u8::from(kind == ConditionKind::Frozen));
        assert_eq!(value(&text, &series), Some(expected), "{series}");
    }
}

#[test]
fn a_new_revision_replaces_the_series_of_the_old_one() {
    let metrics = used();
    metrics.service(&web(), &ready("bbbbbbbb", "nginx:2"));
    let text = metrics.render().unwrap();
    assert!(!text.contains("aaaaaaaa"), "the old revision is still exported");
    assert!(text.contains("revision=\"bbbbbbbb\""));
    metrics.service(&web(), &ServiceGauges { revision: None, ..ready("", "") });
    assert!(!metrics.render().unwrap().contains("evenkeel_service_revision_info"));
}

#[test]
fn what_serves_is_traced_to_its_line_and_its_commit() {
    let metrics = used();
    let commit = |id: &str| Commit {
        id: id.to_owned(),
        author: "Ada".to_owned(),
        subject: "Use 1.28".to_owned(),
        at: 0,
    };
    let (one, other) = (commit("1a2b3c4d"), commit("5e6f7a8b"));
    let at = |source, commit| ServiceGauges {
        revision: Some(Serving { revision: "aaaaaaaa", image: "nginx:1", source, commit: Some(commit) }),
        ..ready("", "")
    };
    metrics.service(&web(), &at("shop/web.toml:3", &one));
    let series = |line: u32, id: &str| {
        format!(
            "evenkeel_service_revision_info{{author=\"Ada\",commit=\"{id}\",image=\"nginx:1\",project=\"shop\",revision=\"aaaaaaaa\",\
             service=\"web\",source=\"shop/web.toml:{line}\",subject=\"Use 1.28\"}}"
        )
    };
    assert_eq!(value(&metrics.render().unwrap(), &series(3, "1a2b3c4d")), Some(1.0));
    // The same revision, a line further down by another commit: one series, not two.
    metrics.service(&web(), &at("shop/web.toml:4", &other));
    let text = metrics.render().unwrap();
    assert_eq!(value(&text, &series(4, "5e6f7a8b")), Some(1.0));
    assert_eq!(text.matches("evenkeel_service_revision_info{").count(), 1, "{text}");
}

#[test]
fn a_service_that_is_gone_leaves_no_series() {
    let metrics = used();
    metrics.forget(&web());
    let text = metrics.render().unwrap();
    let left: Vec<&str> = text.lines().filter(|line| line.contains("service=\"web\"")).collect();
    assert!(left.is_empty(), "{left:?}");
    metrics.forget(&web());
}

#[test]
fn counters_of_a_service_exist_at_zero_from_its_first_sight() {
    let metrics = Metrics::new().unwrap();
    metrics.service(&web(), &ready("aaaaaaaa", "nginx:1"));
    let text = metrics.render().unwrap();
    for name in
        ["evenkeel_rollbacks_total", "evenkeel_service_restarts_total", "evenkeel_downtime_seconds_total"]
    {
        assert_eq!(value(&text, &format!("{name}{{project=\"shop\",service=\"web\"}}")), Some(0.0), "{name}");
    }
}

#[test]
fn what_is_told_is_what_is_exported() {
    let text = used().render().unwrap();
    let expected = [
        ("evenkeel_queue_depth", 3.0),
        ("evenkeel_queue_retries_total", 1.0),
        ("evenkeel_reconcile_total{result=\"acted\"}", 1.0),
        ("evenkeel_reconcile_total{result=\"failed\"}", 0.0),
        ("evenkeel_service_replicas_desired{project=\"shop\",service=\"web\"}", 2.0),
        ("evenkeel_service_replicas_ready{project=\"shop\",service=\"web\"}", 1.0),
        ("evenkeel_service_held{project=\"shop\",service=\"web\"}", 1.0),
        ("evenkeel_service_restarts_total{project=\"shop\",service=\"web\"}", 2.0),
        ("evenkeel_downtime_seconds_total{project=\"shop\",service=\"web\"}", 1.5),
        ("evenkeel_engine_requests_total{operation=\"create\",result=\"port-busy\"}", 1.0),
        ("evenkeel_engine_requests_total{operation=\"inspect\",result=\"ok\"}", 1.0),
        ("evenkeel_engine_up", 1.0),
        ("evenkeel_desired_broken_files", 1.0),
        ("evenkeel_secrets_unavailable", 3.0),
        ("evenkeel_desired_last_load_timestamp_seconds", 1.5),
        ("evenkeel_desired_loads_total{result=\"broken\"}", 1.0),
        ("evenkeel_desired_loads_total{result=\"unreadable\"}", 1.0),
        ("evenkeel_image_pulls_total{result=\"registry\"}", 1.0),
        ("evenkeel_guard_refused", 2.0),
        ("evenkeel_store_writable", 1.0),
    ];
    for (series, wanted) in expected {
        assert_eq!(value(&text, series), Some(wanted), "{series}\n{text}");
    }
    let oldest = value(&text, "evenkeel_queue_oldest_seconds").unwrap();
    assert!(oldest >= 2.0, "the age goes on while nobody tells a new one: {oldest}");
}

#[test]
fn alert_rules_name_only_series_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = std::fs::read_to_string(root.join("metrics/alerts.yml")).unwrap();
    let golden = std::fs::read_to_string(root.join("metrics/exposition.txt")).unwrap();
    let mut seen = 0;
    for line in rules.lines().filter(|line| line.trim_start().starts_with("expr:")) {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("evenkeel_")) {
            seen += 1;
            assert!(
                golden.lines().any(|known| known.starts_with(&format!("{name} "))),
                "{name} is not exported"
            );
        }
    }
    assert!(seen >= 8, "no rules found");
}
