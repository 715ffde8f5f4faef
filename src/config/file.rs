//! `evenkeel.toml`: every key with the line it stands on.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, KEYS, nearest};
use super::{ConfigError, Entry};

/// Every known key of the file, and everything that is wrong with the others.
pub(super) fn entries(path: &str, text: &str) -> (Vec<Entry>, Vec<ConfigError>) {
    let mut walk = Walk { path, text, entries: Vec::new(), errors: Vec::new() };
    match DeTable::parse(text) {
        Ok(table) => walk.table("", table.get_ref()),
        Err(error) => {
            let place = walk.place(error.span().map_or(0, |span| span.start));
            walk.errors.push(ConfigError { place, message: error.message().to_owned() });
        }
    }
    (walk.entries, walk.errors)
}

struct Walk<'a> {
    path: &'a str,
    text: &'a str,
    entries: Vec<Entry>,
    errors: Vec<ConfigError>,
}

impl Walk<'_> {
    fn place(&self, byte: usize) -> String {
        let before = self.text.get(..byte).unwrap_or(self.text);
        format!("{}:{}", self.path, before.matches('\n').count() + 1)
    }

    fn table(&mut self, above: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let place = self.place(name.span().start);
            let path = if above.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{above}.{}", name.get_ref())
            };
            self.entry(place, path, value);
        }
    }

    fn entry(&mut self, place: String, path: String, value: &Spanned<DeValue<'_>>) {
        // Its tables have names of the user's choice; see `sources.rs`.
        if path == "source" {
            return;
        }
        let section = KEYS.iter().any(|key| key.path.split_once('.').is_some_and(|(first, _)| first == path));
        if let (true, DeValue::Table(inner)) = (section, value.get_ref()) {
            return self.table(&path, inner);
        }
        let Some(key) = keys::find(&path).filter(|key| key.path != "config") else {
            let message = if section { format!("{path} must be a table: [{path}]") } else { unknown(&path) };
            self.errors.push(ConfigError { place, message });
            return;
        };
        match scalar(value.get_ref()) {
            Some(text) => self.entries.push(Entry { key, place, text }),
            None => {
                let message = format!("{path} must be text, a number or a boolean");
                self.errors.push(ConfigError { place, message });
            }
        }
    }
}

fn unknown(path: &str) -> String {
    let last = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
    let paths = KEYS.iter().map(|key| key.path).filter(|known| *known != "config");
    // A right word in the wrong table is nearer than anything spelt like it.
    let hint = paths
        .clone()
        .find(|known| Some(last(known)) == path.rsplit('.').next())
        .or_else(|| nearest(path, paths));
    let hint = hint.map(|hint| format!("; did you mean {hint}?")).unwrap_or_default();
    format!("there is no setting {}{hint}", path.escape_debug())
}

pub(super) fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
