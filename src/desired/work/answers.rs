//! Images that were chosen or made: what turns a service whose image is not said into one that can run.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Chosen, ImageSource, WorkId};
use crate::desired::ident::ServiceId;
use crate::desired::spec::{PullPolicy, ServiceSpec};
use crate::desired::{DesiredState, Revision, Wanted};

/// What stands in a spec where the tag that is chosen goes.
pub const TAG: &str = "${service.tag}";

/// Whose image it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asker {
    /// Its own policy or build.
    Service(ServiceId),
    /// Its own policy or build.
    Job(WorkId),
    /// One of the `[builds]`: whoever runs it gets its newest good image.
    Build(WorkId),
}

/// The image that was chosen or made last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What a container is made of: `ghcr.io/acme/shop:2.1@sha256:...`, or the local tag of a build.
    pub image: String,
    /// Without name and digest.
    pub tag: String,
    /// It is on this host only: there is no registry to ask for it.
    pub local: bool,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers(pub BTreeMap<Asker, Answer>);

impl Answers {
    /// The answer for a service.
    #[must_use]
    pub fn of_service(&self, id: &ServiceId, image: &ImageSource) -> Option<&Answer> {
        self.of(Asker::Service(id.clone()), image)
    }

    /// The answer for a job.
    #[must_use]
    pub fn of_job(&self, id: &WorkId, image: &ImageSource) -> Option<&Answer> {
        self.of(Asker::Job(id.clone()), image)
    }

    fn of(&self, own: Asker, image: &ImageSource) -> Option<&Answer> {
        match image {
            ImageSource::Said => None,
            ImageSource::Policy(_) | ImageSource::Build(_) => self.0.get(&own),
            ImageSource::Built(build) => self.0.get(&Asker::Build(build.clone())),
        }
    }
}

/// The name of an image whose tag is picked. What is written without a tag has the usual one in a spec.
#[must_use]
pub fn name_of(spec: &ServiceSpec) -> &str {
    let image = spec.container.image.as_str();
    image.strip_suffix(":latest").unwrap_or(image)
}

/// Whether an answer is one for what is wanted now: a definition that names another image waits for another answer.
#[must_use]
pub fn fits(spec: &ServiceSpec, image: &ImageSource, answer: &Answer) -> bool {
    let rest = answer.image.strip_prefix(name_of(spec));
    !matches!(image, ImageSource::Policy(_)) || rest.is_some_and(|rest| rest.starts_with(':'))
}

/// The spec with its image.
#[must_use]
pub fn with_image(spec: &ServiceSpec, answer: &Answer) -> ServiceSpec {
    let mut spec = tagged(spec, &answer.tag).unwrap_or_else(|| spec.clone());
    spec.container.image.clone_from(&answer.image);
    if answer.local {
        spec.policy.pull = PullPolicy::Never;
    }
    spec
}

/// The tag may stand in any text of a service, so it is put in wherever texts are. `None`: it stands nowhere.
pub(in crate::desired) fn tagged(spec: &ServiceSpec, tag: &str) -> Option<ServiceSpec> {
    let mut value = serde_json::to_value(spec).ok()?;
    put_in(&mut value, tag).then(|| serde_json::from_value(value).ok())?
}

fn put_in(value: &mut serde_json::Value, tag: &str) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => {
            let there = text.contains(TAG);
            if there {
                *text = text.replace(TAG, tag);
            }
            there
        }
        Value::Array(items) => items.iter_mut().fold(false, |there, item| put_in(item, tag) | there),
        Value::Object(fields) => fields.values_mut().fold(false, |there, item| put_in(item, tag) | there),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

impl DesiredState {
    /// Puts the images in. A service whose image is not known yet, or in whose files something is wrong, stays frozen.
    pub fn answer(&mut self, answers: &Answers) {
        for (id, chosen) in &self.works.chosen {
            let Chosen { spec, image } = &**chosen;
            let Some(answer) = answers.of_service(id, image).filter(|answer| fits(spec, image, answer))
            else {
                continue;
            };
            let Some(wanted) = self.services.get_mut(id) else { continue };
            if matches!(wanted, Wanted::Frozen(why) if why.iter().all(|told| told.slug == NOT_CHOSEN)) {
                *wanted = Wanted::Run(Arc::new(Revision::of(with_image(spec, answer))));
            }
        }
    }
}

/// The slug of what is told of a service that only waits for its image.
pub const NOT_CHOSEN: &str = "image-not-chosen";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_tag_goes_wherever_texts_are() {
        let mut value =
            json!({ "env": { "RELEASE": "v${service.tag}!" }, "n": 1, "list": ["a", "${service.tag}"] });
        assert!(put_in(&mut value, "2.1"));
        assert_eq!(value, json!({ "env": { "RELEASE": "v2.1!" }, "n": 1, "list": ["a", "2.1"] }));
        assert!(!put_in(&mut value, "3"));
    }
}
