//! What a registry that answers says: images pulled, tags that move, images it does not have or give.

use std::sync::Mutex;

use evenkeel::state::observed::ImageFacts;
use evenkeel::state::plan::Failure;

use crate::bench::{App, Bench, Registry, created, creation, kind, look};

contract!(
    a_pulled_image_is_there_with_its_tag_and_its_digest,
    what_the_registry_does_not_have_is_not_found,
    a_tag_that_moved_takes_the_name_and_leaves_the_old_image_its_digest,
    an_image_is_pulled_by_its_digest_and_gets_no_tag,
    a_registry_that_wants_credentials_says_so,
    a_registry_that_went_down_changes_nothing_that_is_here,
);

/// The registry, once the image that others are made from is here.
async fn registry(bench: &dyn Bench) -> Option<Box<dyn Registry>> {
    bench.image(App::Serves).await;
    bench.registry()
}

async fn pull(bench: &dyn Bench, reference: &str) -> ImageFacts {
    bench.engine().pull(reference, None, &|_| {}).await.unwrap()
}

async fn a_pulled_image_is_there_with_its_tag_and_its_digest(bench: &dyn Bench) {
    let Some(mut registry) = registry(bench).await else { return };
    let reference = registry.publish("web", "1", "one");
    assert_eq!(bench.engine().inspect_image(&reference).await.unwrap(), None, "only the registry has it");
    let told = Mutex::new(0);
    let pulled = bench.engine().pull(&reference, None, &|_| *told.lock().unwrap() += 1).await.unwrap();
    assert!(*told.lock().unwrap() > 0, "progress is told");
    assert_eq!(pulled.tags, std::slice::from_ref(&reference));
    let [digest] = pulled.digests.as_slice() else { panic!("one digest: {:?}", pulled.digests) };
    let repository = reference.trim_end_matches(":1");
    assert!(digest.starts_with(&format!("{repository}@sha256:")), "{digest}");
    for name in [&reference, digest, &pulled.id.0] {
        assert_eq!(bench.engine().inspect_image(name).await.unwrap().as_ref(), Some(&pulled), "{name}");
    }
    assert_eq!(pull(bench, &reference).await, pulled, "again is the same");
}

async fn what_the_registry_does_not_have_is_not_found(bench: &dyn Bench) {
    let Some(mut registry) = registry(bench).await else { return };
    registry.publish("web", "1", "one");
    for (repository, tag) in [("web", "2"), ("nothing", "1")] {
        let missing = registry.reference(repository, tag);
        assert_eq!(kind(bench.engine().pull(&missing, None, &|_| {}).await), Failure::NotFound);
        assert_eq!(bench.engine().inspect_image(&missing).await.unwrap(), None);
    }
}

async fn a_tag_that_moved_takes_the_name_and_leaves_the_old_image_its_digest(bench: &dyn Bench) {
    let Some(mut registry) = registry(bench).await else { return };
    let reference = registry.publish("web", "1", "one");
    let old = pull(bench, &reference).await;
    // Something of ours keeps it; otherwise it would be an image without a name.
    let repository = format!("evenkeel/{}-web", bench.project());
    bench.engine().tag(&old.id, &repository, "0a1b2c3d").await.unwrap();
    assert_eq!(registry.publish("web", "1", "two"), reference);
    let new = pull(bench, &reference).await;
    assert_ne!(new.id, old.id);
    let named = bench.engine().inspect_image(&reference).await.unwrap().unwrap();
    assert_eq!(named.id, new.id);
    let kept = bench.engine().inspect_image(&old.id.0).await.unwrap().unwrap();
    assert_eq!(kept.tags, [format!("{repository}:0a1b2c3d")]);
    assert_eq!(kept.digests, old.digests);
}

async fn an_image_is_pulled_by_its_digest_and_gets_no_tag(bench: &dyn Bench) {
    let Some(mut registry) = registry(bench).await else { return };
    let reference = registry.publish("web", "1", "one");
    let tagged = pull(bench, &reference).await;
    let digest = tagged.digests[0].clone();
    bench.docker_rmi_f(&reference);
    bench.docker_rmi_f(&digest);
    assert_eq!(bench.engine().inspect_image(&tagged.id.0).await.unwrap(), None);
    let pulled = pull(bench, &digest).await;
    assert_eq!((&pulled.id, &pulled.tags, &pulled.digests), (&tagged.id, &Vec::new(), &vec![digest]));
}

async fn a_registry_that_wants_credentials_says_so(bench: &dyn Bench) {
    let Some(mut registry) = registry(bench).await else { return };
    let reference = registry.publish("web", "1", "one");
    registry.lock();
    assert_eq!(kind(bench.engine().pull(&reference, None, &|_| {}).await), Failure::Unauthorized);
    assert_eq!(bench.engine().inspect_image(&reference).await.unwrap(), None);
}

async fn a_registry_that_went_down_changes_nothing_that_is_here(bench: &dyn Bench) {
    let Some(mut registry) = registry(bench).await else { return };
    let reference = registry.publish("web", "1", "one");
    let before = pull(bench, &reference).await;
    registry.down();
    assert_eq!(kind(bench.engine().pull(&reference, None, &|_| {}).await), Failure::Registry);
    assert_eq!(bench.engine().inspect_image(&reference).await.unwrap(), Some(before.clone()));
    // And what is here is all that a creation needs.
    let mut order = creation(bench, "web", App::Serves).await;
    (order.image, order.spec.image) = (before.clone(), reference);
    order.labels.image = before.id.clone();
    let id = bench.engine().create(&order).await.unwrap();
    assert_eq!(look(bench, &id).await.image, before.id);
    created(bench, "other", App::Serves).await;
}
