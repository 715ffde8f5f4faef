//! `.env` and `env_file`, by Compose's grammar.
//!
//! `KEY=value`, `KEY: value`, `export KEY=value`, `KEY` alone (taken from outside), `#` comments, values in single quotes
//! (literal), double quotes (escapes and variables, over several lines), or without (variables, up to ` #`).

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, Severity, Span};
use super::interpolate::{self, Lookup, Scope};

/// How values are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Compose's grammar.
    #[default]
    Compose,
    /// `format = "raw"`: everything after `=` as it stands, as `docker run --env-file` reads it.
    Raw,
}

/// Reads the variables of one file. A name set twice keeps its last value, as in Compose; a name without value that `scope` does
/// not know is left out. What is wrong goes to `diagnostics`, by line; values are never quoted in messages.
#[must_use]
pub fn parse(
    file: &str,
    bytes: &[u8],
    format: Format,
    scope: &dyn Scope,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<String, String> {
    if bytes.len() > super::parse::MAX_FILE {
        diagnostics.push(super::parse::too_large(file, bytes.len()));
        return BTreeMap::new();
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let span = Span { file: file.into(), start: at, end: at + 1 };
            diagnostics.push(super::parse::not_utf8(span, bytes));
            return BTreeMap::new();
        }
    };
    let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut reader = Reader { file, text, at, scope, found: BTreeMap::new(), diagnostics };
    match format {
        Format::Compose => while reader.statement() {},
        Format::Raw => reader.raw_lines(),
    }
    reader.found
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    at: usize,
    scope: &'a dyn Scope,
    found: BTreeMap<String, String>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&mut self, slug: &'static str, start: usize, end: usize, message: &str, label: &str) {
        let span = Span { file: self.file.into(), start, end };
        self.diagnostics.push(Diagnostic::error(slug, span, message, label));
    }

    fn skip_line(&mut self) {
        let length = self.rest().find('\n').map_or(self.rest().len(), |end| end + 1);
        self.at += length;
    }

    /// Reads one statement; false at the end of the file.
    fn statement(&mut self) -> bool {
        self.at += self.rest().len() - self.rest().trim_start().len();
        if self.rest().is_empty() {
            return false;
        }
        if self.rest().starts_with('#') {
            self.skip_line();
            return true;
        }
        if let Some(after) = self.rest().strip_prefix("export").filter(|after| after.starts_with(is_blank)) {
            self.at += "export".len() + (after.len() - after.trim_start_matches(is_blank).len());
        }
        let Some((name, inherited)) = self.name() else {
            self.skip_line();
            return true;
        };
        if inherited {
            if let Lookup::Set(value) = self.scope.get(&name) {
                self.found.insert(name, value);
            }
            return true;
        }
        if let Some(value) = self.value() {
            self.found.insert(name, value);
        }
        true
    }

    /// Reads a name and its `=` or `:`; whether it stands alone in its line.
    fn name(&mut self) -> Option<(String, bool)> {
        let start = self.at;
        let line = self.rest().split('\n').next().unwrap_or_default();
        let (name, inherited) = match line.find(['=', ':']) {
            Some(end) => (line.get(..end).unwrap_or_default(), false),
            None => (line.split(" #").next().unwrap_or_default(), true),
        };
        let trimmed = name.trim_end();
        let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']');
        if trimmed.is_empty() {
            self.error(
                "env-file",
                start,
                start + 1,
                "a line without the name of a variable",
                "a name is missing",
            );
            return None;
        }
        if let Some((offset, wrong)) = trimmed.char_indices().find(|(_, c)| !good(*c)) {
            let at = start + offset;
            // The text of the line may be a secret that lost its name: only the one character is told.
            let message = if wrong.is_whitespace() {
                "the name of a variable cannot contain a space".to_owned()
            } else {
                format!("`{}` cannot be in the name of a variable", wrong.escape_default())
            };
            self.error("env-file", at, at + wrong.len_utf8(), &message, "the form is NAME=value");
            return None;
        }
        self.at += if inherited { line.len() } else { name.len() + 1 };
        Some((trimmed.to_owned(), inherited))
    }

    fn value(&mut self) -> Option<String> {
        let blanks = self.rest().len() - self.rest().trim_start_matches(is_blank).len();
        self.at += blanks;
        match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => Some(self.unquoted()),
        }
    }

    fn unquoted(&mut self) -> String {
        let start = self.at;
        let line = self.rest().split('\n').next().unwrap_or_default();
        let value = line.split(" #").next().unwrap_or_default().trim_end();
        // `A= # note`: the blank before the mark was skipped with those after the sign.
        let value = if value.starts_with('#') && self.text.get(..start).is_some_and(|t| t.ends_with(is_blank))
        {
            ""
        } else {
            value
        };
        self.skip_line();
        self.expand(value, start, start + value.len(), true)
    }

    fn quoted(&mut self, quote: char) -> Option<String> {
        let start = self.at;
        let inside = self.text.get(start + 1..).unwrap_or_default();
        let mut value = String::new();
        let mut escaped = false;
        for (offset, c) in inside.char_indices() {
            if c == quote && !escaped {
                let end = start + 1 + offset + 1;
                self.at = end;
                self.after_quote();
                return Some(match quote {
                    '"' => self.expand(&unescape(&value), start, end, false),
                    _ => value,
                });
            }
            if escaped {
                if c != quote {
                    value.push('\\');
                }
                value.push(c);
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if !(c == '\r' && inside.get(offset + 1..).is_some_and(|rest| rest.starts_with('\n'))) {
                value.push(c);
            }
        }
        self.error("env-file", start, start + 1, "a quoted value without its closing quote", "opened here");
        self.at = self.text.len();
        None
    }

    /// Behind a closing quote only a comment may follow.
    fn after_quote(&mut self) {
        let line = self.rest().split('\n').next().unwrap_or_default();
        let blanks = line.len() - line.trim_start().len();
        let behind = line.trim();
        if !(behind.is_empty() || behind.starts_with('#')) {
            let at = self.at + blanks;
            self.error(
                "env-file",
                at,
                at + 1,
                "text behind the closing quote",
                "nothing but a comment may follow",
            );
        }
        self.skip_line();
    }

    /// Replaces variables: the scope's first, then those of this file above, as Compose does.
    fn expand(&mut self, value: &str, start: usize, end: usize, verbatim: bool) -> String {
        if !value.contains('$') {
            return value.to_owned();
        }
        let within = Within { outer: self.scope, above: &self.found };
        let expanded = interpolate::expand(value, &within);
        let mut told = Vec::new();
        for problem in &expanded.problems {
            let (from, to) =
                if verbatim { (start + problem.start, start + problem.end) } else { (start, end) };
            let span = Span { file: self.file.into(), start: from, end: to };
            told.push(interpolate::explain(problem, span, value, &within));
        }
        self.diagnostics.extend(told);
        expanded.text
    }

    fn raw_lines(&mut self) {
        let (text, mut at) = (self.text, self.at);
        for line in text.get(at..).unwrap_or_default().split('\n') {
            let start = at;
            at += line.len() + 1;
            let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) =
                line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
            if name.is_empty() || name.contains(char::is_whitespace) {
                let message = "the name of a variable is missing or contains a space";
                self.error("env-file", start, start + 1, message, "the form is NAME=value");
                continue;
            }
            match (value, self.scope.get(name)) {
                (Some(value), _) => {
                    self.found.insert(name.to_owned(), value.to_owned());
                }
                (None, Lookup::Set(value)) => {
                    self.found.insert(name.to_owned(), value);
                }
                (None, _) => {}
            }
        }
    }
}

/// The scope of a value within a file.
struct Within<'a> {
    outer: &'a dyn Scope,
    above: &'a BTreeMap<String, String>,
}

impl Scope for Within<'_> {
    fn get(&self, name: &str) -> Lookup {
        match self.outer.get(name) {
            Lookup::Unset => self.above.get(name).map_or(Lookup::Unset, |value| Lookup::Set(value.clone())),
            known => known,
        }
    }
    fn places(&self) -> String {
        self.outer.places()
    }
    fn unset(&self) -> Severity {
        self.outer.unset()
    }
}

fn is_blank(c: char) -> bool {
    c != '\n' && c.is_whitespace()
}

/// The escapes of a double-quoted value: `\a \b \f \n \r \t \v \" \\ \$` and octal `\0nn`; others stay as they are.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or_default());
        let after = rest.get(at + 1..).unwrap_or_default();
        let mut taken = 1;
        match after.chars().next() {
            Some('a') => out.push('\u{7}'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('v') => out.push('\u{b}'),
            Some('"') => out.push('"'),
            Some('\\') => out.push('\\'),
            // The variables are replaced afterwards, where this is a literal dollar.
            Some('$') => out.push_str("$$"),
            Some('0') => {
                let digits: String =
                    after.chars().skip(1).take_while(|c| ('0'..='7').contains(c)).take(3).collect();
                match u8::from_str_radix(&digits, 8) {
                    Ok(byte) if digits.len() == 3 => {
                        out.push(char::from(byte));
                        taken += 3;
                    }
                    _ => out.push_str("\\0"),
                }
            }
            _ => {
                out.push('\\');
                taken = 0;
            }
        }
        rest = after.get(taken..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}
