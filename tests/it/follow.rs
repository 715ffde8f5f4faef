//! Images that are followed: the loop with a registry that is a script, in virtual time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use evenkeel::controller::clock::{Clock, Sleep};
use evenkeel::controller::host::{ACTORS, Host, PULLS, Parts};
use evenkeel::controller::progress::Silent;
use evenkeel::controller::records::Records;
use evenkeel::controller::wish::Wish;
use evenkeel::controller::works::images::Images;
use evenkeel::controller::works::{Book, Worker};
use evenkeel::desired::work::answers::Asker;
use evenkeel::engine::sim::Sim;
use evenkeel::images::registry::{Found, Platform, Registries, RegistryError, Repository, Trouble};
use evenkeel::metrics::Metrics;
use evenkeel::metrics::images::{ImageRow, ImagesReport};
use evenkeel::state::decide::Limits;
use evenkeel::state::observed::EngineSession;
use evenkeel::state::time::{Mono, Now, Timestamp};
use tokio::task::JoinHandle;

use crate::rig::{Memory, id, loaded, shop};

const HOUR: u64 = 3_600_000;

/// A registry as the test wants it.
#[derive(Default)]
struct Script {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of the index that a tag stands for.
    tags: BTreeMap<String, u8>,
    /// The image of an index for the one platform that counts; its own number where it is not in here.
    images: BTreeMap<u8, u8>,
    trouble: Option<Trouble>,
    lists: usize,
    heads: usize,
    /// Manifests that were fetched.
    gets: usize,
}

fn digest(number: u8) -> String {
    format!("sha256:{}", hex::encode([number; 32]))
}

impl Script {
    fn with(tags: &[(&str, u8)]) -> Arc<Self> {
        let script = Self::default();
        script.state.lock().unwrap().tags =
            tags.iter().map(|(tag, image)| ((*tag).to_owned(), *image)).collect();
        Arc::new(script)
    }

    fn push(&self, tag: &str, index: u8) {
        self.state.lock().unwrap().tags.insert(tag.to_owned(), index);
    }

    fn remove(&self, tag: &str) {
        self.state.lock().unwrap().tags.remove(tag);
    }

    fn fail(&self, trouble: Option<Trouble>) {
        self.state.lock().unwrap().trouble = trouble;
    }

    /// Lists, digests and manifests asked for since the last call.
    fn asked(&self) -> (usize, usize, usize) {
        let mut state = self.state.lock().unwrap();
        let asked = (state.lists, state.heads, state.gets);
        (state.lists, state.heads, state.gets) = (0, 0, 0);
        asked
    }
}

fn error(trouble: Trouble) -> RegistryError {
    RegistryError { registry: "r.example".to_owned(), trouble, message: "as the script says".to_owned() }
}

#[async_trait]
impl Registries for Script {
    async fn tags(&self, _: &Repository) -> Result<Vec<String>, RegistryError> {
        let mut state = self.state.lock().unwrap();
        state.lists += 1;
        match state.trouble {
            Some(trouble) => Err(error(trouble)),
            None => Ok(state.tags.keys().cloned().collect()),
        }
    }

    async fn find(
        &self,
        _: &Repository,
        tag: &str,
        platform: Option<&Platform>,
    ) -> Result<Found, RegistryError> {
        let mut state = self.state.lock().unwrap();
        match platform {
            Some(_) => state.gets += 1,
            None => state.heads += 1,
        }
        if let Some(trouble) = state.trouble {
            return Err(error(trouble));
        }
        let by_digest =
            state.tags.values().copied().chain(state.images.keys().copied()).find(|n| digest(*n) == tag);
        let Some(index) = state.tags.get(tag).copied().or(by_digest) else {
            return Err(error(Trouble::NotFound));
        };
        let image = platform.map(|_| digest(state.images.get(&index).copied().unwrap_or(index)));
        Ok(Found { digest: digest(index), image })
    }
}

/// Both clocks in virtual time.
struct Virtual(tokio::time::Instant);

impl Clock for Virtual {
    fn now(&self) -> Now {
        let passed = u64::try_from(self.0.elapsed().as_millis()).unwrap();
        Now { wall: Timestamp(1_767_225_600_000_i64.saturating_add_unsigned(passed)), mono: Mono(passed) }
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        Box::pin(tokio::time::sleep_until(self.0 + Duration::from_millis(at.0)))
    }
}

/// The worker alone: what a service does with its answer is the daemon's affair, and shown elsewhere.
struct Scene {
    script: Arc<Script>,
    records: Arc<Memory>,
    host: Arc<Host>,
    book: Arc<Book>,
    worker: Arc<Images>,
    task: JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn scene(tags: &[(&str, u8)], policy: &str) -> Scene {
    let script = Script::with(tags);
    let records: Arc<Memory> = Arc::default();
    // Nothing is run, so the engine's time need not pass.
    let parts = Parts {
        engine: Arc::new(Sim::new()),
        records: Arc::clone(&records) as Arc<dyn Records>,
        clock: Arc::new(Virtual(tokio::time::Instant::now())),
        metrics: Arc::new(Metrics::new().unwrap()),
        progress: Arc::new(Silent),
        owner: "test".to_owned(),
        limits: Limits::default(),
        actors: ACTORS,
        pulls: PULLS,
        disk_free: Arc::new(|| None),
    };
    let host = Arc::new(Host::new(parts, EngineSession::default()));
    let book: Arc<Book> = Arc::default();
    let worker = Arc::new(Images::new(Arc::clone(&script) as Arc<dyn Registries>, Arc::clone(&book)));
    let task = tokio::spawn(Arc::clone(&worker).run(Arc::clone(&host)));
    let scene = Scene { script, records, host, book, worker, task };
    scene.wants(&file(policy));
    scene
}

fn file(policy: &str) -> String {
    format!("[services.web]\nimage = \"r.example/app\"\nimage_policy = {{ {policy} }}\n")
}

fn image(tag: &str, index: u8) -> String {
    format!("r.example/app:{tag}@{}", digest(index))
}

impl Scene {
    fn wants(&self, text: &str) {
        let state = loaded(&shop(text));
        self.host.set_wish(Arc::new(Wish::new(state, self.host.clock.now().mono)));
    }

    async fn pass_time(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    async fn chooses(&self, tag: &str, index: u8) {
        for _ in 0..600 {
            if self.image() == image(tag, index) {
                return;
            }
            self.pass_time(1_000).await;
        }
        panic!("waited ten minutes for {tag}; it is {}", self.image());
    }

    fn image(&self) -> String {
        let asker = Asker::Service(id("web"));
        self.book.answers().0.get(&asker).map(|answer| answer.image.clone()).unwrap_or_default()
    }

    async fn row(&self) -> ImageRow {
        let told = self.worker.show(&self.host, &BTreeMap::new(), true).await.unwrap();
        let report: ImagesReport = serde_json::from_value(told).unwrap();
        report.images.into_iter().next().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_service_starts_within_seconds_and_the_registry_is_asked_at_its_pace() {
    let scene = scene(&[("1.0", 1), ("1.1", 2), ("2.0", 9)], "semver = \"^1\"").await;
    let began = tokio::time::Instant::now();
    scene.chooses("1.1", 2).await;
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    assert_eq!(scene.script.asked(), (1, 1, 0), "one list, and one digest");
    scene.pass_time(24 * HOUR).await;
    let (lists, heads, gets) = scene.script.asked();
    assert!((3..=5).contains(&lists) && heads == lists && gets == 0, "{lists} {heads} {gets}");
    scene.wants(&file("semver = \"^1\", every = \"10m\""));
    scene.pass_time(HOUR).await;
    let (lists, ..) = scene.script.asked();
    assert!((6..=9).contains(&lists), "{lists}");
    // Another range is looked for at once.
    scene.wants(&file("semver = \"^2\", every = \"10m\""));
    scene.pass_time(5_000).await;
    scene.chooses("2.0", 9).await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_matures_without_more_lists_and_not_by_being_pushed_again() {
    let scene = scene(&[("1.0", 1)], "semver = \"^1\", min_age = \"3d\", every = \"1h\"").await;
    scene.chooses("1.0", 1).await;
    scene.script.push("1.1", 2);
    scene.pass_time(2 * 24 * HOUR).await;
    assert_eq!(scene.image(), image("1.0", 1));
    scene.script.push("1.1", 3);
    scene.pass_time(2 * 24 * HOUR).await;
    assert_eq!(scene.image(), image("1.0", 1), "what was pushed two days ago is not three days old");
    let row = scene.row().await;
    assert!(row.passed[0].due.is_some() && row.passed[0].tag == "1.1", "{row:#?}");
    // An older one that is old enough is taken in its stead.
    scene.script.push("1.0.1", 4);
    scene.script.asked();
    scene.pass_time(25 * HOUR).await;
    scene.chooses("1.1", 3).await;
    let (lists, ..) = scene.script.asked();
    assert!(lists <= 30, "{lists} lists in a day and a bit");
}

#[tokio::test(start_paused = true)]
async fn maturing_does_not_wait_for_the_next_list() {
    let scene = scene(&[("1.0", 1)], "semver = \"^1\", min_age = \"7h\", every = \"24h\"").await;
    scene.chooses("1.0", 1).await;
    scene.script.push("1.1", 2);
    scene.pass_time(27 * HOUR).await;
    let row = scene.row().await;
    assert_eq!(row.passed.first().map(|passed| passed.tag.as_str()), Some("1.1"), "{row:#?}");
    scene.script.asked();
    scene.pass_time(8 * HOUR).await;
    assert_eq!(scene.image(), image("1.1", 2));
    assert_eq!(scene.script.asked().0, 0, "nothing was listed for it");
}

#[tokio::test(start_paused = true)]
async fn a_registry_in_trouble_is_asked_less_and_less_and_changes_nothing() {
    let scene = scene(&[("1.0", 1)], "semver = \"^1\", every = \"1m\"").await;
    scene.chooses("1.0", 1).await;
    for trouble in [Trouble::Unavailable, Trouble::Unauthorized, Trouble::NotFound, Trouble::Invalid] {
        scene.script.fail(Some(trouble));
        scene.script.push("1.1", 2);
        scene.pass_time(2 * HOUR).await;
        assert_eq!(scene.image(), image("1.0", 1), "{trouble}");
        assert!(scene.row().await.trouble.is_some_and(|why| why.contains("as the script says")));
    }
    scene.script.fail(Some(Trouble::Limited { for_ms: 5 * HOUR }));
    scene.pass_time(10 * 60_000).await;
    scene.script.asked();
    scene.pass_time(4 * HOUR).await;
    assert_eq!(scene.script.asked(), (0, 0, 0), "it was left alone for as long as it said");
    scene.script.fail(None);
    scene.pass_time(2 * HOUR).await;
    assert_eq!(scene.image(), image("1.1", 2));
    assert_eq!(scene.row().await.trouble, None);
}

#[tokio::test(start_paused = true)]
async fn an_index_whose_image_for_this_host_is_the_same_is_nothing_new() {
    let scene = scene(&[("1.0", 1)], "semver = \"^1\", every = \"1m\"").await;
    scene.chooses("1.0", 1).await;
    // Only other platforms changed, twice.
    {
        let mut state = scene.script.state.lock().unwrap();
        state.images = BTreeMap::from([(1, 50), (2, 50), (3, 50), (4, 51)]);
    }
    for index in [2, 3] {
        scene.script.push("1.0", index);
        scene.script.asked();
        scene.pass_time(10 * 60_000).await;
        assert_eq!(scene.image(), image("1.0", 1), "index {index}");
        assert_eq!(scene.script.asked().2, 2, "compared once");
    }
    assert_eq!(scene.row().await.update, None);
    scene.script.push("1.0", 4);
    scene.pass_time(10 * 60_000).await;
    assert_eq!(scene.image(), image("1.0", 4));
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_back_unless_that_is_allowed() {
    let scene = scene(&[("1.0", 1), ("1.1", 2)], "semver = \"^1\", every = \"1m\"").await;
    scene.chooses("1.1", 2).await;
    scene.script.remove("1.1");
    scene.pass_time(HOUR).await;
    assert_eq!(scene.image(), image("1.1", 2));
    scene.wants(&file("semver = \"^1\", every = \"1m\", downgrade = true"));
    scene.chooses("1.0", 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_chosen_outlives_its_file_for_a_week_and_a_store_that_takes_no_writes_chooses_nothing() {
    let scene = scene(&[("1.0", 1)], "semver = \"^1\", every = \"1m\"").await;
    scene.chooses("1.0", 1).await;
    scene.records.unwritable.store(true, std::sync::atomic::Ordering::SeqCst);
    scene.script.push("1.1", 2);
    scene.pass_time(HOUR).await;
    assert_eq!(scene.image(), image("1.0", 1), "what is not written down is not told");
    scene.records.unwritable.store(false, std::sync::atomic::Ordering::SeqCst);
    scene.pass_time(HOUR).await;
    scene.chooses("1.1", 2).await;
    let answers = async || scene.records.notes("answer").await.unwrap().len();
    let other = "[services.other]\nimage = \"other:1\"\n";
    scene.wants(other);
    scene.pass_time(6 * 24 * HOUR).await;
    assert_eq!(answers().await, 1);
    scene.pass_time(2 * 24 * HOUR).await;
    assert_eq!(answers().await, 0, "it is forgotten in time");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_chosen_nothing_begins_with_what_was_written_back() {
    let recorded =
        format!("semver = \"^1\", min_age = \"2d\", every = \"1h\", current = \"1.0@{}\"", digest(1));
    let scene = scene(&[("1.0", 1), ("1.1", 2)], &recorded).await;
    scene.chooses("1.0", 1).await;
    // Something else is written there: that changes nothing that runs.
    scene.wants(&file(&recorded.replace("1.0@", "1.1@")));
    scene.pass_time(HOUR).await;
    assert_eq!(scene.image(), image("1.0", 1));
    scene.pass_time(3 * 24 * HOUR).await;
    assert_eq!(scene.image(), image("1.1", 2), "the newer one was old enough in the end");
}
