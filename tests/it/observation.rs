//! `observe` and `plan --observed`: the plan that the host itself would make, and nothing secret on the way.

use std::collections::BTreeMap;

use evenkeel::controller::observation::{Observation, Observer, observe};
use evenkeel::controller::preview::{PlanReport, ServiceAction};
use evenkeel::controller::records::Records;
use evenkeel::engine::sim::{Behaviour, Foreign, made_up};
use evenkeel::state::decide::Limits;
use evenkeel::state::diff::FieldDifference;

use crate::rig::{OWNER, Rig, loaded, shop};

/// Everything here that must not be in an observation has this in it.
const SECRET: &str = "hunter2";

const SHOP: &str = "\
[services.web]
image = 'web:1'
ports = ['8080:80']
command = ['serve', '--token', 'hunter2-command']
entrypoint = ['/bin/hunter2-entrypoint']
environment = { PASSWORD = 'hunter2-environment', MODE = 'hunter2-mode' }
labels = { auth = 'hunter2-label', 'traefik.enable' = true }
healthcheck = { test = ['CMD', 'check', 'hunter2-check'] }
logging = { driver = 'splunk', options = { splunk-token = 'hunter2-log' } }
depends_on = ['db']
networks = ['front']
volumes = ['data:/data', './files:/files']

[services.db]
image = 'db:1'

[networks.front]
labels = { note = 'hunter2-network' }
[volumes.data]
labels = { note = 'hunter2-volume' }
";

async fn saved(rig: &Rig) -> String {
    let mut records = BTreeMap::new();
    for id in rig.records.services().await.unwrap() {
        records.insert(id.clone(), rig.records.load(&id).await.unwrap());
    }
    let observer = Observer {
        engine: &rig.sim,
        instance: OWNER,
        host: rig.name,
        root: "/desired",
        home: None,
        timezone: None,
        state: "/var/lib/evenkeel",
        repositories: Vec::new(),
        provided: "/run/evenkeel/test/secrets",
        contents: BTreeMap::new(),
        limits: Limits::default(),
        records,
        images: BTreeMap::new(),
        session: rig.records.session().await.unwrap(),
        salt: "salt".to_owned(),
    };
    serde_json::to_string_pretty(&observe(observer).await.unwrap()).unwrap()
}

async fn plan_against(text: &str, file: &str) -> PlanReport {
    let observation = Observation::parse(text).unwrap();
    observation.plan(&loaded(&shop(file)), "", &Default::default()).await.unwrap().report
}

/// The report without what only the host itself can show: earlier values.
fn comparable(mut report: PlanReport) -> PlanReport {
    for plan in &mut report.services {
        plan.causes.clear();
        plan.steps.iter_mut().for_each(|step| step.cause.clear());
        for FieldDifference { old, .. } in &mut plan.differences {
            old.take();
        }
    }
    report
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_in_an_observation() {
    let rig = Rig::new();
    rig.script("web:2", Behaviour::exits(100, 3));
    rig.apply(SHOP).await;
    // A second revision that failed leaves evidence and causes behind.
    let other = SHOP.replace("web:1", "web:2").replace("hunter2-environment", "hunter2-another");
    rig.apply(&other.replace("hunter2-label", "hunter2-other-label")).await;
    rig.sim.with(|host| {
        let foreign = Foreign {
            name: "other".to_owned(),
            image: "other:1".to_owned(),
            labels: BTreeMap::from([("compose.env".to_owned(), "hunter2-foreign".to_owned())]),
            ..Foreign::default()
        };
        host.foreign(foreign);
    });
    let text = saved(&rig).await;
    let at = text.find(SECRET).map(|at| text.get(at.saturating_sub(200)..at + 60));
    assert_eq!(at, None, "a secret is in the observation");
    assert!(text.contains("shop-web-1") && text.contains("\"other\""), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_plan_against_an_observation_is_the_one_of_the_host() {
    type Change<'a> = (&'a str, &'a dyn Fn(&str) -> String);
    let changes: [Change<'_>; 9] = [
        ("nothing", &|text| text.to_owned()),
        ("an image", &|text| text.replace("web:1", "web:2")),
        ("an image that is there", &|text| text.replace("web:1", "here:1")),
        ("a value of a variable", &|text| text.replace("hunter2-mode", "loud")),
        ("a label and a word", &|text| text.replace("hunter2-label", "x").replace("--token", "--tokens")),
        ("one more", &|text| text.replace("[services.db]", "[services.db]\nscale = 3")),
        ("a service that leaves", &|text| {
            text.replace("depends_on = ['db']\n", "").replace("[services.db]\nimage = 'db:1'\n", "")
        }),
        ("an external network", &|text| {
            text.replace("[networks.front]\n", "[networks.front]\nexternal = true\nname = 'proxy'\n")
                .replace("labels = { note = 'hunter2-network' }\n", "")
        }),
        ("a network that is made anew", &|text| {
            text.replace("[networks.front]\n", "[networks.front]\ninternal = true\n")
        }),
    ];
    let rig = Rig::new();
    rig.apply(SHOP).await;
    rig.sim.with(|host| {
        host.load_image(made_up("here:1"));
        host.foreign_network("proxy");
    });
    let text = saved(&rig).await;
    for (what, change) in changes {
        let file = change(SHOP);
        let (own, remote) = (rig.plan(&file).await, plan_against(&text, &file).await);
        assert_eq!(comparable(remote.clone()), comparable(own.clone()), "{what}");
        let printed = serde_json::to_string(&remote).unwrap();
        assert!(!printed.contains("evenkeel-sealed"), "{what}: {printed}");
        if what == "nothing" {
            assert!(
                !remote.pending() && remote.services.iter().all(|plan| plan.action == ServiceAction::None)
            );
            assert_eq!(remote, own, "to the last word");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_rejected_or_held_is_so_in_the_plan_elsewhere_too() {
    let rig = Rig::new();
    rig.script("web:2", Behaviour::exits(100, 3));
    rig.apply(SHOP).await;
    let broken = SHOP.replace("web:1", "web:2");
    rig.apply(&broken).await;
    let (own, remote) = (rig.plan(&broken).await, plan_against(&saved(&rig).await, &broken).await);
    assert_eq!(comparable(remote.clone()), comparable(own));
    assert!(!remote.pending(), "a rejected revision is not tried again: {remote:#?}");
}

#[tokio::test(start_paused = true)]
async fn differences_name_the_variable_and_hide_both_values() {
    let rig = Rig::new();
    rig.apply(SHOP).await;
    let file = SHOP.replace("hunter2-mode", "hunter2-new").replace("hunter2-label", "new-label");
    let report = plan_against(&saved(&rig).await, &file).await;
    let web = report.services.iter().find(|plan| plan.service == "shop/web").unwrap();
    assert_eq!(web.action, ServiceAction::Replace);
    let differences: Vec<(&str, Option<&str>)> =
        web.differences.iter().map(|field| (field.path.as_str(), field.old.as_deref())).collect();
    assert_eq!(
        differences,
        [("environment.MODE", Some("another value")), ("labels.auth", Some("another value"))]
    );
    let new = web.differences[0].new.as_deref().unwrap();
    assert!(new.starts_with("sha256:"), "{new}");
    assert!(!serde_json::to_string(&report).unwrap().contains(SECRET));
}

#[tokio::test(start_paused = true)]
async fn the_same_text_looks_different_in_every_observation_and_at_every_place() {
    let rig = Rig::new();
    rig.apply("[services.web]\nimage = 'web:1'\nenvironment = { A = 'same', B = 'same' }\n").await;
    let sealed = |text: &str| -> Vec<String> {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let environment = &value["records"]["shop/web"]["revisions"][0]["spec"]["container"]["environment"];
        ["A", "B"].iter().map(|name| environment[name].as_str().unwrap().to_owned()).collect()
    };
    let one = saved(&rig).await;
    let values = sealed(&one);
    assert!(values.iter().all(|value| value.starts_with("evenkeel-sealed:")), "{values:?}");
    assert_ne!(values[0], values[1]);
}

#[test]
fn another_file_and_another_version_are_refused_in_so_many_words() {
    let refused = |text: &str| Observation::parse(text).unwrap_err().to_string();
    for text in
        ["", "{}", "[1]", "{\"kind\": \"something\"}", "{\"kind\": \"evenkeel observation\", \"version\": 1}"]
    {
        assert!(refused(text).contains("evenkeel observe > FILE"), "{text}: {}", refused(text));
    }
    for version in ["2", "0", "\"1\"", "null"] {
        let text = format!("{{\"kind\": \"evenkeel observation\", \"version\": {version}}}");
        let told = refused(&text);
        assert!(
            told.contains(&format!("form {version}, and this evenkeel")) && told.contains("make it anew"),
            "{told}"
        );
    }
    let none = refused("{\"kind\": \"evenkeel observation\"}");
    assert!(none.contains("form none"), "{none}");
}
