//! Bytes to a tree with places.
//!
//! The grammar is that of `toml_parser`, the event parser under the `toml` crate; only the tree is built here, because `toml`'s
//! own keeps neither the order of the keys nor the place of the *first* definition when a second one is refused, and
//! both belong into the messages. What is accepted is exactly what `toml` accepts (a test compares the two).

mod build;
mod draft;
mod syntax;

use toml_parser::Source;
use toml_parser::parser::{Event, RecursionGuard, ValidateWhitespace, parse_document};

use super::diagnostic::{Diagnostic, Span};
use super::filename::FileName;
use super::node::Table;

/// Largest file that is read, in bytes: a thousand services fit, and no input can make a load slow.
pub const MAX_FILE: usize = 1 << 20;

/// Deepest nesting of arrays and inline tables, and of a dotted name.
const MAX_DEPTH: u32 = 64;

/// Most syntax errors reported for one file: a file in another language has one per line.
const MAX_ERRORS: usize = 20;

/// What a file gave.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// Everything that could be read, even when there are errors: it tells which services the file has a part in.
    pub table: Table,
    /// Empty when the file is good TOML.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads one TOML file. Never fails: what is wrong is in [`Parsed::diagnostics`].
#[must_use]
pub fn parse(file: &str, bytes: &[u8]) -> Parsed {
    if bytes.len() > MAX_FILE {
        return refused(file, bytes, too_large(file, bytes.len()));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => parse_text(file, text),
        Err(error) => {
            let at = error.valid_up_to();
            let span = Span { file: file.into(), start: at, end: at + 1 };
            refused(file, bytes, not_utf8(span, bytes))
        }
    }
}

/// The error of a file with more than [`MAX_FILE`] bytes.
#[must_use]
pub fn too_large(file: &str, length: usize) -> Diagnostic {
    let span = Span { file: file.into(), start: 0, end: 0 };
    let message = format!("the file has {length} bytes; at most {MAX_FILE} are read");
    Diagnostic::error("file-too-large", span, message, "not read")
        .help("split it into several files of the same folder: together they are one project")
}

/// The error of a file that is not UTF-8, at the first byte that is not.
#[must_use]
pub fn not_utf8(span: Span, bytes: &[u8]) -> Diagnostic {
    let found = bytes.get(span.start).copied().unwrap_or_default();
    let message = format!("the file is not UTF-8: byte 0x{found:02x} stands alone");
    Diagnostic::error("not-utf8", span, message, "no character starts like this")
        .help("save the file as UTF-8 without a byte order mark")
}

/// What stays readable of a file that is refused: its good beginning, so that its services freeze by name.
fn refused(file: &str, bytes: &[u8], why: Diagnostic) -> Parsed {
    let head = bytes.get(..bytes.len().min(MAX_FILE)).unwrap_or(bytes);
    let good = std::str::from_utf8(head)
        .or_else(|error| std::str::from_utf8(head.get(..error.valid_up_to()).unwrap_or_default()))
        .unwrap_or_default();
    Parsed { table: parse_text(file, good).table, diagnostics: vec![why] }
}

fn parse_text(file: &str, text: &str) -> Parsed {
    let file = &FileName::from(file);
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut events: Vec<Event> = Vec::with_capacity(tokens.len());
    let mut errors = Vec::new();
    {
        let mut checked = ValidateWhitespace::new(&mut events, source);
        let mut guarded = RecursionGuard::new(&mut checked, MAX_DEPTH);
        parse_document(&tokens, &mut guarded, &mut errors);
    }
    let built = build::build(file, source, &events);
    errors.extend(built.errors);
    let mut diagnostics = syntax::explain(file, text, &errors, built.diagnostics);
    diagnostics.truncate(MAX_ERRORS);
    Parsed { table: built.table, diagnostics }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::node::{Node, Value};

    fn same(node: &Node, value: &toml::Value) -> bool {
        match (&node.value, value) {
            (Value::String(a), toml::Value::String(b)) => a == b,
            (Value::Integer(a), toml::Value::Integer(b)) => a == b,
            (Value::Float(a), toml::Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Value::Boolean(a), toml::Value::Boolean(b)) => a == b,
            (Value::Datetime(_), toml::Value::Datetime(_)) => true,
            (Value::Array(a), toml::Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Value::Table(a), toml::Value::Table(b)) => same_table(a, b),
            _ => false,
        }
    }

    fn same_table(a: &Table, b: &toml::Table) -> bool {
        a.entries.len() == b.len()
            && a.entries.iter().all(|entry| b.get(&entry.key).is_some_and(|value| same(&entry.value, value)))
    }

    fn check(text: &str) {
        let ours = parse("f.toml", text.as_bytes());
        match text.parse::<toml::Table>() {
            Ok(theirs) => {
                assert!(ours.diagnostics.is_empty(), "refused {text:?}: {:?}", ours.diagnostics);
                assert!(same_table(&ours.table, &theirs), "{text:?}: {:?} is not {theirs:?}", ours.table);
            }
            Err(_) => assert!(!ours.diagnostics.is_empty(), "accepted {text:?}"),
        }
    }

    #[test]
    fn it_accepts_what_the_toml_crate_accepts_and_reads_the_same() {
        let rows = [
            "",
            "a = 1",
            "a = 1\na = 2",
            "a.b = 1\na.c = 2",
            "a.b = 1\n[a]\nc = 2",
            "[a.b]\nx = 1\n[a]\ny = 2",
            "[a]\nx = 1\n[a]\ny = 2",
            "[a.b.c]\nz = 9\n[a]\nb.c.t = 1",
            "[fruit]\napple.color = 1\n[fruit.apple.taste]\nsweet = true",
            "[fruit]\napple.color = 1\n[fruit.apple]\nsweet = true",
            "[[a]]\nx = 1\n[[a]]\nx = 2\n[a.b]\ny = 1\n[[a]]",
            "[[a.b]]\n[a]\nx = 1",
            "a = []\n[[a]]",
            "[a]\n[[a]]",
            "[[a]]\n[a]",
            "a = { b = 1, c.d = 2, c.e = 3 }",
            "a = { b = 1 }\na.c = 1",
            "a = { b = 1 }\n[a]",
            "a = { b = 1 }\n[a.c]",
            "a = { b.c = 1, b = 2 }",
            "a = { b = {}, b.c = 2 }",
            "a = [1, [2, { x = 'y' }], '''z\n''']",
            "a = [1, 2\n",
            "a = \"x\\ty\"\n'b c' = '\\n'\n\"\" = 1",
            "a = 0xff\nb = 0o17\nc = 0b1\nd = 1_000\ne = -0\nf = 9223372036854775808",
            "a = 1e3\nb = inf\nc = -nan\nd = 1.5",
            "a = 1979-05-27T07:32:00Z\nb = 07:32:00\nc = 1979-05-27",
            "a = 1979-13-27",
            "a = tru",
            "a = b c",
            "a b = 1",
            "[a",
            "[]",
            "a = \"x",
            "a\r\nb",
            "\u{feff}a = 1",
            "a = 1\r\nb = 2\r\n",
            "a = 1\rb = 2",
            "a = \"\u{1}\"",
            "a = { x = 1,\n y = 2 }",
            "[a]\nb = 1\n[a.b]\nc = 1",
            "[a]\nb = 1\n[a.b.c]\nc = 1",
            "a = 1\na.b = 2",
            "[[a.b]]\nx = 1\n[a]\nb.y = 2",
        ];
        for row in rows {
            check(row);
        }
    }

    #[test]
    fn nesting_beyond_all_reason_is_an_error_and_no_overflow() {
        for text in [
            format!("a = {}", "[".repeat(100_000)),
            format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
            format!("a = {}", "{ b = ".repeat(100_000)),
            format!("{} = 1", vec!["a"; 100_000].join(".")),
            format!("[{}]\nx = 1", vec!["a"; 100_000].join(".")),
            format!("a = {}1", "{ x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x = ".repeat(60)),
        ] {
            assert!(!parse("f.toml", text.as_bytes()).diagnostics.is_empty());
        }
    }

    proptest::proptest! {
        #[test]
        fn random_toml_reads_like_the_toml_crate(lines in proptest::collection::vec(
            proptest::sample::select(vec![
                "[a]", "[a.b]", "[[a]]", "[[a.b]]", "[b]", "[c.d.e]", "x = 1", "y = 'z'", "a.b = 1", "a.b.c = 2", "x.y = 3",
                "a = {}", "b = { c.d = 1 }", "x = [1, 2]", "'q r' = true", "# note", "", "x = bare", "x = [1", "x =",
            ]), 0..8)) {
            check(&lines.join("\n"));
        }
    }
}
