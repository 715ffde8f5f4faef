//! Each attribute of a Compose service, from TOML to the request that the engine gets: one row at least for every one.

mod rows;

use std::collections::BTreeSet;

use evenkeel::desired::diagnostic::Diagnostic;
use evenkeel::desired::load;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use serde_json::Value;

use crate::convert::{creation_of, request_of};
use crate::keys::{file, host, snapshot, spec_of, view};

/// What a service's lines come to.
pub enum Row {
    /// A field of the create request, on an engine of this API version.
    Request(&'static str, &'static str, (u32, u32), &'static str, Value),
    /// The platform and the name are no part of a request's body, and some attributes are evenkeel's own affair: a part of the spec.
    Spec(&'static str, &'static str, &'static str, Value),
    /// A diagnostic, with a part of what it says: ignored or refused.
    Told(&'static str, &'static str, &'static str, &'static str),
}

impl Row {
    fn attribute(&self) -> &'static str {
        match self {
            Self::Request(name, ..) | Self::Spec(name, ..) | Self::Told(name, ..) => name,
        }
    }
}

/// Every attribute there is.
const ATTRIBUTES: &str = include_str!("../fixtures/attributes.txt");

fn on(api: (u32, u32)) -> HostFacts {
    HostFacts { api: Some(api), engine_version: Some("of a test".to_owned()), ..host() }
}

/// The row's file, on a host where services may have the engine's socket.
fn files(lines: &str) -> Snapshot {
    let fleet = FileContent::Read(b"[policy.guard]\napi_socket = true\n".as_slice().into());
    let mut files = snapshot(&file(lines));
    files.files.insert(RelPath::new("fleet.toml").unwrap(), fleet);
    files
}

fn fault(row: &Row) -> Option<String> {
    let (lines, api) = match row {
        Row::Request(_, lines, api, ..) => (lines, *api),
        Row::Spec(_, lines, ..) | Row::Told(_, lines, ..) => (lines, (1, 41)),
    };
    let (state, told) = load(&files(lines), &on(api));
    let headlines: Vec<String> = told.iter().map(Diagnostic::headline).collect();
    if let Row::Told(_, _, slug, part) = row {
        let said = |one: &Diagnostic| {
            one.slug == *slug && format!("{} {}", one.message, one.primary.text).contains(part)
        };
        return (!told.iter().any(said)).then(|| format!("says {headlines:#?}"));
    }
    let Some(spec) = spec_of(&state).filter(|_| told.is_empty()) else {
        return Some(format!("says {headlines:#?}"));
    };
    let (pointer, expected, found) = match row {
        Row::Request(_, _, api, pointer, expected) => {
            let body = request_of(&creation_of(spec), *api);
            (pointer, expected, body.pointer(pointer).cloned().unwrap_or_default())
        }
        Row::Spec(_, _, pointer, expected) => (pointer, expected, view(&spec, pointer)),
        Row::Told(..) => return None,
    };
    (found != *expected).then(|| format!("{pointer} is {found}, and should be {expected}"))
}

#[test]
fn every_attribute_reaches_the_engine_as_it_should_or_says_why_not() {
    let wrong: Vec<String> =
        rows::all().iter().filter_map(|row| Some(format!("{}: {}", row.attribute(), fault(row)?))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_attribute_is_without_a_row() {
    let all: BTreeSet<&str> = ATTRIBUTES.lines().collect();
    assert_eq!(all.len(), 93);
    let rows = rows::all();
    let known: BTreeSet<&str> = rows.iter().map(Row::attribute).collect();
    assert_eq!(all, known, "left: attributes, right: rows");
}

/// Rows that need a newer engine are refused on the oldest one, and never sent without what they ask for.
#[test]
fn what_an_engine_is_too_old_for_is_refused_there() {
    let mut gated = 0;
    for row in rows::all() {
        let Row::Request(name, lines, api, ..) = row else { continue };
        if api <= (1, 41) {
            continue;
        }
        gated += 1;
        let below = (api.0, api.1 - 1);
        let (state, told) = load(&files(lines), &on(below));
        assert!(told.iter().any(|one| one.slug == "engine-too-old"), "{name} on API {below:?}: {told:#?}");
        let refused = told.iter().any(Diagnostic::is_error);
        assert_eq!(spec_of(&state).is_none(), refused, "{name}");
    }
    assert!(gated >= 10, "only {gated} rows need a newer engine");
}
