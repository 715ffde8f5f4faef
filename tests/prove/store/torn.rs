//! Power failures. The child's writes are recorded together with what made them last (`fsync` of the file, of the directory); for every
//! instant the disks that a power failure could leave behind are put together: nothing that was made to last is missing, of
//! the rest any part may be there, in any order, with sectors torn or garbled. Each must open as what had been said, or
//! that and the next change.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::script::{SCRIPT, State, check, states};
use super::strace::{CALLS, may_trace, run};

const SECTOR: usize = 512;

/// What one call changed. Files are numbers: a name may lead to another one later.
#[derive(Debug, Clone)]
enum Change {
    Create { name: String, file: usize },
    Rename { from: String, to: String },
    Unlink { name: String },
    Write { file: usize, at: usize, bytes: Vec<u8> },
    Cut { file: usize, length: usize },
}

#[derive(Debug, Clone)]
enum Event {
    Change(Change),
    SyncFile(usize),
    SyncDir,
    Said(usize),
}

/// Names, and what the files hold.
#[derive(Debug, Clone, Default)]
struct Disk {
    names: BTreeMap<String, usize>,
    files: BTreeMap<usize, Vec<u8>>,
}

impl Disk {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Create { name, file } => drop(self.names.insert(name.clone(), *file)),
            Change::Rename { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Change::Unlink { name } => drop(self.names.remove(name)),
            Change::Write { file, at, bytes } => {
                let content = self.files.entry(*file).or_default();
                content.resize(content.len().max(at + bytes.len()), 0);
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Change::Cut { file, length } => self.files.entry(*file).or_default().resize(*length, 0),
        }
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for (name, file) in &self.names {
            let content = self.files.get(file).map(Vec::as_slice).unwrap_or_default();
            digest.update(format!("{name} {}\n", content.len()));
            digest.update(content);
        }
        digest.finalize().into()
    }

    fn write_to(&self, dir: &Path) {
        for (name, file) in &self.names {
            fs::write(dir.join(name), self.files.get(file).map(Vec::as_slice).unwrap_or_default()).unwrap();
        }
    }
}

#[test]
fn whatever_a_power_failure_leaves_of_the_last_writes_it_opens_as_before_or_after() {
    if !may_trace() {
        return;
    }
    // Images are many and small, and waiting for a disk proves nothing here.
    let shm = Path::new("/dev/shm");
    let base = if shm.is_dir() { TempDir::new_in(shm) } else { TempDir::new() }.unwrap();
    let events = record(&base.path().join("state"));
    let mut images = Images {
        base: &base,
        states: states(SCRIPT),
        seen: HashSet::new(),
        random: fastrand::Rng::with_seed(11),
        tried: 0,
    };
    let mut done = None;
    for (index, event) in events.iter().enumerate() {
        match event {
            Event::Said(number) => done = Some(*number),
            Event::Change(_) => images.after(&events[..=index], done),
            Event::SyncFile(_) | Event::SyncDir => {}
        }
    }
    println!("store: {} different disks after a power failure, at {} instants", images.tried, events.len());
    assert!(images.tried > 1_000, "{}", images.tried);
    assert_eq!(done, Some(SCRIPT.len()));
}

struct Images<'a> {
    base: &'a TempDir,
    states: Vec<State>,
    seen: HashSet<([u8; 32], Option<usize>)>,
    random: fastrand::Rng,
    tried: usize,
}

impl Images<'_> {
    /// The power fails after these events.
    fn after(&mut self, events: &[Event], done: Option<usize>) {
        let (durable, pending) = divide(events);
        let all: Vec<bool> = vec![true; pending.len()];
        let mut choices = Vec::new();
        for index in 0..=pending.len() {
            // In order up to here; from here on; all but this one.
            choices.push((0..pending.len()).map(|at| at < index).collect());
            choices.push((0..pending.len()).map(|at| at >= index).collect());
            choices.push((0..pending.len()).map(|at| at != index).collect());
        }
        for _ in 0..8 {
            choices.push(all.iter().map(|_| self.random.bool()).collect::<Vec<bool>>());
        }
        for choice in choices {
            let mut disk = durable.clone();
            let kept = pending.iter().zip(&choice).filter(|(_, kept)| **kept);
            kept.for_each(|(change, _)| disk.apply(change));
            self.try_disk(&disk, done, || format!("{choice:?} of {}", described(&pending)));
        }
        self.torn(&durable, &pending, done);
    }

    /// The last write reached the disk in part: so many sectors from its start or its end, or with one that holds something else.
    fn torn(&mut self, durable: &Disk, pending: &[Change], done: Option<usize>) {
        let Some((Change::Write { file, at, bytes }, before)) = pending.split_last() else { return };
        let mut base = durable.clone();
        before.iter().for_each(|change| base.apply(change));
        for sector in 0..bytes.len().div_ceil(SECTOR) {
            let cut = sector * SECTOR;
            let end = (cut + SECTOR).min(bytes.len());
            let part = |range: std::ops::Range<usize>| Change::Write {
                file: *file,
                at: at + range.start,
                bytes: bytes[range].to_vec(),
            };
            for (name, change) in [("cut at", part(0..cut)), ("from", part(cut..bytes.len()))] {
                let mut disk = base.clone();
                disk.apply(&change);
                self.try_disk(&disk, done, || {
                    format!("{name} byte {cut} of the last of {}", described(pending))
                });
            }
            for filler in [0_u8, 0xA5] {
                let mut garbled = bytes.clone();
                garbled[cut..end].fill(filler);
                let mut disk = base.clone();
                disk.apply(&Change::Write { file: *file, at: *at, bytes: garbled });
                self.try_disk(&disk, done, || {
                    format!("byte {cut} on is {filler} in the last of {}", described(pending))
                });
            }
        }
    }

    fn try_disk(&mut self, disk: &Disk, done: Option<usize>, what: impl Fn() -> String) {
        if !self.seen.insert((disk.digest(), done)) {
            return;
        }
        let dir = self.base.path().join("image");
        fs::create_dir(&dir).unwrap();
        disk.write_to(&dir);
        check(&dir, &self.states, done, &what);
        fs::remove_dir_all(&dir).unwrap();
        self.tried += 1;
    }
}

fn described(pending: &[Change]) -> String {
    let one = |change: &Change| match change {
        Change::Write { file, at, bytes } => format!("write({file}, {at}, {} bytes)", bytes.len()),
        other => format!("{other:?}"),
    };
    pending.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What is on the disk for good, and what may or may not be there. A file's content lasts once the file was synced, a name once the
/// directory was.
fn divide(events: &[Event]) -> (Disk, Vec<Change>) {
    let synced_later = |from: usize, change: &Change| {
        events[from..].iter().any(|event| match (change, event) {
            (Change::Write { file, .. } | Change::Cut { file, .. }, Event::SyncFile(synced)) => {
                file == synced
            }
            (Change::Create { .. } | Change::Rename { .. } | Change::Unlink { .. }, Event::SyncDir) => true,
            _ => false,
        })
    };
    let (mut disk, mut pending) = (Disk::default(), Vec::new());
    for (index, event) in events.iter().enumerate() {
        let Event::Change(change) = event else { continue };
        if synced_later(index, change) {
            disk.apply(change);
        } else {
            pending.push(change.clone());
        }
    }
    (disk, pending)
}

/// Plays the script and reads what it did to the files of the store.
fn record(dir: &Path) -> Vec<Event> {
    let log = dir.with_extension("trace");
    let calls = format!("trace=openat,{}", CALLS.join(","));
    let arguments = ["-y", "-xx", "-s", "10000000", "-o", log.to_str().unwrap(), "-e", &calls];
    let ended = run(dir, false, &arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let mut reader = Reader {
        dir: dir.to_str().unwrap().to_owned(),
        names: BTreeMap::new(),
        files: 0,
        events: Vec::new(),
    };
    for line in fs::read_to_string(&log).unwrap().lines() {
        reader.line(line);
    }
    fs::remove_dir_all(dir).unwrap();
    reader.events
}

struct Reader {
    dir: String,
    /// Which file a name leads to now.
    names: BTreeMap<String, usize>,
    files: usize,
    events: Vec<Event>,
}

impl Reader {
    /// `PID CALL(FD<PATH>, "BYTES", ...) = RESULT`, with every string in hex.
    fn line(&mut self, line: &str) {
        let Some((call, rest)) = line.split_once(' ').and_then(|(_, rest)| rest.trim_start().split_once('('))
        else {
            return;
        };
        let Some((arguments, result)) = rest.rsplit_once(") = ") else { return };
        if result.starts_with('-') {
            return;
        }
        let texts: Vec<Vec<u8>> = arguments.split('"').skip(1).step_by(2).map(unhex).collect();
        let text = |index: usize| String::from_utf8(texts[index].clone()).unwrap();
        // The last numbers behind the text: a length, and an offset where the call has one.
        let numbers: Vec<usize> = arguments
            .rsplit(['"', '>'])
            .next()
            .unwrap_or_default()
            .split(',')
            .filter_map(|word| word.trim().parse().ok())
            .collect();
        let opened = arguments
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .map(|(path, _)| String::from_utf8(unhex(path)).unwrap());
        match call {
            "openat" if arguments.contains("O_CREAT") => self.create(&text(0)),
            "write" if arguments.starts_with("1<") => self.said(&texts[0]),
            "pwrite64" => self.write(opened, numbers[1], &texts[0], numbers[0]),
            "ftruncate" => {
                self.on_file(opened, |file| Event::Change(Change::Cut { file, length: numbers[0] }))
            }
            "fsync" | "fdatasync" if opened.as_deref() == Some(&self.dir) => self.events.push(Event::SyncDir),
            "fsync" | "fdatasync" => self.on_file(opened, Event::SyncFile),
            "rename" | "renameat" | "renameat2" => self.rename(&text(0), &text(1)),
            "unlink" | "unlinkat" => self.unlink(&text(0)),
            // Its content is nobody's business but the lock's.
            "write" | "fchmod" | "chmod" | "mkdir" | "openat" | "link" => {}
            other => assert!(!arguments.contains(&hex(&self.dir)), "a call this page does not know: {other}"),
        }
    }

    /// The name of a file of the store that survives a power failure (`-shm` is made anew, `lock` holds nothing).
    fn own(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix(&self.dir)?.strip_prefix('/')?;
        (!name.ends_with("-shm") && name != "lock").then(|| name.to_owned())
    }

    fn create(&mut self, path: &str) {
        let Some(name) = self.own(path) else { return };
        if !self.names.contains_key(&name) {
            self.files += 1;
            self.names.insert(name.clone(), self.files);
            self.events.push(Event::Change(Change::Create { name, file: self.files }));
        }
    }

    fn on_file(&mut self, path: Option<String>, event: impl Fn(usize) -> Event) {
        let file = path.and_then(|path| self.own(&path)).and_then(|name| self.names.get(&name).copied());
        self.events.extend(file.map(event));
    }

    fn write(&mut self, path: Option<String>, at: usize, bytes: &[u8], length: usize) {
        assert_eq!(bytes.len(), length, "strace cut a write short");
        self.on_file(path, |file| Event::Change(Change::Write { file, at, bytes: bytes.to_vec() }));
    }

    fn rename(&mut self, from: &str, to: &str) {
        let (Some(from), Some(to)) = (self.own(from), self.own(to)) else { return };
        let file = self.names.remove(&from).unwrap();
        self.names.insert(to.clone(), file);
        self.events.push(Event::Change(Change::Rename { from, to }));
    }

    fn unlink(&mut self, path: &str) {
        let Some(name) = self.own(path) else { return };
        if self.names.remove(&name).is_some() {
            self.events.push(Event::Change(Change::Unlink { name }));
        }
    }

    fn said(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).into_owned();
        let number = text.lines().find_map(|line| line.split_once("done ")?.1.parse().ok());
        self.events.extend(number.map(Event::Said));
    }
}

fn unhex(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).map(|pair| u8::from_str_radix(&pair[..2], 16).unwrap()).collect()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
}
