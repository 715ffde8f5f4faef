//! A container that was started by hand, written down as TOML, and checked to say the same.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;

use super::super::show::one_line;
use super::super::{look, out};
use super::AdoptArgs;
use crate::config::Settings;
use crate::desired::hash::SpecHash;
use crate::desired::ident::{ProjectName, ServiceId, ServiceName};
use crate::desired::snapshot::{FileContent, RelPath, Snapshot};
use crate::desired::spec::{LiveSpec, NetworkMode, ServiceSpec};
use crate::desired::{Wanted, load, write};
use crate::engine::{ContainerFilter, Observe};
use crate::state::adoption::live_of;
use crate::state::diff::{container_differences, live_differences};
use crate::state::observed::{ImageFacts, ObservedContainer, OwnLabels, label};
use crate::state::record::RevisionId;
use crate::state::seen::{Scope, seen};
use crate::{note, say};

/// Prints or writes the definition. Returns the project and the service it is to be adopted as; `None`: nothing more was asked for.
pub(super) async fn write_down(
    settings: &Settings,
    args: &AdoptArgs,
    name: &str,
) -> Result<Option<(String, String)>, String> {
    let id = match &args.service {
        Some(text) => text
            .split_once('/')
            .and_then(|(project, service)| ServiceId::new(project, service))
            .ok_or_else(|| format!("`{text}` is no name of a service: write PROJECT/SERVICE"))?,
        None => ServiceId { project: ProjectName::default(), service: service_name(name)? },
    };
    let as_asked = args.service.is_some().then(|| (id.project.to_string(), id.service.to_string()));
    if as_asked.is_some() && args.output.is_none() {
        // Its files define it already.
        return Ok(as_asked);
    }
    let engine = look::engine(settings)?;
    let (container, image) = find(&*engine, &id, name).await?;
    let (spec, mut notes) = spec_of(&id, &container, &image)?;
    let text = write::service(id.service.as_str(), &spec.container, &spec.live);
    notes.extend(checked(&id, &text, &spec));
    let text = format!("# Written down from the container {name} as it ran.\n{text}");
    match &args.output {
        None if args.json => {
            out::json(&serde_json::json!({ "service": id.to_string(), "toml": text, "notes": notes }));
        }
        None => {
            say!("{}", text.trim_end());
            notes.iter().for_each(|text| note!("note: {}", one_line(text)));
        }
        Some(path) => {
            // What somebody wrote is not written over.
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
            written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            note!("{} says how {name} was started", path.display());
            notes.iter().for_each(|text| note!("note: {}", one_line(text)));
        }
    }
    Ok(as_asked)
}

/// A service may be called nearly what a container may.
fn service_name(name: &str) -> Result<ServiceName, String> {
    ServiceName::new(name)
        .ok_or_else(|| format!("`{name}` cannot be the name of a service: say --as PROJECT/SERVICE"))
}

async fn find(
    engine: &dyn Observe,
    id: &ServiceId,
    name: &str,
) -> Result<(ObservedContainer, ImageFacts), String> {
    let told = |error: crate::engine::EngineError| error.to_string();
    let rows = engine.list_containers(&ContainerFilter::default()).await.map_err(told)?;
    let row = rows
        .iter()
        .find(|row| {
            row.names.first().is_some_and(|found| found == name) || row.id.0 == name || row.id.short() == name
        })
        .ok_or_else(|| format!("there is no container `{name}`: `docker ps --all` lists them"))?;
    if let Some(owner) = row.labels.get(label::OWNER) {
        return Err(format!("container {name} is evenkeel's own already (instance `{owner}`)"));
    }
    let hash = SpecHash::of(&plain(String::new())?.container);
    let labels = OwnLabels {
        hook: None,
        job: None,
        owner: String::new(),
        service: id.clone(),
        slot: 1,
        revision: RevisionId::of(&hash, &row.image),
        spec: hash,
        image: row.image.clone(),
        image_ref: String::new(),
        image_digest: None,
        source: String::new(),
    };
    let gone = || format!("container {name} went away while it was looked at");
    let container = engine.inspect_as(&row.id, &labels).await.map_err(told)?.ok_or_else(gone)?;
    let image = engine.inspect_image(&container.image.0).await.map_err(told)?;
    let image = image
        .ok_or_else(|| format!("the image of {name} is not on this host any more: `docker pull` it first"))?;
    Ok((container, image))
}

/// A service that says nothing but its image.
fn plain(image: String) -> Result<ServiceSpec, String> {
    let mut spec = loaded("x", "x", "[services.x]\nimage = \"x\"\n")?;
    spec.container.image = image;
    Ok(spec)
}

/// What it was made of, less what its image gives, with notes about what the language or evenkeel has no word for.
fn spec_of(
    id: &ServiceId,
    container: &ObservedContainer,
    image: &ImageFacts,
) -> Result<(ServiceSpec, Vec<String>), String> {
    let mut notes = Vec::new();
    let baked = container.baked.clone().unwrap_or_default();
    let defaults = image.defaults.clone().unwrap_or_default();
    let reference = match image.tags.contains(&baked.image) || baked.image.contains('@') {
        true => baked.image.clone(),
        false => image.tags.first().or(image.digests.first()).cloned().unwrap_or_else(|| baked.image.clone()),
    };
    let blank = plain(reference)?;
    let mut spec = seen(&blank.container, &baked, &defaults, &image.volumes, Scope::Everything);
    if baked.hostname != container.id.short()
        && matches!(spec.network_mode, NetworkMode::Networks | NetworkMode::Bridge)
    {
        spec.hostname = Some(baked.hostname.clone());
    }
    // What an engine takes by itself is not told apart from what was asked for, but this one is asked for by most of those who have another.
    spec.extra.runtime = baked.extra.runtime.clone().filter(|name| name != "runc");
    let wanted = LiveSpec { container_name: Some(container.name.clone()), ..LiveSpec::default() };
    let live = live_of(id, &wanted, container, &spec.network_mode);
    if !baked.log_options.is_empty() || !matches!(baked.log_driver.as_str(), "" | "json-file") {
        let options: Vec<String> =
            baked.log_options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        notes.push(format!(
            "its log is kept by {} with {}: that is left to the engine's own default; if it was asked for, add a table `logging`",
            baked.log_driver,
            if options.is_empty() { "no options".to_owned() } else { options.join(", ") }
        ));
    }
    if baked.auto_remove {
        notes.push(
            "it was started with --rm: evenkeel would keep it when it ends, and so does not say it"
                .to_owned(),
        );
    }
    for field in &baked.others {
        notes.push(format!(
            "the engine's field {field} is set and not written down: look at `docker inspect {}`",
            container.name
        ));
    }
    Ok((ServiceSpec { container: spec, live, ..blank }, notes))
}

/// Loads what was written, and tells what of the container it does not say.
fn checked(id: &ServiceId, text: &str, spec: &ServiceSpec) -> Vec<String> {
    let loaded = match loaded(id.project.as_str(), id.service.as_str(), text) {
        Ok(loaded) => loaded,
        Err(error) => return vec![format!("it does not load as written: {error}")],
    };
    let mut found = container_differences(&spec.container, &loaded.container);
    found.extend(live_differences(&spec.live, &loaded.live));
    let of = |value: Option<String>| value.unwrap_or_else(|| "not set".to_owned());
    // The key of a volume made elsewhere is not the container's.
    found
        .into_iter()
        .filter(|field| field.old != field.new)
        .map(|field| {
            format!("{} is {} in the container and {} in the file", field.path, of(field.old), of(field.new))
        })
        .collect()
}

fn loaded(project: &str, service: &str, text: &str) -> Result<ServiceSpec, String> {
    let path = RelPath::new(&format!("{project}/{service}.toml")).ok_or("not a path")?;
    let files = BTreeMap::from([(path, FileContent::Read(text.as_bytes().to_vec().into()))]);
    let snapshot = Snapshot { files, root: "/".to_owned(), ..Snapshot::default() };
    let facts = crate::desired::snapshot::HostFacts { name: "host".to_owned(), ..Default::default() };
    let (state, problems) = load(&snapshot, &facts);
    let wanted =
        state.services.into_iter().find(|(id, _)| id.service.as_str() == service).map(|(_, wanted)| wanted);
    match wanted {
        Some(Wanted::Run(revision)) => Ok(ServiceSpec::clone(&revision.spec)),
        _ => Err(problems.first().map(|problem| problem.headline()).unwrap_or_default()),
    }
}
