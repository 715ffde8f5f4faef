//! Taking a definition (a service, a volume) out of the text of a state file. Everything else stays as it was written, byte by byte: what is cut are
//! the lines that its own tables and keys take up; comments above and below them stay.

use std::collections::BTreeSet;
use std::ops::Range;

use toml_edit::{Document, DocumentMut, Item, Key, Table, Value};

/// The text without `[section.name]`; `None`: it does not define that.
///
/// # Errors
/// A sentence: it cannot be cut out without touching something else.
pub fn without(text: &str, section: &str, name: &str) -> Result<Option<String>, String> {
    let document = Document::parse(text).map_err(|error| format!("it is no TOML: {}", error.message()))?;
    let cut = match document.get(section) {
        None => return Ok(None),
        Some(Item::Table(services)) => {
            let Some((key, item)) = services.get_key_value(name) else { return Ok(None) };
            let mut lines = Lines { text, gone: BTreeSet::new() };
            lines.item(key, item)?;
            lines.rest()
        }
        Some(Item::Value(Value::InlineTable(services))) => {
            if !services.contains_key(name) {
                return Ok(None);
            }
            inline(text, section, name)?
        }
        Some(_) => return Err(format!("`{section}` is no table")),
    };
    if says_the_same(text, &cut, section, name) {
        Ok(Some(cut))
    } else {
        Err("it is written in a way of its own".to_owned())
    }
}

/// `services = { web = { ... } }`: one value, which is written anew.
fn inline(text: &str, section: &str, name: &str) -> Result<String, String> {
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| format!("it is no TOML: {}", error.message()))?;
    if let Some(services) = document.get_mut(section).and_then(Item::as_inline_table_mut) {
        services.remove(name);
    }
    Ok(document.to_string())
}

struct Lines<'t> {
    text: &'t str,
    /// Numbers of lines, from 0.
    gone: BTreeSet<usize>,
}

impl Lines<'_> {
    fn line(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or(self.text).matches('\n').count()
    }

    fn mark(&mut self, span: Range<usize>) {
        let lines = self.line(span.start)..=self.line(span.end.saturating_sub(1).max(span.start));
        self.gone.extend(lines);
    }

    fn item(&mut self, key: &Key, item: &Item) -> Result<(), String> {
        let unknown = || "where it is written cannot be told".to_owned();
        match item {
            Item::None => {}
            Item::Value(value) => {
                let start = key.span().ok_or_else(unknown)?.start;
                let end = value.span().ok_or_else(unknown)?.end;
                self.mark(start..end);
            }
            Item::Table(table) => self.table(key, table)?,
            Item::ArrayOfTables(tables) => {
                for table in tables {
                    self.table(key, table)?;
                }
            }
        }
        Ok(())
    }

    fn table(&mut self, key: &Key, table: &Table) -> Result<(), String> {
        // A header, and in its body everything up to the last key: comments in between are about those.
        let header =
            if table.is_implicit() || table.is_dotted() { None } else { table.span().map(|span| span.start) };
        let first = header.map(|at| self.line(at));
        let before = self.gone.clone();
        let mut last = first;
        for (name, item) in table.iter() {
            let own = table.key(name).unwrap_or(key);
            let nested =
                matches!(item, Item::Table(table) if !table.is_dotted()) || item.is_array_of_tables();
            self.item(own, item)?;
            if !nested {
                last = last.max(self.gone.difference(&before).max().copied());
            }
        }
        if let (Some(first), Some(last)) = (first, last) {
            self.gone.extend(first..=last);
        }
        Ok(())
    }

    /// What is left; where something was cut out between two empty lines, one is enough.
    fn rest(&self) -> String {
        let mut kept: Vec<&str> = Vec::new();
        let mut cut_here = false;
        for (number, line) in self.text.split_inclusive('\n').enumerate() {
            if self.gone.contains(&number) {
                cut_here = true;
                continue;
            }
            let blank = line.trim().is_empty();
            let doubled = kept.last().is_none_or(|before| before.trim().is_empty());
            if cut_here && blank && doubled {
                continue;
            }
            cut_here = false;
            kept.push(line);
        }
        // At the end of the file nothing needs to be kept apart from what followed.
        while cut_here && kept.last().is_some_and(|line| line.trim().is_empty()) {
            kept.pop();
        }
        kept.concat()
    }
}

/// Both say the same but for that.
fn says_the_same(before: &str, after: &str, section: &str, name: &str) -> bool {
    let parsed = |text: &str| text.parse::<toml::Table>().ok();
    let without = |mut table: toml::Table| {
        if let Some(toml::Value::Table(services)) = table.get_mut(section) {
            services.remove(name);
            if services.is_empty() {
                table.remove(section);
            }
        }
        table
    };
    match (parsed(before), parsed(after)) {
        (Some(before), Some(after)) => {
            let gone = after.get(section).and_then(|services| services.get(name)).is_none();
            gone && without(before) == without(after)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::without;

    #[track_caller]
    fn check(before: &str, after: &str) {
        assert_eq!(without(before, "services", "web").as_ref().map(Option::as_deref), Ok(Some(after)));
    }

    #[test]
    fn a_table_goes_and_the_comments_around_it_stay() {
        check(
            "# the shop\n\n[services.db] # data\nimage = \"db\"\n\n# about web\n[services.web]\nimage = \"web\" # here\n# inside\nports = [\n  \"80:80\",\n]\n\n# about the cache\n[services.cache]\nimage = \"c\"\n",
            "# the shop\n\n[services.db] # data\nimage = \"db\"\n\n# about web\n\n# about the cache\n[services.cache]\nimage = \"c\"\n",
        );
        check("# all\n[services.web]\nimage = \"web\"\n", "# all\n");
        check("[services.web]\nimage = \"web\"\n\n[networks.front]\n", "[networks.front]\n");
    }

    #[test]
    fn everything_of_it_goes_wherever_it_stands() {
        check(
            "[services.web]\nimage = \"web\"\n[services.db]\nimage = \"db\"\n[services.web.deploy]\nreplicas = 2\n[[services.web.ports]]\ntarget = 80\n[[services.web.ports]]\ntarget = 81\n# end\n",
            "[services.db]\nimage = \"db\"\n# end\n",
        );
        check("[services.web.deploy]\nreplicas = 2\n", "");
        check(
            "services.web.image = \"web\"\nservices.web.init = true\nservices.db.image = \"db\"\n",
            "services.db.image = \"db\"\n",
        );
        check(
            "[services]\n# one\nweb = { image = \"web\" }\n# two\ndb.image = \"db\"\nweb2.image = \"x\"\n",
            "[services]\n# one\n# two\ndb.image = \"db\"\nweb2.image = \"x\"\n",
        );
        check("[services]\nweb.image = \"web\"\nweb.init = true\n", "[services]\n");
        check("[services.\"web\"]\r\nimage = \"web\"\r\n\r\n[volumes]\r\n", "[volumes]\r\n");
    }

    #[test]
    fn an_inline_table_is_written_anew_without_it() {
        check(
            "# x\nservices = { web = { image = \"web\" }, db = { image = \"db\" } } # y\n",
            "# x\nservices = { db = { image = \"db\" } } # y\n",
        );
    }

    #[test]
    fn a_volume_goes_the_same_way() {
        let (before, after) = ("[volumes]\n# a\ndata = {}\nlogs = {}\n", "[volumes]\n# a\nlogs = {}\n");
        assert_eq!(without(before, "volumes", "data").as_ref().map(Option::as_deref), Ok(Some(after)));
    }

    #[test]
    fn who_does_not_define_it_says_so() {
        for text in ["", "[services.db]\nimage = \"db\"\n", "[networks.web]\n", "services = { db = {} }"] {
            assert_eq!(without(text, "services", "web"), Ok(None), "{text}");
        }
        assert!(without("services = 1", "services", "web").is_err());
        assert!(without("[", "services", "web").is_err());
    }

    #[test]
    fn a_text_with_brackets_in_it_is_no_header() {
        check(
            "[services.web]\ncommand = \"\"\"\n[services.db]\n# no comment\n\"\"\"\n\n[services.db]\nimage = \"db\"\n",
            "[services.db]\nimage = \"db\"\n",
        );
    }
}
