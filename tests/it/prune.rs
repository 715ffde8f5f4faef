//! What may be pruned, as a table; the last word is the engine's, in `e2e_disk.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use evenkeel::desired::Wanted;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::spec::ServiceSpec;
use evenkeel::state::observed::{ContainerId, ContainerStatus, ImageId};
use evenkeel::state::prune::{Disposal, Grounds, Rule, Stock, StoredContainer, StoredImage, familiar, prune};
use evenkeel::state::record::{KeptRevision, Record, RevisionId, RevisionVerdict};
use evenkeel::state::time::Timestamp;

use crate::rig::{loaded, shop};

const DAY: i64 = 86_400_000;
/// Day 100.
const NOW: Timestamp = Timestamp(100 * DAY);

fn spec(image: &str) -> Arc<ServiceSpec> {
    let state = loaded(&shop(&format!("[services.web]\nimage = \"{image}\"\n")));
    let Some(Wanted::Run(revision)) = state.services.values().next() else { panic!("{image}") };
    Arc::clone(&revision.spec)
}

fn kept(image: &str, id: &str) -> KeptRevision {
    let spec = spec(image);
    let hash = evenkeel::desired::hash::SpecHash::of(&spec.container);
    let image = ImageId(format!("sha256:{id}"));
    KeptRevision {
        id: RevisionId::of(&hash, &image),
        number: 1,
        hash,
        spec,
        image,
        digest: None,
        pulled: true,
        verdict: RevisionVerdict::Good,
        cause: String::new(),
        since: NOW,
        good_since: Some(NOW),
        evidence: None,
    }
}

/// A host in lines:
/// `image ID dDAY NAME ... [label=value]`, `container NAME of ID STATUS [label=value]`, `kept ID REFERENCE`, `wanted REF`, `had REF`,
/// `unused ID dDAY`, `paused`.
struct Case {
    stock: Stock,
    record: Record,
    wanted: BTreeSet<String>,
    had: BTreeSet<String>,
    unused: BTreeMap<ImageId, Timestamp>,
    paused: bool,
}

fn labels<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    words
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (format!("dev.evenkeel.{key}"), value.to_owned()))
        .collect()
}

fn day(word: &str) -> Timestamp {
    Timestamp(word.strip_prefix('d').unwrap().parse::<i64>().unwrap() * DAY)
}

fn case(text: &str) -> Case {
    let mut case = Case {
        stock: Stock::default(),
        record: Record::default(),
        wanted: BTreeSet::new(),
        had: BTreeSet::new(),
        unused: BTreeMap::new(),
        paused: false,
    };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words.as_slice() {
            ["image", id, at, ref names @ ..] => case.stock.images.push(StoredImage {
                id: format!("sha256:{id}"),
                tags: names
                    .iter()
                    .filter(|name| !name.contains(['@', '=']))
                    .map(|name| (*name).to_owned())
                    .collect(),
                digests: names
                    .iter()
                    .filter(|name| name.contains('@'))
                    .map(|name| (*name).to_owned())
                    .collect(),
                created: day(at),
                size: 1,
                labels: labels(names.iter().copied().filter(|name| !name.contains('@'))),
            }),
            ["container", name, "of", image, status, ref rest @ ..] => {
                let mut labels = labels(rest.iter().copied());
                if let Some(revision) = labels.get_mut("dev.evenkeel.revision") {
                    // Of a revision that is kept, or of none.
                    let kept =
                        case.record.revisions.iter().find(|kept| kept.image.0.ends_with(revision.as_str()));
                    *revision = kept.map_or_else(|| "0".repeat(64), |kept| kept.id.as_str().to_owned());
                }
                case.stock.containers.push(StoredContainer {
                    id: ContainerId(name.to_owned()),
                    name: name.to_owned(),
                    image: ImageId(format!("sha256:{image}")),
                    status: serde_json::from_str(&format!("\"{status}\"")).unwrap(),
                    labels,
                    created: Timestamp(0),
                    volumes: BTreeSet::new(),
                });
            }
            ["kept", id, reference] => {
                let kept = kept(reference, id);
                case.record.good = Some(kept.id.clone());
                case.record.revisions.push(kept);
            }
            ["wanted", reference] => drop(case.wanted.insert(reference.to_owned())),
            ["had", reference] => drop(case.had.insert(reference.to_owned())),
            ["unused", id, at] => drop(case.unused.insert(ImageId(format!("sha256:{id}")), day(at))),
            ["paused"] => case.paused = true,
            _ => panic!("{line}"),
        }
    }
    case
}

fn run(text: &str, keep: u32, days: u64) -> (String, BTreeMap<ImageId, Timestamp>) {
    let case = case(text);
    let id = ServiceId::new("shop", "web").unwrap();
    let paused = if case.paused { BTreeSet::from([id.clone()]) } else { BTreeSet::new() };
    let pruning = prune(
        &case.stock,
        &Grounds {
            owner: "box",
            now: NOW,
            rule: Rule { keep, older_than_ms: days * 86_400_000 },
            records: &BTreeMap::from([(id, case.record)]),
            wanted: &case.wanted,
            had: &case.had,
            unused: &case.unused,
            paused: &paused,
        },
    );
    let mut goes = String::new();
    for disposal in pruning.goes {
        match disposal {
            Disposal::Image { id, names, .. } => {
                write!(goes, "{}[{}] ", id.short(), names.join(" ")).unwrap()
            }
            Disposal::Container { name, .. } => write!(goes, "{name} ").unwrap(),
        }
    }
    (goes.trim_end().to_owned(), pruning.unused)
}

/// (what is shown, the host, keep, days, what goes)
const TABLE: &[(&str, &str, u32, u64, &str)] = &[
    (
        "a superseded image goes, what serves and what is kept stays",
        "kept b web:2
         kept c web:3
         image a d1 web:1
         image b d2 web:2 evenkeel/shop-web:22222222
         image c d3 web:3 evenkeel/shop-web:33333333
         had web:1
         wanted web:3",
        0,
        0,
        "a[web:1]",
    ),
    (
        "a name that no service has had is somebody else's",
        "kept c web:3\nimage a d1 web:1\nimage c d3 web:3",
        0,
        0,
        "",
    ),
    (
        "a name in another repository is somebody else's",
        "kept c web:3\nhad web:1\nimage a d1 web:1 mine:1",
        0,
        0,
        "",
    ),
    (
        "our keep-tag alone is ours",
        "kept c web:3\nimage a d1 evenkeel/shop-web:11111111",
        0,
        0,
        "a[evenkeel/shop-web:11111111]",
    ),
    (
        "the keep-tag of a service of another instance is not",
        "kept c web:3\nimage a d1 evenkeel/shop-db:11111111",
        0,
        0,
        "",
    ),
    (
        "what lost its tag in a repository of ours goes",
        "kept c web:3\nimage a d1 web@sha256:aa",
        0,
        0,
        "a[web@sha256:aa]",
    ),
    ("in another repository it stays", "kept c web:3\nimage a d1 tool@sha256:aa", 0, 0, ""),
    ("what has no name and no label stays", "kept c web:3\nimage a d1", 0, 0, ""),
    ("what has no name and our label was left by a build", "image a d1 owner=box", 0, 0, "a[]"),
    ("a build may be under way", "image a d100 owner=box", 0, 0, ""),
    ("the label of another instance is not ours", "image a d1 owner=other", 0, 0, ""),
    (
        "tags of a build of ours go, deployed or not",
        "kept c app:3\nimage a d1 app:1 owner=box\nimage b d2 app:2",
        0,
        0,
        "a[app:1]",
    ),
    (
        "a container of anybody keeps its image, running or stopped",
        "kept c web:3\nhad web:1\nhad web:2\nimage a d1 web:1\nimage b d2 web:2\ncontainer x of a running\ncontainer y of b exited",
        0,
        0,
        "",
    ),
    (
        "what the files name stays",
        "kept c web:3\nhad web:1\nimage a d1 web:1\nwanted docker.io/library/web:1",
        0,
        0,
        "",
    ),
    ("a digest in the files too", "kept c web:3\nimage a d1 web@sha256:aa\nwanted web:9@sha256:aa", 0, 0, ""),
    (
        "the newest of a repository stay, beside the one that serves",
        "kept c web:4\nhad web:1\nhad web:2\nhad web:3\nimage a d1 web:1\nimage b d2 web:2\nimage e d3 web:3\nimage c d4 web:4",
        2,
        0,
        "a[web:1]",
    ),
    (
        "kept revisions are counted in",
        "kept b web:2\nkept c web:4\nhad web:1\nhad web:3\nimage a d1 web:1\nimage b d2 web:2\nimage e d3 web:3\nimage c d4 web:4",
        2,
        0,
        "a[web:1]",
    ),
    (
        "each repository by itself",
        "kept c web:2\nkept d db:2\nhad web:1\nhad db:1\nimage a d1 web:1\nimage b d1 db:1\nimage c d2 web:2\nimage d d2 db:2",
        0,
        0,
        "b[db:1] a[web:1]",
    ),
    (
        "age counts from when it was found unused, not from when it was made",
        "kept c web:3\nhad web:1\nhad web:2\nimage a d1 web:1\nimage b d2 web:2\nunused a d96\nunused b d98",
        0,
        3,
        "a[web:1]",
    ),
    ("what was never found unused is not old", "kept c web:3\nhad web:1\nimage a d1 web:1", 0, 1, ""),
    (
        "a registry with a port, and hub images by their short names",
        "kept c reg.example:5000/x/web:3\nhad reg.example:5000/x/web:1\nhad docker.io/acme/tool:1\nimage a d1 reg.example:5000/x/web:1\nimage b d1 acme/tool:1",
        0,
        0,
        "b[acme/tool:1] a[reg.example:5000/x/web:1]",
    ),
    (
        "a stopped container of a revision that is not kept goes, and its image with it",
        "kept c web:3\nhad web:1\nimage a d1 web:1\ncontainer old of a exited owner=box project=shop service=web revision=a",
        0,
        0,
        "old a[web:1]",
    ),
    (
        "a running one does not",
        "kept c web:3\ncontainer old of a running owner=box project=shop service=web revision=a",
        0,
        0,
        "",
    ),
    (
        "one of a kept revision does not",
        "kept c web:3\ncontainer old of c exited owner=box project=shop service=web revision=c",
        0,
        0,
        "",
    ),
    (
        "one of another instance does not",
        "kept c web:3\ncontainer old of a exited owner=x project=shop service=web revision=a",
        0,
        0,
        "",
    ),
    (
        "where nothing is good yet nothing is needless",
        "container old of a exited owner=box project=shop service=web revision=a",
        0,
        0,
        "",
    ),
    (
        "a paused service is left as it is",
        "paused\nkept c web:3\ncontainer old of a exited owner=box project=shop service=web revision=a",
        0,
        0,
        "",
    ),
    ("what files were copied out of goes", "container copy of a created owner=box copy=shop/x", 0, 0, "copy"),
    ("somebody's container without our labels stays", "container theirs of a exited", 0, 0, ""),
];

#[test]
fn only_what_is_shown_to_be_ours_and_out_of_use_goes() {
    for (what, host, keep, days, goes) in TABLE {
        assert_eq!(run(host, *keep, *days).0, *goes, "{what}");
    }
}

/// Whatever else is there: what a container or a kept revision uses never goes.
#[test]
fn nothing_in_use_ever_goes() {
    let statuses = ["created", "running", "restarting", "paused", "exited", "dead", "removing"];
    for status in statuses {
        for names in
            ["web:1", "web@sha256:aa", "evenkeel/shop-web:11111111", "", "web:1 web@sha256:aa owner=box"]
        {
            let host = format!("kept c web:3\nhad web:1\nimage a d1 {names}\ncontainer x of a {status}");
            assert_eq!(run(&host, 0, 0).0, "", "{status} {names}");
        }
    }
    assert!(matches!(serde_json::from_str("\"dead\""), Ok(ContainerStatus::Dead)));
}

#[test]
fn time_unused_goes_on_between_looks_and_begins_anew_after_a_use() {
    let host = "kept c web:3\nhad web:1\nimage a d1 web:1";
    let first = run(host, 9, 3).1;
    assert_eq!(first.values().collect::<Vec<_>>(), [&NOW]);
    let second = run(&format!("{host}\nunused a d50"), 9, 3).1;
    assert_eq!(second.values().collect::<Vec<_>>(), [&Timestamp(50 * DAY)]);
    let used = run(&format!("{host}\nunused a d50\ncontainer x of a running"), 9, 3).1;
    assert!(used.is_empty());
}

#[test]
fn references_are_compared_as_the_engine_writes_them() {
    for (reference, written) in [
        ("nginx", "nginx:latest"),
        ("docker.io/library/nginx:1", "nginx:1"),
        ("index.docker.io/acme/web", "acme/web:latest"),
        ("reg:5000/web", "reg:5000/web:latest"),
        ("reg:5000/web:2@sha256:00", "reg:5000/web@sha256:00"),
        ("docker.io/web@sha256:00", "web@sha256:00"),
    ] {
        assert_eq!(familiar(reference), written, "{reference}");
    }
}
