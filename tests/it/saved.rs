//! Saved plans hold as long as nothing they were made from has moved, and say what has.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel::controller::preview::PlanReport;
use evenkeel::controller::records::Records;
use evenkeel::controller::saved::{Basis, SavedPlan, Subject, basis};
use evenkeel::desired::ident::ServiceId;
use evenkeel::engine::sim::made_up;
use evenkeel::state::record::{Hold, Record};
use evenkeel::state::time::Timestamp;

use crate::rig::{OWNER, Rig, id, loaded, shop};

const OLD: &str = "\
[services.web]
image = 'web:1'
environment = { PASSWORD = 'hunter2' }
networks = ['front']
volumes = ['data:/data']
[services.db]
image = 'db:1'
[networks.front]
[volumes.data]
";

fn new() -> String {
    OLD.replace("web:1", "web:2").replace("hunter2", "hunter2-new")
}

async fn records(rig: &Rig) -> BTreeMap<ServiceId, Record> {
    let mut records = BTreeMap::new();
    for id in rig.records.services().await.unwrap() {
        records.insert(id.clone(), rig.records.load(&id).await.unwrap());
    }
    records
}

async fn looked(rig: &Rig, file: &str) -> (Basis, PlanReport) {
    let desired = loaded(&shop(file));
    let found = basis(&rig.sim, OWNER, &desired, &records(rig).await, &BTreeSet::new()).await.unwrap();
    (found, rig.plan(file).await)
}

fn subject<'a>(host: &'a str, desired: &'a str, only: &'a BTreeSet<ServiceId>) -> Subject<'a> {
    Subject { host, instance: OWNER, desired, only, at: Timestamp(0) }
}

/// A plan for `new()` on a host that runs `OLD`, as it comes back from its file.
async fn saved(rig: &Rig) -> SavedPlan {
    rig.apply(OLD).await;
    let (basis, report) = looked(rig, &new()).await;
    let plan = SavedPlan::new(&subject("box", "digest", &BTreeSet::new()), basis, report);
    let text = serde_json::to_string_pretty(&plan).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    SavedPlan::parse(&text).unwrap()
}

async fn objections(rig: &Rig, plan: &SavedPlan, file: &str, digest: &str) -> Vec<String> {
    let (basis, report) = looked(rig, file).await;
    plan.objections(&subject("box", digest, &BTreeSet::new()), &basis, &report)
}

#[tokio::test(start_paused = true)]
async fn where_nothing_moved_it_holds() {
    let rig = Rig::new();
    let plan = saved(&rig).await;
    assert!(plan.report.pending());
    assert_eq!(objections(&rig, &plan, &new(), "digest").await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn it_says_that_the_files_are_others_or_the_host_is() {
    let rig = Rig::new();
    let plan = saved(&rig).await;
    let told = objections(&rig, &plan, &new(), "another digest").await;
    assert_eq!(told, ["the files are not the ones that it was made from"]);
    let (basis, report) = looked(&rig, &new()).await;
    let told = plan.objections(&subject("other", "digest", &BTreeSet::new()), &basis, &report);
    assert_eq!(told, ["it was made for instance test on host box, and this is test on other"]);
}

type Act = fn(&mut evenkeel::engine::sim::Host);

#[tokio::test(start_paused = true)]
async fn whatever_moves_on_the_host_is_named() {
    let acts: [(Act, &str); 5] = [
        (
            |host| {
                let id = host.named("shop-web-1").unwrap().id.clone();
                host.docker_kill(&id)
            },
            "shop/web: container shop-web-1 was running, and is exited",
        ),
        (
            |host| {
                let id = host.named("shop-db-1").unwrap().id.clone();
                host.docker_rm_f(&id)
            },
            "shop/db: container shop-db-1 is gone",
        ),
        (
            |host| {
                host.load_image(made_up("web:2"));
            },
            "web:2 was not on the host, and is now",
        ),
        (
            |host| {
                let mut other = made_up("other:9");
                other.tags = vec!["db:1".to_owned()];
                host.load_image(other);
            },
            "db:1 is another image now: ",
        ),
        (
            |host| {
                host.foreign_network("shop_front");
            },
            "network shop_front was made, removed or made anew",
        ),
    ];
    for (act, expected) in acts {
        let rig = Rig::new();
        let plan = saved(&rig).await;
        rig.sim.with(act);
        let told = objections(&rig, &plan, &new(), "digest").await;
        assert!(told.len() == 1 && told[0].starts_with(expected), "{expected}: {told:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_counts_too() {
    let rig = Rig::new();
    let plan = saved(&rig).await;
    let mut record = rig.records.load(&id("web")).await.unwrap();
    record.hold = Some(Hold {
        revision: None,
        until_wish_changes: None,
        expires: None,
        reason: "black friday".to_owned(),
        since: Timestamp(0),
    });
    rig.records.save(&id("web"), &record, &[]).await.unwrap();
    assert_eq!(objections(&rig, &plan, &new(), "digest").await, ["shop/web is held now"]);
    // Carried out once, it does not hold a second time.
    let rig = Rig::new();
    let plan = saved(&rig).await;
    rig.apply(&new()).await;
    let told = objections(&rig, &plan, &new(), "digest").await;
    assert!(told.iter().any(|text| text.contains("another revision was tried")), "{told:#?}");
    assert!(told.iter().any(|text| text.contains("shop-web-1 is another one now")), "{told:#?}");
}

#[tokio::test(start_paused = true)]
async fn other_steps_are_an_objection_even_when_nothing_else_is() {
    let rig = Rig::new();
    let mut plan = saved(&rig).await;
    for service in &mut plan.report.services {
        service.steps.retain(|step| !step.step.starts_with("pull"));
    }
    let told = objections(&rig, &plan, &new(), "digest").await;
    assert!(told.len() == 1 && told[0].starts_with("shop/web: the plan was `"), "{told:#?}");
}

#[test]
fn another_file_and_another_version_are_refused_in_so_many_words() {
    let refused = |text: &str| SavedPlan::parse(text).unwrap_err().to_string();
    for text in
        ["", "{}", "{\"kind\": \"evenkeel observation\"}", "{\"kind\": \"evenkeel plan\", \"version\": 1}"]
    {
        assert!(refused(text).contains("evenkeel plan -o FILE"), "{text}: {}", refused(text));
    }
    let told = refused("{\"kind\": \"evenkeel plan\", \"version\": 2}");
    assert!(told.contains("form 2") && told.contains("make it anew"), "{told}");
}
