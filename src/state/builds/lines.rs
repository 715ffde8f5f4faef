//! The instructions of a Dockerfile, one by one: directives, comments, lines that go on, and heredocs.

use std::ops::Range;

/// A word of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Without what makes the line go on in the middle of it.
    pub text: String,
    /// Where it stands in the whole text.
    pub at: Range<usize>,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub words: Vec<Word>,
    /// Lines of its own followed it.
    pub heredoc: bool,
}

/// A line as it lies in the text: where it begins, and what is in it.
type Raw<'t> = (usize, &'t str);

/// Every instruction of a Dockerfile.
///
/// # Errors
/// A heredoc that does not end.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, String> {
    let bom = text.len() - text.strip_prefix('\u{feff}').unwrap_or(text).len();
    let mut raw = Vec::new();
    let mut at = bom;
    for line in text.get(bom..).unwrap_or_default().split_inclusive('\n') {
        raw.push((at, line.trim_end_matches(['\n', '\r'])));
        at += line.len();
    }
    let escape = escape(&raw);
    let mut found = Vec::new();
    let mut rest = raw.as_slice();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if is_nothing(first.1) {
            continue;
        }
        let mut letters = Vec::new();
        let mut open = piece(*first, escape, &mut letters);
        while open {
            let Some((next, after)) = rest.split_first() else { break };
            rest = after;
            if !is_nothing(next.1) {
                open = piece(*next, escape, &mut letters);
            }
        }
        let words = words(&letters, escape);
        let instruction = words.first().map(|word| word.text.to_ascii_uppercase()).unwrap_or_default();
        let mut heredoc = false;
        if matches!(instruction.as_str(), "RUN" | "COPY" | "ADD") {
            for (name, tabs) in words.iter().filter_map(|word| heredoc_of(&word.text)) {
                heredoc = true;
                let is_end =
                    |line: &Raw<'_>| name == if tabs { line.1.trim_start_matches('\t') } else { line.1 };
                let Some(end) = rest.iter().position(is_end) else {
                    return Err(format!("the lines after `<<{name}` do not end with `{name}`"));
                };
                rest = rest.get(end + 1..).unwrap_or_default();
            }
        }
        found.push(Line { words, heredoc });
    }
    Ok(found)
}

/// Empty lines and comments, also between lines that go on.
fn is_nothing(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// `# escape=` among the directives at the top.
fn escape(raw: &[Raw<'_>]) -> char {
    for (_, line) in raw {
        let Some(directive) = line.trim().strip_prefix('#') else { break };
        let Some((name, value)) = directive.split_once('=') else { break };
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            break;
        }
        if name.eq_ignore_ascii_case("escape") && value.trim() == "`" {
            return '`';
        }
    }
    '\\'
}

/// Adds a line without its end; whether the instruction goes on.
fn piece((start, line): Raw<'_>, escape: char, letters: &mut Vec<(usize, char)>) -> bool {
    let trimmed = line.trim_end_matches([' ', '\t']);
    let before = trimmed.strip_suffix(escape).filter(|before| !before.ends_with(escape));
    letters.extend(before.unwrap_or(line).char_indices().map(|(at, letter)| (start + at, letter)));
    before.is_some()
}

/// Cut at spaces outside of quotes.
fn words(letters: &[(usize, char)], escape: char) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut within = false;
    let mut quote = None;
    let mut escaped = false;
    for (at, letter) in letters {
        if letter.is_whitespace() && quote.is_none() && !escaped {
            within = false;
            continue;
        }
        match *letter {
            _ if escaped => escaped = false,
            letter if letter == escape && quote != Some('\'') => escaped = true,
            '\'' | '"' if quote == Some(*letter) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(*letter),
            _ => {}
        }
        let end = at + letter.len_utf8();
        match words.last_mut().filter(|_| within) {
            Some(word) => {
                word.text.push(*letter);
                word.at.end = end;
            }
            None => words.push(Word { text: letter.to_string(), at: *at..end }),
        }
        within = true;
    }
    words
}

/// `<<EOF`, `<<-"EOF"`, `3<<EOF`: the name of a heredoc, and whether tabs before its end go.
fn heredoc_of(word: &str) -> Option<(&str, bool)> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (rest, tabs) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
    let name = rest.trim_matches(['"', '\'']);
    let whole = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    whole.then_some((name, tabs))
}
