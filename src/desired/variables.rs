//! Where a variable's value comes from: SCHEMA 3.3, in this order: the host's `vars`, the project's `[vars]`, its `.env`,
//! `[vars]` of the folders above, the controller's environment as far as `policy.env_allow` lists it. Names with a dot are
//! built in.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Diagnostic, Severity};
use super::files::{FLEET, items};
use super::fleet::Fleet;
use super::ident::ProjectName;
use super::interpolate::{self, Lookup, ProblemKind, Scope};
use super::node::{Node, Table, Value};
use super::pauses::Pause;
use super::snapshot::HostFacts;
use super::spec::{DriftAction, DriftGroup, DriftPolicy};
use super::timing::{self, Window};

/// What the files of one project say that holds for it and for the folders below.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Level {
    pub folder: String,
    pub vars: Table,
    /// `[defaults.services]`.
    pub defaults: Table,
    /// Files with a part in `defaults`.
    pub default_files: BTreeSet<String>,
    /// `[defaults.jobs]` and `[defaults.builds]`, and the files with a part in them.
    pub job_defaults: Table,
    pub build_defaults: Table,
    pub work_files: BTreeSet<String>,
    pub policy: Table,
}

/// Looks variables up for one project.
pub(super) struct ProjectScope<'a> {
    pub project: &'a ProjectName,
    pub fleet: &'a Fleet,
    pub facts: &'a HostFacts,
    /// The project's own level first, then those of the folders above.
    pub levels: Vec<&'a Level>,
    /// `shop/.env` and what is in it.
    pub dotenv_path: String,
    pub dotenv: BTreeMap<String, String>,
    /// The `.env` is there and does not hold up: what it may say is not known.
    pub dotenv_broken: bool,
    /// What was found wrong while looking up: with the `[vars]` themselves, not with who uses them.
    pub told: RefCell<Vec<Diagnostic>>,
    /// Names being looked up, against `A = "$B"`, `B = "$A"`.
    open: RefCell<Vec<String>>,
}

impl<'a> ProjectScope<'a> {
    pub fn new(
        project: &'a ProjectName,
        fleet: &'a Fleet,
        facts: &'a HostFacts,
        levels: Vec<&'a Level>,
        dotenv_path: String,
    ) -> Self {
        Self {
            project,
            fleet,
            facts,
            levels,
            dotenv_path,
            dotenv: BTreeMap::new(),
            dotenv_broken: false,
            told: RefCell::default(),
            open: RefCell::default(),
        }
    }

    /// The value of a key of `[policy]`: the deepest level that has it.
    fn policy(&self, key: &str) -> Option<&Node> {
        self.levels.iter().find_map(|level| level.policy.get(key)).map(|entry| &entry.value)
    }

    /// What `[policy]` says of `paused` and `paused_until`, if it says something: the deepest level that has one of the two.
    pub fn paused(&self) -> Option<Option<Pause>> {
        let said = |level: &&Level| {
            let (on, until) = (level.policy.get("paused"), level.policy.get("paused_until"));
            if let Some(on) = on.filter(|on| on.value.value == Value::Boolean(true)) {
                return Some(Some(Pause::at(format!("{}, policy.paused", on.value.span.file))));
            }
            let end = until.and_then(|until| timing::paused_until(&until.value, &mut Vec::new()));
            match (until, end) {
                (Some(until), Some(_)) => {
                    let place = format!("{}, policy.paused_until", until.value.span.file);
                    Some(Some(Pause { place, until: end }))
                }
                _ => on.map(|_| None),
            }
        };
        self.levels.iter().find_map(said)
    }

    /// `[policy.window]` of the deepest level that has one: a schedule and the zone that it is read in belong together.
    pub fn window(&self) -> Option<Window> {
        let host = self.fleet.host().and_then(|host| host.timezone.as_deref());
        let own = host.or(self.facts.timezone.as_deref());
        timing::window(self.policy("window")?, own, &mut Vec::new())
    }

    /// `[policy] interval`, in milliseconds.
    pub fn interval(&self) -> Option<u64> {
        timing::interval(self.policy("interval")?, &mut Vec::new())
    }

    /// `[policy.drift]`: of each group the deepest level that has it.
    pub fn drift(&self) -> DriftPolicy {
        let mut policy = DriftPolicy::default();
        for group in DriftGroup::ALL {
            let said = |level: &&Level| {
                let table = level.policy.get("drift")?.value.as_table()?;
                table.get(group.as_str())?.value.as_str().and_then(DriftAction::parse)
            };
            if let Some(action) = self.levels.iter().find_map(said) {
                policy.set(group, action);
            }
        }
        policy
    }

    /// `[policy.guard] api_socket = true`, which only the root's files can say.
    pub fn api_socket(&self) -> bool {
        let root = self.levels.last().filter(|level| level.folder.is_empty());
        let guard = root.and_then(|level| level.policy.get("guard")?.value.as_table()?.get("api_socket"));
        guard.is_some_and(|entry| entry.value.value == Value::Boolean(true))
    }

    fn allowed(&self, name: &str) -> bool {
        let listed = self.policy("env_allow").map(items).unwrap_or_default();
        listed.iter().filter_map(Node::as_str).any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        })
    }

    fn find(&self, name: &str, asked: &dyn Scope, used: &mut BTreeSet<String>) -> Lookup {
        let host = self.fleet.host().and_then(|host| host.vars.get(name));
        let mut levels = self.levels.iter().map(|level| level.vars.get(name));
        if let Some(entry) = host.or_else(|| levels.next().flatten()) {
            return self.variable(name, &entry.value, asked, used);
        }
        if let Some(value) = self.dotenv.get(name) {
            used.insert(self.dotenv_path.clone());
            return Lookup::Set(value.clone());
        }
        if self.dotenv_broken {
            used.insert(self.dotenv_path.clone());
            return Lookup::Broken;
        }
        if let Some(entry) = levels.flatten().next() {
            return self.variable(name, &entry.value, asked, used);
        }
        match self.facts.environment.get(name) {
            Some(value) if self.allowed(name) => Lookup::Set(value.clone()),
            _ => Lookup::Unset,
        }
    }

    /// A value of `[vars]`, which may use variables itself.
    fn variable(&self, name: &str, node: &Node, asked: &dyn Scope, used: &mut BTreeSet<String>) -> Lookup {
        used.insert(node.span.file.to_string());
        let Some(text) = node.scalar() else {
            let message = format!(
                "variable `{name}` is {}, and only text, numbers, true and false can be put into text",
                node.kind()
            );
            self.tell(Diagnostic::error("bad-type", node.span.clone(), message, "not text"));
            return Lookup::Broken;
        };
        if !text.contains('$') {
            return Lookup::Set(text);
        }
        if self.open.borrow().iter().any(|open| open == name) {
            let way = self.open.borrow().iter().map(|open| format!("{open} -> ")).collect::<String>();
            let message = format!("variables use each other: {way}{name}");
            self.tell(Diagnostic::error(
                "variable-cycle",
                node.span.clone(),
                message,
                "leads back to itself",
            ));
            return Lookup::Broken;
        }
        self.open.borrow_mut().push(name.to_owned());
        let expanded = interpolate::expand(&text, asked);
        self.open.borrow_mut().pop();
        for problem in &expanded.problems {
            let span = node.part(problem.start, problem.end);
            self.tell(interpolate::explain(problem, span, &text, asked));
        }
        let missing = expanded.problems.iter().any(|problem| problem.kind != ProblemKind::Loose);
        let broken = expanded.gap && (self.unset() == Severity::Error || !missing);
        if broken { Lookup::Broken } else { Lookup::Set(expanded.text) }
    }

    fn tell(&self, diagnostic: Diagnostic) {
        let mut told = self.told.borrow_mut();
        if !told.contains(&diagnostic) {
            told.push(diagnostic);
        }
    }

    /// What an unset variable is in this project.
    pub fn unset(&self) -> Severity {
        match self.policy("unset_variables").and_then(Node::as_str) {
            Some("warn") => Severity::Warning,
            _ => Severity::Error,
        }
    }

    fn places(&self) -> String {
        let mut places = Vec::new();
        if self.fleet.host().is_some() {
            places.push(format!("hosts.{}.vars", self.fleet.name));
        }
        for (depth, level) in self.levels.iter().enumerate() {
            places.push(match level.folder.as_str() {
                "" if depth > 0 => format!("{FLEET} [vars]"),
                "" => "[vars]".to_owned(),
                folder => format!("{folder}/[vars]"),
            });
            if depth == 0 {
                places.push(self.dotenv_path.clone());
            }
        }
        if self.policy("env_allow").is_some() {
            places.push("the environment, as policy.env_allow lists it".to_owned());
        }
        places.join(", ")
    }
}

/// The scope of one object of a project.
pub(super) struct ObjectScope<'a> {
    pub project: &'a ProjectScope<'a>,
    /// The service's name; none for networks and volumes.
    pub service: Option<&'a str>,
    /// The tag of the service's image, once that is known.
    tag: Option<String>,
    /// What is known only when an image is built stays in the text for then.
    builds: bool,
    /// Files that values came from.
    pub used: RefCell<BTreeSet<String>>,
    /// What was put in for which variable, so that no message repeats it.
    pub given: RefCell<BTreeMap<String, String>>,
    /// What was looked up before: variables that use each other twice must not double the work at every step.
    known: RefCell<BTreeMap<String, Lookup>>,
}

impl<'a> ObjectScope<'a> {
    pub fn new(project: &'a ProjectScope<'a>, service: Option<&'a str>) -> Self {
        Self {
            project,
            service,
            tag: None,
            builds: false,
            used: RefCell::default(),
            given: RefCell::default(),
            known: RefCell::default(),
        }
    }

    /// The scope of what a build is made of.
    pub fn for_builds(self) -> Self {
        Self { builds: true, ..self }
    }

    /// From now on `service.tag` is known, and whatever was made without it is looked up anew.
    pub fn set_tag(&mut self, tag: Option<String>) {
        self.tag = tag;
        self.known.borrow_mut().clear();
    }

    fn built_in(&self, name: &str) -> Lookup {
        let value = match name {
            "host.name" => Some(self.project.facts.name.clone()),
            "project.name" => Some(self.project.project.to_string()),
            "service.name" => self.service.map(str::to_owned),
            "service.tag" => self.tag.clone(),
            "build.utc" | "git.hash" | "git.short" | "git.branch" if self.builds => {
                Some(format!("${{{name}}}"))
            }
            _ => name
                .strip_prefix("host.labels.")
                .and_then(|label| self.project.fleet.host()?.labels.get(label).cloned()),
        };
        value.map_or(Lookup::Unset, Lookup::Set)
    }
}

impl Scope for ObjectScope<'_> {
    fn get(&self, name: &str) -> Lookup {
        if name.contains('.') {
            return self.built_in(name);
        }
        if let Some(known) = self.known.borrow().get(name) {
            return known.clone();
        }
        let mut used = BTreeSet::new();
        let found = self.project.find(name, self, &mut used);
        self.known.borrow_mut().insert(name.to_owned(), found.clone());
        self.used.borrow_mut().append(&mut used);
        if let Lookup::Set(value) = &found {
            self.given.borrow_mut().insert(name.to_owned(), value.clone());
        }
        found
    }
    fn places(&self) -> String {
        self.project.places()
    }
    fn unset(&self) -> Severity {
        self.project.unset()
    }
}
