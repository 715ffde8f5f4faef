//! The secrets, configs and logins of a project.

use std::collections::{BTreeMap, BTreeSet};

use super::{Facts, Loading, look};
use crate::desired::convert::{self, Context, Definition, Definitions, Granted, GrantedCell};
use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::ident::{ProjectName, ServiceId};
use crate::desired::interpolate::{self, Lookup, Scope};
use crate::desired::node::{Node, Value};
use crate::desired::objects::{Object, Objects};
use crate::desired::provided::{Ask, Credential, Provided, ProvidedId, ProvidedKind, UNAVAILABLE};
use crate::desired::redact;
use crate::desired::variables::{ObjectScope, ProjectScope};

/// Who uses what.
pub(super) type Users = BTreeMap<(ProvidedKind, String), BTreeSet<ServiceId>>;

impl Loading<'_> {
    /// What the project declares. Faults are told, and are in the definitions for those who use them.
    pub(super) fn definitions(
        &mut self,
        project: &ProjectName,
        objects: &Objects,
        scope: &ProjectScope<'_>,
        gaps: &[Diagnostic],
    ) -> Definitions {
        let mut definitions = Definitions::new();
        for (kind, known) in
            [(ProvidedKind::Secret, &objects.secrets), (ProvidedKind::Config, &objects.configs)]
        {
            for (key, object) in known {
                let broken: Vec<Diagnostic> = object
                    .files
                    .iter()
                    .filter_map(|file| self.files.broken.get(file))
                    .flatten()
                    .cloned()
                    .collect();
                let mut found = self.definition(project, kind, key, object, scope);
                found.files.extend(object.files.iter().cloned());
                if broken.is_empty() {
                    self.tell(found.faults.clone(), gaps);
                } else {
                    (found.ask, found.faults) = (None, broken);
                }
                definitions.insert((kind, key.clone()), found);
            }
        }
        definitions
    }

    fn definition(
        &self,
        project: &ProjectName,
        kind: ProvidedKind,
        key: &str,
        object: &Object,
        scope: &ProjectScope<'_>,
    ) -> Definition {
        let within = ObjectScope::new(scope, None);
        let mut told = Vec::new();
        let node = expanded(&object.node, &within, &mut told);
        let granted = GrantedCell::default();
        let definitions = Definitions::new();
        let mut found = self.with_context(project, &within, &definitions, &granted, |context| {
            convert::definition(project, kind, key, &node, context)
        });
        if !told.is_empty() {
            // A text with a variable missing in it is wrong in other ways, too.
            (found.ask, found.faults) = (None, told);
        }
        if let Value::Table(table) = &node.value {
            redact::redact(&mut found.faults, table, &within.given.borrow());
        }
        found.files.append(&mut within.used.borrow_mut());
        found
    }

    /// The logins that the project's files say.
    pub(super) fn credentials(
        &mut self,
        project: &ProjectName,
        objects: &Objects,
        scope: &ProjectScope<'_>,
        definitions: &Definitions,
        gaps: &[Diagnostic],
    ) -> Vec<(String, Credential, Span)> {
        let mut all = Vec::new();
        for (host, object) in &objects.credentials {
            let within = ObjectScope::new(scope, None);
            let mut told = Vec::new();
            let node = expanded(&object.node, &within, &mut told);
            let granted = GrantedCell::default();
            let found = self.with_context(project, &within, definitions, &granted, |context| {
                convert::credential(host, &node, context, &mut told)
            });
            if let Value::Table(table) = &node.value {
                redact::redact(&mut told, table, &within.given.borrow());
            }
            let sound = !told.iter().any(Diagnostic::is_error);
            self.tell(told, gaps);
            for used in granted.into_inner().used {
                if let Some(found) = definitions.get(&used) {
                    self.unavailable(found).into_iter().for_each(|told| self.found.push(told));
                }
                self.logins.insert(used);
            }
            if let Some(mut credential) = found.filter(|_| sound) {
                let header = object.header();
                let (line, _) = self.positions.of(&header.file, header.start);
                credential.place = format!("{}:{line}", header.file);
                all.push((host.clone(), credential, object.place.clone()));
            }
        }
        all
    }

    /// Takes in what a service or a job uses: whose files have a part in it. Returns why it must be left as it is.
    pub(super) fn granted(
        &mut self,
        user: &ServiceId,
        granted: Granted,
        files: &mut BTreeSet<String>,
        facts: &Facts<'_>,
    ) -> Vec<Diagnostic> {
        let mut frozen = Vec::new();
        for used in granted.used {
            self.users.entry(used.clone()).or_default().insert(user.clone());
            let Some(found) = facts.definitions.get(&used) else { continue };
            files.extend(found.files.iter().cloned());
            if found.ask.is_none() {
                frozen.extend(found.faults.iter().filter(|told| told.is_error()).cloned());
            }
            if let Some(told) = self.unavailable(found) {
                frozen.push(told.clone());
                self.found.push(told);
            }
        }
        frozen
    }

    /// Why the host cannot give it.
    fn unavailable(&self, found: &Definition) -> Option<Diagnostic> {
        let ask = found.ask.as_ref()?;
        let Some(Err(why)) = self.host.answers.get(ask) else { return None };
        let message = format!("{} `{}` is not to be had on this host", ask.id.kind.word(), ask.id.key);
        let label = "what uses it stays as it is";
        Some(Diagnostic::error(UNAVAILABLE, found.place.clone(), message, label).help(why.clone()))
    }

    /// What is known of every secret and config for whoever asks, once all services are read.
    pub(super) fn provided(&mut self, definitions: Definitions) -> Vec<(ProvidedId, Provided)> {
        let mut all = Vec::new();
        for (used, found) in definitions {
            let Some(Ask { id, origin }) = found.ask else { continue };
            let (line, _) = self.positions.of(&found.header.file, found.header.start);
            let place = format!("{}:{line}", found.header.file);
            let users = self.users.get(&used).cloned().unwrap_or_default();
            all.push((id, Provided { origin, users, login: self.logins.contains(&used), place }));
        }
        all
    }

    fn with_context<T>(
        &self,
        project: &ProjectName,
        within: &ObjectScope<'_>,
        definitions: &Definitions,
        granted: &GrantedCell,
        work: impl FnOnce(&Context<'_>) -> T,
    ) -> T {
        let (nothing, services) = (BTreeMap::new(), BTreeMap::new());
        let variables = |name: &str| match within.get(name) {
            Lookup::Set(value) => Some(value),
            Lookup::Unset | Lookup::Broken => None,
        };
        let (snapshot, reads) = (self.snapshot, &self.reads);
        let read = |path: &str| look(snapshot, reads, path);
        work(&Context {
            project,
            root: &self.snapshot.root,
            networks: &nothing,
            volumes: &nothing,
            definitions,
            granted,
            services: &services,
            read: &read,
            variables: &variables,
            host: self.host,
            api_socket: false,
        })
    }
}

fn expanded(node: &Node, within: &ObjectScope<'_>, told: &mut Vec<Diagnostic>) -> Node {
    let mut node = node.clone();
    interpolate::expand_node(&mut node, within, told, &mut Vec::new());
    node
}
