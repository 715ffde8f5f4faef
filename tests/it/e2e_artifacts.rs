//! Files out of images, on a real engine.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::docker::{aim, labelled};
use crate::support::files::plain;
use crate::support::{Host, wait_for};

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-program/program")
}

/// An image with the test program and these files.
fn image(host: &Host, tag: &str, files: &[(&str, &[u8])]) -> String {
    let reference = format!("{}/files:{tag}", host.project);
    let mut tar = tar::Builder::new(Vec::new());
    let program = fs::read(program()).unwrap();
    let all = files.iter().copied().chain([("program", program.as_slice())]);
    for (path, content) in all {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    let label = format!("LABEL evenkeel-test={}", host.project);
    let mut command = Command::new("docker");
    aim(&mut command);
    command.args(["import", "--change", "ENTRYPOINT [\"/program\"]", "--change", "CMD [\"serve\"]"]);
    // Copying makes no volume of it that stays.
    command.args(["--change", &label, "--change", "VOLUME /data", "-", &reference]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(child.wait().unwrap().success());
    reference
}

/// `None`: the daemon does not answer yet.
fn row(host: &Host) -> Option<serde_json::Value> {
    let told: serde_json::Value = serde_json::from_str(&host.evenkeel(&["artifacts", "--json"]).out).ok()?;
    told.get(0).cloned()
}

fn condition(host: &Host, wanted: &str) -> serde_json::Value {
    wait_for(&format!("the artifact is {wanted}"), || row(host).filter(|row| row["condition"] == wanted))
}

#[test]
fn files_follow_the_image_that_serves_and_bad_ones_change_nothing() {
    let Some(host) = Host::new() else { return };
    host.image("base", &[], &[]);
    let page =
        |text: &'static str| [("srv/html/index.html", text.as_bytes()), ("srv/html/sub/b", text.as_bytes())];
    let (one, two, four) =
        (image(&host, "1", &page("one")), image(&host, "2", &page("two")), image(&host, "4", &page("four")));
    let three = image(&host, "3", &[("srv/html/other", b"three")]);
    let www = host.root().join("www");
    fs::create_dir(&www).unwrap();
    let to = www.join("docs");
    let artifact = format!(
        "[artifacts.static]\nfrom = \"services.web\"\npath = \"/srv/html\"\nto = \"{}\"\nrequire = [\"index.html\"]\nowner = \"33:34\"\nmode = \"0640\"\nkeep = 1\n",
        to.display()
    );
    let write = |image: &str| host.write("shop.toml", &(plain("web", image, "") + &artifact));
    let text = |path: &str| fs::read_to_string(to.join(path)).unwrap_or_default();
    write(&one);
    let daemon = host.run();
    wait_for("the first files are there", || (text("index.html") == "one").then_some(()));
    assert_eq!(text("sub/b"), "one");
    let seen = fs::metadata(to.join("index.html")).unwrap();
    assert_eq!((seen.uid(), seen.gid(), seen.mode() & 0o7777), (33, 34, 0o640));
    assert!(fs::read_link(&to).unwrap().starts_with("docs.d"));
    write(&two);
    wait_for("they follow", || (text("index.html") == "two").then_some(()));
    condition(&host, "ready");
    write(&three);
    let refused = condition(&host, "rejected");
    assert!(refused["message"].as_str().unwrap().contains("index.html"), "{refused}");
    assert_eq!((text("index.html"), text("other")), ("two".to_owned(), String::new()));
    // An operator goes back, and the next image ends that.
    let back = host.evenkeel(&["artifacts", "rollback", "static", "--json"]).expect(0).json();
    assert_eq!((back["condition"].as_str(), text("index.html")), (Some("held"), "one".to_owned()), "{back}");
    host.evenkeel(&["artifacts", "rollback", "nothing"]).expect(1);
    write(&four);
    wait_for("the next one comes", || (text("index.html") == "four").then_some(()));
    let done = condition(&host, "ready");
    assert_eq!(done["versions"].as_array().unwrap().len(), 2, "one beside the one in place: {done}");
    let series = |result: &str| {
        format!(
            "evenkeel_artifact_swaps_total{{artifact=\"static\",project=\"{}\",result=\"{result}\"}}",
            host.project
        )
    };
    assert_eq!(daemon.metric(&series("switched")), Some(3.0));
    assert_eq!(
        (daemon.metric(&series("refused")), daemon.metric(&series("rolled-back"))),
        (Some(1.0), Some(1.0))
    );
    let copies: Vec<_> = labelled("dev.evenkeel.copy")
        .into_iter()
        .filter(|seen| seen.label("dev.evenkeel.owner") == host.project)
        .collect();
    assert!(copies.is_empty(), "nothing that was copied out of stays");
    // What is in place is not removed because no file wants it any more, and a stranger in its place is not touched.
    host.write("shop.toml", &plain("web", &four, ""));
    wait_for("it is not told of any more", || {
        host.evenkeel(&["artifacts", "--json"]).json().as_array()?.is_empty().then_some(())
    });
    assert_eq!(text("index.html"), "four");
    fs::remove_file(&to).unwrap();
    fs::create_dir(&to).unwrap();
    write(&four);
    let failed = condition(&host, "failed");
    assert!(failed["message"].as_str().unwrap().contains("did not make"), "{failed}");
}

/// What docs/self-update.md tells, with a program that is not evenkeel.
#[test]
fn a_binary_whose_check_fails_is_put_back() {
    let Some(host) = Host::new() else { return };
    let base = host.image("base", &[], &[]);
    let program = fs::read(program()).unwrap();
    let good = image(&host, "good", &[("out/tool", program.as_slice())]);
    let bad = image(&host, "bad", &[("out/tool", b"#!/no/such/interpreter\n")]);
    let also = image(&host, "also", &[("out/tool", program.as_slice()), ("out/other", b"x")]);
    let to = host.root().join("tool");
    let told = host.root().join("told");
    for swap in ["symlink", "exchange"] {
        let _fresh =
            (fs::remove_file(&to), fs::remove_dir_all(host.root().join("tool.d")), fs::remove_file(&told));
        let write = |image: &str| {
            let (to, told) = (to.display(), told.display());
            host.write(
                "tool.toml",
                &format!(
                    "[artifacts.tool]\nfrom = \"{image}\"\npath = \"/out/tool\"\nto = \"{to}\"\nswap = \"{swap}\"\nafter_switch = [\n  {{ command = [\"{to}\", \"ok\"] }},\n  {{ command = [\"/program\", \"ok\"], image = \"{base}\" }},\n  {{ command = [\"{to}\", \"append\", \"{told}\", \"x\"] }},\n  {{ command = [\"/no/such/program\"], on_error = \"continue\" }},\n]\n"
                ),
            );
        };
        let runs = || {
            Command::new(&to).arg("ok").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        write(&good);
        let daemon = host.run();
        wait_for("the daemon answers", || daemon.metrics());
        condition(&host, "ready");
        assert!(runs());
        assert_eq!(fs::read_to_string(&told).unwrap().trim(), "x", "{swap}: each command runs once");
        write(&bad);
        let put_back = condition(&host, "rejected");
        assert!(put_back["message"].as_str().unwrap().contains("no such program"), "{swap}: {put_back}");
        assert!(runs(), "{swap}: the old one is back");
        host.evenkeel(&["artifacts", "retry", "tool"]).expect(3);
        assert!(runs());
        write(&also);
        condition(&host, "ready");
        assert!(runs());
        drop(daemon);
        // Without a daemon, by the command for services; the daemon keeps to it.
        host.evenkeel(&["rollback", "artifacts.tool"]).expect(0);
        let rows = host.evenkeel(&["artifacts", "--json"]).expect(0).json();
        let row = &rows[0];
        let place = |image: &str| {
            row["versions"]
                .as_array()
                .unwrap()
                .iter()
                .find(|one| one["image"] == image)
                .map(|one| one["current"].clone())
        };
        assert_eq!(place(&good), Some(true.into()), "{swap}: {rows}");
        let daemon = host.run();
        wait_for("the daemon answers", || daemon.metrics());
        condition(&host, "held");
        host.evenkeel(&["artifacts", "release", "tool"]).expect(0);
        assert_eq!(condition(&host, "ready")["image"], *also);
        drop(daemon);
    }
}
