//! When something is done, and how often it is looked at: `window`, `paused_until` and `interval` of `[policy]`.

use evenkeel::controller::apply::ApplyOutcome;
use evenkeel::controller::preview::ServiceAction;
use evenkeel::desired::ident::ProjectName;
use evenkeel::desired::timing::{Opening, Window};
use evenkeel::desired::work::schedule::Schedule;
use evenkeel::engine::sim::Behaviour;
use evenkeel::metrics::api::{Api, Command};
use evenkeel::state::condition::ConditionKind;
use evenkeel::state::time::Timestamp;

use crate::rig::{Dated, Rig, id, loaded, shop, snapshot};

const WINDOW: &str = "[policy.window]\nschedule = '* 2-4 * * *'\ntimezone = 'UTC'\n";

fn web(image: &str) -> String {
    format!("{WINDOW}[services.web]\nimage = '{image}'\nrestart = 'always'\n")
}

fn at(moment: &str) -> Rig {
    let mut rig = Rig::new();
    rig.clock = Dated::from(moment);
    rig
}

fn moment(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// `open`, or until when it is closed.
fn told(schedule: &str, timezone: &str, now: &str) -> String {
    let window = Window {
        schedule: Schedule::parse(schedule).unwrap(),
        timezone: timezone.to_owned(),
        place: String::new(),
    };
    match window.at(moment(now).0) {
        Opening::Open => "open".to_owned(),
        Opening::At(opens) => Timestamp(opens).to_string(),
        Opening::Never => "never".to_owned(),
    }
}

#[test]
fn a_window_is_open_in_the_minutes_that_match() {
    let table = [
        ("* 2-4 * * mon-thu", "Etc/UTC", "2026-06-01T01:59:59.999Z", "2026-06-01T02:00:00Z"),
        ("* 2-4 * * mon-thu", "Etc/UTC", "2026-06-01T02:00:00Z", "open"),
        ("* 2-4 * * mon-thu", "Etc/UTC", "2026-06-01T04:59:59.999Z", "open"),
        ("* 2-4 * * mon-thu", "Etc/UTC", "2026-06-01T05:00:00Z", "2026-06-02T02:00:00Z"),
        // From Thursday over the weekend.
        ("* 2-4 * * mon-thu", "Etc/UTC", "2026-06-04T05:00:00Z", "2026-06-08T02:00:00Z"),
        // Two hours ahead of UTC in summer, one in winter.
        ("* 2-4 * * *", "Europe/Berlin", "2026-06-01T00:30:00Z", "open"),
        ("* 2-4 * * *", "Europe/Berlin", "2026-12-01T00:30:00Z", "2026-12-01T01:00:00Z"),
        // An hour that is skipped is not there that day; one that is wider begins with its next one.
        ("* 2 * * *", "Europe/Berlin", "2026-03-29T00:59:00Z", "2026-03-30T00:00:00Z"),
        ("* 2-4 * * *", "Europe/Berlin", "2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z"),
        // The hour that is there twice is open twice.
        ("* 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "open"),
        ("* 2 * * *", "Europe/Berlin", "2026-10-25T01:30:00Z", "open"),
        ("30 3 * * *", "UTC", "2026-06-01T03:30:40Z", "open"),
        ("30 3 * * *", "UTC", "2026-06-01T03:31:00Z", "2026-06-02T03:30:00Z"),
        ("* * 29 2 *", "UTC", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("@daily", "UTC", "2026-03-01T00:00:59Z", "open"),
        ("* * * * *", "UTC", "2026-03-01T00:00:59Z", "open"),
    ];
    let got: Vec<String> = table.iter().map(|(schedule, zone, now, _)| told(schedule, zone, now)).collect();
    let expected: Vec<&str> = table.iter().map(|row| row.3).collect();
    assert_eq!(got, expected);
}

#[test]
fn the_deepest_folder_that_has_a_window_or_an_interval_decides() {
    let fleet = "[hosts.box]\ntimezone = 'Europe/Berlin'\n[policy]\ninterval = '1m'\n[policy.window]\nschedule = '* 3 * * *'\n";
    let own = "[policy]\ninterval = '10s'\nwindow = { schedule = '* 5 * * *', timezone = 'UTC' }\n[services.a]\nimage = 'a'\n";
    let plain = "[services.a]\nimage = 'a'\n";
    let state = loaded(&snapshot(&[("fleet.toml", fleet), ("own/a.toml", own), ("plain/a.toml", plain)]));
    let shown = |name: &str| {
        let project = ProjectName::new(name).unwrap();
        let window = state.windows.of(&project, state.projects.contains(&project)).unwrap();
        (window.to_string(), state.intervals.projects.get(&project).copied())
    };
    let root = "`* 3 * * *` in Europe/Berlin (fleet.toml, policy.window)";
    assert_eq!(shown("own"), ("`* 5 * * *` in UTC (own/a.toml, policy.window)".to_owned(), Some(10_000)));
    assert_eq!(shown("plain"), (root.to_owned(), Some(60_000)));
    assert_eq!(shown("gone"), (root.to_owned(), None), "what no file has any more goes by the root's");
    assert_eq!(state.intervals.everywhere, Some(60_000));
}

#[test]
fn what_may_go_of_images_is_in_the_desired_state() {
    let state = loaded(&snapshot(&[(
        "fleet.toml",
        "[policy.prune]\nimages = { keep = 2, older_than = '72h' }\nvolumes = false\n",
    )]));
    let images = state.guard.images.unwrap();
    assert_eq!((images.keep, images.older_than_ms), (Some(2), Some(72 * 3_600_000)));
    assert_eq!(loaded(&snapshot(&[("fleet.toml", "")])).guard.images, None);
}

#[tokio::test(start_paused = true)]
async fn an_update_waits_for_its_window_and_is_rolled_out_when_it_opens() {
    let running = at("2026-06-01T01:30:00Z").with(&web("web:1")).await;
    // A first deployment does not wait.
    running.until_serves("web", "web:1").await;
    running.feed(shop(&web("web:2")));
    let row = running.until_condition("web", ConditionKind::AwaitingWindow).await;
    for part in
        ["web:2", "image web:1 -> web:2", "opens at 2026-06-01T02:00:00Z", "shop/all.toml, policy.window"]
    {
        assert!(row.condition.message.contains(part), "{part}: {}", row.condition.message);
    }
    // What serves is looked after meanwhile.
    running.sim(|host| {
        let web = host.named("shop-web-1").unwrap().id.clone();
        host.docker_rm_f(&web);
    });
    running.until("it is back", |_| running.rig.containers() == ["shop-web-1 web:1 running"]).await;
    running.until_condition("web", ConditionKind::AwaitingWindow).await;
    let why = running.handle.why(&id("web")).await.unwrap();
    assert!(why.awaiting.unwrap().window);
    running.until_serves("web", "web:2").await;
    let now = running.rig.clock.now().wall;
    assert!((moment("2026-06-01T02:00:00Z")..moment("2026-06-01T02:01:00Z")).contains(&now), "{now}");
}

#[tokio::test(start_paused = true)]
async fn what_fails_as_the_window_closes_is_put_back_at_once() {
    let rig = at("2026-06-01T04:59:45Z");
    // It fails in its gate, when the window is closed already.
    rig.script("web:2", Behaviour::exits(5_000, 1));
    let running = rig.with(&web("web:1")).await;
    running.until_serves("web", "web:1").await;
    running.feed(shop(&web("web:2")));
    running.until_condition("web", ConditionKind::RolledBack).await;
    assert!(running.rig.clock.now().wall > moment("2026-06-01T05:00:00Z"));
    assert_eq!(running.rig.containers(), ["shop-web-1 web:1 running"]);
}

#[tokio::test(start_paused = true)]
async fn somebody_s_word_lets_exactly_one_revision_begin_outside_of_its_window() {
    let running = at("2026-06-01T12:00:00Z").with(&web("web:1")).await;
    running.until_serves("web", "web:1").await;
    running.feed(shop(&web("web:2")));
    let waiting = running.until_condition("web", ConditionKind::AwaitingWindow).await.awaiting;
    running.handle.command(&id("web"), Command::Approve { revision: waiting }).await.unwrap();
    running.until_serves("web", "web:2").await;
    running.feed(shop(&web("web:3")));
    running.until_condition("web", ConditionKind::AwaitingWindow).await;
    // The way back is an operator's word as well.
    running.handle.command(&id("web"), Command::Rollback { to: None }).await.unwrap();
    assert_eq!(running.until_condition("web", ConditionKind::Held).await.image, "web:1");
}

#[tokio::test(start_paused = true)]
async fn what_left_the_files_goes_when_the_window_opens() {
    let running = at("2026-06-01T01:45:00Z").daemon().await;
    let both = format!("{}[services.old]\nimage = 'old:1'\n", web("web:1"));
    running.feed_quiet(shop(&both));
    running.until_serves("old", "old:1").await;
    running.feed_quiet(shop(&web("web:1")));
    let row = running.until_condition("old", ConditionKind::AwaitingWindow).await;
    assert!(row.condition.message.contains("its removal waits for the window"), "{}", row.condition.message);
    running.until("it is gone", |_| running.status("old").is_none()).await;
    assert!(running.rig.clock.now().wall >= moment("2026-06-01T02:00:00Z"));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_does_not_load_any_more_opens_no_window() {
    let running = at("2026-06-01T12:00:00Z").daemon().await;
    let files = |image: &str, policy: &'static str| {
        let web = format!("[services.web]\nimage = '{image}'\n");
        snapshot(&[("shop/policy.toml", policy), ("shop/web.toml", &web)])
    };
    running.feed(files("web:1", WINDOW));
    running.until_serves("web", "web:1").await;
    running.feed(files("web:2", "[policy.window\n"));
    running.until_condition("web", ConditionKind::AwaitingWindow).await;
    running.feed(files("web:2", "# no window\n"));
    running.until_serves("web", "web:2").await;
}

#[tokio::test(start_paused = true)]
async fn apply_and_plan_say_that_the_window_is_closed_and_apply_does_nothing() {
    let rig = at("2026-06-01T12:00:00Z");
    assert_eq!(rig.apply(&web("web:1")).await.outcome, ApplyOutcome::Converged);
    let report = rig.apply(&web("web:2")).await;
    assert_eq!(report.outcome, ApplyOutcome::Refused, "{report:#?}");
    assert!(report.services[0].condition.message.contains("2026-06-02T02:00:00Z"), "{report:#?}");
    assert_eq!(rig.containers(), ["shop-web-1 web:1 running"]);
    let plan = rig.plan(&web("web:2")).await;
    assert_eq!(plan.services[0].action, ServiceAction::AwaitingWindow);
    assert!(!plan.pending() && !plan.services[0].differences.is_empty(), "{plan:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_with_an_end_ends_by_itself_for_services_networks_and_volumes() {
    let running = at("2026-06-01T07:00:00Z").daemon().await;
    let text = "[policy]\npaused_until = 2026-06-01T08:00:00Z\n[networks]\nfront = {}\n[volumes]\ndata = {}\n[services.web]\nimage = 'web:1'\nnetworks = ['front']\nvolumes = ['data:/data']\n";
    running.feed(shop(text));
    let row = running.until_condition("web", ConditionKind::Paused).await;
    let said = "shop/all.toml, policy.paused_until, until 2026-06-01T08:00:00Z";
    assert!(row.condition.message.contains(said), "{}", row.condition.message);
    running.pass_time(59 * 60_000).await;
    assert_eq!(running.rig.containers(), Vec::<String>::new());
    let made = |host: &mut evenkeel::engine::sim::Host| {
        let network = host.networks.values().any(|network| network.name == "shop_front");
        (network, host.volumes.contains_key("shop_data"))
    };
    assert_eq!(running.sim(made), (false, false));
    running.until_serves("web", "web:1").await;
    assert_eq!(running.sim(made), (true, true));
    let now = running.rig.clock.now().wall;
    assert!((moment("2026-06-01T08:00:00Z")..moment("2026-06-01T08:00:30Z")).contains(&now), "{now}");
}

#[tokio::test(start_paused = true)]
async fn an_interval_is_how_soon_what_no_event_told_of_is_seen() {
    let web = "[services.web]\nimage = 'web:1'\n";
    let own = format!("[policy]\ninterval = '5s'\n{web}");
    for (fleet, shop, within) in
        [("", web, 70_000), ("", own.as_str(), 6_000), ("[policy]\ninterval = '5s'\n", web, 6_000)]
    {
        let running = Rig::new().daemon().await;
        running.feed(snapshot(&[("fleet.toml", fleet), ("shop/web.toml", shop)]));
        running.until_serves("web", "web:1").await;
        running.pass_time(20_000).await;
        running.sim(|host| {
            host.events_lost = 1_000_000;
            let web = host.named("shop-web-1").unwrap().id.clone();
            host.docker_rm_f(&web);
        });
        running.pass_time(within).await;
        assert!(running.sim(|host| host.named("shop-web-1").is_some()), "within {within} ms: {fleet}{shop}");
    }
}
