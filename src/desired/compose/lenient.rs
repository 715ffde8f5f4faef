//! Parses as leniently as Compose does where the parser is stricter: the lines of a `[...]` or `{...}` may begin anywhere, and so may
//! those of a quoted text. White space means nothing there, so what stands too far left is moved to the right, and the text
//! parsed again.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::note::Note;
use super::tree::Place;

/// How much text may be parsed in all, in bytes: each line that is moved costs another pass.
const MOST_WORK: usize = 64 << 20;

/// A text that parsed.
pub(super) struct Parsed {
    pub chars: Vec<char>,
    pub events: Vec<(Event<'static>, Span)>,
    moved: HashMap<usize, usize>,
}

impl Parsed {
    /// Where something begins, in the text as it was written.
    pub fn place(&self, span: &Span) -> Place {
        place(&self.moved, span.start.line(), span.start.col())
    }

    /// Where each scalar lies, in characters. What the parser says of a quoted one holds the white space and the comment behind it, too.
    pub fn scalars(&self) -> Vec<(usize, usize)> {
        let scalars = self.events.iter().filter_map(|(event, span)| {
            let Event::Scalar(_, style, ..) = event else { return None };
            let start = span.start.index();
            let end = match style {
                ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => quoted_end(&self.chars, start),
                _ => span.end.index(),
            };
            Some((start, end))
        });
        scalars.collect()
    }

    /// The line on which a quoted scalar ends.
    pub fn last_line(&self, span: &Span) -> usize {
        let (start, end) = (span.start.index(), quoted_end(&self.chars, span.start.index()));
        let feeds = self.chars.get(start..end).unwrap_or_default().iter().filter(|c| **c == '\n').count();
        span.start.line() + feeds
    }
}

fn place(moved: &HashMap<usize, usize>, line: usize, column: usize) -> Place {
    let by = moved.get(&line).copied().unwrap_or(0);
    Place { line, column: column.saturating_sub(by) + 1 }
}

/// Behind the quote that closes a text whose first quote is at `start`, or whose tag or anchor begins there.
fn quoted_end(chars: &[char], start: usize) -> usize {
    let Some(open) = chars.iter().skip(start).position(|c| matches!(c, '"' | '\'')).map(|at| start + at)
    else {
        return start;
    };
    let quote = chars.get(open).copied().unwrap_or_default();
    let mut at = open + 1;
    while let Some(c) = chars.get(at) {
        match c {
            '\\' if quote == '"' => at += 1,
            c if *c == quote && quote == '\'' && chars.get(at + 1) == Some(&'\'') => at += 1,
            c if *c == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    chars.len()
}

/// `text` has no byte order mark and only line feeds.
pub(super) fn parse(file: &str, text: String) -> Result<Parsed, Note> {
    let deepest = text.lines().map(|line| line.len() - line.trim_start_matches(' ').len()).max().unwrap_or(0);
    let by = deepest.min(1_000) + 2;
    let (mut text, mut moved, mut work) = (text, HashMap::new(), 0);
    loop {
        work += text.len();
        let error = match Parser::new_from_str(&text).collect::<Result<Vec<_>, _>>() {
            Ok(events) => {
                let events = events.into_iter().map(|(event, span)| (owned(event), span)).collect();
                return Ok(Parsed { chars: text.chars().collect(), events, moved });
            }
            Err(error) => error,
        };
        let (line, column) = (error.marker().line(), error.marker().col());
        let lines: Vec<usize> = match error.info() {
            "invalid indentation" | "invalid indentation in flow construct" => vec![line],
            "invalid indentation in quoted scalar" => {
                let chars: Vec<char> = text.chars().collect();
                let (start, end) = (error.marker().index(), quoted_end(&chars, error.marker().index()));
                let feeds = chars.get(start..end).unwrap_or_default().iter().filter(|c| **c == '\n').count();
                (line + 1..=line + feeds).collect()
            }
            _ => Vec::new(),
        };
        let new: Vec<usize> = lines.into_iter().filter(|line| !moved.contains_key(line)).collect();
        if new.is_empty() || work + text.len() > MOST_WORK {
            let message = format!("this is no YAML: {}", error.info());
            return Err(Note::error(file, place(&moved, line, column), "yaml-syntax", message));
        }
        text = text
            .split_inclusive('\n')
            .enumerate()
            .map(
                |(number, line)| {
                    if new.contains(&(number + 1)) { " ".repeat(by) + line } else { line.to_owned() }
                },
            )
            .collect();
        moved.extend(new.into_iter().map(|line| (line, by)));
    }
}

/// The event without a tie to the text it was read from.
fn owned(event: Event<'_>) -> Event<'static> {
    use std::borrow::Cow;
    let tag = |tag: Option<Cow<'_, saphyr_parser::Tag>>| tag.map(|tag| Cow::Owned(tag.into_owned()));
    match event {
        Event::Nothing => Event::Nothing,
        Event::StreamStart => Event::StreamStart,
        Event::StreamEnd => Event::StreamEnd,
        Event::DocumentStart(explicit) => Event::DocumentStart(explicit),
        Event::DocumentEnd => Event::DocumentEnd,
        Event::Alias(id) => Event::Alias(id),
        Event::Scalar(text, style, anchor, of) => {
            Event::Scalar(Cow::Owned(text.into_owned()), style, anchor, tag(of))
        }
        Event::SequenceStart(anchor, of) => Event::SequenceStart(anchor, tag(of)),
        Event::SequenceEnd => Event::SequenceEnd,
        Event::MappingStart(anchor, of) => Event::MappingStart(anchor, tag(of)),
        Event::MappingEnd => Event::MappingEnd,
    }
}
