//! Which builds a desired state has.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::desired::DesiredState;
use crate::desired::work::answers::Asker;
use crate::desired::work::{BuildSpec, Chosen, ImageSource, JobSpec, Runs, Work};
use crate::state::time::Timestamp;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub spec: Arc<BuildSpec>,
    /// Why it is left as it is.
    pub paused: Option<String>,
}

/// Those of `[builds]`, and those that services and jobs say themselves. One in whose files something is wrong is left as it is.
#[must_use]
pub fn wanted(state: &DesiredState, now: Timestamp) -> BTreeMap<Asker, Wanted> {
    let mut all = BTreeMap::new();
    for (id, build) in &state.works.builds {
        if let Work::Wanted(spec) = build {
            let paused = state.pauses.project(&id.project, now.0).map(|paused| paused.why.to_owned());
            all.insert(Asker::Build(id.clone()), Wanted { spec: Arc::clone(spec), paused });
        }
    }
    for (id, chosen) in &state.works.chosen {
        let Chosen { image, .. } = &**chosen;
        if let ImageSource::Build(spec) = image {
            let paused = state.pauses.of(id, now.0).map(|paused| paused.why.to_owned());
            all.insert(Asker::Service(id.clone()), Wanted { spec: Arc::new(BuildSpec::clone(spec)), paused });
        }
    }
    for (id, job) in &state.works.jobs {
        let Work::Wanted(job) = job else { continue };
        if let JobSpec { runs: Runs::Container { image: ImageSource::Build(spec), .. }, .. } = &**job {
            let paused = state.pauses.project(&id.project, now.0).map(|paused| paused.why.to_owned());
            all.insert(Asker::Job(id.clone()), Wanted { spec: Arc::new(BuildSpec::clone(spec)), paused });
        }
    }
    all
}
