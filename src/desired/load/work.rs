//! What only shows when all projects are known: services and jobs that run what is built here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::kept::Settled;
use super::project::work::not_chosen;
use crate::desired::diagnostic::Diagnostic;
use crate::desired::ident::ServiceId;
use crate::desired::work::{Chosen, ImageSource, Runs, Work, WorkId, Works};

/// Services whose image, written without a tag, is one that is built here: the newest good one is meant, and not `latest`.
pub(super) fn built(services: &[&Settled], works: &mut Works) -> BTreeMap<ServiceId, Diagnostic> {
    let images: BTreeMap<String, WorkId> = works
        .builds
        .iter()
        .filter_map(|(id, work)| Some((work.wanted()?.image.clone()?, id.clone())))
        .collect();
    for (id, name) in &works.untagged {
        let (Some(build), Some(Work::Wanted(job))) = (images.get(name), works.jobs.get_mut(id)) else {
            continue;
        };
        if let Runs::Container { image, .. } = &mut Arc::make_mut(job).runs {
            *image = ImageSource::Built(build.clone());
        }
    }
    let mut found = BTreeMap::new();
    for service in services {
        let Some((name, place)) = &service.untagged else { continue };
        let (Some(build), Some(spec)) = (images.get(name), service.spec()) else { continue };
        let why = format!("its image is made by builds.{}, and was not built", build.name);
        let told = not_chosen(&service.id, place.clone(), &why);
        let image = ImageSource::Built(build.clone());
        let spec = service.open.as_deref().unwrap_or(spec).clone();
        works.chosen.insert(service.id.clone(), Arc::new(Chosen { spec, image }));
        found.insert(service.id.clone(), told);
    }
    found
}
