//! Logs as the engine sends them: two streams in frames, one without where there is a terminal.

use std::time::Duration;

use evenkeel::engine::{LogOptions, Observe};
use evenkeel::state::observed::{ContainerId, ContainerStatus};
use futures_util::StreamExt;

use super::world::World;
use crate::support::docker::docker;

/// Everything a log stream says, by stream; a followed one must end by itself.
async fn read(world: &World, id: &ContainerId, options: LogOptions) -> (String, String) {
    let mut stream = world.docker.logs(id, &options).await.unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = async {
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.unwrap();
            if chunk.stderr { &mut err } else { &mut out }.extend_from_slice(&chunk.bytes);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("the log ends");
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// A container of somebody's, with a shell to say what it should; `None` without an image that has one.
fn ours_with(world: &World, service: &str, extra: &[&str], command: &[&str]) -> ContainerId {
    let image = world.host.image("1", &[], &["serve"]);
    let label = world.label();
    let name = format!("{}-{service}-1", world.host.project);
    let mut call = vec!["create", "--name", &name, "--label", &label];
    call.extend(extra);
    call.push(&image);
    call.extend(command);
    let id = ContainerId(docker(&call));
    docker(&["start", &id.0]);
    id
}

#[tokio::test]
async fn a_log_is_read_whole_by_tail_and_with_stamps() {
    let Some(world) = World::new() else { return };
    let creation = world.creation("talk", &["fail", "3"]).await;
    let id = world.running(&creation).await;
    world.until(&id, |seen| seen.status == ContainerStatus::Exited).await;
    let (out, err) = read(&world, &id, LogOptions::default()).await;
    let whole = format!("{out}{err}");
    assert!(!whole.is_empty(), "the program says why it fails");
    let (out, err) = read(&world, &id, LogOptions { tail: Some(0), ..LogOptions::default() }).await;
    assert_eq!(format!("{out}{err}"), "");
    let stamped = LogOptions { timestamps: true, ..LogOptions::default() };
    let (out, err) = read(&world, &id, stamped).await;
    assert!(format!("{out}{err}").starts_with("20"), "{out}{err}");
}

#[tokio::test]
async fn a_followed_log_ends_with_the_container_and_loses_nothing_without_a_line_end() {
    let Some(world) = World::new() else { return };
    // `read` prints a file as it is: this one ends without a line end.
    let folder = world.host.root().join("logs");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("text"), "first\nlast without end").unwrap();
    let mount = format!("{}:/logs:ro", folder.display());
    let id = ours_with(&world, "tail", &["--volume", &mount], &["read", "/logs/text"]);
    let (out, _) = read(&world, &id, LogOptions { follow: true, ..LogOptions::default() }).await;
    assert_eq!(out.trim_end(), "first\nlast without end");
}

#[tokio::test]
async fn a_terminal_has_one_stream_without_frames() {
    let Some(world) = World::new() else { return };
    let folder = world.host.root().join("logs");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("text"), "\u{1}begins oddly\nsecond\n").unwrap();
    let mount = format!("{}:/logs:ro", folder.display());
    let id = ours_with(&world, "tty", &["--tty", "--volume", &mount], &["read", "/logs/text"]);
    let (out, err) = read(&world, &id, LogOptions { follow: true, ..LogOptions::default() }).await;
    assert!(out.contains("\u{1}begins oddly\r\nsecond\r\n"), "{out:?}");
    assert_eq!(err, "");
}
