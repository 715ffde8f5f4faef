//! Contexts of builds that lie in a repository that is followed: made of the content of the commit, and not of what is on the disk by then.

use std::sync::Arc;

use super::{BuildContext, BuildSpec, Chosen, ImageSource, JobSpec, Runs, Work, Works};
use crate::desired::tree::{Pin, Tree};

impl Works {
    /// Binds contexts below `root` to the content of the commit, and says what has to be on the disk for it.
    pub(in crate::desired) fn pin(&mut self, tree: &Tree, root: &str) -> Vec<Pin> {
        let mut pins = Vec::new();
        for work in self.builds.values_mut() {
            if let Work::Wanted(spec) = work
                && let Some((new, pin)) = bound(spec, tree, root)
            {
                *spec = Arc::new(new);
                pins.push(pin);
            }
        }
        for chosen in self.chosen.values_mut() {
            if let ImageSource::Build(spec) = &chosen.image
                && let Some((new, pin)) = bound(spec, tree, root)
            {
                let image = ImageSource::Build(Box::new(new));
                *chosen = Arc::new(Chosen { spec: chosen.spec.clone(), image });
                pins.push(pin);
            }
        }
        for work in self.jobs.values_mut() {
            let Work::Wanted(job) = work else { continue };
            if let Runs::Container { spec, image: ImageSource::Build(build) } = &job.runs
                && let Some((new, pin)) = bound(build, tree, root)
            {
                let image = ImageSource::Build(Box::new(new));
                let runs = Runs::Container { spec: spec.clone(), image };
                *job = Arc::new(JobSpec { runs, ..JobSpec::clone(job) });
                pins.push(pin);
            }
        }
        pins
    }
}

/// `None`: its context lies elsewhere, or is not in the commit, which is told when it is looked at.
fn bound(spec: &BuildSpec, tree: &Tree, root: &str) -> Option<(BuildSpec, Pin)> {
    let BuildContext::Folder(path) = &spec.context else { return None };
    let rest = path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let place = rest.trim_start_matches('/');
    let (pin, path, commit) = tree.context(place)?;
    let context = BuildContext::Committed { path, place: place.to_owned(), commit };
    Some((BuildSpec { context, ..spec.clone() }, pin))
}
