//! Local images, their tags, and a registry that does not answer.

use evenkeel::state::observed::ContainerStatus;
use evenkeel::state::plan::Failure;

use crate::bench::{App, Bench, created, kind, look, nobody, started};

contract!(
    an_image_is_found_by_reference_and_by_id,
    a_tag_of_ours_keeps_an_image_and_is_listed,
    taking_a_tag_off_leaves_the_others,
    an_image_in_use_stays_whatever_is_untagged,
    an_image_that_is_gone_cannot_be_tagged,
    a_registry_that_does_not_answer_changes_nothing,
    a_tag_that_is_given_again_moves,
    an_image_is_found_by_the_beginning_of_its_id,
    force_takes_the_last_name_off_and_what_runs_goes_on,
    force_removes_the_image_of_a_stopped_container_which_starts_all_the_same,
);

async fn an_image_is_found_by_reference_and_by_id(bench: &dyn Bench) {
    let (image, _) = bench.image(App::Serves).await;
    let reference = image.tags.first().expect("it has a tag");
    let found = bench.engine().inspect_image(reference).await.unwrap().expect("by reference");
    assert_eq!(found.id, image.id);
    assert!(found.tags.contains(reference));
    assert!(found.size > 0 && !found.architecture.is_empty());
    assert!(!found.has_healthcheck);
    let found = bench.engine().inspect_image(&image.id.0).await.unwrap().expect("by id");
    assert_eq!(found.id, image.id);
    let nothing = format!("{}/nothing:1", bench.project());
    assert_eq!(bench.engine().inspect_image(&nothing).await.unwrap(), None);
}

async fn a_tag_of_ours_keeps_an_image_and_is_listed(bench: &dyn Bench) {
    let engine = bench.engine();
    let (image, _) = bench.image(App::Serves).await;
    let repository = format!("evenkeel/{}-web", bench.project());
    assert!(engine.repository_tags(&repository).await.unwrap().is_empty());
    for tag in ["0a1b2c3d", "4e5f6a7b", "0a1b2c3d"] {
        engine.tag(&image.id, &repository, tag).await.unwrap();
    }
    let tags = engine.repository_tags(&repository).await.unwrap();
    assert_eq!(tags.keys().collect::<Vec<_>>(), ["0a1b2c3d", "4e5f6a7b"]);
    assert!(tags.values().all(|id| *id == image.id));
    let other = format!("evenkeel/{}-we", bench.project());
    assert!(engine.repository_tags(&other).await.unwrap().is_empty(), "a part of the name is another name");
    for reference in &image.tags {
        engine.untag(reference).await.unwrap();
    }
    assert!(engine.inspect_image(&image.id.0).await.unwrap().is_some(), "our tags hold it");
    for tag in ["0a1b2c3d", "4e5f6a7b"] {
        engine.untag(&format!("{repository}:{tag}")).await.unwrap();
    }
    assert_eq!(engine.inspect_image(&image.id.0).await.unwrap(), None, "nothing names it any more");
}

async fn taking_a_tag_off_leaves_the_others(bench: &dyn Bench) {
    let engine = bench.engine();
    let (image, _) = bench.image(App::Serves).await;
    let repository = format!("evenkeel/{}-web", bench.project());
    engine.tag(&image.id, &repository, "0a1b2c3d").await.unwrap();
    let reference = format!("{repository}:0a1b2c3d");
    for _ in 0..2 {
        engine.untag(&reference).await.expect("once taken off, it is off");
    }
    assert!(engine.repository_tags(&repository).await.unwrap().is_empty());
    let left = engine.inspect_image(&image.id.0).await.unwrap().expect("the first tag still names it");
    assert_eq!(left.tags, image.tags);
}

async fn an_image_in_use_stays_whatever_is_untagged(bench: &dyn Bench) {
    let stopped = created(bench, "web", App::Serves).await;
    let running = started(bench, "other", App::Serves).await;
    let image = look(bench, &running).await.image;
    let facts = bench.engine().inspect_image(&image.0).await.unwrap().unwrap();
    for reference in &facts.tags {
        // Refused or done: engines differ; the image stays either way.
        if let Err(error) = bench.engine().untag(reference).await {
            assert_eq!(error.kind, Failure::Conflict);
        }
    }
    assert!(bench.engine().inspect_image(&image.0).await.unwrap().is_some());
    bench.engine().start(&stopped).await.unwrap();
}

async fn an_image_that_is_gone_cannot_be_tagged(bench: &dyn Bench) {
    let image = evenkeel::state::observed::ImageId(format!("sha256:{}", nobody().0));
    let repository = format!("evenkeel/{}-web", bench.project());
    assert_eq!(kind(bench.engine().tag(&image, &repository, "0a1b2c3d").await), Failure::NotFound);
}

async fn a_registry_that_does_not_answer_changes_nothing(bench: &dyn Bench) {
    let reference = bench.unreachable_image();
    let refused = kind(bench.engine().pull(&reference, None, &|_| {}).await);
    assert_eq!(refused, Failure::Registry);
    assert_eq!(bench.engine().inspect_image(&reference).await.unwrap(), None);
}

async fn a_tag_that_is_given_again_moves(bench: &dyn Bench) {
    let engine = bench.engine();
    let (one, _) = bench.image(App::Serves).await;
    let two = bench.image_with_declarations().await;
    let repository = format!("evenkeel/{}-web", bench.project());
    for image in [&one, &two] {
        engine.tag(&image.id, &repository, "0a1b2c3d").await.unwrap();
    }
    let tags = engine.repository_tags(&repository).await.unwrap();
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), [("0a1b2c3d".to_owned(), two.id)]);
    assert_eq!(engine.inspect_image(&one.id.0).await.unwrap().unwrap().tags, one.tags);
}

async fn an_image_is_found_by_the_beginning_of_its_id(bench: &dyn Bench) {
    let (image, _) = bench.image(App::Serves).await;
    let digits = image.id.0.trim_start_matches("sha256:");
    let found = bench.engine().inspect_image(&digits[..12]).await.unwrap().expect("by twelve digits");
    assert_eq!(found.id, image.id);
}

async fn force_takes_the_last_name_off_and_what_runs_goes_on(bench: &dyn Bench) {
    let id = started(bench, "web", App::Serves).await;
    let image = look(bench, &id).await.image;
    let facts = bench.engine().inspect_image(&image.0).await.unwrap().unwrap();
    for reference in &facts.tags {
        bench.docker_rmi_f(reference);
    }
    let seen = bench.engine().inspect_image(&image.0).await.unwrap().expect("it is in use");
    assert!(seen.tags.is_empty(), "{:?}", seen.tags);
    assert_eq!(look(bench, &id).await.status, ContainerStatus::Running);
    // And a name can be given to it again.
    let repository = format!("evenkeel/{}-web", bench.project());
    bench.engine().tag(&image, &repository, "0a1b2c3d").await.unwrap();
}

async fn force_removes_the_image_of_a_stopped_container_which_starts_all_the_same(bench: &dyn Bench) {
    let id = created(bench, "web", App::Serves).await;
    let image = look(bench, &id).await.image;
    let facts = bench.engine().inspect_image(&image.0).await.unwrap().unwrap();
    for reference in &facts.tags {
        bench.docker_rmi_f(reference);
    }
    assert_eq!(bench.engine().inspect_image(&image.0).await.unwrap(), None);
    bench.engine().start(&id).await.unwrap();
    assert_eq!(look(bench, &id).await.status, ContainerStatus::Running);
}
