//! A desired state with files that are anything. The input is the text of `shop/web.toml`, or several files with a line `#> name` before each.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use evenkeel::cli::render::{self, Finding, Format, Page};
use evenkeel::controller::wish::Wish;
use evenkeel::desired::diagnostic::{Diagnostic, Span};
use evenkeel::desired::hash::SpecHash;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::snapshot::{FileContent, HostFacts, Platform, RelPath, Snapshot, SourceRevision};
use evenkeel::desired::spec::ServiceSpec;
use evenkeel::desired::{DesiredState, Wanted, load};
use evenkeel::state::record::Record;
use evenkeel::state::time::Mono;

use super::assert_harmless;

/// A project beside the one that is fuzzed, with a name that no input hits on.
const GOOD: &str = "zq7-good";
const GOOD_TEXT: &str = "[services.app]\nimage = \"app:1\"\nenvironment = { A = \"$B\" }\nvolumes = [\"data:/data\"]\n\
                         [services.side]\nimage = \"side:2\"\ndepends_on = [\"app\"]\n[volumes]\ndata = {}\n";
const FUZZED: &str = "shop/web.toml";

/// What the good project is when it is alone.
static ALONE: LazyLock<DesiredState> = LazyLock::new(|| load(&snapshot(&[]), &host()).0);

pub fn host() -> HostFacts {
    HostFacts {
        name: "fra1".to_owned(),
        environment: BTreeMap::from([("SHELL_ONLY".to_owned(), "x".to_owned())]),
        api: Some((1, 41)),
        engine_version: Some("20.10.24".to_owned()),
        platform: Some(Platform { os: "linux".to_owned(), architecture: "x86_64".to_owned() }),
        home: Some("/root".to_owned()),
        ..HostFacts::default()
    }
}

/// The good project, and files below `shop`.
pub fn snapshot(files: &[(String, Vec<u8>)]) -> Snapshot {
    let good = [("all.toml", GOOD_TEXT), (".env", "B=1\n")];
    let good = good.map(|(name, text)| (format!("{GOOD}/{name}"), text.as_bytes().to_vec()));
    let all = good.iter().chain(files);
    Snapshot {
        revision: SourceRevision::default(),
        root: "/srv/desired".to_owned(),
        files: all
            .filter_map(|(path, bytes)| Some((RelPath::new(path)?, FileContent::Read(bytes.clone().into()))))
            .collect(),
        ..Snapshot::default()
    }
}

fn files(input: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![(FUZZED.to_owned(), Vec::new())];
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(b"#> ").and_then(|name| std::str::from_utf8(name).ok()) {
            // All in one folder: what stands at the root is everybody's.
            Some(name) => files.push((format!("shop/{}", name.trim()), Vec::new())),
            None => files.last_mut().unwrap().1.extend_from_slice(line),
        }
    }
    files
}

pub fn check(input: &[u8]) {
    let snapshot = snapshot(&files(input));
    let (state, found) = load(&snapshot, &host());
    let again = load(&snapshot, &host());
    assert_eq!((&state, &found), (&again.0, &again.1), "the same files, another state");
    good_is_untouched(&state, input);
    state_is_whole(&state, &found);
    broken_never_removes(&state, &found);
    found.iter().for_each(|told| spans_hold(told, &snapshot));
    drawn(&found, &snapshot);
}

/// Another project's services are what they are, unless a file here names their things.
fn good_is_untouched(state: &DesiredState, input: &[u8]) {
    if input.windows(3).any(|text| text == b"zq7") {
        return;
    }
    for (id, wanted) in &ALONE.services {
        assert!(matches!(wanted, Wanted::Run(_)), "{wanted:?}");
        assert_eq!(state.services.get(id), Some(wanted), "{id} is of another project");
    }
}

/// A service either runs a spec that no broken file had a part in, or is frozen and says why.
pub fn state_is_whole(state: &DesiredState, found: &[Diagnostic]) {
    for (id, wanted) in &state.services {
        match wanted {
            Wanted::Run(revision) => {
                let spec = &revision.spec;
                let parts = spec.source.files.iter().chain([&spec.source.file]);
                for file in parts {
                    assert!(
                        !state.broken.contains_key(file),
                        "{id} runs what {file} says, and that is broken"
                    );
                }
                assert_eq!(revision.hash, SpecHash::of(&spec.container), "{id}");
                let stored = serde_json::to_vec(&**spec).unwrap();
                let nul = stored.windows(6).any(|text| text == br"\u0000");
                assert!(
                    !nul,
                    "{id} holds a NUL, which no engine takes: {}",
                    String::from_utf8_lossy(&stored)
                );
                let back: ServiceSpec = serde_json::from_slice(&stored).unwrap();
                assert_eq!(back, **spec, "{id} reads back from a record as something else");
                assert_eq!(SpecHash::of(&back.container), revision.hash, "{id}");
            }
            Wanted::Frozen(why) => assert!(!why.is_empty(), "{id} is frozen and does not say why"),
        }
    }
    for (file, why) in &state.broken {
        assert!(why.iter().any(Diagnostic::is_error), "{file} is broken for no error");
    }
    for told in found.iter().filter(|told| told.is_error()) {
        assert!(
            state.broken.contains_key(&*told.primary.span.file),
            "an error that breaks no file: {told:?}"
        );
    }
}

/// Invariant I2: what a broken file once defined is still wanted, as it is.
fn broken_never_removes(state: &DesiredState, found: &[Diagnostic]) {
    if !found.iter().any(|told| told.is_error() && told.primary.span.file == FUZZED) {
        return;
    }
    let wish = Wish::new(state.clone(), Mono(0));
    for name in ["web", "db", "of-before"] {
        let id = ServiceId::new("shop", name).unwrap();
        let record = Record { source: FUZZED.to_owned(), ..Record::default() };
        let wanted = wish.wanted(&id, &record);
        assert!(wanted.is_some(), "{id} was defined in a file that is broken now, and would be removed");
    }
}

fn spans_hold(told: &Diagnostic, snapshot: &Snapshot) {
    assert!(told.line >= 1 && told.column >= 1, "{told:?}");
    assert!(!told.message.is_empty(), "{told:?}");
    let labels = std::iter::once(&told.primary).chain(&told.secondary);
    for Span { file, start, end } in labels.map(|label| &label.span) {
        let Some(FileContent::Read(bytes)) = snapshot.files.get(file.as_str()) else {
            assert_eq!((*start, *end), (0, 0), "a place in a file that is not there: {told:?}");
            continue;
        };
        assert!(start <= end && *end <= bytes.len().max(*start + 1), "a place outside of the file: {told:?}");
        if let Ok(text) = std::str::from_utf8(bytes) {
            let good = |at: usize| at >= text.len() || text.is_char_boundary(at);
            assert!(good(*start) && good(*end), "a place within a character: {told:?}");
        }
    }
}

fn drawn(found: &[Diagnostic], snapshot: &Snapshot) {
    // Each is drawn by itself: a few hundred show what thousands would.
    let some: Vec<Finding> = found.iter().take(200).cloned().map(Finding::from).collect();
    let page = |colour| Page { snapshot, place: "desired", colour };
    for format in [Format::Text, Format::Short, Format::Github] {
        let text = render::all(&some, &page(false), format);
        assert_harmless("a diagnostic", &text);
        assert!(some.is_empty() || text.ends_with('\n'), "{text}");
    }
    assert_eq!(render::all(&some, &page(false), Format::Short).lines().count(), some.len());
    let _ = render::all(&some, &page(true), Format::Text);
    for format in [Format::Json, Format::Sarif] {
        let text = render::all(&some, &page(false), format);
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }
}
