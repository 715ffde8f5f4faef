//! Which tag a policy picks: tables, and the history of real images replayed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use evenkeel::desired::work::{ImagePolicy, Pick};
use evenkeel::state::images::{
    Chosen, Current, Ranker, Round, Sightings, Turn, UpdateKind, Why, choose, update_kind,
};
use evenkeel::state::time::Timestamp;

const DAY: i64 = 24 * 3_600_000;

fn policy(pick: Pick) -> ImagePolicy {
    ImagePolicy {
        pick,
        matching: None,
        exclude: None,
        min_age_ms: 0,
        every_ms: None,
        downgrade: false,
        recorded: None,
    }
}

/// `semver ^1.4`, `semver+ ^1.4` (with pre-releases), `timestamp`, `timestamp %Y`, `number RE`, `text RE`; behind ` / ` what must match, behind
/// ` ! ` what must not.
fn read_policy(text: &str) -> ImagePolicy {
    let (text, exclude) = text.split_once(" ! ").map_or((text, None), |(text, no)| (text, Some(no)));
    let (text, matching) = text.split_once(" / ").map_or((text, None), |(text, yes)| (text, Some(yes)));
    let (way, rest) = text.split_once(' ').unwrap_or((text, ""));
    let pick = match way {
        "semver" | "semver+" => Pick::Semver {
            range: evenkeel::desired::work::version_range(rest).expect("a range").to_string(),
            prerelease: way == "semver+",
        },
        "timestamp" => Pick::Timestamp { format: (!rest.is_empty()).then(|| rest.to_owned()) },
        "number" => Pick::Number { pattern: rest.to_owned() },
        "text" => Pick::Text { pattern: rest.to_owned() },
        other => panic!("{other}"),
    };
    ImagePolicy { matching: matching.map(str::to_owned), exclude: exclude.map(str::to_owned), ..policy(pick) }
}

fn ranker(text: &str) -> Ranker {
    Ranker::of(&read_policy(text)).unwrap().unwrap()
}

/// `tests/fixtures/tags/order.txt`: a policy, `:`, the tags there are, `=>`, those that are candidates, the best first.
#[test]
fn tags_stand_in_the_order_of_the_table() {
    let text = include_str!("../fixtures/tags/order.txt");
    let mut cases = 0;
    let mut wrong = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (policy, rest) = line.split_once(" : ").expect("a policy");
        let (tags, expected) = rest.split_once(" =>").expect("an order");
        let ranked = ranker(policy.trim()).ranked(tags.split_whitespace());
        let found: Vec<&str> = ranked.iter().map(|(_, tag)| *tag).collect();
        let expected: Vec<&str> = expected.split_whitespace().collect();
        if found != expected {
            wrong.push(format!("{line}\n    found: {}", found.join(" ")));
        }
        cases += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases >= 150, "{cases} cases");
}

/// A registry of one image, and what a host remembers of it.
struct Host {
    ranker: Ranker,
    min_age_ms: u64,
    downgrade: bool,
    sightings: Sightings,
    current: Option<Chosen>,
    rejected: Vec<String>,
}

impl Host {
    fn new(policy: &str, min_age_days: i64) -> Self {
        Self {
            ranker: ranker(policy),
            min_age_ms: u64::try_from(min_age_days * DAY).unwrap(),
            downgrade: false,
            sightings: Sightings::default(),
            current: None,
            rejected: Vec::new(),
        }
    }

    /// One look at the registry. Returns the end of the round, and how many tags were asked for.
    fn look(&mut self, registry: &BTreeMap<String, String>, now: i64) -> (Turn, usize) {
        let now = Timestamp(now);
        self.sightings.listed(registry.keys().map(String::as_str), now);
        let mut asked = BTreeMap::new();
        loop {
            let rejected = |digest: &str| self.rejected.iter().any(|known| known == digest);
            let turn = choose(Round {
                ranker: &self.ranker,
                min_age_ms: self.min_age_ms,
                downgrade: self.downgrade,
                sightings: &self.sightings,
                asked: &asked,
                current: self.current.as_ref().map(|now| Current { tag: &now.tag, digest: &now.digest }),
                rejected: &rejected,
                now,
            });
            match turn {
                Turn::Ask(tag) => {
                    let digest = registry.get(&tag).expect("only what is listed is asked for").clone();
                    self.sightings.stands_for(&tag, &digest, now);
                    assert!(asked.insert(tag, digest).is_none(), "asked twice in a round");
                }
                Turn::Take { chosen, passed } => {
                    self.current = Some(chosen.clone());
                    return (Turn::Take { chosen, passed }, asked.len());
                }
                stay => return (stay, asked.len()),
            }
        }
    }

    fn tag(&self) -> &str {
        self.current.as_ref().map_or("-", |now| &now.tag)
    }
}

fn registry(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(tag, digest)| ((*tag).to_owned(), (*digest).to_owned())).collect()
}

#[test]
fn the_newest_that_is_old_enough_is_taken_and_the_others_wait() {
    let mut host = Host::new("semver ^1", 3);
    host.look(&registry(&[("1.0.0", "a")]), 0);
    assert_eq!(host.tag(), "1.0.0", "a new service does not wait for days");
    let more = registry(&[("1.0.0", "a"), ("1.1.0", "b")]);
    let (turn, _) = host.look(&more, DAY);
    let Turn::Stay(stay) = turn else { panic!("{turn:?}") };
    assert_eq!(stay.passed, [("1.1.0".to_owned(), Why::TooYoung(Timestamp(4 * DAY)))]);
    assert_eq!(stay.due, Some(Timestamp(4 * DAY)));
    // A still newer one does not make the other one wait for it.
    let most = registry(&[("1.0.0", "a"), ("1.1.0", "b"), ("1.2.0", "c")]);
    host.look(&most, 3 * DAY);
    let (turn, _) = host.look(&most, 4 * DAY);
    let Turn::Take { chosen, passed } = turn else { panic!("{turn:?}") };
    assert_eq!((chosen.tag.as_str(), passed.len()), ("1.1.0", 1));
    host.look(&most, 6 * DAY);
    assert_eq!(host.tag(), "1.2.0");
}

#[test]
fn a_tag_that_is_pushed_again_begins_anew() {
    let mut host = Host::new("semver ^1", 3);
    host.look(&registry(&[("1.0.0", "a")]), 0);
    host.look(&registry(&[("1.0.0", "a"), ("1.1.0", "b")]), DAY);
    host.look(&registry(&[("1.0.0", "a"), ("1.1.0", "other")]), 3 * DAY);
    host.look(&registry(&[("1.0.0", "a"), ("1.1.0", "other")]), 5 * DAY);
    assert_eq!(host.tag(), "1.0.0");
    // And back: that it stood for it once says nothing of who put it back.
    host.look(&registry(&[("1.0.0", "a"), ("1.1.0", "b")]), 5 * DAY + 1);
    host.look(&registry(&[("1.0.0", "a"), ("1.1.0", "b")]), 8 * DAY);
    assert_eq!(host.tag(), "1.0.0");
    host.look(&registry(&[("1.0.0", "a"), ("1.1.0", "b")]), 8 * DAY + 1);
    assert_eq!(host.tag(), "1.1.0");
    // The current tag's own new image waits, too.
    host.look(&registry(&[("1.1.0", "again")]), 9 * DAY);
    assert_eq!(host.current.as_ref().unwrap().digest, "b");
    host.look(&registry(&[("1.1.0", "again")]), 12 * DAY);
    assert_eq!(host.current.as_ref().unwrap().digest, "again");
}

#[test]
fn a_tag_that_left_and_came_back_begins_anew() {
    let mut host = Host::new("semver ^1", 3);
    let (old, both) = (registry(&[("1.0.0", "a")]), registry(&[("1.0.0", "a"), ("1.1.0", "b")]));
    host.look(&old, 0);
    host.look(&both, DAY);
    host.look(&old, 2 * DAY);
    host.look(&both, 10 * DAY);
    assert_eq!(host.tag(), "1.0.0");
    host.look(&both, 13 * DAY);
    assert_eq!(host.tag(), "1.1.0");
}

#[test]
fn nothing_goes_back_unless_that_is_allowed_and_the_current_tag_is_gone() {
    let (both, old) = (registry(&[("1.0.0", "a"), ("1.1.0", "b")]), registry(&[("1.0.0", "a")]));
    for downgrade in [false, true] {
        let mut host = Host::new("semver ^1", 0);
        host.downgrade = downgrade;
        host.look(&both, 0);
        assert_eq!(host.tag(), "1.1.0");
        host.look(&old, DAY);
        assert_eq!(host.tag(), if downgrade { "1.0.0" } else { "1.1.0" });
    }
    // Pushed again, and too young: no reason to go back.
    let mut host = Host::new("semver ^1", 3);
    host.downgrade = true;
    host.look(&both, 0);
    host.look(&registry(&[("1.0.0", "a"), ("1.1.0", "c")]), 4 * DAY);
    assert_eq!(host.current.unwrap(), Chosen { tag: "1.1.0".to_owned(), digest: "b".to_owned() });
}

#[test]
fn what_failed_is_passed_over_and_its_successor_is_tried() {
    let mut host = Host::new("number ^build-(\\d+)$", 0);
    host.look(&registry(&[("build-9", "a")]), 0);
    host.rejected.push("bad".to_owned());
    let (turn, asked) = host.look(&registry(&[("build-9", "a"), ("build-10", "bad")]), 1);
    let Turn::Stay(stay) = turn else { panic!("{turn:?}") };
    assert_eq!((stay.passed, asked), (vec![("build-10".to_owned(), Why::Rejected)], 2));
    // The same tag with other content is another image.
    host.look(&registry(&[("build-9", "a"), ("build-10", "mended")]), 2);
    assert_eq!(host.tag(), "build-10");
}

#[test]
fn a_policy_that_no_longer_fits_what_runs_is_followed_all_the_same() {
    let mut host = Host::new("semver ^2", 0);
    let all = registry(&[("1.9.0", "a"), ("2.0.0", "b"), ("2.1.0", "c")]);
    host.look(&all, 0);
    assert_eq!(host.tag(), "2.1.0");
    host.ranker = ranker("semver ~2.0");
    host.look(&all, 1);
    assert_eq!(host.tag(), "2.0.0", "2.1 is no candidate any more, so it binds nothing");
    host.ranker = ranker("semver ^9");
    let (turn, asked) = host.look(&all, 2);
    assert_eq!(
        (turn, asked),
        (Turn::Stay(Default::default()), 0),
        "nothing fits: nothing is asked, nothing changes"
    );
}

#[test]
fn only_what_could_be_taken_is_asked_for() {
    let mut host = Host::new("semver ^1", 0);
    let tags: Vec<(String, String)> = (0..500).map(|n| (format!("1.{n}.0"), format!("{n}"))).collect();
    let all: BTreeMap<_, _> = tags.into_iter().collect();
    assert_eq!(host.look(&all, 0).1, 1);
    assert_eq!(host.tag(), "1.499.0");
    assert_eq!(host.look(&all, 1).1, 1);
}

#[test]
fn a_clock_that_was_ahead_makes_nothing_wait_for_ever() {
    let mut host = Host::new("semver ^1", 3);
    host.look(&registry(&[("1.0.0", "a")]), 0);
    let both = registry(&[("1.0.0", "a"), ("1.1.0", "b")]);
    host.look(&both, 9_000 * DAY);
    host.look(&both, DAY);
    host.look(&both, 4 * DAY);
    assert_eq!(host.tag(), "1.1.0");
}

#[test]
fn kinds_of_updates() {
    for (from, to, kind) in [
        (("1.2.3", "a"), ("1.2.3", "a"), None),
        (("1.2.3", "a"), ("1.2.3", "b"), Some(UpdateKind::Digest)),
        (("1.2.3", "a"), ("1.2.4", "b"), Some(UpdateKind::Patch)),
        (("v1.2.3", "a"), ("1.3.0", "b"), Some(UpdateKind::Minor)),
        (("1.2", "a"), ("2.0", "b"), Some(UpdateKind::Major)),
        (("1.2.3-rc.1", "a"), ("1.2.3", "b"), Some(UpdateKind::Patch)),
        (("1.2", "a"), ("1.2.0", "b"), Some(UpdateKind::Tag)),
        (("build-1", "a"), ("build-2", "b"), Some(UpdateKind::Tag)),
        (("latest", "a"), ("1.0.0", "b"), Some(UpdateKind::Tag)),
    ] {
        let side = |(tag, digest)| Current { tag, digest };
        assert_eq!(update_kind(side(from), side(to)), kind, "{from:?} {to:?}");
    }
}

/// One change: when, tag, and what it stands for from then on; `None`: it left.
type Move = (i64, String, Option<String>);

/// The history of real images, where it is there.
fn histories() -> Option<BTreeMap<String, Vec<Move>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tags/tags.tsv.gz");
    if !path.exists() {
        return None;
    }
    let mut child = Command::new("gzip").arg("-dc").arg(path).stdout(Stdio::piped()).spawn().expect("gzip");
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let mut all: BTreeMap<String, Vec<Move>> = BTreeMap::new();
    for line in text.lines() {
        let row: Vec<&str> = line.split('\t').collect();
        let [image, time, tag, build] = row[..] else { panic!("{line}") };
        let Ok(time) = time.parse::<jiff::Timestamp>() else { panic!("{line}") };
        let build = (build != "-").then(|| build.to_owned());
        all.entry(image.to_owned()).or_default().push((time.as_millisecond(), tag.to_owned(), build));
    }
    all.values_mut().for_each(|moves| moves.sort_by_key(|(time, ..)| *time));
    Some(all)
}

/// What should run, by the rule itself: of all candidates not below what runs that have stood for the same image long enough, the best.
#[derive(Default)]
struct Plain {
    first: Option<i64>,
    since: BTreeMap<String, (String, i64)>,
    runs: Option<(String, String)>,
}

impl Plain {
    fn look(&mut self, ranker: &Ranker, min_age: i64, registry: &BTreeMap<String, String>, now: i64) {
        let first = *self.first.get_or_insert(now);
        self.since.retain(|tag, (build, _)| registry.get(tag) == Some(build));
        for (tag, build) in registry {
            self.since.entry(tag.clone()).or_insert_with(|| (build.clone(), now));
        }
        let nothing = self.runs.is_none();
        let mut best = self.runs.clone();
        for (tag, build) in registry {
            let Ok(rank) = ranker.rank(tag) else { continue };
            let since = self.since[tag].1;
            if now - since < min_age && !(nothing && since == first) {
                continue;
            }
            let better =
                best.as_ref().is_none_or(|(other, _)| (rank, tag) >= (ranker.rank(other).unwrap(), other));
            if better {
                best = Some((tag.clone(), build.clone()));
            }
        }
        self.runs = best;
    }
}

#[test]
fn replaying_the_history_of_real_images_the_policy_picks_what_the_rule_says() {
    let Some(histories) = histories() else {
        eprintln!("skipped: the history of real images is not here");
        return;
    };
    let policies = [
        ("semver >=1", 0),
        ("semver >=1", 3),
        ("semver+ >=1 / -alpine$", 14),
        ("semver ~1", 7),
        ("number ^(\\d+)$", 3),
        ("text ^([a-z]+)$ ! ^latest$", 1),
        ("timestamp %Y%m%d", 1),
    ];
    let (mut rows, mut looks, mut taken) = (0, 0, 0);
    for (image, moves) in &histories {
        rows += moves.len();
        for (text, days) in policies {
            let (mut host, mut plain) = (Host::new(text, days), Plain::default());
            let (mut registry, mut moved) = (BTreeMap::new(), BTreeMap::new());
            let mut next = moves.iter().peekable();
            let mut now = moves[0].0;
            let mut began = None;
            while next.peek().is_some() {
                while let Some((time, tag, build)) = next.next_if(|(time, ..)| *time <= now) {
                    match build {
                        Some(build) => registry.insert(tag.clone(), build.clone()),
                        None => registry.remove(tag),
                    };
                    moved.insert(tag.clone(), *time);
                }
                let before = host.current.clone();
                let (turn, _) = host.look(&registry, now);
                plain.look(&host.ranker, days * DAY, &registry, now);
                looks += 1;
                let found = host.current.as_ref().map(|now| (now.tag.clone(), now.digest.clone()));
                assert_eq!(found, plain.runs, "{image}, {text}, {days} days, at {}", Timestamp(now));
                if let Turn::Take { chosen, .. } = turn {
                    taken += 1;
                    let rank = host.ranker.rank(&chosen.tag).unwrap();
                    if let Some(before) = before {
                        assert!(
                            rank >= host.ranker.rank(&before.tag).unwrap(),
                            "{image}: back from {before:?} to {chosen:?}"
                        );
                        assert!(
                            now - moved[&chosen.tag] >= days * DAY,
                            "{image}: {chosen:?} was pushed too shortly before"
                        );
                    } else {
                        assert_eq!(*began.get_or_insert(now), now);
                    }
                }
                // Looked at when something moves and in between, so that what waits comes of age.
                let moves_at = next.peek().map_or(now, |(time, ..)| *time);
                now = moves_at.min(now + 5 * DAY).max(now + 1);
            }
        }
    }
    eprintln!("{rows} moves of {} images, {looks} looks, {taken} updates", histories.len());
    assert!(rows > 90_000 && taken > 1_000, "{rows} {taken}");
}
