//! The usual layout of a state file. Comments, the order of everything and the meaning stay; spaces, quotes and empty lines become
//! the same everywhere.

use toml_edit::{Array, Decor, DocumentMut, InlineTable, Item, KeyMut, RawString, Table, Value};

use super::compose::{is_bare, quoted};

/// A list longer than this gets a line for each item, in characters.
const WIDTH: usize = 100;

/// The text, laid out.
///
/// # Errors
/// It is no TOML: a sentence, with the byte where it goes wrong.
pub fn format(text: &str) -> Result<String, (String, usize)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        (error.message().to_owned(), error.span().map_or(0, |span| span.start))
    })?;
    let end = comments(&raw(Some(document.trailing())), Lead::End);
    table(document.as_table_mut(), "");
    document.set_trailing(end);
    let text = document.to_string();
    let text = text.trim_start_matches('\n').trim_end();
    Ok(if text.is_empty() { String::new() } else { format!("{text}\n") })
}

/// Whether two texts say the same, in the same order. Layout does not count.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    let (Ok(a), Ok(b)) = (a.parse::<DocumentMut>(), b.parse::<DocumentMut>()) else { return false };
    same_item(a.as_item(), b.as_item())
}

fn same_item(a: &Item, b: &Item) -> bool {
    match (a, b) {
        (Item::Value(a), Item::Value(b)) => same_value(a, b),
        (Item::Table(a), Item::Table(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((k, a), (l, b))| k == l && same_item(a, b))
        }
        (Item::ArrayOfTables(a), Item::ArrayOfTables(b)) => {
            let same = |(a, b): (&Table, &Table)| {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|((k, a), (l, b))| k == l && same_item(a, b))
            };
            a.len() == b.len() && a.iter().zip(b.iter()).all(same)
        }
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.value() == b.value(),
        (Value::Integer(a), Value::Integer(b)) => a.value() == b.value(),
        (Value::Float(a), Value::Float(b)) => a.value().to_bits() == b.value().to_bits(),
        (Value::Boolean(a), Value::Boolean(b)) => a.value() == b.value(),
        (Value::Datetime(a), Value::Datetime(b)) => a.value() == b.value(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same_value(a, b))
        }
        (Value::InlineTable(a), Value::InlineTable(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((k, a), (l, b))| k == l && same_value(a, b))
        }
        _ => false,
    }
}

fn raw(text: Option<&RawString>) -> String {
    text.and_then(RawString::as_str).unwrap_or_default().to_owned()
}

/// What comments stand above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lead {
    /// The first key of a table.
    First,
    Key,
    Header,
    /// The end of the file.
    End,
}

/// The lines above something: comments from the margin, at most one empty line between them.
fn comments(raw: &str, lead: Lead) -> String {
    let mut out = String::new();
    let mut gap = false;
    // The last part is the indentation of what follows.
    let lines: Vec<&str> = raw.split('\n').map(str::trim).collect();
    let (last, lines) = lines.split_last().unwrap_or((&"", &[]));
    let last = Some(*last).filter(|last| !last.is_empty());
    for line in lines.iter().copied().chain(last) {
        if line.is_empty() {
            gap = true;
            continue;
        }
        if gap && !(out.is_empty() && lead == Lead::First) {
            out.push('\n');
        }
        gap = false;
        out.push_str(line);
        out.push('\n');
    }
    // Comments right below the last key of the table above stay with it, if they end before those of this header.
    let apart = out.starts_with('\n') || gap || out.contains("\n\n");
    if lead == Lead::Header && (out.is_empty() || !apart) {
        out.insert(0, '\n');
    }
    let any = !out.trim().is_empty();
    if gap && lead != Lead::End && (any || lead == Lead::Key) {
        out.push('\n');
    }
    out
}

/// A comment behind something.
fn behind(raw: &str) -> String {
    let text = raw.trim();
    if text.is_empty() { String::new() } else { format!(" {text}") }
}

fn decor_text(decor: &Decor) -> (String, String) {
    (raw(decor.prefix()), raw(decor.suffix()))
}

/// `path`: what stands before the names in its lines (`deploy.`).
fn table(table: &mut Table, path: &str) {
    let mut first = true;
    entries(table, path, &mut first);
}

fn entries(table: &mut Table, path: &str, first: &mut bool) {
    for (mut key, item) in table.iter_mut() {
        match item {
            Item::Value(value) => {
                let above = raw(key.leaf_decor().prefix());
                let lead = if *first { Lead::First } else { Lead::Key };
                *first = false;
                let name = format!("{path}{}", tidy_key(&mut key));
                key.leaf_decor_mut().set_prefix(comments(&above, lead));
                key.leaf_decor_mut().set_suffix(" ");
                let suffix = raw(value.decor().suffix());
                self::value(value, &name, 0);
                value.decor_mut().set_prefix(" ");
                value.decor_mut().set_suffix(behind(&suffix));
            }
            Item::Table(inner) if inner.is_dotted() => {
                let name = tidy_key(&mut key);
                entries(inner, &format!("{path}{name}."), first);
            }
            Item::Table(inner) => {
                tidy_key(&mut key);
                header(inner);
            }
            Item::ArrayOfTables(list) => {
                tidy_key(&mut key);
                list.iter_mut().for_each(header);
            }
            Item::None => {}
        }
    }
}

fn header(inner: &mut Table) {
    let (above, after) = decor_text(inner.decor());
    inner.decor_mut().set_prefix(comments(&above, Lead::Header));
    inner.decor_mut().set_suffix(behind(&after));
    table(inner, "");
}

/// Takes the quotes off where none are needed, and the spaces around; returns the name as it is written.
fn tidy_key(key: &mut KeyMut<'_>) -> String {
    let name = key.get().to_owned();
    key.fmt();
    if is_bare(&name) { name } else { key.display_repr().into_owned() }
}

/// Lays out a value whose line begins with `name`, indented by `depth` spaces where it spans several.
fn value(value: &mut Value, name: &str, depth: usize) {
    match value {
        Value::String(_) => string(value),
        Value::Array(array) => self::array(array, name, depth),
        Value::InlineTable(table) if !has_comments(table) => inline_table(table),
        _ => {}
    }
}

/// Text over several lines stays as it was written.
fn string(value: &mut Value) {
    let Value::String(text) = &*value else { return };
    let written = text.display_repr();
    if written.starts_with("\"\"\"") || written.starts_with("'''") {
        return;
    }
    if let Ok(fresh) = quoted(text.value()).parse::<Value>() {
        *value = fresh;
    }
}

/// One line, as TOML 1.0 has it. With comments in it, it is left alone.
fn has_comments(table: &InlineTable) -> bool {
    table.to_string().lines().count() > 1 && {
        let comment = |decor: &Decor| decor_text(decor).0.contains('#') || decor_text(decor).1.contains('#');
        let inner = |value: &Value| match value {
            Value::InlineTable(table) => has_comments(table),
            Value::Array(array) => commented(array),
            _ => false,
        };
        raw(Some(table.trailing())).contains('#')
            || table.iter().any(|(_, value)| comment(value.decor()) || inner(value))
            || table.get_values().iter().any(|(keys, _)| keys.iter().any(|key| comment(key.leaf_decor())))
    }
}

fn inline_table(table: &mut InlineTable) {
    table.set_trailing_comma(false);
    table.set_trailing("");
    let count = inline_entries(table);
    if count > 0 {
        table.set_trailing(" ");
    }
}

/// Lays out the entries; returns how many there are.
fn inline_entries(table: &mut InlineTable) -> usize {
    let mut count = 0;
    for (mut key, value) in table.iter_mut() {
        tidy_key(&mut key);
        if let Value::InlineTable(inner) = value
            && inner.is_dotted()
        {
            count += inline_entries(inner);
            continue;
        }
        count += 1;
        key.leaf_decor_mut().set_prefix(" ");
        key.leaf_decor_mut().set_suffix(" ");
        one_line(value);
        value.decor_mut().set_prefix(" ");
        value.decor_mut().set_suffix("");
    }
    count
}

/// A value within a line.
fn one_line(value: &mut Value) {
    match value {
        Value::String(_) => string(value),
        Value::InlineTable(table) if !has_comments(table) => inline_table(table),
        Value::Array(array) if !commented(array) => {
            array.set_trailing_comma(false);
            array.set_trailing("");
            for (number, item) in array.iter_mut().enumerate() {
                one_line(item);
                item.decor_mut().set_prefix(if number == 0 { "" } else { " " });
                item.decor_mut().set_suffix("");
            }
        }
        _ => {}
    }
}

fn commented(array: &Array) -> bool {
    let comment = |decor: &Decor| decor_text(decor).0.contains('#') || decor_text(decor).1.contains('#');
    raw(Some(array.trailing())).contains('#')
        || array.iter().any(|item| {
            comment(item.decor())
                || match item {
                    Value::Array(inner) => commented(inner),
                    Value::InlineTable(inner) => has_comments(inner),
                    _ => false,
                }
        })
}

/// Does it go over several lines as it is?
fn spread(array: &Array) -> bool {
    let feed = |decor: &Decor| decor_text(decor).0.contains('\n') || decor_text(decor).1.contains('\n');
    raw(Some(array.trailing())).contains('\n') || array.iter().any(|item| feed(item.decor()))
}

fn array(array: &mut Array, name: &str, depth: usize) {
    let comments = commented(array);
    if !comments && (array.is_empty() || !spread(array)) {
        let mut whole = Value::Array(array.clone());
        one_line(&mut whole);
        whole.decor_mut().clear();
        let width = name.chars().count() + 3 + depth + whole.to_string().chars().count();
        if (width <= WIDTH || array.len() < 2)
            && let Value::Array(fresh) = whole
        {
            *array = fresh;
            return;
        }
    }
    lines(array, depth);
}

/// One item to a line.
fn lines(array: &mut Array, depth: usize) {
    let indent = format!("\n{}", " ".repeat(depth + 2));
    let mut pending = String::new();
    for item in array.iter_mut() {
        let (before, after) = decor_text(item.decor());
        let (behind_last, above) = split(&(pending + &before));
        let mut prefix = behind_last;
        for comment in above {
            prefix.push_str(&indent);
            prefix.push_str(&comment);
        }
        prefix.push_str(&indent);
        value(item, "", depth + 2);
        item.decor_mut().set_prefix(prefix);
        item.decor_mut().set_suffix("");
        // A comment between an item and its comma goes behind the comma.
        pending = after;
    }
    let (behind_last, below) = split(&(pending + &raw(Some(array.trailing()))));
    let mut trailing = behind_last;
    for comment in below {
        trailing.push_str(&indent);
        trailing.push_str(&comment);
    }
    trailing.push('\n');
    trailing.push_str(&" ".repeat(depth));
    array.set_trailing_comma(!array.is_empty());
    array.set_trailing(trailing);
}

/// Comments between two items: the one behind the first, and those above the second.
fn split(raw: &str) -> (String, Vec<String>) {
    let mut lines = raw.split('\n').map(str::trim);
    let first = lines.next().map(behind).unwrap_or_default();
    (first, lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, after: &str) {
        let once = format(before).unwrap();
        assert_eq!(once, after);
        assert_eq!(format(&once).unwrap(), once, "not at rest");
        assert!(same(before, &once), "another meaning");
    }

    #[test]
    fn spaces_quotes_and_empty_lines() {
        check(
            "\n\n  name='x'\n\n\n\n[ services . \"web\" ]   # here\n\n  image   =   'a\"b'#c\n\"ports\"=[ \"1:1\",'2:2' ,]\n\n\nx = { a=1,b = {} , \"c d\"=[ 1,2 ] }\n\n\n# end\n\n\n",
            "name = \"x\"\n\n[services.web] # here\nimage = 'a\"b' #c\nports = [\"1:1\", \"2:2\"]\n\nx = { a = 1, b = {}, \"c d\" = [1, 2] }\n\n# end\n",
        );
    }

    #[test]
    fn comments_stay_where_they_are() {
        check(
            "# file\n\n\n   # web\n[services.web]\n# first\n\n# second\nimage = \"a\" # why\ncommand = [ # all\n\"a\", # one\n   # two\n\"b\" # three\n,\n# last\n]\n   # next\n\n[services.db]\n",
            "# file\n\n# web\n[services.web]\n# first\n\n# second\nimage = \"a\" # why\ncommand = [ # all\n  \"a\", # one\n  # two\n  \"b\", # three\n  # last\n]\n# next\n\n[services.db]\n",
        );
    }

    #[test]
    fn lists_that_are_too_long_get_a_line_for_each_item() {
        let item = "x".repeat(60);
        check(&format!("a = ['{item}', '{item}']"), &format!("a = [\n  \"{item}\",\n  \"{item}\",\n]\n"));
        check("a = [\n[\n1\n],[2,3]]", "a = [\n  [\n    1,\n  ],\n  [2, 3],\n]\n");
        check("a = [\n]", "a = []\n");
    }

    #[test]
    fn what_is_written_with_care_is_left() {
        let text = "mode = 0o440\nbig = 1_000\nat = 2026-09-01T08:00:00Z\ntext = \"\"\"\n  a\n b\\\n  \"\"\"\nlabels.a.b = 1\nlabels.\"c.d\" = 2\n";
        check(text, text);
        check("a . b=1\n'a'.c=2", "a.b = 1\na.c = 2\n");
        check("", "");
        check("[[a.b]]\nx=1\n[[a.b]]\n[a.b.c]\n", "[[a.b]]\nx = 1\n\n[[a.b]]\n\n[a.b.c]\n");
    }

    #[test]
    fn what_is_no_toml_is_refused() {
        assert!(format("a = ").is_err());
        assert!(!same("a = 1", "a = 2"));
        assert!(!same("a = 1\nb = 2", "b = 2\na = 1"));
    }
}
