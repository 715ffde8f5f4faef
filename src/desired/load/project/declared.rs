//! The networks and volumes of a project.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Loading, look};
use crate::desired::convert::{self, Context, Declared, Definitions, GrantedCell};
use crate::desired::diagnostic::{Diagnostic, Span};
use crate::desired::ident::ProjectName;
use crate::desired::interpolate::{self, Lookup, Scope};
use crate::desired::objects::{Object, Objects};
use crate::desired::position::Positions;
use crate::desired::spec::{Ipam, NetworkSpec, SourcePlace};
use crate::desired::variables::{ObjectScope, ProjectScope};
use crate::desired::work::Runs;

/// Networks and volumes of a project by key.
pub(super) struct Names {
    pub networks: BTreeMap<String, Declared>,
    pub volumes: BTreeMap<String, Declared>,
}

impl Loading<'_> {
    /// The names of networks and volumes, with variables replaced. Faults are reported by the conversion.
    pub(super) fn declare(
        &self,
        project: &ProjectName,
        objects: &Objects,
        scope: &ProjectScope<'_>,
    ) -> Names {
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

    /// Networks and volumes that the project declares.
    pub(super) fn declared(
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
        let (snapshot, reads) = (self.snapshot, &self.reads);
        let read = |path: &str| look(snapshot, reads, path);
        let (definitions, granted) = (Definitions::new(), GrantedCell::default());
        let context = Context {
            project,
            root: &self.snapshot.root,
            networks: &names.networks,
            volumes: &names.volumes,
            definitions: &definitions,
            granted: &granted,
            services: &services,
            read: &read,
            variables: &variables,
            host: self.host,
            api_socket: false,
        };
        let broken = |object: &Object| object.files.iter().any(|file| self.files.broken.contains_key(file));
        for (key, object) in objects.networks.iter().filter(|(_, object)| !broken(object)) {
            let mut node = object.node.clone();
            interpolate::expand_node(&mut node, &within, &mut told, &mut Vec::new());
            if let Some(mut spec) = convert::network(project, key, &node, &context, &mut told) {
                spec.source = place(&mut self.positions, object);
                self.networks.push((Arc::new(spec), object.place.clone()));
            }
        }
        for (key, object) in objects.volumes.iter().filter(|(_, object)| !broken(object)) {
            let mut node = object.node.clone();
            interpolate::expand_node(&mut node, &within, &mut told, &mut Vec::new());
            if let Some(mut spec) = convert::volume(project, key, &node, &context, &mut told) {
                spec.source = place(&mut self.positions, object);
                self.volumes.push((Arc::new(spec), object.place.clone()));
            }
        }
        self.tell(told, gaps);
    }

    /// The network `default`, when a service uses it and the project does not declare it.
    pub(super) fn implied_network(&self, project: &ProjectName, names: &Names) -> Option<Arc<NetworkSpec>> {
        let declared = names.networks.get("default").filter(|declared| declared.span.file.is_empty())?;
        let services = self.drafts.iter().filter_map(|draft| draft.spec.as_ref());
        let jobs = self.works.jobs.values().filter_map(|job| match &job.wanted()?.runs {
            Runs::Container { spec, .. } => Some(&**spec),
            Runs::Exec(_) => None,
        });
        let mut specs = services.chain(jobs);
        let user =
            specs.find(|spec| spec.live.networks.values().any(|endpoint| endpoint.key == "default"))?;
        Some(Arc::new(NetworkSpec {
            project: project.clone(),
            key: "default".to_owned(),
            name: declared.name.clone(),
            external: false,
            driver: None,
            options: BTreeMap::new(),
            internal: false,
            attachable: false,
            enable_ipv6: false,
            enable_ipv4: None,
            ipam: Ipam::default(),
            labels: BTreeMap::new(),
            source: user.source.clone(),
        }))
    }
}

fn place(positions: &mut Positions<'_>, object: &Object) -> SourcePlace {
    let header = object.header();
    let (line, _) = positions.of(&header.file, header.start);
    SourcePlace { file: header.file.to_string(), line, files: object.files.clone(), commit: None }
}
