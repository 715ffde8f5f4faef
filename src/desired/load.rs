//! Snapshot to desired state. Everything is reported, nothing stops at the first error, and what does not load freezes
//! exactly what it had a part in.

use std::collections::{BTreeMap, BTreeSet};

use super::check;
use super::convert::{self, Context, Declared};
use super::diagnostic::{Diagnostic, Severity, Span};
use super::dotenv;
use super::files::{self, FLEET, Files, StateFile};
use super::fleet::Fleet;
use super::hash::SpecHash;
use super::ident::{ProjectName, ServiceId, ServiceName};
use super::interpolate::{self, Lookup, Scope};
use super::merge;
use super::node::{Table, Value};
use super::objects::{self, Object, Objects};
use super::position::Positions;
use super::snapshot::{FileContent, HostFacts, Snapshot};
use super::spec::{Ipam, NetworkSpec, ServiceSpec, SourcePlace};
use super::toplevel;
use super::variables::{Level, ObjectScope, ProjectScope};
use super::{DesiredState, Revision, Wanted};

/// A service on its way into the state.
pub(super) struct Draft {
    pub id: ServiceId,
    /// The merged table with variables replaced; its places lead to where each value was written.
    pub table: Table,
    pub header: Span,
    pub files: BTreeSet<String>,
    /// None when it does not convert, or a file it needs does not load.
    pub spec: Option<ServiceSpec>,
    /// Why it is left as it is, beside faults of its files.
    pub frozen: Vec<Diagnostic>,
}

/// Errors that may only say that the definition stands in a file that does not load.
const FOLLOW_UPS: [&str; 7] = [
    "undeclared-volume",
    "undeclared-network",
    "unknown-dependency",
    "unset-variable",
    "required-variable",
    "missing-image",
    "unknown-extends",
];

/// Loads a snapshot for one host.
///
/// Every problem of every file is among the diagnostics, sorted by place, each with its line and column. A file with
/// an error is in [`DesiredState::broken`], and each service it has a part in is [`Wanted::Frozen`]; the others are not
/// affected. An empty snapshot gives an empty state.
#[must_use]
pub fn load(snapshot: &Snapshot, host: &HostFacts) -> (DesiredState, Vec<Diagnostic>) {
    let mut files = files::sort(snapshot);
    let found = std::mem::take(&mut files.diagnostics);
    let mut loading = Loading {
        snapshot,
        host,
        files: &files,
        positions: Positions::new(snapshot),
        found,
        drafts: Vec::new(),
        state: DesiredState::default(),
    };
    loading.run();
    loading.finish()
}

struct Loading<'a> {
    snapshot: &'a Snapshot,
    host: &'a HostFacts,
    files: &'a Files,
    positions: Positions<'a>,
    found: Vec<Diagnostic>,
    drafts: Vec<Draft>,
    state: DesiredState,
}

impl<'a> Loading<'a> {
    fn run(&mut self) {
        let good = self.files.state.iter().filter(|file| !file.broken);
        good.for_each(|file| toplevel::check(file, &mut self.found));
        let fleet_file = self.files.state.iter().find(|file| file.path == FLEET);
        let hosts = fleet_file.and_then(|file| file.table.get("hosts")).map(|entry| &entry.value);
        let fleet = Fleet::read(hosts, self.host, &mut self.found);

        let mut projects: BTreeMap<&ProjectName, Vec<&StateFile>> = BTreeMap::new();
        for file in &self.files.state {
            let selector = file.table.get("on_hosts").filter(|_| file.path != FLEET);
            if selector.is_none_or(|entry| fleet.selects(&entry.value, &mut self.found)) {
                projects.entry(&file.project).or_default().push(file);
            }
        }
        let levels = self.levels(&projects);
        for (project, files) in &projects {
            self.project(project, files, &fleet, &levels);
        }
        check::check(&mut self.drafts, &self.host.name, &mut self.found);
    }

    /// `[vars]`, `[defaults]` and `[policy]` of each project.
    fn levels(&mut self, projects: &BTreeMap<&ProjectName, Vec<&StateFile>>) -> BTreeMap<ProjectName, Level> {
        let mut levels = BTreeMap::new();
        for (project, files) in projects {
            let home = self.files.homes.get(*project).cloned().unwrap_or_default();
            let mut level = Level { folder: home, ..Level::default() };
            let plain = files.iter().filter(|file| !file.refines);
            for file in plain.chain(files.iter().filter(|file| file.refines)) {
                let section = |name: &str| file.table.get(name).and_then(|entry| entry.value.as_table());
                let defaults = section("defaults").and_then(|table| table.get("services")?.value.as_table());
                if defaults.is_some() {
                    level.default_files.insert(file.path.clone());
                }
                let parts = [
                    (&mut level.vars, section("vars"), "vars"),
                    (&mut level.defaults, defaults, "defaults.services"),
                    (&mut level.policy, section("policy"), "policy"),
                ];
                for (known, more, path) in parts {
                    match more {
                        Some(more) if file.refines => merge::settle(known, more),
                        Some(more) => merge::conflicting(known, more, path, &mut self.found),
                        None => {}
                    }
                }
            }
            let root = level.folder.is_empty() && **project == ProjectName::default();
            toplevel::policy(&level.policy, root.then_some(&mut self.state), &mut self.found);
            self.check_defaults(&mut level);
            levels.insert((*project).clone(), level);
        }
        levels
    }

    /// Checks the keys of `[defaults.services]` once, and takes out what is wrong so that no service repeats it.
    fn check_defaults(&mut self, level: &mut Level) {
        let mut wrong = Vec::new();
        let read = |path: &str| self.snapshot.files.get(path);
        convert::check_keys(&level.defaults, "Service", "defaults.services", &[], &read, &mut wrong);
        level.defaults.entries.retain(|entry| wrong.iter().all(|wrong| wrong.primary.span != entry.key_span));
        self.found.append(&mut wrong);
    }

    /// The levels that hold for a project: its own, then those of the folders above, the root's last.
    fn chain<'l>(project: &ProjectName, levels: &'l BTreeMap<ProjectName, Level>) -> Vec<&'l Level> {
        let Some(own) = levels.get(project) else { return Vec::new() };
        let mut chain = vec![own];
        let mut folder = own.folder.as_str();
        while let Some((above, _)) = folder.rsplit_once('/') {
            let owner = |level: &&Level| level.folder == above && !above.is_empty();
            chain.extend(levels.values().find(owner));
            folder = above;
        }
        let root = ProjectName::default();
        if *project != root {
            chain.extend(levels.get(&root));
        }
        chain
    }

    fn project(
        &mut self,
        project: &ProjectName,
        files: &[&StateFile],
        fleet: &Fleet,
        levels: &BTreeMap<ProjectName, Level>,
    ) {
        let chain = Self::chain(project, levels);
        let home = chain.first().map(|level| level.folder.clone()).unwrap_or_default();
        let dotenv_path = if home.is_empty() { ".env".to_owned() } else { format!("{home}/.env") };
        let mut scope = ProjectScope::new(project, fleet, self.host, chain, dotenv_path);
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
        self.state.projects.insert(project.clone());

        let names = self.declare(project, &objects, &scope);
        let services: BTreeMap<String, Span> =
            objects.services.iter().map(|(name, object)| (name.clone(), object.header().clone())).collect();
        let first = self.drafts.len();
        for (name, object) in &objects.services {
            let facts =
                Facts { project, scope: &scope, fleet, names: &names, services: &services, gaps: &gaps };
            self.service(name, object, &facts);
        }
        let here = self.drafts.len() > first;
        if here || objects.services.is_empty() {
            self.declared(project, &objects, &scope, &names, &gaps);
        }
        self.implied_network(project, first, &names);
        self.found.append(&mut scope.told.borrow_mut());
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
        match self.snapshot.files.get(scope.dotenv_path.as_str()) {
            None => {}
            Some(FileContent::Read(bytes)) => {
                let within = ObjectScope::new(scope, None);
                let read =
                    dotenv::parse(&scope.dotenv_path, bytes, dotenv::Format::Compose, &within, &mut told);
                scope.dotenv = read;
            }
            Some(FileContent::Unreadable(why)) => {
                let span = Span { file: scope.dotenv_path.clone(), start: 0, end: 0 };
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

    /// The names of networks and volumes, with variables replaced. Faults are reported by the conversion.
    fn declare(&self, project: &ProjectName, objects: &Objects, scope: &ProjectScope<'_>) -> Names {
        let declare = |known: &BTreeMap<String, Object>| -> BTreeMap<String, Declared> {
            let declared = known.iter().map(|(key, object)| {
                let mut node = object.node.clone();
                let within = ObjectScope::new(scope, None);
                interpolate::expand_node(&mut node, &within, &mut Vec::new(), &mut Vec::new());
                (key.clone(), Declared::of(project, key, object.header().clone(), &node))
            });
            declared.collect()
        };
        let mut names = Names { networks: declare(&objects.networks), volumes: declare(&objects.volumes) };
        names.networks.entry("default".to_owned()).or_insert_with(|| Declared {
            span: Span::default(),
            name: format!("{project}_default"),
            external: false,
        });
        names
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
        };
        for level in &facts.scope.levels {
            draft.files.extend(level.default_files.iter().cloned());
            merge::fill(&mut draft.table, &level.defaults);
        }
        if !self.meant_here(&mut draft, facts.fleet) {
            return;
        }
        let broken: Vec<Diagnostic> =
            draft.files.iter().filter_map(|file| self.files.broken.get(file)).flatten().cloned().collect();
        if broken.is_empty() {
            self.convert(&mut draft, facts);
        } else {
            draft.frozen = broken;
        }
        self.drafts.push(draft);
    }

    /// `on_hosts` and `profiles` of a service; both are taken out of the table.
    fn meant_here(&mut self, draft: &mut Draft, fleet: &Fleet) -> bool {
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
        selected && switched_on
    }

    fn convert(&mut self, draft: &mut Draft, facts: &Facts<'_>) {
        let mut told = Vec::new();
        let name = draft.id.service.as_str().to_owned();
        let mut scope = ObjectScope::new(facts.scope, Some(&name));
        let image = draft.table.get("image").and_then(|entry| entry.value.as_str());
        let tag = image.map(|image| tag_of(&interpolate::expand(image, &scope).text));
        scope.set_tag(tag);
        let mut unset = Vec::new();
        interpolate::expand_table(&mut draft.table, &scope, &mut told, &mut unset);
        let expanded = told.len();
        let variables = |name: &str| match scope.get(name) {
            Lookup::Set(value) => Some(value),
            Lookup::Unset | Lookup::Broken => None,
        };
        let read = |path: &str| self.snapshot.files.get(path);
        let context = Context {
            project: facts.project,
            root: &self.snapshot.root,
            networks: &facts.names.networks,
            volumes: &facts.names.volumes,
            services: facts.services,
            read: &read,
            variables: &variables,
            host: self.host,
        };
        let spec = convert::service(&draft.id, &draft.table, &context, &mut told);
        // A text with a variable missing in it is wrong in other ways, too.
        let mut number = 0;
        told.retain(|told| {
            number += 1;
            number <= expanded || !unset.iter().any(|span| within(&told.primary.span, span))
        });
        super::redact::redact(&mut told, &draft.table, &scope.given.borrow());
        draft.files.append(&mut scope.used.borrow_mut());
        let sound = unset.is_empty() || facts.scope.unset() == Severity::Warning;
        draft.frozen = told.iter().filter(|told| told.is_error()).cloned().collect();
        if self.tell(told, facts.gaps) {
            draft.frozen.retain(|told| !FOLLOW_UPS.contains(&told.slug));
            draft.frozen.extend(facts.gaps.iter().cloned());
        }
        draft.spec = spec
            .filter(|_| sound && draft.frozen.is_empty())
            .map(|spec| self.placed(spec, draft, facts.names));
    }

    /// Fills in where the service comes from.
    fn placed(&mut self, mut spec: ServiceSpec, draft: &mut Draft, names: &Names) -> ServiceSpec {
        draft.files.append(&mut spec.source.files);
        let networks = spec.live.networks.values().filter_map(|endpoint| names.networks.get(&endpoint.key));
        let volumes = spec.container.mounts.values().filter_map(|mount| match &mount.source {
            super::spec::MountSource::Volume { key: Some(key), .. } => names.volumes.get(key),
            _ => None,
        });
        let declared = networks.chain(volumes).map(|declared| declared.span.file.clone());
        draft.files.extend(declared.filter(|file| !file.is_empty()));
        let (line, _) = self.positions.of(&draft.header.file, draft.header.start);
        spec.source = SourcePlace { file: draft.header.file.clone(), line, files: draft.files.clone() };
        spec
    }

    /// Networks and volumes that the project declares.
    fn declared(
        &mut self,
        project: &ProjectName,
        objects: &Objects,
        scope: &ProjectScope<'_>,
        names: &Names,
        gaps: &[Diagnostic],
    ) {
        let mut told = Vec::new();
        let services = BTreeMap::new();
        let within = ObjectScope::new(scope, None);
        let variables = |name: &str| match within.get(name) {
            Lookup::Set(value) => Some(value),
            Lookup::Unset | Lookup::Broken => None,
        };
        let read = |path: &str| self.snapshot.files.get(path);
        let context = Context {
            project,
            root: &self.snapshot.root,
            networks: &names.networks,
            volumes: &names.volumes,
            services: &services,
            read: &read,
            variables: &variables,
            host: self.host,
        };
        let broken = |object: &Object| object.files.iter().any(|file| self.files.broken.contains_key(file));
        for (key, object) in objects.networks.iter().filter(|(_, object)| !broken(object)) {
            let mut node = object.node.clone();
            interpolate::expand_node(&mut node, &within, &mut told, &mut Vec::new());
            if let Some(mut spec) = convert::network(project, key, &node, &context, &mut told) {
                spec.source = place(&mut self.positions, object);
                check::declare_network(&mut self.state, spec, object, &mut told);
            }
        }
        for (key, object) in objects.volumes.iter().filter(|(_, object)| !broken(object)) {
            let mut node = object.node.clone();
            interpolate::expand_node(&mut node, &within, &mut told, &mut Vec::new());
            if let Some(mut spec) = convert::volume(project, key, &node, &context, &mut told) {
                spec.source = place(&mut self.positions, object);
                check::declare_volume(&mut self.state, spec, object, &mut told);
            }
        }
        self.tell(told, gaps);
    }

    /// The network `default`, when a service uses it and the project does not declare it.
    fn implied_network(&mut self, project: &ProjectName, first: usize, names: &Names) {
        let Some(declared) = names.networks.get("default").filter(|declared| declared.span.file.is_empty())
        else {
            return;
        };
        let drafts = self.drafts.get(first..).unwrap_or_default();
        let user = drafts
            .iter()
            .filter_map(|draft| draft.spec.as_ref())
            .find(|spec| spec.live.networks.values().any(|endpoint| endpoint.key == "default"));
        let Some(user) = user else { return };
        let spec = NetworkSpec {
            project: project.clone(),
            key: "default".to_owned(),
            name: declared.name.clone(),
            external: false,
            driver: None,
            options: BTreeMap::new(),
            internal: false,
            attachable: false,
            enable_ipv6: false,
            ipam: Ipam::default(),
            labels: BTreeMap::new(),
            source: user.source.clone(),
        };
        self.state.networks.entry(declared.name.clone()).or_insert(spec);
    }

    fn finish(mut self) -> (DesiredState, Vec<Diagnostic>) {
        // Of a file that is no TOML nothing more can be said.
        let broken = &self.files.broken;
        self.found.retain(|told| !broken.contains_key(&told.primary.span.file));
        self.found.extend(broken.values().flatten().cloned());
        for told in &mut self.found {
            (told.line, told.column) = self.positions.of(&told.primary.span.file, told.primary.span.start);
        }
        self.found.sort();
        self.found.dedup();

        for told in self.found.iter().filter(|told| told.is_error()) {
            self.state.broken.entry(told.primary.span.file.clone()).or_default().push(told.clone());
        }
        let fleet = self.state.broken.get(FLEET).cloned().unwrap_or_default();
        for draft in self.drafts {
            let mut why = draft.frozen;
            for told in &mut why {
                (told.line, told.column) =
                    self.positions.of(&told.primary.span.file, told.primary.span.start);
            }
            why.extend(draft.files.iter().filter_map(|file| self.state.broken.get(file)).flatten().cloned());
            why.extend(fleet.iter().cloned());
            why.sort();
            why.dedup();
            let wanted = match draft.spec {
                Some(spec) if why.is_empty() => {
                    Wanted::Run(Box::new(Revision { hash: SpecHash::of(&spec.container), spec }))
                }
                _ => Wanted::Frozen(or_unexplained(why, &draft.header)),
            };
            self.state.services.insert(draft.id, wanted);
        }
        (self.state, self.found)
    }
}

/// What the conversion of a service needs to know of its project.
struct Facts<'a> {
    project: &'a ProjectName,
    scope: &'a ProjectScope<'a>,
    fleet: &'a Fleet,
    names: &'a Names,
    services: &'a BTreeMap<String, Span>,
    /// What is wrong with files of the project that do not load.
    gaps: &'a [Diagnostic],
}

/// Networks and volumes of a project by key.
struct Names {
    networks: BTreeMap<String, Declared>,
    volumes: BTreeMap<String, Declared>,
}

fn place(positions: &mut Positions<'_>, object: &Object) -> SourcePlace {
    let header = object.header();
    let (line, _) = positions.of(&header.file, header.start);
    SourcePlace { file: header.file.clone(), line, files: object.files.clone() }
}

fn within(inner: &Span, outer: &Span) -> bool {
    inner.file == outer.file && outer.start <= inner.start && inner.end <= outer.end
}

/// The tag of an image reference.
fn tag_of(image: &str) -> String {
    let name = image.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    last.split_once(':').map_or("latest", |(_, tag)| tag).to_owned()
}

/// A frozen service always says why.
fn or_unexplained(why: Vec<Diagnostic>, header: &Span) -> Vec<Diagnostic> {
    if !why.is_empty() {
        return why;
    }
    let message = "the service could not be understood, and no reason was found";
    vec![Diagnostic::error("unexplained", header.clone(), message, "please report this")]
}
