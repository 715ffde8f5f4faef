//! One project: its scope, its merged objects, and each of them to a spec.

mod declared;
mod provided;
pub(super) mod work;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Draft;
use super::kept::{Inputs, Kept, Settled};
use crate::desired::Pause;
use crate::desired::convert::{self, Context, Definitions, GrantedCell};
use crate::desired::diagnostic::{Diagnostic, Severity, Span};
use crate::desired::files::{self, FLEET, Files, StateFile};
use crate::desired::fleet::{Fleet, placed_here};
use crate::desired::ident::{ProjectName, ServiceId, ServiceName};
use crate::desired::interpolate::{self, Lookup, Scope};
use crate::desired::node::Value;
use crate::desired::objects::{self, Object};
use crate::desired::position::Positions;
use crate::desired::provided::ProvidedKind;
use crate::desired::snapshot::{FileContent, HostFacts, Snapshot};
use crate::desired::spec::{MountSource, NetworkSpec, ServiceSpec, SourcePlace, VolumeSpec};
use crate::desired::variables::{Level, ObjectScope, ProjectScope};
use crate::desired::work::Works;
use crate::desired::work::answers::TAG;
use crate::desired::{check, dotenv, merge, redact};
use declared::Names;
use provided::Users;

/// Errors that may only say that the definition stands in a file that does not load.
const FOLLOW_UPS: [&str; 9] = [
    "undeclared-secret",
    "undeclared-config",
    "undeclared-volume",
    "undeclared-network",
    "unknown-dependency",
    "unset-variable",
    "required-variable",
    "missing-image",
    "unknown-extends",
];

/// One project in the making.
pub(super) struct Loading<'a> {
    snapshot: &'a Snapshot,
    host: &'a HostFacts,
    files: &'a Files,
    fleet: &'a Fleet,
    positions: Positions<'a>,
    found: Vec<Diagnostic>,
    drafts: Vec<Draft>,
    networks: Vec<(Arc<NetworkSpec>, Span)>,
    volumes: Vec<(Arc<VolumeSpec>, Span)>,
    works: Works,
    reads: Reads,
    users: Users,
    /// What logins use.
    logins: BTreeSet<(ProvidedKind, String)>,
}

/// The files that were looked at by name, with what was found.
type Reads = RefCell<BTreeMap<String, Option<FileContent>>>;

/// Looks at a file of the snapshot, and notes it.
fn look<'a>(snapshot: &'a Snapshot, reads: &Reads, path: &str) -> Option<&'a FileContent> {
    let content = snapshot.files.get(path);
    let mut reads = reads.borrow_mut();
    if !reads.contains_key(path) {
        reads.insert(path.to_owned(), content.cloned());
    }
    content
}

impl<'a> Loading<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        host: &'a HostFacts,
        files: &'a Files,
        fleet: &'a Fleet,
    ) -> Self {
        Self {
            snapshot,
            host,
            files,
            fleet,
            positions: Positions::new(snapshot),
            found: Vec::new(),
            drafts: Vec::new(),
            networks: Vec::new(),
            volumes: Vec::new(),
            works: Works::default(),
            reads: Reads::default(),
            users: Users::default(),
            logins: BTreeSet::new(),
        }
    }

    pub(super) fn project(
        mut self,
        project: &ProjectName,
        files: &[&StateFile],
        chain: Vec<Arc<Level>>,
        inputs: Inputs,
    ) -> Kept {
        let fleet = self.fleet;
        let home = chain.first().map(|level| level.folder.clone()).unwrap_or_default();
        let dotenv_path = if home.is_empty() { ".env".to_owned() } else { format!("{home}/.env") };
        let levels = chain.iter().map(|level| &**level).collect();
        let mut scope = ProjectScope::new(project, fleet, self.host, levels, dotenv_path);
        self.read_dotenv(&mut scope);

        // While a file of the project does not load, what is missing may be in there.
        let gaps: Vec<Diagnostic> = files
            .iter()
            .map(|file| file.path.as_str())
            .chain([FLEET])
            .filter_map(|path| self.files.broken.get(path))
            .flatten()
            .cloned()
            .collect();
        let mut told = Vec::new();
        let objects = objects::gather(project, files, &mut told);
        self.tell(told, &gaps);

        let names = self.declare(project, &objects, &scope);
        let definitions = self.definitions(project, &objects, &scope, &gaps);
        let credentials = self.credentials(project, &objects, &scope, &definitions, &gaps);
        let services: BTreeMap<String, Span> =
            objects.services.iter().map(|(name, object)| (name.clone(), object.header().clone())).collect();
        let facts = Facts {
            project,
            scope: &scope,
            fleet,
            names: &names,
            definitions: &definitions,
            services: &services,
            gaps: &gaps,
        };
        for (name, object) in &objects.services {
            self.service(name, object, &facts);
        }
        self.works(&objects, &facts);
        if !self.drafts.is_empty() || objects.services.is_empty() {
            self.declared(project, &objects, &scope, &names, &gaps);
        }
        let implied = self.implied_network(project, &names);
        let provided = self.provided(definitions);
        let (paused, window, interval) = (scope.paused(), scope.window(), scope.interval());
        self.found.append(&mut scope.told.borrow_mut());
        check::project(&mut self.drafts, &self.host.name, &mut self.found);
        Kept {
            project: project.clone(),
            inputs,
            reads: self.reads.into_inner(),
            found: self.found,
            services: self.drafts.into_iter().map(Settled::of).collect(),
            networks: self.networks,
            volumes: self.volumes,
            works: self.works,
            implied,
            provided,
            credentials,
            paused,
            window,
            interval,
        }
    }

    /// Keeps diagnostics, but for errors that only follow from a file that does not load. Returns whether there were such.
    fn tell(&mut self, told: Vec<Diagnostic>, gaps: &[Diagnostic]) -> bool {
        let before = told.len();
        let kept = told
            .into_iter()
            .filter(|told| gaps.is_empty() || !told.is_error() || !FOLLOW_UPS.contains(&told.slug));
        let length = self.found.len();
        self.found.extend(kept);
        self.found.len() - length < before
    }

    fn read_dotenv(&mut self, scope: &mut ProjectScope<'_>) {
        let mut told = Vec::new();
        match look(self.snapshot, &self.reads, &scope.dotenv_path) {
            None => {}
            Some(FileContent::Read(bytes)) => {
                let within = ObjectScope::new(scope, None);
                let read =
                    dotenv::parse(&scope.dotenv_path, bytes, dotenv::Format::Compose, &within, &mut told);
                scope.dotenv = read;
            }
            Some(FileContent::Unreadable(why)) => {
                let span = Span { file: scope.dotenv_path.as_str().into(), start: 0, end: 0 };
                let message = format!("cannot be read: {why}");
                told.push(Diagnostic::error(
                    "unreadable",
                    span,
                    message,
                    "services that use it stay as they are",
                ));
            }
        }
        scope.dotenv_broken = told.iter().any(Diagnostic::is_error);
        self.found.append(&mut told);
    }

    fn service(&mut self, name: &str, object: &Object, facts: &Facts<'_>) {
        let Value::Table(table) = &object.node.value else { return };
        let Some(service) = ServiceName::new(name) else {
            let message = format!("`{}` cannot be the name of a service", name.escape_debug());
            let diagnostic = Diagnostic::error("bad-name", object.place.clone(), message, "not a name");
            self.found
                .push(diagnostic.help("letters, digits, `.`, `_` and `-`, starting with a letter or digit"));
            return;
        };
        let mut draft = Draft {
            id: ServiceId { project: facts.project.clone(), service },
            table: table.clone(),
            header: table.header.clone(),
            files: object.files.clone(),
            spec: None,
            frozen: Vec::new(),
            paused: None,
        };
        for level in &facts.scope.levels {
            draft.files.extend(level.default_files.iter().cloned());
            merge::fill(&mut draft.table, &level.defaults);
        }
        if !self.meant_here(&mut draft, facts) {
            return;
        }
        draft.paused = self.paused(&mut draft, facts);
        let broken: Vec<Diagnostic> =
            draft.files.iter().filter_map(|file| self.files.broken.get(file)).flatten().cloned().collect();
        if broken.is_empty() {
            self.convert(&mut draft, facts);
        } else {
            draft.frozen = broken;
        }
        self.drafts.push(draft);
    }

    /// `on_hosts`, `profiles` and the constraints of a service; the first two are taken out of the table.
    fn meant_here(&mut self, draft: &mut Draft, facts: &Facts<'_>) -> bool {
        let fleet = facts.fleet;
        let selected =
            draft.table.remove("on_hosts").is_none_or(|entry| fleet.selects(&entry.value, &mut self.found));
        let switched_on = draft.table.remove("profiles").is_none_or(|entry| {
            let wanted = files::items(&entry.value);
            for item in wanted.iter().filter(|item| item.as_str().is_none()) {
                let message = format!("`profiles` takes names, not {}", item.kind());
                self.found.push(Diagnostic::error(
                    "bad-type",
                    item.span.clone(),
                    message,
                    "a name in quotes",
                ));
            }
            let on = fleet.host().map(|host| &host.profiles);
            wanted.is_empty()
                || wanted
                    .iter()
                    .filter_map(|item| item.as_str())
                    .any(|profile| on.is_some_and(|on| on.contains(profile) || on.contains("*")))
        });
        let scope = ObjectScope::new(facts.scope, Some(draft.id.service.as_str()));
        let placed = placed_here(&draft.table, fleet, self.host, &scope, &mut self.found);
        selected && switched_on && placed
    }

    /// `paused` of a service; taken out of the table, because no container is any different for it.
    fn paused(&mut self, draft: &mut Draft, facts: &Facts<'_>) -> Option<Option<Pause>> {
        let node = draft.table.remove("paused")?.value;
        let scope = ObjectScope::new(facts.scope, Some(draft.id.service.as_str()));
        let said = match &node.value {
            Value::Boolean(said) => Some(*said),
            Value::String(text) => {
                let expanded = interpolate::expand(text, &scope);
                expanded.text.parse().ok().filter(|_| expanded.replaced)
            }
            _ => None,
        };
        let Some(said) = said else {
            let message =
                format!("`services.{}.paused` takes true or false, not {}", draft.id.service, node.kind());
            let diagnostic = Diagnostic::error("bad-type", node.span.clone(), message, "write true or false");
            draft.frozen.push(diagnostic.clone());
            self.found.push(diagnostic);
            // Whoever wrote it meant to leave the service alone.
            return Some(Some(Pause::at(node.span.file.to_string())));
        };
        draft.files.append(&mut scope.used.borrow_mut());
        let (line, _) = self.positions.of(&node.span.file, node.span.start);
        Some(said.then(|| Pause::at(format!("{}:{line}", node.span.file))))
    }

    fn convert(&mut self, draft: &mut Draft, facts: &Facts<'_>) {
        let mut told = Vec::new();
        let name = draft.id.service.as_str().to_owned();
        let mut scope = ObjectScope::new(facts.scope, Some(&name));
        let image = draft.table.get("image").and_then(|entry| entry.value.as_str());
        let chosen = ["image_policy", "build"].iter().any(|key| draft.table.get(key).is_some());
        let tag = match image.map(|image| interpolate::expand(image, &scope).text) {
            // Filled in when one is picked or made; without a tag it may be what is built here.
            _ if chosen => Some(TAG.to_owned()),
            Some(image) if has_no_tag(&image) => Some(TAG.to_owned()),
            image => image.map(|image| tag_of(&image)),
        };
        scope.set_tag(tag);
        let mut unset = Vec::new();
        let built = work::take_built(&mut draft.table);
        interpolate::expand_table(&mut draft.table, &scope, &mut told, &mut unset);
        work::put_built(built, &mut draft.table, &scope, facts, &mut told, &mut unset);
        let expanded = told.len();
        let variables = |name: &str| match scope.get(name) {
            Lookup::Set(value) => Some(value),
            Lookup::Unset | Lookup::Broken => None,
        };
        let (snapshot, reads) = (self.snapshot, &self.reads);
        let read = |path: &str| look(snapshot, reads, path);
        let granted = GrantedCell::default();
        let context = Context {
            project: facts.project,
            root: &self.snapshot.root,
            networks: &facts.names.networks,
            volumes: &facts.names.volumes,
            definitions: facts.definitions,
            granted: &granted,
            services: facts.services,
            read: &read,
            variables: &variables,
            host: self.host,
            api_socket: facts.scope.api_socket(),
        };
        let spec = convert::service(&draft.id, &draft.table, &context, &mut told);
        let image = convert::image_source(&draft.id, &draft.table, &context, &mut told);
        // A text with a variable missing in it is wrong in other ways, too.
        let mut number = 0;
        told.retain(|told| {
            number += 1;
            number <= expanded || !unset.iter().any(|span| within(&told.primary.span, span))
        });
        redact::redact(&mut told, &draft.table, &scope.given.borrow());
        draft.files.append(&mut scope.used.borrow_mut());
        let sound = unset.is_empty() || facts.scope.unset() == Severity::Warning;
        draft.frozen = told.iter().filter(|told| told.is_error()).cloned().collect();
        if self.tell(told, facts.gaps) {
            draft.frozen.retain(|told| !FOLLOW_UPS.contains(&told.slug));
            draft.frozen.extend(facts.gaps.iter().cloned());
        }
        let frozen = self.granted(&draft.id, granted.into_inner(), &mut draft.files, facts);
        draft.frozen.extend(frozen);
        draft.spec = spec
            .filter(|_| sound && draft.frozen.is_empty())
            .map(|spec| self.placed(spec, draft, facts.names))
            .map(|mut spec| {
                spec.policy.drift = facts.scope.drift();
                spec
            });
        if let (Some(spec), Some(image)) = (draft.spec.clone(), image) {
            self.chosen(draft, &spec, image);
        }
    }

    /// Fills in where the service comes from.
    fn placed(&mut self, mut spec: ServiceSpec, draft: &mut Draft, names: &Names) -> ServiceSpec {
        draft.files.append(&mut spec.source.files);
        let networks = spec.live.networks.values().filter_map(|endpoint| names.networks.get(&endpoint.key));
        let volumes = spec.container.mounts.values().filter_map(|mount| match &mount.source {
            MountSource::Volume { key: Some(key), .. } => names.volumes.get(key),
            _ => None,
        });
        let declared = networks.chain(volumes).map(|declared| declared.span.file.to_string());
        draft.files.extend(declared.filter(|file| !file.is_empty()));
        let (line, _) = self.positions.of(&draft.header.file, draft.header.start);
        spec.source = SourcePlace {
            file: draft.header.file.to_string(),
            line,
            files: draft.files.clone(),
            commit: None,
        };
        spec
    }
}

/// What the conversion of a service needs to know of its project.
struct Facts<'a> {
    project: &'a ProjectName,
    scope: &'a ProjectScope<'a>,
    fleet: &'a Fleet,
    names: &'a Names,
    definitions: &'a Definitions,
    services: &'a BTreeMap<String, Span>,
    /// What is wrong with files of the project that do not load.
    gaps: &'a [Diagnostic],
}

fn within(inner: &Span, outer: &Span) -> bool {
    inner.file == outer.file && outer.start <= inner.start && inner.end <= outer.end
}

/// The tag of an image reference.
fn has_no_tag(image: &str) -> bool {
    !image.rsplit('/').next().unwrap_or_default().contains([':', '@'])
}

fn tag_of(image: &str) -> String {
    let name = image.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    last.split_once(':').map_or("latest", |(_, tag)| tag).to_owned()
}
