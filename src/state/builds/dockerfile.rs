//! Which images a Dockerfile begins with: those of `FROM`, `COPY --from=` and `RUN --mount=...,from=`, of every stage up to the one that is
//! built. Nothing else of it is understood; what the builder refuses, the builder tells.

use std::collections::BTreeMap;
use std::ops::Range;

use super::lines::{Line, Word, lines};

/// An image that a Dockerfile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// With variables replaced.
    pub image: String,
    /// Where it stands in the text, as bytes.
    pub at: Range<usize>,
}

/// What was found in a Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    pub bases: Vec<Base>,
    /// Something that the engine's own builder cannot do: `RUN --mount`.
    pub buildkit: Option<String>,
}

/// Reads a Dockerfile. `args`: the build's own; `automatic`: those that BuildKit knows by itself (`TARGETARCH`).
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn read(
    text: &str,
    args: &BTreeMap<String, String>,
    automatic: &BTreeMap<String, String>,
    target: Option<&str>,
) -> Result<Reading, String> {
    let mut reader = Reader {
        args,
        globals: automatic.clone(),
        stages: Vec::new(),
        target,
        at_target: false,
        reading: Reading::default(),
    };
    for line in lines(text)? {
        if !reader.line(&line)? {
            break;
        }
    }
    match target {
        _ if reader.stages.is_empty() => Err("the Dockerfile has no FROM".to_owned()),
        Some(target) if !reader.at_target => Err(format!(
            "the Dockerfile has no stage `{target}`; it has: {}",
            reader
                .stages
                .iter()
                .map(String::as_str)
                .filter(|name| !name.is_empty())
                .collect::<Vec<_>>()
                .join(", ")
        )),
        _ => Ok(reader.reading),
    }
}

/// The text with other images in the place of some.
#[must_use]
pub fn rewritten(text: &str, reading: &Reading, others: &BTreeMap<String, String>) -> String {
    let mut places: Vec<(&Range<usize>, &String)> =
        reading.bases.iter().filter_map(|base| Some((&base.at, others.get(&base.image)?))).collect();
    places.sort_by_key(|(at, _)| at.start);
    let mut new = String::with_capacity(text.len());
    let mut done = 0;
    for (at, other) in places {
        new.push_str(text.get(done..at.start).unwrap_or_default());
        new.push_str(other);
        done = at.end;
    }
    new.push_str(text.get(done..).unwrap_or_default());
    new
}

struct Reader<'a> {
    args: &'a BTreeMap<String, String>,
    /// `ARG`s before the first `FROM`.
    globals: BTreeMap<String, String>,
    /// Names in lower case, empty for a stage without one.
    stages: Vec<String>,
    target: Option<&'a str>,
    at_target: bool,
    reading: Reading,
}

impl Reader<'_> {
    /// `false`: what follows is not built.
    fn line(&mut self, line: &Line) -> Result<bool, String> {
        let Some((first, rest)) = line.words.split_first() else { return Ok(true) };
        if line.heredoc {
            self.needs("a heredoc");
        }
        match first.text.to_ascii_uppercase().as_str() {
            "ARG" if self.stages.is_empty() => rest.iter().try_for_each(|word| self.global(word))?,
            "FROM" => {
                if self.at_target {
                    return Ok(false);
                }
                self.from(rest)?;
            }
            "COPY" | "ADD" => self.copy(rest),
            "RUN" => self.run(rest),
            _ => {}
        }
        Ok(true)
    }

    fn global(&mut self, word: &Word) -> Result<(), String> {
        let (name, default) = match word.text.split_once('=') {
            Some((name, default)) => (name, Some(default)),
            None => (word.text.as_str(), None),
        };
        let value = match (self.args.get(name), default) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => Some(expand(default, &self.globals)?),
            (None, None) => None,
        };
        if let Some(value) = value {
            self.globals.insert(name.to_owned(), value);
        }
        Ok(())
    }

    fn from(&mut self, rest: &[Word]) -> Result<(), String> {
        let mut words = rest.iter().filter(|word| !word.text.starts_with("--"));
        let image = words.next().ok_or("a FROM names no image")?;
        let name = match (words.next(), words.next()) {
            (Some(word), Some(name)) if word.text.eq_ignore_ascii_case("as") => {
                name.text.to_ascii_lowercase()
            }
            (None, _) => String::new(),
            _ => return Err(format!("FROM {}: `FROM image AS name` is expected", image.text)),
        };
        let text = expand(&image.text, &self.globals)?;
        if text.is_empty() {
            return Err(format!(
                "FROM {}: no image is left, as the variable has no value: give it in `args`",
                image.text
            ));
        }
        if !self.is_stage(&text) && text != "scratch" {
            self.reading.bases.push(Base { image: text, at: image.at.clone() });
        }
        let number = self.stages.len().to_string();
        self.at_target =
            self.target.is_some_and(|target| target.eq_ignore_ascii_case(&name) || target == number);
        self.stages.push(name);
        Ok(())
    }

    fn is_stage(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        !name.is_empty() && self.stages.contains(&name)
    }

    /// The stage or image in `--from`.
    fn other(&mut self, name: &str, at: Range<usize>) {
        let stage =
            self.is_stage(name) || name.parse::<usize>().is_ok_and(|number| number < self.stages.len());
        // What has variables in it the builder takes as it stands, and refuses.
        if !stage && !name.is_empty() && name != "scratch" && !name.contains('$') {
            self.reading.bases.push(Base { image: name.to_owned(), at });
        }
    }

    fn copy(&mut self, rest: &[Word]) {
        for word in rest.iter().take_while(|word| word.text.starts_with("--")) {
            let (flag, value) = word.text.split_once('=').unwrap_or((&word.text, ""));
            match flag {
                "--from" => self.other(value, word.end(value)),
                "--chown" => {}
                _ => self.needs(flag),
            }
        }
    }

    fn run(&mut self, rest: &[Word]) {
        for word in rest.iter().take_while(|word| word.text.starts_with("--")) {
            let (flag, value) = word.text.split_once('=').unwrap_or((&word.text, ""));
            self.needs(&format!("RUN {flag}"));
            if flag != "--mount" {
                continue;
            }
            let mut before = word.at.end.saturating_sub(value.len());
            for part in value.split(',') {
                if let Some(name) = part.strip_prefix("from=") {
                    let end = before + part.len();
                    self.other(name, end - name.len()..end);
                }
                before += part.len() + 1;
            }
        }
    }

    fn needs(&mut self, what: &str) {
        self.reading.buildkit.get_or_insert_with(|| what.to_owned());
    }
}

impl Word {
    /// Where the end of the word stands that has this text.
    fn end(&self, text: &str) -> Range<usize> {
        self.at.end.saturating_sub(text.len())..self.at.end
    }
}

/// Variables within variables: `${A:-${B:-x}}`.
const DEPTH: usize = 16;

/// Replaces `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:+other}` and `${NAME:?why}`; quotes go.
fn expand(text: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    expanded(text, values, DEPTH)
}

fn expanded(text: &str, values: &BTreeMap<String, String>, depth: usize) -> Result<String, String> {
    let Some(depth) = depth.checked_sub(1) else { return Err(format!("`{text}` nests too deep")) };
    let mut done = String::new();
    let mut rest = text;
    let mut quote = None;
    while let Some(next) = rest.chars().next() {
        rest = rest.get(next.len_utf8()..).unwrap_or_default();
        match next {
            '\'' | '"' if quote == Some(next) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(next),
            '\\' if quote != Some('\'') => {
                done.extend(rest.chars().next());
                rest = rest.get(rest.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
            }
            '$' if quote != Some('\'') => {
                let (value, after) = variable(rest, values, depth)?;
                done.push_str(&value);
                rest = after;
            }
            other => done.push(other),
        }
    }
    Ok(done)
}

/// The value of the variable whose dollar was read, and what follows it.
fn variable<'t>(
    rest: &'t str,
    values: &BTreeMap<String, String>,
    depth: usize,
) -> Result<(String, &'t str), String> {
    let letters =
        |text: &str| text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let Some(inner) = rest.strip_prefix('{') else {
        let (name, after) = rest.split_at(letters(rest));
        if name.is_empty() {
            return Ok(("$".to_owned(), after));
        }
        return Ok((values.get(name).cloned().unwrap_or_default(), after));
    };
    let mut open = 1;
    let end = inner.char_indices().find_map(|(at, c)| {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    });
    let Some(end) = end else { return Err(format!("`${rest}` has no closing brace")) };
    let (body, after) = (inner.get(..end).unwrap_or_default(), inner.get(end + 1..).unwrap_or_default());
    let (name, how) = body.split_at(letters(body));
    let value = values.get(name);
    let (colon, how) = match how.strip_prefix(':') {
        Some(how) => (true, how),
        None => (false, how),
    };
    let set = value.is_some_and(|value| !colon || !value.is_empty());
    let word = how.get(1..).unwrap_or_default();
    let value = match how.chars().next() {
        None => value.cloned().unwrap_or_default(),
        Some('-') if !set => expanded(word, values, depth)?,
        Some('+') if set => expanded(word, values, depth)?,
        Some('+') => String::new(),
        Some('?') if !set => return Err(format!("`{name}` has no value: {word}")),
        Some('-' | '?') => value.cloned().unwrap_or_default(),
        Some(_) => return Err(format!("`${{{body}}}` is not understood")),
    };
    Ok((value, after))
}
