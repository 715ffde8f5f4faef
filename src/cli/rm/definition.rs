//! Taking a service out of the files that define it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cli::{files, look};
use crate::config::Settings;
use crate::config::sources::Source;
use crate::controller::works::disk;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::ident::ServiceId;
use crate::desired::snapshot::{FileContent, RelPath, Snapshot};
use crate::desired::spec::SourcePlace;
use crate::desired::{DesiredState, Wanted, cut, load};
use crate::source::read_snapshot;

/// A file that becomes another.
pub(super) struct Edit {
    pub path: PathBuf,
    before: Vec<u8>,
    after: String,
}

impl Edit {
    /// # Errors
    /// A sentence: it was changed meanwhile, or cannot be written.
    pub(super) fn write(&self) -> Result<(), String> {
        let path = self.path.display();
        let now = std::fs::read(&self.path).map_err(|error| format!("cannot read {path}: {error}"))?;
        if now != self.before {
            return Err(format!("{path} was changed meanwhile; look at it again"));
        }
        files::replace(&self.path, self.after.as_bytes())
            .map_err(|error| format!("cannot write {path}: {error}"))
    }
}

/// What must be written so that no file defines the service any more.
///
/// # Errors
/// A sentence: it is defined where nothing may be written, or other things would break without it.
pub(super) fn edits(settings: &Settings, id: &ServiceId, volumes: bool) -> Result<Vec<Edit>, String> {
    let mut edits = Vec::new();
    for source in &settings.sources {
        let Source::Directory { path, .. } = source else { continue };
        let snapshot = read_snapshot(path).map_err(|error| error.to_string())?;
        let facts = look::host_facts(settings, None);
        let (state, problems) = load(&snapshot, &facts);
        let Some(place) = place(&state, id) else { continue };
        let mut next = snapshot.clone();
        for file in place.files.iter().chain([&place.file]).collect::<BTreeSet<_>>() {
            let Some(after) = without(&snapshot, file, id)? else { continue };
            let Some(name) = RelPath::new(file) else { continue };
            let before = text(&snapshot, file).unwrap_or_default().into_bytes();
            next.files.insert(name, FileContent::Read(after.clone().into_bytes().into()));
            edits.push(Edit { path: path.join(file), before, after });
        }
        let (left, complaints) = load(&next, &facts);
        check(id, (&state, &problems), (&left, &complaints))?;
        if volumes {
            let keys = declared_for_it_alone(id, &state, &left);
            without_volumes(&mut edits, &mut next, path, &keys)?;
            let (left, complaints) = load(&next, &facts);
            check(id, (&state, &problems), (&left, &complaints))?;
        }
    }
    Ok(edits)
}

fn place(state: &DesiredState, id: &ServiceId) -> Option<SourcePlace> {
    let chosen = state.works.chosen.get(id).map(|chosen| &chosen.spec);
    match state.services.get(id) {
        Some(Wanted::Run(revision)) => Some(revision.spec.source.clone()),
        Some(Wanted::Frozen(_)) => chosen.map(|spec| spec.source.clone()),
        None => None,
    }
}

/// Keys of volumes that the project declares and that no service mounts any more. They would be made anew, empty.
fn declared_for_it_alone(id: &ServiceId, before: &DesiredState, after: &DesiredState) -> Vec<String> {
    let of = |wanted: &Wanted| match wanted {
        Wanted::Run(revision) => disk::named_volumes(&revision.spec).map(str::to_owned).collect(),
        Wanted::Frozen(_) => Vec::new(),
    };
    let own = before.services.get(id).map(of).unwrap_or_default();
    let used: BTreeSet<String> = after.services.values().flat_map(of).collect();
    let volumes = own.iter().filter(|name| !used.contains(*name)).filter_map(|name| after.volumes.get(name));
    volumes.filter(|spec| spec.project == id.project && !spec.external).map(|spec| spec.key.clone()).collect()
}

/// Takes their declarations out, wherever in the project's folder they stand.
fn without_volumes(
    edits: &mut Vec<Edit>,
    next: &mut Snapshot,
    root: &Path,
    keys: &[String],
) -> Result<(), String> {
    let folders: BTreeSet<PathBuf> =
        edits.iter().filter_map(|edit| edit.path.parent().map(Path::to_owned)).collect();
    let files: Vec<RelPath> = next
        .files
        .keys()
        .filter(|file| file.as_str().ends_with(".toml"))
        .filter(|file| root.join(file.as_str()).parent().is_some_and(|folder| folders.contains(folder)))
        .cloned()
        .collect();
    for file in files {
        let Some(before) = text(next, file.as_str()) else { continue };
        let mut after = before.clone();
        for key in keys {
            let cut = cut::without(&after, "volumes", key)
                .map_err(|why| format!("the volume {key} cannot be taken out of {}: {why}", file.as_str()))?;
            after = cut.unwrap_or(after);
        }
        if after == before {
            continue;
        }
        let path = root.join(file.as_str());
        match edits.iter_mut().find(|edit| edit.path == path) {
            Some(edit) => edit.after.clone_from(&after),
            None => edits.push(Edit { path, before: before.into_bytes(), after: after.clone() }),
        }
        next.files.insert(file, FileContent::Read(after.into_bytes().into()));
    }
    Ok(())
}

fn text(snapshot: &Snapshot, file: &str) -> Option<String> {
    match snapshot.files.get(&RelPath::new(file)?)? {
        FileContent::Read(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    }
}

fn without(snapshot: &Snapshot, file: &str, id: &ServiceId) -> Result<Option<String>, String> {
    if !file.ends_with(".toml") {
        return Ok(None);
    }
    let Some(text) = text(snapshot, file) else { return Ok(None) };
    cut::without(&text, "services", id.service.as_str())
        .map_err(|why| format!("{id} cannot be taken out of {file}: {why}; take it out by hand"))
}

/// The service is gone, everything else is as it was, and nothing is wrong that was not wrong before.
fn check(
    id: &ServiceId,
    (before, known): (&DesiredState, &[Diagnostic]),
    (after, told): (&DesiredState, &[Diagnostic]),
) -> Result<(), String> {
    if after.services.contains_key(id) {
        let place = place(after, id).map(|place| format!("{}:{}", place.file, place.line));
        let place = place.unwrap_or_else(|| "a file that is no TOML".to_owned());
        return Err(format!("{id} is also defined in {place}: take it out there by hand"));
    }
    let known: BTreeSet<(&str, &str)> = known.iter().map(|told| (told.slug, told.message.as_str())).collect();
    let new: Vec<String> = told
        .iter()
        .filter(|told| told.is_error() && !known.contains(&(told.slug, told.message.as_str())))
        .map(Diagnostic::headline)
        .collect();
    if !new.is_empty() {
        return Err(format!(
            "without {id} the files do not load, so nothing was changed:\n  {}",
            new.join("\n  ")
        ));
    }
    let same = before.services.keys().filter(|other| *other != id).eq(after.services.keys());
    if same { Ok(()) } else { Err(format!("without {id} other services would go too; take it out by hand")) }
}
