//! Real compose files, where they are at hand: all are converted, and a checker that shares no code with the converter compares what they mean
//! with what came out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use evenkeel::cli::convert::check;
use evenkeel::desired::compose::{Source, convert};
use evenkeel::desired::diagnostic::Diagnostic;
use evenkeel::desired::format;
use evenkeel::desired::snapshot::HostFacts;
use serde_json::Value;

use crate::support::machine;

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared")
}

/// The compose files; none where there are none.
pub fn corpus() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(shared().join("corpus/dev")) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml"));
    all.sort();
    all
}

/// Runs `each` over all files, on all processors.
fn each<T: Send>(files: &[PathBuf], each: impl Fn(&Path) -> T + Sync) -> Vec<T> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = each(file);
                    done.lock().unwrap().push(result);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

/// Documents of a file as TOML, with the slugs of the notes.
pub fn converted(file: &Path) -> Result<(Vec<String>, Vec<String>), String> {
    let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
    let name = file.file_name().unwrap().to_string_lossy();
    let (documents, notes) =
        convert(&Source { file: &name, text: &text, refines: false }).map_err(|error| error.to_string())?;
    let slugs = notes.iter().map(|note| note.slug.to_owned()).collect();
    Ok((documents.iter().map(|document| document.toml()).collect(), slugs))
}

/// Compares every file with what it became, by the checker's own functions, and counts comments by the scanner of PyYAML.
const CHECKER: &str = r##"
import glob, json, os, sys, tomllib, yaml
tools, corpus, out, part, parts = sys.argv[1:]
scanner = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
sys.path.insert(0, tools)
from composeyaml import load_all
from canon import canon
checker = open(os.path.join(tools, 'check_convert.py')).read().rsplit('\nmain()', 1)[0]
space = {'__file__': os.path.join(tools, 'check_convert.py'), '__name__': 'checker'}
exec(compile(checker, 'check_convert.py', 'exec'), space)

def comments(text):
    spans = [(t.start_mark.index, t.end_mark.index) for t in yaml.scan(text, Loader=scanner) if isinstance(t, yaml.ScalarToken)]
    at, span = 0, 0
    while at < len(text):
        while span < len(spans) and spans[span][1] <= at: span += 1
        if span < len(spans) and spans[span][0] <= at: at = spans[span][1]; continue
        if text[at] == '#' and (at == 0 or text[at - 1].isspace()):
            end = text.find('\n', at)
            end = len(text) if end < 0 else end
            yield text[at:end].strip()
            at = end
        else: at += 1

result = {}
for path in sorted(glob.glob(os.path.join(corpus, '*.y*ml')))[int(part)::int(parts)]:
    name = os.path.basename(path)
    text = open(path).read()
    tree, _ = load_all(text)
    before = canon(tree)
    documents = [open(f).read() for f in sorted(glob.glob(os.path.join(out, name + '.*.toml')))]
    toml = next((d for d in documents if '[services.' in d), documents[0])
    found = space['diff'](before, canon(tomllib.loads(toml)))
    lines = list(comments(text))
    result[name] = {
        'services': list(before.get('services', {})), 'found': [f[:300] for f in found],
        'comments': len(lines), 'kept': sum(1 for line in lines if any(line in d for d in documents)),
    }
print(json.dumps(result))
"##;

fn python() -> Option<&'static str> {
    let works = |program: &&str| {
        let asked = Command::new(program).args(["-c", "import yaml, tomllib"]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    ["python3", "python"].into_iter().find(works)
}

/// Keys that are not Compose's are kept as `x-` keys, by rule. Of a service that has some, and is otherwise as it was, nothing that Compose
/// knows is lost.
const FOREIGN: [&str; 4] =
    [".exclude_from_hc: lost", ".content: lost", "irectory: lost", ".wrongField: lost"];

#[test]
fn real_files_lose_nothing() {
    let files = corpus();
    if files.is_empty() {
        machine::skip("no real compose files here");
        return;
    }
    let Some(python) = python() else {
        machine::skip("the checker of conversions needs Python 3.11 with PyYAML");
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let failed: Vec<String> = each(&files, |file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let (documents, _) = converted(file).map_err(|error| error.to_string())?;
        for (number, toml) in documents.iter().enumerate() {
            fs::write(out.path().join(format!("{name}.{number:02}.toml")), toml).unwrap();
        }
        Ok(())
    })
    .into_iter()
    .filter_map(Result::err)
    .collect();
    assert!(failed.is_empty(), "not converted: {failed:#?}");

    let (tools, dev) = (shared().join("tools/compose-check"), shared().join("corpus/dev"));
    let parts = std::thread::available_parallelism().map_or(2, usize::from).min(8).to_string();
    let checkers: Vec<_> = (0..parts.parse().unwrap())
        .map(|part: usize| {
            let mut command = Command::new(python);
            command
                .args(["-c", CHECKER])
                .args([&tools, &dev])
                .arg(out.path())
                .args([&part.to_string(), &parts]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut result: BTreeMap<String, Value> = BTreeMap::new();
    for checker in checkers {
        let checked = checker.wait_with_output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        result.extend(serde_json::from_slice::<BTreeMap<String, Value>>(&checked.stdout).unwrap());
    }
    assert_eq!(result.len(), files.len());
    let (mut services, mut lossy, mut foreign, mut comments, mut kept) = (0, 0, 0, 0, 0);
    let mut told = Vec::new();
    for (name, file) in &result {
        let found: Vec<&str> = file["found"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for service in file["services"].as_array().unwrap().iter().filter_map(Value::as_str) {
            services += 1;
            let of = format!(".services.{service}");
            let own: Vec<&&str> = found
                .iter()
                .filter(|line| line.strip_prefix(&of).is_some_and(|rest| rest.starts_with(['.', ':', '['])))
                .collect();
            match own.iter().all(|line| FOREIGN.iter().any(|key| line.contains(key))) {
                _ if own.is_empty() => {}
                true => foreign += 1,
                false => {
                    lossy += 1;
                    told.push(format!("{name}: {own:?}"));
                }
            }
        }
        comments += file["comments"].as_u64().unwrap();
        kept += file["kept"].as_u64().unwrap();
    }
    println!(
        "{} files, {services} services: {lossy} lossy, {foreign} with keys that are not Compose's; {kept} of {comments} comments kept",
        files.len()
    );
    assert!(services > 1000 && comments > 1000);
    assert!(lossy * 1000 <= services * 5, "{lossy} of {services} services: {told:#?}");
    assert!(kept * 100 >= comments * 95, "{kept} of {comments} comments");
}

/// What the loader may say of what became of a real file, and why that is no fault of the conversion.
const EXPECTED: [(&str, &[&str]); 3] = [
    (
        "this version does not act on it",
        &["unsupported-key", "unsupported-value", "bad-extends", "missing-image", "unknown-key"],
    ),
    ("the file beside the compose file is not at hand", &["missing-file", "env-file-outside", "bad-include"]),
    (
        "it is wrong in the compose file, too, or differs on purpose",
        &[
            "undeclared-volume",
            "undeclared-network",
            "undeclared-config",
            "undeclared-secret",
            "unknown-dependency",
            "dependency-cycle",
            "path-without-dot",
            "duplicate-mount",
            "bad-choice",
            "bad-device",
            "bad-name",
            "bad-port",
            "bad-type",
            "bad-variable",
            "missing-key",
            "overlap-impossible",
        ],
    ),
];

#[test]
fn real_files_load_but_for_what_this_version_refuses() {
    let files = corpus();
    if files.is_empty() {
        machine::skip("no real compose files here");
        return;
    }
    let host = HostFacts { name: "here".to_owned(), home: Some("/root".to_owned()), ..HostFacts::default() };
    let results = each(&files, |file| {
        let (documents, _) = converted(file).unwrap();
        let mut state: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (number, toml) in documents.into_iter().enumerate() {
            assert!(format::same(&toml, &format::format(&toml).unwrap()), "{}", file.display());
            state.insert(format!("project/{number:02}.toml"), toml.into_bytes());
        }
        let env = PathBuf::from(format!("{}.env", file.display()));
        state.insert("project/.env".to_owned(), fs::read(env).unwrap_or_default());
        let checked = check("/srv", &state, "project/.env", &host);
        let errors = checked.problems.into_iter().filter(|told| told.is_error());
        (file.to_owned(), errors.collect::<Vec<_>>())
    });
    let mut slugs: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut keys: BTreeMap<String, BTreeSet<&Path>> = BTreeMap::new();
    let clean = results.iter().filter(|(_, errors)| errors.is_empty()).count();
    for (file, errors) in &results {
        for told in errors {
            let example = format!("{}: {}", file.file_name().unwrap().to_string_lossy(), told.headline());
            slugs.entry(told.slug).or_insert((0, example)).0 += 1;
            if told.slug == "unsupported-key" {
                keys.entry(told.message.split('`').nth(1).unwrap_or_default().to_owned())
                    .or_default()
                    .insert(file);
            }
        }
    }
    let keys: BTreeMap<&String, usize> = keys.iter().map(|(key, files)| (key, files.len())).collect();
    println!("{clean} of {} load; {slugs:#?}; refused keys by files: {keys:#?}", files.len());
    let expected = |slug: &str| EXPECTED.iter().any(|(_, slugs)| slugs.contains(&slug));
    let other: Vec<_> = slugs.iter().filter(|(slug, _)| !expected(slug)).collect();
    assert!(other.is_empty(), "{other:#?}");
    // Of these there are few: more of them would be a fault of ours.
    let is_wrong = |told: &Diagnostic| told.slug.starts_with("bad-") && told.slug != "bad-extends";
    let wrong = results.iter().filter(|(_, errors)| errors.iter().any(is_wrong)).count();
    assert!(wrong * 100 < files.len(), "{wrong} files");
}
