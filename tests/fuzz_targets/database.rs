//! Whole database files: a good one with bytes changed, cut or added, its log too. The input is a list of changes of eight bytes each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use evenkeel::controller::store::{Store, StoreErrorKind};
use evenkeel::desired::ident::ServiceId;
use evenkeel::state::record::{HistoryEntry, HistoryEvent, Record};
use evenkeel::state::time::Timestamp;

const INSTANCE: &str = "host-1";

/// Files of a database whose last changes are in its log, and every record that was ever saved in it.
struct Good {
    files: BTreeMap<&'static str, Vec<u8>>,
    records: BTreeMap<ServiceId, Vec<Record>>,
}

static GOOD: LazyLock<Good> = LazyLock::new(make_good);

fn scratch() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap()
}

fn make_good() -> Good {
    let base = scratch();
    let dir = base.path().join("state");
    let mut records: BTreeMap<ServiceId, Vec<Record>> = BTreeMap::new();
    let mut files = BTreeMap::new();
    for round in 1..=2_u64 {
        let store = Store::open(&dir, INSTANCE).unwrap();
        for (name, bytes) in [("web", 50), ("db", 6_000), ("cache", 50)] {
            let id = ServiceId::new("shop", name).unwrap();
            let record = Record { sequence: round, source: "x".repeat(bytes), ..Record::default() };
            let line = HistoryEntry {
                at: Timestamp(1),
                revision: None,
                number: Some(round),
                event: HistoryEvent::Committed,
                image: "web:1".to_owned(),
                reason: "a change".to_owned(),
                commit: None,
            };
            store.save(&id, &record, &[line]).unwrap();
            records.entry(id).or_default().push(record);
        }
        // Copied while it is open: the second round is in the log.
        for name in ["state.db", "state.db-wal"] {
            files.insert(name, fs::read(dir.join(name)).unwrap_or_default());
        }
    }
    assert!(!files["state.db-wal"].is_empty());
    Good { files, records }
}

fn damaged(input: &[u8]) -> BTreeMap<&'static str, Vec<u8>> {
    let mut files = GOOD.files.clone();
    for change in input.chunks_exact(8).take(64) {
        let name = if change[0] & 1 == 0 { "state.db" } else { "state.db-wal" };
        let content = files.get_mut(name).unwrap();
        let at =
            usize::from(u16::from_be_bytes([change[2], change[3]])) + 0x1_0000 * usize::from(change[1] & 1);
        let length = usize::from(u16::from_be_bytes([change[4], change[5]])) % 5_000;
        match (change[0] >> 1) % 5 {
            0 => {
                if let Some(byte) = content.get_mut(at) {
                    *byte = change[6];
                }
            }
            1 => content.truncate(at),
            2 => content.iter_mut().skip(at).take(length).for_each(|byte| *byte = change[6]),
            3 => {
                let from: Vec<u8> =
                    content.iter().skip(length * 16 % content.len().max(1)).take(512).copied().collect();
                content.iter_mut().skip(at / 512 * 512).zip(from).for_each(|(byte, other)| *byte = other);
            }
            _ => content.extend(std::iter::repeat_n(change[6], length)),
        }
    }
    files
}

pub fn check(input: &[u8]) {
    let base = scratch();
    let dir: PathBuf = base.path().join("state");
    fs::create_dir(&dir).unwrap();
    for (name, content) in damaged(input) {
        fs::write(dir.join(name), content).unwrap();
    }
    let store = match Store::open(&dir, INSTANCE) {
        Ok(store) => store,
        // A byte of the version or of the instance's name was hit.
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Refused, "{error}");
            return;
        }
    };
    for (id, record) in store.load_all().unwrap() {
        let known = GOOD.records.get(&id).is_some_and(|known| known.contains(&record));
        assert!(known, "{id} reads as something that nobody saved");
    }
    store.history(None, usize::MAX).unwrap();
    let id = ServiceId::new("shop", "web").unwrap();
    let next = Record { sequence: 9, ..Record::default() };
    store.save(&id, &next, &[]).unwrap();
    drop(store);
    let store = Store::open(&dir, INSTANCE).unwrap();
    assert_eq!(store.record(&id).unwrap(), Some(next), "what is saved after damage lasts");
}
