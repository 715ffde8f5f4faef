//! What is said about wrong files, word for word: `tests/fixtures/diagnostics/NN-slug` holds files and what must be said of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evenkeel::cli::render::{self, Finding, Format, Page};
use evenkeel::desired::diagnostic::{Diagnostic, Label, Span};
use evenkeel::desired::load;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use evenkeel::source::read_snapshot;

/// Fixtures about what this version does not have, with the reason. One that begins to pass must leave this list.
const LATER: [(&str, &str); 2] = [
    (
        "13-healthy-without-check",
        "whether an image has a healthcheck only the engine knows; `load` asks none",
    ),
    ("28-guard", "the guard decides with what runs on the host; its own tests say so"),
];

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/diagnostics");
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert_eq!(found.len(), 28, "a fixture is missing");
    found
}

fn facts() -> HostFacts {
    HostFacts {
        name: "fra1".to_owned(),
        api: Some((1, 41)),
        engine_version: Some("20.10".to_owned()),
        ..HostFacts::default()
    }
}

/// One caret line of `expected.txt`.
#[derive(Debug)]
struct Mark {
    file: String,
    line: usize,
    column: usize,
    length: usize,
    primary: bool,
    text: String,
}

#[derive(Debug, Default)]
struct Expected {
    headline: String,
    marks: Vec<Mark>,
    helps: Vec<String>,
}

/// Reads ` 3 | code`, `   | ^^^ label`, `   = help: ...` and `   : other/file.toml`.
fn expected(text: &str) -> Vec<Expected> {
    let mut list: Vec<Expected> = Vec::new();
    let (mut file, mut line) = (String::new(), 0);
    for row in text.lines() {
        if let Some(help) = row.trim_start().strip_prefix("= help: ") {
            list.last_mut().unwrap().helps.push(help.to_owned());
        } else if let Some(other) = row.trim_start().strip_prefix(": ") {
            file = other.to_owned();
        } else if let Some((gutter, code)) = row.split_once(" | ") {
            match gutter.trim().parse::<usize>() {
                Ok(number) => line = number,
                Err(_) => {
                    let column = code.len() - code.trim_start().len() + 1;
                    let (marks, text) = code.trim_start().split_once(' ').unwrap();
                    let primary = marks.starts_with('^');
                    let mark = Mark {
                        file: file.clone(),
                        line,
                        column,
                        length: marks.len(),
                        primary,
                        text: text.to_owned(),
                    };
                    list.last_mut().unwrap().marks.push(mark);
                }
            }
        } else if !row.trim().is_empty() {
            file = row.split(':').next().unwrap().to_owned();
            list.push(Expected { headline: row.to_owned(), ..Expected::default() });
        }
    }
    list
}

fn place(snapshot: &Snapshot, span: &Span) -> (usize, usize, usize) {
    let Some(FileContent::Read(bytes)) = snapshot.files.get(span.file.as_str()) else { panic!("{span:?}") };
    let text = std::str::from_utf8(bytes).unwrap();
    let before = &text[..span.start];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let length = text[span.start..span.end].chars().count();
    (before.matches('\n').count() + 1, text[line_start..span.start].chars().count() + 1, length)
}

fn faults(snapshot: &Snapshot, wanted: &[Expected], got: &[Diagnostic]) -> Vec<String> {
    let headlines: Vec<String> = got.iter().map(Diagnostic::headline).collect();
    let expected: Vec<&str> = wanted.iter().map(|expected| expected.headline.as_str()).collect();
    if headlines != expected {
        return vec![format!("headlines are {headlines:#?} instead of {expected:#?}")];
    }
    let mut faults = Vec::new();
    for (expected, diagnostic) in wanted.iter().zip(got) {
        for mark in &expected.marks {
            let fits = |label: &&Label| {
                label.text == mark.text
                    && label.span.file == mark.file
                    && place(snapshot, &label.span) == (mark.line, mark.column, mark.length)
            };
            let found = if mark.primary {
                Some(&diagnostic.primary).filter(fits)
            } else {
                diagnostic.secondary.iter().find(fits)
            };
            if found.is_none() {
                faults.push(format!("no label {mark:?} in {diagnostic:#?}"));
            }
        }
        for help in expected.helps.iter().filter(|help| !diagnostic.helps.contains(help)) {
            faults.push(format!("no help {help:?} in {:?}", diagnostic.helps));
        }
    }
    faults
}

#[test]
fn every_fixture_is_said_word_for_word() {
    for path in fixtures() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut snapshot = read_snapshot(&path).unwrap();
        let wanted = expected(&std::fs::read_to_string(path.join("expected.txt")).unwrap());
        assert!(!wanted.is_empty(), "{name}: nothing is expected");
        snapshot.root = "/srv/desired".to_owned();
        let (_, got) = load(&snapshot, &facts());
        let faults = faults(&snapshot, &wanted, &got);
        match LATER.iter().find(|(later, _)| *later == name) {
            None => assert!(faults.is_empty(), "{name}: {faults:#?}"),
            Some((_, reason)) => {
                assert!(!faults.is_empty(), "{name} passes now; it was left out because: {reason}")
            }
        }
    }
}

fn snapshot(files: &[(&str, &[u8])]) -> Snapshot {
    let files = files
        .iter()
        .map(|(path, bytes)| (RelPath::new(path).unwrap(), FileContent::Read(bytes.to_vec().into())))
        .collect();
    Snapshot { root: "/srv/desired".to_owned(), files, ..Snapshot::default() }
}

/// The headlines for one file, without its name.
fn said(bytes: &[u8]) -> Vec<String> {
    let (_, got) = load(&snapshot(&[("a.toml", bytes)]), &facts());
    got.iter().map(|diagnostic| diagnostic.headline().replacen("a.toml:", "", 1)).collect()
}

fn check(rows: &[(&[u8], &[&str])]) {
    for (bytes, expected) in rows {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(said(bytes), *expected, "for:\n{}", shown.chars().take(300).collect::<String>());
    }
}

#[test]
fn syntax_errors_are_told_by_what_was_meant() {
    check(&[
        (b"[services.web]\nimage: nginx", &["2:6: error[yaml-colon]: expected `=` after the key `image`"]),
        (
            b"[services.web]\nports = [\n- \"80:80\"\n]",
            &["3:1: error[yaml-dash]: a list is written in brackets"],
        ),
        (b"[services.web]\nimage = nginx:1.27", &["2:9: error[bare-word]: text needs quotes"]),
        (b"[services.web]\nimage = 'a'\ninit = True", &["3:8: error[bare-word]: text needs quotes"]),
        (
            b"[services.web]\nimage = 'a'\ndns = [one, two]",
            &["3:8: error[bare-word]: text needs quotes", "3:13: error[bare-word]: text needs quotes"],
        ),
        (
            b"[services.web]\nimage = 'a'\nimage = 'b'",
            &["3:1: error[duplicate-key]: `image` is set twice in one table"],
        ),
        (
            b"[services.web]\nimage = 'a'\n[services.web]",
            &["3:2: error[duplicate-key]: the table `services.web` is opened twice"],
        ),
        (
            b"[services.web]\nimage = 'a'\nimage.x = 1",
            &[
                "3:1: error[value-and-table]: `services.web.image` already has a value, so it cannot be a table as well",
            ],
        ),
        (b"[services.web\nimage = 'a'", &["1:14: error[syntax]: unclosed table"]),
        (b"[services.web]\nimage = \"a", &["2:11: error[syntax]: invalid basic string"]),
        (
            b"[services.web]\nimage = 'a'\nscale = 99999999999999999999",
            &["3:9: error[syntax]: the number is out of range"],
        ),
    ]);
}

#[test]
fn all_syntax_errors_of_a_file_come_in_one_run() {
    let got = said(b"[services.web]\nimage: nginx\nrestart = always\nimage = 'x'\nimage = 'y'\n");
    assert_eq!(got.len(), 3, "{got:#?}");
    let yaml = "services:\n  web:\n    image: nginx\n".repeat(100);
    assert_eq!(said(yaml.as_bytes()).len(), 20, "a file in another language is cut short");
}

#[test]
fn columns_count_characters_and_neither_byte_order_mark_nor_carriage_return_matters() {
    check(&[
        ("[services.wéb]\nimage = 'a'".as_bytes(), &["1:12: error[syntax]: invalid unquoted key"]),
        (
            "[services.web]\nimage = 'é'\nlabels = { 'é' = 'é', b = c }".as_bytes(),
            &["3:27: error[bare-word]: text needs quotes"],
        ),
        ("\u{feff}restart = always".as_bytes(), &["1:11: error[bare-word]: text needs quotes"]),
        (
            b"[services.web]\r\nimage = 'a'\r\nrestart = always\r\n",
            &["3:11: error[bare-word]: text needs quotes"],
        ),
        (
            b"[services.web]\nimage = 'a\xff'",
            &["2:11: error[not-utf8]: the file is not UTF-8: byte 0xff stands alone"],
        ),
    ]);
}

#[test]
fn a_file_that_is_too_large_is_refused_and_still_freezes_its_services() {
    let mut text = b"[services.web]\nimage = 'a'\n#".to_vec();
    text.resize((1 << 20) + 1, b'x');
    let snapshot = snapshot(&[("a.toml", &text)]);
    let (state, got) = load(&snapshot, &facts());
    assert_eq!(got[0].slug, "file-too-large");
    assert_eq!(state.services.len(), 1);
}

#[test]
fn a_key_of_another_program_and_a_typing_error_are_told_apart() {
    check(&[
        (
            b"[entryPoints.web]\naddress = ':80'",
            &["1:2: error[foreign-toml]: not a desired-state file: unknown table `entryPoints`"],
        ),
        (
            b"[service.web]\nimage = 'a'",
            &["1:2: error[unknown-key]: unknown key `service` at the top of the file"],
        ),
        (
            b"[package]\nname = 'x'\n[dependencies]\n",
            &["1:2: error[foreign-toml]: not a desired-state file: unknown table `package`"],
        ),
        (
            b"version = '3'\n[services.web]\nimage = 'a'",
            &["1:1: error[unknown-key]: unknown key `version` at the top of the file"],
        ),
        (b"x-note = 'kept'\n[services.web]\nimage = 'a'\nx-own = 1", &[]),
        (b"", &[]),
        (b"# nothing yet\n", &[]),
    ]);
}

#[test]
fn what_is_wrong_with_times_in_the_policy_is_pointed_at() {
    check(&[
        (b"[policy]\ninterval = '30s'\npaused_until = 2026-09-01T08:00:00Z\n", &[]),
        (b"[policy]\npaused_until = 2026-09-01T10:00:00+02:00\nwindow = { schedule = '* 2 * * *' }\n", &[]),
        (b"[policy]\ninterval = '2s'\n", &["2:12: error[bad-range]: `policy.interval` is at least \"5s\""]),
        (b"[policy]\ninterval = 30\n", &["2:12: error[unit-missing]: a duration needs a unit"]),
        (
            b"[policy]\ninterval = true\n",
            &["2:12: error[bad-type]: `policy.interval` takes a duration, not true or false"],
        ),
        (
            b"[policy]\npaused_until = 2026-09-01\n",
            &["2:16: error[bad-date]: `2026-09-01` is not a moment that is the same everywhere"],
        ),
        (
            b"[policy]\npaused_until = 2026-09-01T08:00:00\n",
            &["2:16: error[bad-date]: `2026-09-01T08:00:00` is not a moment that is the same everywhere"],
        ),
        (
            b"[policy]\nwindow = '* 2 * * *'\n",
            &["2:10: error[bad-type]: `policy.window` takes a table, not text"],
        ),
        (
            b"[policy]\nwindow = { timezone = 'UTC' }\n",
            &["2:10: error[missing-key]: `policy.window` does not say when it is open"],
        ),
        (
            b"[policy.window]\nschedule = '* 25 * * *'\ntimezone = 'Europe/Berln'\nopen = true\n",
            &[
                "2:15: error[bad-cron]: hour 25 is outside 0-23",
                "3:12: error[bad-timezone]: unknown time zone `Europe/Berln`",
                "4:1: error[unknown-key]: unknown key `open` in policy.window",
            ],
        ),
        (
            b"[policy.prune.images]\nkeep = -1\nolder_than = 3\nkept = 2\n",
            &[
                "2:8: error[bad-type]: `policy.prune.images.keep` is a number of revisions",
                "3:14: error[unit-missing]: a duration needs a unit",
                "4:1: error[unknown-key]: unknown key `kept` in policy.prune.images",
            ],
        ),
    ]);
}

#[test]
fn labels_that_continue_a_value_name_the_whole_label() {
    let text =
        b"[services.web]\nimage = 'a'\nlabels.traefik.tls = true\nlabels.traefik.tls.resolver = 'le'\n";
    let (_, got) = load(&snapshot(&[("a.toml", text)]), &facts());
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].helps, ["quote both names: \"traefik.tls\" = true"]);
    assert_eq!(place(&snapshot(&[("a.toml", text)]), &got[0].primary.span), (4, 1, 27));
}

#[test]
fn values_of_variables_are_in_no_diagnostic() {
    let rows: [&[(&str, &[u8])]; 4] = [
        &[("a.toml", b"[services.web]\nimage = '${S}'\nports = ['${S}']\nrestart = '${S}'\n[vars]\nS = 'hunter2-secret'")],
        &[("a.toml", b"[services.web]\nimage = 'a'\nrestart = '${S:?hm ${T}}'\n[vars]\nT = 'hunter2-secret'")],
        &[(".env", b"S = \"hunter2-secret\nT=1\n"), ("a.toml", b"[services.web]\nimage = 'a'\n")],
        &[(".env", b"hunter2-secret word\nS='hunter2-secret' x\n$hunter2-secret=1\n"), ("a.toml", b"[services.web]\nimage = 'a'\n")],
    ];
    for files in rows {
        let snapshot = snapshot(files);
        let (_, got) = load(&snapshot, &facts());
        assert!(!got.is_empty(), "{files:?} is taken as good");
        let messages: Vec<_> =
            got.iter().map(|d| (&d.message, &d.primary.text, &d.secondary, &d.helps)).collect();
        let told = format!("{messages:?}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

fn drawn(files: &[(&str, &[u8])], format: Format) -> String {
    let snapshot = snapshot(files);
    let (_, got) = load(&snapshot, &facts());
    let findings: Vec<Finding> = got.into_iter().map(Finding::from).collect();
    render::all(&findings, &Page { snapshot: &snapshot, place: "", colour: false }, format)
}

#[test]
fn a_drawing_shows_the_lines_of_every_file_it_is_about() {
    let files: [(&str, &[u8]); 2] = [
        ("shop/a.toml", b"# first\n\n[services.web]\nimage = 'a'\n"),
        ("shop/b.toml", b"[services.web]\nimage = 'b'\n"),
    ];
    let expected = "\
error[defined-twice]: services.web is defined twice in project `shop`
 --> shop/b.toml:1:2
  |
1 | [services.web]
  |  ^^^^^^^^^^^^ second definition
  |
 ::: shop/a.toml:3:2
  |
3 | [services.web]
  |  ------------ first definition
  |
  = help: to refine the first one, begin this file with: override = true
";
    assert_eq!(drawn(&files, Format::Text).trim_end(), expected.trim_end());
}

#[test]
fn nothing_in_a_file_can_steer_the_terminal() {
    let files: [(&str, &[u8]); 1] = [(
        "a.toml",
        "[services.web]\nimage = 'a'\n\"\\u001b[2J\\u202e\" = 1 # \u{9b}31m\u{202e}\n".as_bytes(),
    )];
    for format in [Format::Text, Format::Short] {
        let text = drawn(&files, format);
        assert!(text.contains("unknown-key"), "{text}");
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(steers), "{text:?}");
    }
}

#[test]
fn machines_get_places_as_numbers() {
    let files: [(&str, &[u8]); 1] = [("a.toml", b"[services.web]\nimage = 'a'\nrestart = 'allways'\n")];
    let json: serde_json::Value = serde_json::from_str(&drawn(&files, Format::Json)).unwrap();
    let first = &json[0];
    assert_eq!((first["line"].as_u64(), first["column"].as_u64()), (Some(3), Some(11)));
    assert_eq!((&first["slug"], &first["severity"]), (&"bad-choice".into(), &"error".into()));
    assert_eq!(first["primary"]["end_column"].as_u64(), Some(20));
    let sarif: serde_json::Value = serde_json::from_str(&drawn(&files, Format::Sarif)).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "bad-choice");
    let github = drawn(&files, Format::Github);
    assert!(
        github.starts_with("::error file=a.toml,line=3,col=11,title=bad-choice::`allways` is not"),
        "{github}"
    );
    assert_eq!(drawn(&[], Format::Json).trim(), "[]");
}

#[test]
fn every_example_says_only_what_this_version_lacks() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/examples");
    let vars: &[u8] = b"DB_PASSWORD=x\nACME_EMAIL=me@example.com\nDOMAIN=example.com\n";
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let mut snapshot = if path.is_dir() {
            read_snapshot(&path).unwrap()
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let files: [(&str, &[u8]); 4] = [
                ("app.toml", &bytes),
                (".env", vars),
                ("files/db.env", b"A=1\n"),
                ("files/db-password.age", b"age-encryption.org/v1\n"),
            ];
            snapshot(&files)
        };
        snapshot.root = "/srv/desired".to_owned();
        let host = HostFacts { name: "fra1".to_owned(), ..HostFacts::default() };
        let (_, got) = load(&snapshot, &host);
        for diagnostic in got {
            assert_eq!(diagnostic.slug, "unsupported-key", "{}: {}", path.display(), diagnostic.headline());
            *said.entry(diagnostic.message).or_default() += 1;
        }
    }
    assert!(said.len() <= 10, "{said:#?}");
}
