//! `evenkeel fmt` from outside, and that layout changes no meaning.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use evenkeel::desired::format;
use proptest::prelude::*;

use crate::cli::evenkeel;

fn toml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            toml_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "toml") {
            found.push(path);
        }
    }
}

#[test]
fn examples_and_fixtures_keep_their_meaning_and_come_to_rest() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["tests/fixtures", "desired", "../shared/schema/examples"] {
        toml_files(&root.join(folder), &mut files);
    }
    assert!(files.len() > 20);
    let mut formatted = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        // Some fixtures are no TOML, on purpose.
        let Ok(once) = format::format(&text) else { continue };
        formatted += 1;
        assert!(format::same(&text, &once), "{}:\n{once}", file.display());
        assert_eq!(format::format(&once).unwrap(), once, "{}", file.display());
        let comments = |text: &str| text.lines().filter(|line| line.trim_start().starts_with('#')).count();
        assert_eq!(comments(&text), comments(&once), "{}:\n{once}", file.display());
    }
    assert!(formatted > 20);
}

#[test]
fn what_the_converter_writes_is_laid_out_already() {
    let mut files = Vec::new();
    toml_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/convert"), &mut files);
    assert!(files.len() >= 18);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(format::format(&text).unwrap(), text, "{}", file.display());
    }
}

const ROUGH: &str = "[services.web]\nimage='web:1'   # fixed\n\n\n\nports = [ '80:80', ]\nvolumes = ['./conf.toml:/conf.toml']\n";
const FINE: &str = "[services.web]\nimage = \"web:1\" # fixed\n\nports = [\"80:80\"]\nvolumes = [\"./conf.toml:/conf.toml\"]\n";

fn fmt(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = evenkeel(&["--config", "/dev/null", "fmt"]);
    let output = command.args(args).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn files_are_checked_shown_and_written() {
    let dir = tempfile::tempdir().unwrap();
    let (web, payload) =
        (dir.path().join("desired/shop/web.toml"), dir.path().join("desired/shop/conf.toml"));
    fs::create_dir_all(web.parent().unwrap()).unwrap();
    fs::write(&web, ROUGH).unwrap();
    fs::write(&payload, "a=1").unwrap();
    fs::set_permissions(&web, fs::Permissions::from_mode(0o640)).unwrap();

    let (code, out, _) = fmt(dir.path(), &["--check"]);
    assert_eq!((code, out.trim()), (1, "./desired/shop/web.toml".trim_start_matches("./")), "{out}");
    let (code, out, _) = fmt(dir.path(), &["--diff", "desired/shop"]);
    assert!(
        code == 0
            && out.contains("-image='web:1'   # fixed\n")
            && out.contains("+image = \"web:1\" # fixed\n"),
        "{out}"
    );
    assert_eq!(fs::read_to_string(&web).unwrap(), ROUGH);

    let (code, _, told) = fmt(dir.path(), &[]);
    assert!(code == 0 && told.contains("formatted "), "{told}");
    assert_eq!(fs::read_to_string(&web).unwrap(), FINE);
    assert_eq!(fs::metadata(&web).unwrap().mode() & 0o777, 0o640);
    assert_eq!(fs::read_to_string(&payload).unwrap(), "a=1", "what a service mounts is no state");
    assert_eq!(fmt(dir.path(), &["--check"]), (0, String::new(), String::new()));
    let (_, out, _) = fmt(dir.path(), &["--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told[0]["result"], "unchanged");

    fs::write(&web, "a = \n").unwrap();
    let (code, _, told) = fmt(dir.path(), &["desired/shop/web.toml"]);
    assert!(code == 1 && told.contains("desired/shop/web.toml:1:"), "{told}");
}

#[test]
fn stdin_is_laid_out_to_stdout() {
    let mut child = evenkeel(&["fmt", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), ROUGH.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), FINE);
}

/// Lines that TOML is made of.
fn lines() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "",
        "  ",
        "# comment",
        "   # another  ",
        "[a]",
        "[ a . b ]",
        "[[c]]",
        "[a.\"d e\"] # head",
        "k1=1",
        " k2 = 'x' # behind",
        "k3 = \"a\\\"b\"",
        "a1.b.c = 0o17",
        "a1 . \"b\" . d = [ 1,2 , ]",
        "k4 = [ # open",
        "1, # one",
        "'two'",
        ",",
        "# in between",
        "]",
        "[3, [4,\n5]]",
        "k5 = { a=1, b . c=[], d={} }",
        "k6 = '''",
        "k7 = \"\"\"\n a\\\n  b\"\"\"",
        "k8 = 2026-09-01T08:00:00Z",
        "k9 = { # in\n a = 1, # x\n}",
        "k10 = 1e3",
    ]);
    prop::collection::vec(line, 0..14).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_toml_keeps_its_meaning_and_comes_to_rest(text in lines()) {
        if let Ok(once) = format::format(&text) {
            prop_assert!(format::same(&text, &once), "{}\n---\n{}", text, once);
            prop_assert_eq!(format::format(&once).unwrap(), once.clone(), "{}", text);
            let comments = |text: &str| text.matches('#').count();
            prop_assert_eq!(comments(&text), comments(&once), "{}\n---\n{}", text, once);
        } else {
            prop_assert!(text.parse::<toml::Table>().is_err(), "{}", text);
        }
    }
}
