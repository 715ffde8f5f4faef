//! How values look to people: tables, ages, text that is not ours.

use anstyle::Style;

use super::out;
use super::render::steers;
use crate::state::condition::{Condition, ConditionKind};
use crate::state::time::Timestamp;

/// A cell; the style is not counted as width.
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: Style::new() }
    }
}

impl Cell {
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

/// Columns apart by two blanks, a header in capitals, no lines.
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|name| Cell::styled(*name, out::DIM)).collect()] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// One line per row; the last column is not padded.
    pub(super) fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let texts = self.rows.iter().filter_map(|row| row.get(column));
            texts.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<Cell>| {
            let mut line = String::new();
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let Cell { text, style } = cell;
                let pad = if index + 1 == row.len() { 0 } else { width + 2 - text.chars().count() };
                line.push_str(&format!("{style}{text}{style:#}{:pad$}", ""));
            }
            line
        };
        self.rows.iter().map(line).collect()
    }

    pub(super) fn print(&self) {
        for line in self.lines() {
            crate::say!("{line}");
        }
    }
}

/// Text that came from a container, an engine or a registry, safe for a terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let shown = c == '\n' || !steers(c);
            let (plain, escaped) = if shown { (Some(c), None) } else { (None, Some(c.escape_unicode())) };
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// One line of it.
#[must_use]
pub fn one_line(text: &str) -> String {
    clean(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// `3s`, `5m`, `2h`, `4d` from `then` to `now`.
pub(super) fn age(then: Timestamp, now: Timestamp) -> String {
    span(u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0))
}

/// Milliseconds in one unit, rounded down; `0s` for less than a second.
pub(super) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The colour that goes with a condition.
pub(super) fn style(kind: ConditionKind) -> anstyle::Style {
    match kind {
        ConditionKind::Ready | ConditionKind::Completed => out::GOOD,
        ConditionKind::Progressing
        | ConditionKind::Waiting
        | ConditionKind::Held
        | ConditionKind::Paused
        | ConditionKind::AwaitingApproval
        | ConditionKind::AwaitingWindow => out::CHANGE,
        ConditionKind::Degraded
        | ConditionKind::RolledBack
        | ConditionKind::Failed
        | ConditionKind::Frozen
        | ConditionKind::Orphaned => out::BAD,
        ConditionKind::Removed => out::DIM,
    }
}

/// `ready`, coloured.
pub(super) fn word(condition: &Condition) -> String {
    let style = style(condition.kind);
    format!("{style}{}{style:#}", condition.kind.as_str())
}

/// `r3 4f1c2ab0`, as people talk about a revision.
pub(super) fn revision(number: Option<u64>, id: Option<&str>) -> String {
    match (number, id) {
        (Some(number), Some(id)) => format!("r{number} {id}"),
        (Some(number), None) => format!("r{number}"),
        (None, Some(id)) => id.to_owned(),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_colour() {
        let mut table = Table::new(&["A", "LONGER", "C"]);
        table.row(["x".into(), Cell::styled("\u{fc}ber", out::BAD), "end".into()]);
        let plain: Vec<String> =
            table.lines().iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert_eq!(plain, ["A  LONGER  C", "x  \u{fc}ber    end"]);
    }

    #[test]
    fn ages_have_one_unit() {
        let table = [(0, "0s"), (999, "0s"), (119_000, "119s"), (120_000, "2m"), (7_199_000, "119m")];
        let more = [(7_200_000, "2h"), (172_799_000, "47h"), (172_800_000, "2d")];
        for (ms, expected) in table.into_iter().chain(more) {
            assert_eq!(span(ms), expected, "{ms}");
        }
        assert_eq!(age(Timestamp(5_000), Timestamp(0)), "0s", "a clock that went back is no age");
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\nc"), "a\\u{1b}[2Jb\\u{d}\nc");
        assert_eq!(one_line("a\n\n  b\tc"), "a b c");
    }
}
