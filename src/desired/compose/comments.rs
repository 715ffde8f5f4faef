//! Finds the comments of a YAML text. The parser skips them, but it tells where every scalar lies, and a `#` behind a blank that is
//! in no scalar begins a comment.

use super::tree::{Comment, Place};

/// A comment where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Index of its `#`, in characters.
    pub at: usize,
    pub place: Place,
    pub comment: Comment,
    /// Nothing else stands in its line.
    pub alone: bool,
}

/// `scalars`: where they begin and end, in characters, in order.
pub(super) fn find(text: &[char], scalars: &[(usize, usize)]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut scalars = scalars.iter().peekable();
    let (mut at, mut line, mut line_start, mut alone) = (0, 1, 0, true);
    while let Some(&c) = text.get(at) {
        while scalars.next_if(|(_, end)| *end <= at).is_some() {}
        let inside = scalars.peek().is_some_and(|(start, _)| *start <= at);
        match c {
            '\n' => {
                (line, line_start, alone) = (line + 1, at + 1, true);
                at += 1;
            }
            '#' if !inside && (at == 0 || text.get(at - 1).is_some_and(|before| before.is_whitespace())) => {
                let end =
                    text.iter().skip(at).position(|c| *c == '\n').map_or(text.len(), |length| at + length);
                let below: Option<&char> =
                    text.iter().skip(end + 1).find(|c| **c == '\n' || !c.is_whitespace());
                let written: String = text.get(at..end).unwrap_or_default().iter().collect();
                found.push(Found {
                    at,
                    place: Place { line, column: at - line_start + 1 },
                    comment: Comment { text: tidy(&written), apart: below == Some(&'\n') },
                    alone,
                });
                at = end;
            }
            _ => {
                alone &= c.is_whitespace();
                at += 1;
            }
        }
    }
    found
}

/// TOML forbids control characters in comments.
fn tidy(text: &str) -> String {
    text.trim_end().chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
