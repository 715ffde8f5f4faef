//! Variables in text, by Compose's grammar: `$V ${V} ${V:-x} ${V-x} ${V:?m} ${V?m} ${V:+x} ${V+x}`, nested, `$$`.
//!
//! Names with a dot (`${host.name}`) are built in; no variable of Compose's can have one.

use super::diagnostic::{Diagnostic, Severity, Span};
use super::node::{Node, Table, Value};

/// Deepest nesting of `${A:-${B:-...}}`.
const MAX_DEPTH: usize = 32;

/// Longest text a value may become, in bytes: variables that double each other must not fill the memory.
const MAX_TEXT: usize = 1 << 20;

/// What a scope knows of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    Set(String),
    Unset,
    /// It is set, and what it is set to does not hold up (reported by the scope, or its file is broken): no follow-up error.
    Broken,
}

/// Where names are looked up.
pub trait Scope {
    fn get(&self, name: &str) -> Lookup;
    /// The places, in order, for the message about a variable that is not set.
    fn places(&self) -> String {
        "this file, and the variables of the project".to_owned()
    }
    /// What an unset variable without default is: an error, or (`policy.unset_variables = "warn"`) a warning and empty.
    fn unset(&self) -> Severity {
        Severity::Error
    }
}

impl<F: Fn(&str) -> Option<String>> Scope for F {
    fn get(&self, name: &str) -> Lookup {
        self(name).map_or(Lookup::Unset, Lookup::Set)
    }
}

/// Something wrong at bytes `start..end` of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub start: usize,
    pub end: usize,
    pub kind: ProblemKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    Unset {
        name: String,
    },
    UnknownBuiltIn {
        name: String,
    },
    /// `${V:?message}`, with the message as written.
    Required {
        name: String,
        message: String,
        empty_counts: bool,
    },
    Grammar {
        message: &'static str,
    },
    /// A dollar where no variable can begin: it stays, as with Compose, and was perhaps meant to be one.
    Loose,
}

/// A text after replacement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    pub text: String,
    /// A variable was replaced (`$$` alone does not count).
    pub replaced: bool,
    pub problems: Vec<Problem>,
    /// Something is missing in the text: a variable that is unset, or whose value does not hold up.
    pub gap: bool,
}

/// Replaces the variables in `text`.
#[must_use]
pub fn expand(text: &str, scope: &dyn Scope) -> Expanded {
    let mut expansion = Expansion { scope, replaced: false, problems: Vec::new(), broken: false };
    let mut out = String::with_capacity(text.len());
    expansion.run(text, 0, &mut out, 0, true);
    let gap = expansion.broken || expansion.problems.iter().any(|found| found.kind != ProblemKind::Loose);
    Expanded { text: out, replaced: expansion.replaced, problems: expansion.problems, gap }
}

/// Replaces the variables in every text below `node`; keys stay as they are. The places of texts in which something is missing
/// go to `gaps`: what is wrong with those afterwards is no error of its own.
pub fn expand_node(
    node: &mut Node,
    scope: &dyn Scope,
    diagnostics: &mut Vec<Diagnostic>,
    gaps: &mut Vec<Span>,
) {
    if let Value::String(text) = &node.value {
        if !text.contains('$') {
            return;
        }
        let expanded = expand(text, scope);
        for problem in &expanded.problems {
            let span = node.part(problem.start, problem.end);
            diagnostics.push(explain(problem, span, text, scope));
        }
        if expanded.gap {
            gaps.push(node.span.clone());
        }
        node.value = Value::String(expanded.text);
        node.interpolated = expanded.replaced;
        node.verbatim = false;
        return;
    }
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(|item| match &mut item.value {
            Value::Table(table) => expand_table(table, scope, diagnostics, gaps),
            _ => expand_node(item, scope, diagnostics, gaps),
        }),
        Value::Table(table) => {
            table
                .entries
                .iter_mut()
                .for_each(|entry| expand_node(&mut entry.value, scope, diagnostics, gaps));
        }
        _ => {}
    }
}

/// [`expand_node`] for every entry of a table of the language: what stands below its `x-` keys is nobody's.
pub fn expand_table(
    table: &mut Table,
    scope: &dyn Scope,
    diagnostics: &mut Vec<Diagnostic>,
    gaps: &mut Vec<Span>,
) {
    let read = table.entries.iter_mut().filter(|entry| !entry.key.starts_with("x-"));
    read.for_each(|entry| expand_node(&mut entry.value, scope, diagnostics, gaps));
}

/// The diagnostic for a problem of `text`, which stands at `span`.
#[must_use]
pub fn explain(problem: &Problem, span: Span, text: &str, scope: &dyn Scope) -> Diagnostic {
    let written = text.get(problem.start..problem.end).unwrap_or_default();
    match &problem.kind {
        ProblemKind::Unset { name } => {
            let message = format!("variable `{name}` is not set");
            let label = format!("looked in: {}", scope.places());
            let make = match scope.unset() {
                Severity::Error => Diagnostic::error,
                Severity::Warning => Diagnostic::warning,
            };
            make("unset-variable", span, message, label)
                .help(format!("empty on purpose: \"${{{name}:-}}\""))
                .help(format!("a literal dollar: \"${written}\""))
        }
        ProblemKind::UnknownBuiltIn { name } => {
            let message = format!("`{name}` is not a built-in variable");
            Diagnostic::error("unknown-built-in", span, message, "a name with a dot is built in")
                .help("there are: host.name, host.labels.<label>, project.name, service.name, service.tag")
        }
        ProblemKind::Required { name, message, empty_counts } => {
            let how = if *empty_counts { "not set or empty" } else { "not set" };
            let headline = format!("variable `{name}` is required and {how}");
            let label = if message.is_empty() { "required here" } else { message.as_str() };
            Diagnostic::error("required-variable", span, headline, label)
                .help(format!("looked in: {}", scope.places()))
        }
        ProblemKind::Grammar { message } => {
            Diagnostic::error("bad-variable", span, *message, "not a variable")
                .help("a literal dollar is written $$")
        }
        ProblemKind::Loose => {
            let message = "a dollar that starts no variable stays as it is";
            Diagnostic::warning("bad-variable", span, message, "not a variable")
                .help("a literal dollar is written $$")
        }
    }
}

struct Expansion<'a> {
    scope: &'a dyn Scope,
    replaced: bool,
    problems: Vec<Problem>,
    /// A value was asked for that does not hold up.
    broken: bool,
}

impl Expansion<'_> {
    /// Expands `text`, which begins at byte `base` of the whole, into `out`. When not `used`, only the grammar is checked:
    /// the default of a variable that is set.
    fn run(&mut self, text: &str, base: usize, out: &mut String, depth: usize, used: bool) {
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let here = base + (text.len() - rest.len()) + at;
            out.push_str(rest.get(..at).unwrap_or_default());
            let after = rest.get(at + 1..).unwrap_or_default();
            let taken = if after.starts_with('$') {
                out.push('$');
                1
            } else if let Some(inner) = after.strip_prefix('{') {
                self.braced(inner, here, out, depth, used)
            } else {
                self.named(after, here, out, used)
            };
            rest = after.get(taken..).unwrap_or_default();
            if out.len() > MAX_TEXT {
                self.grammar(here, here + 1, "the text grows beyond 1 MiB");
                return;
            }
        }
        out.push_str(rest);
    }

    /// `$NAME`; returns how many bytes after the dollar belong to it.
    fn named(&mut self, after: &str, here: usize, out: &mut String, used: bool) -> usize {
        let length = name_length(after, false);
        if length == 0 {
            let end = here + 1 + after.chars().next().map_or(0, char::len_utf8);
            self.problems.push(Problem { start: here, end, kind: ProblemKind::Loose });
            out.push('$');
            return 0;
        }
        let name = after.get(..length).unwrap_or_default();
        if used {
            self.plain(name, here, here + 1 + length, out);
        }
        length
    }

    /// `${...}`, with `inner` from after the brace; returns how many bytes after the dollar belong to it.
    fn braced(&mut self, inner: &str, here: usize, out: &mut String, depth: usize, used: bool) -> usize {
        let Some(close) = closing(inner) else {
            self.grammar(here, here + 2 + name_length(inner, true), "`${` without its `}`");
            return 1 + inner.len();
        };
        let body = inner.get(..close).unwrap_or_default();
        let (start, end) = (here, here + 2 + close + 1);
        let taken = close + 2;
        let length = name_length(body, true);
        let (name, operation) = body.split_at_checked(length).unwrap_or((body, ""));
        if name.is_empty() {
            self.grammar(start, end, "`${}` without a name");
            return taken;
        }
        if depth >= MAX_DEPTH {
            self.grammar(start, end, "variables nested too deeply");
            return taken;
        }
        if operation.is_empty() {
            if used {
                self.plain(name, start, end, out);
            }
            return taken;
        }
        let (empty_counts, operator) = match operation.strip_prefix(':') {
            Some(operator) => (true, operator),
            None => (false, operation),
        };
        let mut chars = operator.chars();
        let sign = chars.next();
        let word = chars.as_str();
        let word_base = end - 1 - word.len();
        let place = Place { start, end, word, word_base, depth };
        match sign {
            Some('-') => self.default(name, &place, empty_counts, out, used),
            Some('+') => self.alternative(name, &place, empty_counts, out, used),
            Some('?') => self.required(name, &place, empty_counts, out, used),
            _ => self.grammar(start, end, "after the name of a variable comes `}` or one of :- - :? ? :+ +"),
        }
        taken
    }

    fn plain(&mut self, name: &str, start: usize, end: usize, out: &mut String) {
        self.replaced = true;
        match self.scope.get(name) {
            Lookup::Set(value) => out.push_str(&value),
            Lookup::Broken => self.broken = true,
            Lookup::Unset => {
                let name = name.to_owned();
                let kind = match name.contains('.') {
                    true => ProblemKind::UnknownBuiltIn { name },
                    false => ProblemKind::Unset { name },
                };
                self.problems.push(Problem { start, end, kind });
            }
        }
    }

    fn default(&mut self, name: &str, place: &Place<'_>, empty_counts: bool, out: &mut String, used: bool) {
        let value = if used { self.value(name, empty_counts) } else { Found::Value(String::new()) };
        match value {
            Found::Value(value) => {
                out.push_str(&value);
                self.word(place, &mut String::new(), false);
            }
            Found::Nothing => self.word(place, out, used),
            Found::Broken => {}
        }
    }

    fn alternative(
        &mut self,
        name: &str,
        place: &Place<'_>,
        empty_counts: bool,
        out: &mut String,
        used: bool,
    ) {
        match self.value(name, empty_counts) {
            Found::Value(_) => self.word(place, out, used),
            Found::Nothing | Found::Broken => self.word(place, &mut String::new(), false),
        }
    }

    fn required(&mut self, name: &str, place: &Place<'_>, empty_counts: bool, out: &mut String, used: bool) {
        if !used {
            return;
        }
        match self.value(name, empty_counts) {
            Found::Value(value) => out.push_str(&value),
            Found::Broken => {}
            Found::Nothing => {
                let kind = ProblemKind::Required {
                    name: name.to_owned(),
                    // As written: expanding it could print a secret.
                    message: place.word.to_owned(),
                    empty_counts,
                };
                self.problems.push(Problem { start: place.start, end: place.end, kind });
            }
        }
    }

    fn value(&mut self, name: &str, empty_counts: bool) -> Found {
        self.replaced = true;
        match self.scope.get(name) {
            Lookup::Set(value) if empty_counts && value.is_empty() => Found::Nothing,
            Lookup::Set(value) => Found::Value(value),
            Lookup::Unset => Found::Nothing,
            Lookup::Broken => {
                self.broken = true;
                Found::Broken
            }
        }
    }

    fn word(&mut self, place: &Place<'_>, out: &mut String, used: bool) {
        self.run(place.word, place.word_base, out, place.depth + 1, used);
    }

    fn grammar(&mut self, start: usize, end: usize, message: &'static str) {
        self.problems.push(Problem { start, end, kind: ProblemKind::Grammar { message } });
    }
}

enum Found {
    Value(String),
    Nothing,
    Broken,
}

/// One `${name<op>word}`.
struct Place<'a> {
    start: usize,
    end: usize,
    word: &'a str,
    word_base: usize,
    depth: usize,
}

/// Bytes of a name at the start of `text`: `[A-Za-z_][A-Za-z0-9_]*`, and in braces also parts after dots.
fn name_length(text: &str, dots: bool) -> usize {
    let mut length = 0;
    for (at, byte) in text.bytes().enumerate() {
        let letter = byte.is_ascii_alphabetic() || byte == b'_';
        let later = byte.is_ascii_digit() || (dots && byte == b'.');
        if !(letter || (at > 0 && later)) {
            break;
        }
        length = at + 1;
    }
    length
}

/// The offset of the brace that closes a `${` whose inside `text` starts with, counting nested ones.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut open = 1_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'$' && bytes.get(at + 1) == Some(&b'{') {
            open += 1;
            at += 1;
        } else if *byte == b'}' {
            open -= 1;
            if open == 0 {
                return Some(at);
            }
        }
        at += 1;
    }
    None
}
