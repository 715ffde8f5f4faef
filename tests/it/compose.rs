//! Compose files as state files: one fixture for each rule, and what holds for any text at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use evenkeel::desired::compose::{Source, convert, project_name};
use evenkeel::desired::format;
use proptest::prelude::*;
use serde_json::{Value, json};

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/convert");
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert!(all.len() >= 18, "{all:?}");
    all
}

/// The input: `compose.yaml`, or `override.yaml`, which is laid over another.
fn input(fixture: &Path) -> (String, bool) {
    let read = |name: &str| fs::read_to_string(fixture.join(name));
    read("compose.yaml").map_or_else(|_| (read("override.yaml").unwrap(), true), |text| (text, false))
}

/// What a fixture becomes: files by their names, and the notes.
fn outcome(text: &str, refines: bool) -> BTreeMap<String, String> {
    let source = Source { file: "compose.yaml", text, refines };
    let (documents, notes) = convert(&source).unwrap_or_else(|error| panic!("{error}"));
    let mut out = BTreeMap::new();
    for (number, document) in documents.iter().enumerate() {
        let toml = document.toml();
        toml.parse::<toml::Table>().unwrap_or_else(|error| panic!("no TOML: {error}\n{toml}"));
        out.insert(
            format!("expected{}.toml", if number == 0 { String::new() } else { format!(".{}", number + 1) }),
            toml,
        );
    }
    let lines: String = notes.iter().map(|note| format!("{note}\n")).collect();
    out.insert("notes.txt".to_owned(), lines);
    out
}

/// `UPDATE_FIXTURES=1 cargo test --test it compose::` writes what comes out beside what goes in, to be looked at.
#[test]
fn every_rule_has_a_fixture() {
    let update = std::env::var_os("UPDATE_FIXTURES").is_some();
    let mut wrong = Vec::new();
    for fixture in fixtures() {
        let (text, refines) = input(&fixture);
        for (name, is) in outcome(&text, refines) {
            let path = fixture.join(&name);
            if update {
                fs::write(&path, &is).unwrap();
            }
            let should = fs::read_to_string(&path).unwrap_or_default();
            if is != should {
                wrong.push(format!("{}:\n{is}\nshould be:\n{should}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_comment_of_the_fixtures_is_kept() {
    for fixture in fixtures() {
        let (text, refines) = input(&fixture);
        let out: String = outcome(&text, refines).into_values().collect();
        // No text of the fixtures has a `#` in it.
        let mut lost: Vec<&str> =
            text.lines().filter_map(|line| line.find('#').map(|at| line[at..].trim())).collect();
        lost.retain(|comment| !out.contains(comment));
        assert!(lost.is_empty(), "{}: {lost:?}\n{out}", fixture.display());
    }
}

#[test]
fn what_is_no_compose_file_is_refused_with_its_place() {
    let cases = [
        ("a: [", "yaml-syntax"),
        ("a: b: c", "yaml-syntax"),
        ("\"a", "yaml-syntax"),
        ("- a\n- b", "not-compose"),
        ("just text", "not-compose"),
        ("a: &a [*a]", "yaml-alias"),
        ("a: *b", "yaml-syntax"),
    ];
    for (text, slug) in cases {
        let error = convert(&Source { file: "c.yaml", text, refines: false }).unwrap_err();
        assert_eq!(error.slug, slug, "{text:?}: {error}");
        assert!(error.to_string().starts_with("c.yaml:") && error.line >= 1, "{error}");
    }
}

#[test]
fn files_that_would_fill_the_memory_are_refused() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let before = level - 1;
        laughs += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", "));
    }
    let mut merges = "x-0: &m0 {a: 1}\n".to_owned();
    for level in 1..60 {
        merges +=
            &format!("x-{level}: &m{level} {{<<: *m{}, k{level}: {{<<: *m{}}}}}\n", level - 1, level - 1);
    }
    let text = "x".repeat(1 << 20);
    let long = format!("a: &a {text}\nb: [{}]\n", vec!["*a"; 64].join(", "));
    let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    let nested: String = (0..100).map(|level| format!("{}k:\n", " ".repeat(level))).collect();
    for (what, text) in [
        ("laughs", laughs),
        ("merges", merges),
        ("long", long),
        ("deep", deep),
        ("nested", nested),
        ("large", "#".repeat(5 << 20)),
    ] {
        let began = std::time::Instant::now();
        let error = convert(&Source { file: "c.yaml", text: &text, refines: false }).map(|_| ()).unwrap_err();
        assert!(matches!(error.slug, "too-large" | "too-deep" | "yaml-syntax"), "{what}: {error}");
        assert!(began.elapsed().as_secs() < 20, "{what}: {:?}", began.elapsed());
    }
}

#[test]
fn a_project_is_called_as_compose_calls_it() {
    let cases = [
        ("Shop", Some("shop")),
        ("my.shop (2)", Some("myshop2")),
        ("__x-y_Z", Some("x-y_z")),
        ("-", None),
        ("ÄÖ", None),
    ];
    for (text, name) in cases {
        assert_eq!(project_name(text).as_deref(), name, "{text}");
    }
}

/// Values as JSON, which is YAML. Null has no place in TOML, and no key of a map is one of YAML's own.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i16>().prop_map(|number| json!(f64::from(number) / 8.0)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Text with what is special to YAML and to TOML.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z.$ -]{0,12}",
        "[\"'\\\\#:\n\t\r{}&*!|>%@`a-c ]{0,24}",
        any::<String>().prop_map(|text| text.chars().filter(|c| *c != '\u{feff}').take(30).collect()),
    ]
}

/// JSON of a TOML value.
pub fn of_toml(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(yes) => json!(yes),
        toml::Value::Datetime(at) => json!(at.to_string()),
        toml::Value::Array(items) => items.iter().map(of_toml).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.clone(), of_toml(value))).collect())
        }
    }
}

/// As YAML with indentation, maps and lists one line each, texts as JSON writes them.
fn yaml(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                *out += &format!("\n{indent}{}: # c", json!(key));
                yaml(value, depth + 1, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                *out += &format!("\n{indent}# d\n{indent}-");
                yaml(item, depth + 1, out);
            }
        }
        scalar => *out += &format!("\n{indent}{scalar}"),
    }
}

/// Pieces that YAML is made of, in any order.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "services:",
        "web",
        ":",
        "- ",
        "\n",
        "  ",
        "    ",
        "#",
        " # c",
        "&a ",
        "*a",
        "<<: ",
        "!reset ",
        "!!int ",
        "|",
        ">-",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "image: x",
        "environment:",
        "---",
        "...",
        "? ",
        "null",
        "1.0",
        "0440",
        "\t",
        "\r\n",
        "x-",
        "ports",
        "%",
        "@",
        "\u{feff}",
        "é",
        "\u{0}",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A fixture with something cut out, doubled or put in.
fn mutated() -> impl Strategy<Value = String> {
    let texts: Vec<String> = fixtures().iter().map(|fixture| input(fixture).0).collect();
    let edits = prop::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), soup(), 0..4_u8),
        1..4,
    );
    (prop::sample::select(texts), edits).prop_map(|(text, edits)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (a, b, piece, what) in edits {
            let (a, b) = (a.index(chars.len() + 1), b.index(chars.len() + 1));
            let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 40));
            let cut: Vec<char> = chars[from..to].to_vec();
            match what {
                0 => drop(chars.drain(from..to)),
                1 => drop(chars.splice(to..to, cut)),
                2 => drop(chars.splice(from..from, piece.chars())),
                _ => drop(chars.splice(from..to, piece.chars())),
            }
        }
        chars.into_iter().collect()
    })
}

/// Whatever goes in: an error with a place, or TOML that can be laid out and means the same then.
fn holds(text: &str, refines: bool) {
    let source = Source { file: "c.yaml", text, refines };
    match convert(&source) {
        Err(error) => assert!(error.line >= 1 && error.column >= 1, "{error}"),
        Ok((documents, _)) => {
            for document in documents {
                let toml = document.toml();
                assert!(
                    toml.parse::<toml::Table>().is_ok(),
                    "{text:?} became\n{toml}\n{:?}",
                    toml.parse::<toml::Table>()
                );
                let laid_out = format::format(&toml).unwrap();
                assert!(format::same(&toml, &laid_out), "{toml}\n{laid_out}");
                assert_eq!(format::format(&laid_out).unwrap(), laid_out, "not at rest");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_arrives_as_it_was(value in value()) {
        let mut block = "x-any:".to_owned();
        yaml(&value, 1, &mut block);
        for text in [format!("{{\"x-any\": {value}}}"), block + "\n"] {
            let (documents, _) = convert(&Source { file: "c.yaml", text: &text, refines: false }).unwrap();
            let toml = documents[0].toml();
            let table: toml::Table = toml.parse().unwrap_or_else(|error| panic!("{error}\n{text}\n{toml}"));
            prop_assert_eq!(of_toml(&table["x-any"]), value.clone(), "{}\n{}", text, toml);
        }
    }

    #[test]
    fn no_text_panics_or_becomes_anything_but_toml(text in soup(), refines in any::<bool>()) {
        holds(&text, refines);
    }

    #[test]
    fn no_damaged_file_does_either(text in mutated(), refines in any::<bool>()) {
        holds(&text, refines);
    }
}
