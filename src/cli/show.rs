//! How values look to people: tables, ages, text that is not ours.

use comfy_table::{ContentArrangement, Table};

use super::out;
use crate::state::condition::{Condition, ConditionKind};
use crate::state::time::Timestamp;

/// A table without lines: columns apart, a header in capitals.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table
}

/// Prints it without the blanks that pad its last column.
pub(super) fn print_table(table: &Table) {
    for line in table.lines() {
        crate::say!("{}", line.trim_end());
    }
}

/// Text that came from a container, an engine or a registry, safe for a terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let shown = c == '\n' || !c.is_control();
            let (plain, escaped) = if shown { (Some(c), None) } else { (None, Some(c.escape_unicode())) };
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// One line of it.
pub(super) fn one_line(text: &str) -> String {
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
        ConditionKind::Progressing | ConditionKind::Waiting | ConditionKind::Held => out::CHANGE,
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
