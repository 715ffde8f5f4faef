//! Files in place: what of an archive is let in, and that nobody ever sees a mix, whatever happens when.

use std::fs::{self, File};
use std::io::{Cursor, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use evenkeel::artifacts::Fault;
use evenkeel::artifacts::entry::Limits;
use evenkeel::artifacts::place::{Place, Seen, Switched};
use evenkeel::artifacts::unpack::{Look, unpack};
use evenkeel::desired::work::Swap;
use evenkeel::state::time::Timestamp;
use tar::{EntryType, Header};

const OLD: &str = "aaaaaaaaaaaa";
const NEW: &str = "bbbbbbbbbbbb";
const NEXT: &str = "cccccccccccc";
const NAMES: [&str; 4] = ["html/a", "html/b", "html/sub/c", "html/sub/deep/d"];

/// One entry whatever it says: a well-behaved library would not write it.
fn entry(tar: &mut tar::Builder<Vec<u8>>, kind: EntryType, path: &str, link: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_mtime(1_700_000_000);
    header.set_cksum();
    tar.append(&header, content).unwrap();
}

/// `d html`, `f html/a=text`, `s html/l>target`, `h html/h>html/a`, `c html/dev`.
fn archive(lines: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for line in lines.split_terminator('\n').map(str::trim) {
        let (kind, rest) = line.split_once(' ').unwrap();
        match kind {
            "d" => entry(&mut tar, EntryType::Directory, rest, "", b""),
            "c" => entry(&mut tar, EntryType::Char, rest, "", b""),
            "p" => entry(&mut tar, EntryType::Fifo, rest, "", b""),
            "s" | "h" => {
                let (path, target) = rest.split_once('>').unwrap();
                let kind = if kind == "s" { EntryType::Symlink } else { EntryType::Link };
                entry(&mut tar, kind, path, target, b"");
            }
            _ => {
                let (path, text) = rest.split_once('=').unwrap_or((rest, ""));
                entry(&mut tar, EntryType::Regular, path, "", text.as_bytes());
            }
        }
    }
    tar.into_inner().unwrap()
}

/// The same text in every file.
fn tree(text: &str) -> Vec<u8> {
    let [a, b, c, d] = NAMES.map(|name| format!("f {name}={text}"));
    archive(&format!("d html\n{a}\n{b}\nd html/sub\n{c}\n{d}"))
}

fn opened(bytes: &[u8], root: &Path, limits: Limits) -> Result<(), Fault> {
    unpack(Cursor::new(bytes), root, "/srv/html", &Look::default(), &[], limits)
}

#[test]
fn nothing_of_a_hostile_archive_leads_outside() {
    for (lines, why) in [
        ("f ../evil=x", "not a path within"),
        ("d html\nf html/../../evil=x", "not a path within"),
        ("f /etc/evil=x", "not a path within"),
        ("d html\nf other/evil=x", "lies beside"),
        ("d html\ns html/out>/etc", "outside of what is copied"),
        ("d html\ns html/out>../../..", "outside of what is copied"),
        ("d html\ns html/out>..", "outside of what is copied"),
        ("d html\nd html/a\ns html/a/up>..\ns html/b>a/up/..", "by way of another"),
        ("d html\ns html/a>b\ns html/b>a", "by way of another"),
        ("d html\ns html/dir>.\nf html/dir/evil=x", "no folder"),
        ("d html\nf html/a=x\nf html/a/b=x", "no folder"),
        ("d html\nf html/a=x\nf html/a=y", "twice"),
        ("d html\ns html/a>b\nf html/a=y", "twice"),
        ("d html\nh html/a>html/missing", "no file of it"),
        ("d html\nh html/a>../../etc/passwd", "not a path within"),
        ("d html\nh html/a>/etc/passwd", "not a path within"),
        ("d html\ns html/l>x\nh html/a>html/l", "no file of it"),
        ("d html\nh html/a>html", "no file of it"),
        ("d html\nc html/null", "device"),
        ("d html\np html/pipe", "device"),
        ("s html>/etc", "outside of what is copied"),
        ("s html>other", "name that path instead"),
        ("", "it is empty"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let fault = opened(&archive(lines), &root, Limits::default()).unwrap_err();
        let text = fault.to_string();
        assert!(matches!(fault, Fault::Refused(_)) && text.contains(why), "{lines}: {text}");
        let beside: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(beside.is_empty() || beside == ["root"], "{lines}: {beside:?}");
    }
}

#[test]
fn what_is_fine_is_there_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let text = "d html\nf html/a=one\nf html/implied/b=two\ns html/l>implied/b\ns html/abs>/srv/html/implied/b\ns html/implied/up>../a\nh html/h>html/a\nd html/empty";
    opened(&archive(text), &root, Limits::default()).unwrap();
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    for (name, content) in [("a", "one"), ("l", "two"), ("abs", "two"), ("implied/up", "one"), ("h", "one")] {
        assert_eq!(read(name), content, "{name}");
    }
    assert_eq!(
        fs::read_link(root.join("abs")).unwrap(),
        Path::new("implied/b"),
        "it leads inside on the host, too"
    );
    assert_eq!(fs::metadata(root.join("a")).unwrap().ino(), fs::metadata(root.join("h")).unwrap().ino());
    assert!(root.join("empty").is_dir());
    assert_eq!(fs::metadata(root.join("a")).unwrap().mtime(), 1_700_000_000);
    // A single file is a version, too.
    opened(&archive("f tool=x"), &dir.path().join("tool"), Limits::default()).unwrap();
    assert!(dir.path().join("tool").is_file());
}

#[test]
fn sizes_and_numbers_are_bounded_and_modes_are_plain() {
    let dir = tempfile::tempdir().unwrap();
    let text = archive("d html\nf html/a=12345\nf html/b=12345");
    for (limits, why) in [
        (Limits { entries: 2, bytes: 100 }, "more than 2 entries"),
        (Limits { entries: 100, bytes: 9 }, "larger than 9 bytes"),
    ] {
        let fault = opened(&text, &dir.path().join(why), limits).unwrap_err();
        assert!(fault.to_string().contains(why), "{fault}");
    }
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_mode(0o6755);
    header.set_size(1);
    tar.append_data(&mut header, "html", &b"x"[..]).unwrap();
    let bytes = tar.into_inner().unwrap();
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    opened(&bytes, &dir.path().join("plain"), Limits::default()).unwrap();
    assert_eq!(mode(&dir.path().join("plain")), 0o755, "nobody becomes somebody else by it");
    let look = Look { owner: None, mode: Some(0o640) };
    let root = dir.path().join("look");
    unpack(Cursor::new(tree("x")), &root, "/srv/html", &look, &[], Limits::default()).unwrap();
    assert_eq!((mode(&root.join("a")), mode(&root), mode(&root.join("sub"))), (0o640, 0o750, 0o750));
}

#[test]
fn what_is_required_and_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let require = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let text = archive("d html\nf html/index.html=x\ns html/link>index.html\ns html/dangling>nowhere");
    let check = |names: &[&str], at: &str| {
        unpack(
            Cursor::new(text.clone()),
            &dir.path().join(at),
            "/srv/html",
            &Look::default(),
            &require(names),
            Limits::default(),
        )
    };
    check(&["index.html", "link"], "one").unwrap();
    let fault = check(&["index.html", "sitemap.xml", "dangling"], "two").unwrap_err();
    assert!(fault.to_string().contains("sitemap.xml, dangling"), "{fault}");
}

/// A target in a folder of its own.
struct Scene {
    dir: tempfile::TempDir,
    place: Place,
}

impl Scene {
    fn new(swap: Swap) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path(), swap);
        Self { dir, place }
    }

    fn to(&self) -> std::path::PathBuf {
        self.dir.path().join("docs")
    }

    fn put(&self, id: &str, text: &str, keep: usize) -> Seen {
        put(&self.place, id, text, keep).unwrap()
    }

    fn folder(&self) -> Vec<String> {
        names(&self.dir.path().join("docs.d"))
    }
}

fn place(dir: &Path, swap: Swap) -> Place {
    Place::new(dir.join("docs").to_str().unwrap(), swap, "box", "shop/docs")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What the worker does, in its order.
fn put(place: &Place, id: &str, text: &str, keep: usize) -> Result<Seen, Fault> {
    let mut seen = place.prepare()?;
    if seen.current.as_deref() != Some(id) || !seen.as_wanted {
        if !seen.whole.iter().any(|whole| whole == id) {
            place.stage(id, |root| opened(&tree(text), root, Limits::default()))?;
        }
        place.switch(&mut seen, id, "image:1", false, Timestamp(1))?;
    }
    place.drop_old(&mut seen, keep)?;
    Ok(seen)
}

/// Every file, through one handle of the folder as it was when it was opened. `None`: nothing is in place.
fn read_through(to: &Path) -> Option<Vec<String>> {
    let folder = File::open(to).ok()?;
    let read = |name: &str| {
        let name = name.strip_prefix("html/").unwrap();
        let flags = rustix::fs::OFlags::RDONLY;
        let file = rustix::fs::openat(&folder, name, flags, rustix::fs::Mode::empty()).ok()?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).ok()?;
        Some(text)
    };
    Some(NAMES.iter().map(|name| read(name).unwrap_or_else(|| format!("no {name}"))).collect())
}

#[test]
fn readers_see_the_old_files_or_the_new_and_never_a_mix() {
    for swap in [Swap::Symlink, Swap::Exchange] {
        let scene = Scene::new(swap);
        scene.put(OLD, "old", 2);
        let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (to, stop, looks) = (scene.to(), Arc::clone(&stop), Arc::clone(&looks));
                std::thread::spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        let seen = read_through(&to).expect("something is always in place");
                        assert!(seen.iter().all(|text| *text == seen[0]), "a mix: {seen:?}");
                        looks.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for round in 0..20 {
            // Kept long enough for whoever has just opened it.
            let (id, text) = if round % 2 == 0 { (NEW, "new") } else { (OLD, "old") };
            scene.put(id, text, 2);
        }
        stop.store(true, Ordering::SeqCst);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert!(looks.load(Ordering::SeqCst) > 0);
        assert_eq!(read_through(&scene.to()).unwrap()[0], "old");
    }
}

#[test]
fn old_versions_stay_as_many_as_asked_for_and_are_gone_back_to() {
    for swap in [Swap::Symlink, Swap::Exchange] {
        let scene = Scene::new(swap);
        scene.put(OLD, "old", 1);
        scene.put(NEW, "new", 1);
        let seen = scene.put(NEXT, "next", 1);
        let beside = |ids: &[&str]| {
            let mut all: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            all.extend([".evenkeel".to_owned(), "previous".to_owned()]);
            all.sort();
            all
        };
        let in_folder: &[&str] = if swap == Swap::Symlink { &[NEW, NEXT] } else { &[NEW] };
        assert_eq!(scene.folder(), beside(in_folder), "{swap:?}");
        assert_eq!(scene.place.previous(&seen).as_deref(), Some(NEW));
        let previous = fs::read_link(scene.dir.path().join("docs.d/previous")).unwrap();
        assert_eq!(previous, Path::new(NEW), "for whoever has to do without evenkeel");
        let back = scene.put(NEW, "must not be copied again", 1);
        assert_eq!(read_through(&scene.to()).unwrap()[0], "new", "{swap:?}");
        assert_eq!(scene.place.previous(&back).as_deref(), Some(NEXT));
        // And as the other kind of target.
        let other = if swap == Swap::Symlink { Swap::Exchange } else { Swap::Symlink };
        let turned = put(&place(scene.dir.path(), other), NEW, "new", 1);
        assert!(turned.is_err() || read_through(&scene.to()).unwrap()[0] == "new", "{swap:?}");
    }
}

#[test]
fn what_is_somebody_elses_is_refused_and_not_touched() {
    for swap in [Swap::Symlink, Swap::Exchange] {
        for strange in ["folder", "file", "link", "versions"] {
            let scene = Scene::new(swap);
            let (to, folder) = (scene.to(), scene.dir.path().join("docs.d"));
            match strange {
                "folder" => fs::create_dir(&to).unwrap(),
                "file" => fs::write(&to, "theirs").unwrap(),
                "link" => std::os::unix::fs::symlink("elsewhere", &to).unwrap(),
                _ => {
                    fs::create_dir(&folder).unwrap();
                    fs::write(folder.join("conf"), "theirs").unwrap();
                }
            }
            let before = names(scene.dir.path());
            let fault = put(&scene.place, NEW, "new", 1).unwrap_err();
            assert!(fault.to_string().contains("move it away"), "{swap:?} {strange}: {fault}");
            assert_eq!(names(scene.dir.path()), before, "{swap:?} {strange}");
        }
        // Two artifacts, or two instances, with one target.
        let scene = Scene::new(swap);
        scene.put(OLD, "old", 1);
        let other = Place::new(scene.to().to_str().unwrap(), swap, "box", "shop/other");
        assert!(put(&other, NEW, "new", 1).unwrap_err().to_string().contains("shop/docs"));
        assert_eq!(read_through(&scene.to()).unwrap()[0], "old");
    }
}

#[test]
fn what_fails_leaves_the_old_files_and_nothing_else() {
    let scene = Scene::new(Swap::Symlink);
    scene.put(OLD, "old", 1);
    scene.place.prepare().unwrap();
    let before = scene.folder();
    let failed = scene.place.stage(NEW, |root| {
        opened(&tree("new"), root, Limits::default())?;
        Err(Fault::Refused("the required file is missing".to_owned()))
    });
    assert!(failed.is_err());
    assert_eq!(scene.folder(), before);
    // An archive that ends in the middle of a file.
    let whole = tree(&"x".repeat(5_000));
    let cut = scene.place.stage(NEW, |root| opened(&whole[..whole.len() / 2], root, Limits::default()));
    assert!(matches!(cut, Err(Fault::Io { .. })), "{cut:?}");
    assert_eq!((scene.folder(), read_through(&scene.to()).unwrap()[0].as_str()), (before, "old"));
    let mut seen = scene.place.look().unwrap();
    assert!(scene.place.switch(&mut seen, NEW, "image", false, Timestamp(2)).is_err());
    assert_eq!(read_through(&scene.to()).unwrap()[0], "old");
    // Somebody removes the link: it is put back.
    fs::remove_file(scene.to()).unwrap();
    assert_eq!(scene.place.look().unwrap().current, None);
    scene.put(OLD, "must not be copied again", 1);
    assert_eq!(read_through(&scene.to()).unwrap()[0], "old");
    assert_eq!(scene.place.look().unwrap().journal.open, None);
    let mut seen = scene.place.prepare().unwrap();
    scene.place.stage(NEW, |root| opened(&tree("new"), root, Limits::default())).unwrap();
    assert_eq!(scene.place.switch(&mut seen, NEW, "image", true, Timestamp(3)).unwrap(), Switched::InOne);
    assert!(
        scene
            .place
            .prepare()
            .unwrap()
            .journal
            .open
            .is_some_and(|open| open.hooks && open.before.as_deref() == Some(OLD))
    );
}

const CHILD: &str = "EVENKEEL_ARTIFACT_CHILD";
/// Everything that changes what is seen on the disk.
const CALLS: [&str; 12] = [
    "rename",
    "renameat2",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "rmdir",
    "fsync",
    "syncfs",
    "write",
    "fchmod",
];

fn play_if_child() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let (swap, dir) = dir.split_once(':').unwrap();
    let swap = if swap == "exchange" { Swap::Exchange } else { Swap::Symlink };
    put(&place(Path::new(dir), swap), NEXT, "next", 1).unwrap();
    std::process::exit(0);
}

/// Runs the switch in a process of its own; `true`: it was killed.
fn traced(dir: &Path, swap: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(arguments).arg("--").arg(std::env::current_exe().unwrap());
    let entry = "artifacts::killed_at_every_step_the_files_are_the_old_ones_or_the_new";
    command.args(["--exact", entry, "--nocapture", "--test-threads=1"]);
    command.env(CHILD, format!("{swap}:{}", dir.display())).stdin(Stdio::null());
    let ended = command.output().unwrap();
    ended.status.code().is_none()
}

#[test]
fn killed_at_every_step_the_files_are_the_old_ones_or_the_new() {
    play_if_child();
    let may = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("PASSED OVER: no strace, or no right to trace (scripts/setup.sh --tests installs it)");
        return;
    }
    let mut points = 0;
    for (swap, kind) in [("symlink", Swap::Symlink), ("exchange", Swap::Exchange)] {
        let base = tempfile::tempdir().unwrap();
        let fresh = |name: &str| {
            let dir = base.path().join(name);
            fs::create_dir(&dir).unwrap();
            put(&place(&dir, kind), OLD, "old", 1).unwrap();
            put(&place(&dir, kind), NEW, "new", 1).unwrap();
            dir
        };
        let counted = fresh("counted");
        let log = base.path().join("trace");
        let calls = format!("trace={}", CALLS.join(","));
        assert!(!traced(&counted, swap, &["-o", log.to_str().unwrap(), "-s", "0", "-e", &calls]));
        let trace = fs::read_to_string(&log).unwrap();
        for call in CALLS {
            let name = |line: &&str| {
                line.split_whitespace().nth(1).is_some_and(|word| word.starts_with(&format!("{call}(")))
            };
            // The harness itself writes a little.
            for number in 1..=trace.lines().filter(name).count() {
                let dir = fresh(&format!("{call}-{number}"));
                let inject = format!("inject={call}:signal=KILL:when={number}");
                let only = format!("trace={call}");
                traced(&dir, swap, &["-o", "/dev/null", "-e", &only, "-e", &inject]);
                let seen = read_through(&dir.join("docs"))
                    .unwrap_or_else(|| panic!("{swap} {call} {number}: nothing is in place"));
                let whole = seen.iter().all(|text| text == "new") || seen.iter().all(|text| text == "next");
                assert!(whole, "{swap}, killed at {call} {number}: {seen:?}");
                let after = put(&place(&dir, kind), NEXT, "next", 1).unwrap();
                assert!(read_through(&dir.join("docs")).unwrap().iter().all(|text| text == "next"));
                let mut left = names(&dir.join("docs.d"));
                left.retain(|name| !matches!(name.as_str(), ".evenkeel" | "previous"));
                let expected: &[&str] = if kind == Swap::Symlink { &[NEW, NEXT] } else { &[NEW] };
                assert_eq!(left, expected, "{swap}, killed at {call} {number}: nothing is left over");
                assert_eq!(after.journal.open, None);
                fs::remove_dir_all(&dir).unwrap();
                points += 1;
            }
        }
    }
    println!("artifacts: killed at {points} system calls");
    assert!(points > 40, "{points}");
}
