//! `evenkeel secret list`.

use std::sync::Arc;

use serde::Serialize;

use crate::cli::show::{Cell, Table, one_line};
use crate::cli::sources::{self, Facts, Take};
use crate::cli::{assemble, look, out};
use crate::config::Settings;
use crate::desired::provided::{Ask, Origin, Provided, ProvidedId};
use crate::desired::{Loaded, SourcesLoader};
use crate::note;
use crate::secrets::Secrets;
use crate::secrets::vault::Shelf;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Present,
    Missing,
    /// Encrypted, and nothing on this host uses it: it was not opened.
    Unused,
}

/// One secret or config.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// `secret` or `config`.
    kind: &'static str,
    /// `None`: on this host, and no file asks for it.
    project: Option<String>,
    /// `age`, `sops`, `file`, `environment`, `content` or `external`.
    from: &'static str,
    /// `project/service`, and `login` where a login uses it.
    users: Vec<String>,
    state: State,
    /// Why it is missing.
    why: Option<String>,
    /// `shop/web.toml:3`.
    place: Option<String>,
}

pub(super) fn run(settings: &Settings, json: bool) -> Result<(), String> {
    let secrets = assemble::secrets(settings, true);
    let facts: Facts = {
        let settings = settings.clone();
        Arc::new(move || look::host_facts(&settings, None))
    };
    let mut rows = match sources::read(settings, Take::Applied, &facts) {
        Ok(read) => {
            let mut loader = SourcesLoader::default();
            let Loaded { state, .. } = secrets.load(&mut loader, &read.snapshot, facts());
            state.provided.iter().map(|(id, provided)| row(&secrets, id, provided)).collect()
        }
        Err(error) => {
            note!("only what lies on this host is shown, because the files cannot be read: {error}");
            Vec::new()
        }
    };
    rows.extend(unasked(&secrets, &rows)?);
    if json {
        out::json(&rows);
    } else {
        show(&rows);
    }
    Ok(())
}

fn row(secrets: &Secrets, id: &ProvidedId, provided: &Provided) -> Row {
    let why = secrets.trouble(&Ask { id: id.clone(), origin: provided.origin.clone() });
    let present = if why.is_some() { Some(false) } else { secrets.is_present(&provided.origin) };
    let state = match present {
        Some(true) => State::Present,
        Some(false) => State::Missing,
        None if provided.is_used() => State::Present,
        None => State::Unused,
    };
    let login = provided.login.then(|| "login".to_owned());
    Row {
        name: id.key.clone(),
        kind: id.kind.word(),
        project: Some(id.project.to_string()),
        from: provided.origin.word(),
        users: provided.users.iter().map(ToString::to_string).chain(login).collect(),
        state,
        why,
        place: Some(provided.place.clone()),
    }
}

/// What was put on the host and no file asks for.
fn unasked(secrets: &Secrets, rows: &[Row]) -> Result<Vec<Row>, String> {
    let names = secrets.vault.names(Shelf::Store)?;
    let asked = |name: &String| rows.iter().any(|row| row.from == "external" && row.name == *name);
    let rows = names.into_iter().filter(|name| !asked(name)).map(|name| Row {
        name,
        kind: "secret",
        project: None,
        from: Origin::Store(String::new()).word(),
        users: Vec::new(),
        state: State::Present,
        why: None,
        place: None,
    });
    Ok(rows.collect())
}

fn show(rows: &[Row]) {
    if rows.is_empty() {
        note!("no file asks for a secret or a config, and none was set on this host");
        return;
    }
    let mut table = Table::new(&["NAME", "KIND", "PROJECT", "FROM", "STATE", "USED BY"]);
    for row in rows {
        let state = match row.state {
            State::Present => Cell::styled("present", out::GOOD),
            State::Missing => Cell::styled("missing", out::BAD),
            State::Unused => Cell::styled("unused", out::DIM),
        };
        let users = if row.users.is_empty() { "-".to_owned() } else { row.users.join(", ") };
        let project = row.project.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            Cell::from(row.name.clone()),
            Cell::from(row.kind.to_owned()),
            Cell::from(project),
            Cell::from(row.from.to_owned()),
            state,
            Cell::from(users),
        ]);
    }
    table.print();
    for row in rows {
        if let (Some(why), Some(place)) = (&row.why, &row.place) {
            note!("{place}: {}: {}", row.name, one_line(why));
        }
    }
}
