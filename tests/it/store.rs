//! The store: what it promises about durability, damage, ownership and rights, on real files.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use evenkeel::controller::store::{Store, StoreError, StoreErrorKind, StoreHealth};
use evenkeel::desired::ident::ServiceId;
use evenkeel::state::record::{HistoryEntry, HistoryEvent, Record};
use evenkeel::state::time::Timestamp;
use tempfile::TempDir;

const INSTANCE: &str = "host-1";

fn web() -> ServiceId {
    ServiceId::new("shop", "web").unwrap()
}

fn db() -> ServiceId {
    ServiceId::new("shop", "db").unwrap()
}

fn record(sequence: u64) -> Record {
    Record { sequence, source: "shop/web.toml".to_owned(), ..Record::default() }
}

fn entry(number: u64) -> HistoryEntry {
    HistoryEntry {
        at: Timestamp(1_700_000_000_000),
        revision: None,
        number: Some(number),
        event: HistoryEvent::Committed,
        image: "web:1".to_owned(),
        reason: format!("change {number}"),
        commit: None,
    }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, INSTANCE).unwrap()
}

/// A state directory with the records of two services, closed.
fn filled() -> (TempDir, PathBuf) {
    let base = TempDir::new().unwrap();
    let dir = base.path().join("state");
    let store = open(&dir);
    store.save(&web(), &record(7), &[entry(1)]).unwrap();
    store.save(&db(), &record(9), &[]).unwrap();
    drop(store);
    (base, dir)
}

fn sql(dir: &Path, statement: &str) {
    rusqlite::Connection::open(dir.join("state.db")).unwrap().execute_batch(statement).unwrap();
}

#[test]
fn what_was_saved_is_there_after_a_restart() {
    let (_base, dir) = filled();
    let store = open(&dir);
    assert_eq!(store.health(), StoreHealth::Good);
    assert_eq!(store.load_all().unwrap(), [(db(), record(9)), (web(), record(7))].into());
    assert_eq!(store.record(&web()).unwrap(), Some(record(7)));
    assert_eq!(store.record(&ServiceId::new("shop", "gone").unwrap()).unwrap(), None);
    let history = store.history(None, 10).unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!((&history[0].service, &history[0].entry), (&web(), &entry(1)));
}

#[test]
fn a_record_that_did_not_change_is_not_written_again() {
    let (_base, dir) = filled();
    let store = open(&dir);
    assert!(
        store.save(&web(), &record(7), &[]).unwrap(),
        "what is on the disk is not known before it was read"
    );
    assert!(!store.save(&web(), &record(7), &[]).unwrap());
    store.load_all().unwrap();
    assert!(!store.save(&db(), &record(9), &[]).unwrap());
    assert!(store.save(&db(), &record(9), &[entry(1)]).unwrap(), "history alone is worth a write");
    assert!(store.save(&web(), &record(8), &[]).unwrap());
    assert_eq!(store.record(&web()).unwrap(), Some(record(8)));
}

#[test]
fn a_forgotten_service_leaves_its_history() {
    let (_base, dir) = filled();
    let store = open(&dir);
    store.forget(&web()).unwrap();
    assert_eq!(store.load_all().unwrap(), [(db(), record(9))].into());
    assert_eq!(store.history(Some(&web()), 10).unwrap().len(), 1);
    assert!(store.save(&web(), &record(7), &[]).unwrap(), "it may come back");
}

#[test]
fn history_comes_latest_first_by_service_and_does_not_grow_without_end() {
    let store = Store::in_memory(INSTANCE).unwrap();
    let lines: Vec<HistoryEntry> = (1..=600).map(entry).collect();
    store.save(&web(), &record(1), &lines).unwrap();
    store.save(&db(), &record(1), &[entry(601)]).unwrap();
    let numbers = |id: Option<&ServiceId>, limit| -> Vec<u64> {
        store.history(id, limit).unwrap().iter().filter_map(|row| row.entry.number).collect()
    };
    assert_eq!(numbers(None, 3), [601, 600, 599]);
    assert_eq!(numbers(Some(&web()), 2), [600, 599]);
    assert_eq!(numbers(Some(&web()), usize::MAX).len(), 500);
    assert_eq!(numbers(Some(&db()), 10), [601]);
}

#[test]
fn small_facts_are_kept() {
    let (_base, dir) = filled();
    let store = open(&dir);
    assert_eq!(store.meta("consent").unwrap(), None);
    store.set_meta("consent", "1").unwrap();
    store.set_meta("consent", "2").unwrap();
    drop(store);
    assert_eq!(open(&dir).meta("consent").unwrap(), Some("2".to_owned()));
}

#[test]
fn a_second_opener_is_refused_and_told_who_has_it() {
    let (_base, dir) = filled();
    let first = open(&dir);
    let error = Store::open(&dir, INSTANCE).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains(&format!("(process {})", std::process::id())), "{error}");
    drop(first);
    open(&dir);
}

#[test]
fn a_store_of_another_instance_is_refused_and_left_as_it_is() {
    let (_base, dir) = filled();
    let before = fs::read(dir.join("state.db")).unwrap();
    let error = Store::open(&dir, "host-2").unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("belongs to the instance `host-1`, not to `host-2`"), "{error}");
    assert_eq!(fs::read(dir.join("state.db")).unwrap(), before);
    assert_eq!(Store::open_read_only(&dir).unwrap().instance(), Some(INSTANCE));
}

#[test]
fn a_store_in_which_nothing_was_ever_recorded_takes_another_instance_id() {
    let (_base, dir) = filled();
    let base = TempDir::new().unwrap();
    let fresh = base.path().join("state");
    drop(Store::open(&fresh, "evenkeel").unwrap());
    drop(Store::open(&fresh, "host-2").unwrap());
    assert_eq!(Store::open_read_only(&fresh).unwrap().instance(), Some("host-2"));
    // A history alone binds it, too: what it tells of is this instance's.
    sql(&dir, "DELETE FROM record");
    assert_eq!(Store::open(&dir, "host-2").unwrap_err().kind(), StoreErrorKind::Refused);
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    let (_base, dir) = filled();
    sql(&dir, "PRAGMA user_version = 99");
    let before = fs::read(dir.join("state.db")).unwrap();
    for error in [Store::open(&dir, INSTANCE).unwrap_err(), Store::open_read_only(&dir).unwrap_err()] {
        assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
        assert!(error.to_string().contains("written by a newer evenkeel"), "{error}");
    }
    assert_eq!(fs::read(dir.join("state.db")).unwrap(), before);
}

/// What a writer that was killed left behind: its last changes are in the log only.
fn killed_in_the_middle(dir: &Path, statement: &str) -> TempDir {
    let left = TempDir::new().unwrap();
    fs::set_permissions(left.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let writer = rusqlite::Connection::open(dir.join("state.db")).unwrap();
    writer.execute_batch(statement).unwrap();
    for name in ["state.db", "state.db-wal"] {
        fs::copy(dir.join(name), left.path().join(name)).unwrap();
    }
    left
}

#[test]
fn a_refused_store_keeps_its_log_too() {
    let (_base, dir) = filled();
    let changed = "INSERT INTO meta (key, value) VALUES ('x', 'y')";
    let others = killed_in_the_middle(&dir, changed);
    let newer = killed_in_the_middle(&dir, "PRAGMA user_version = 99");
    for (left, instance) in [(others, "host-2"), (newer, INSTANCE)] {
        let read = || ["state.db", "state.db-wal"].map(|name| fs::read(left.path().join(name)).unwrap());
        let before = read();
        assert!(!before[1].is_empty());
        assert_eq!(Store::open(left.path(), instance).unwrap_err().kind(), StoreErrorKind::Refused);
        assert_eq!(read(), before, "{instance}");
    }
}

/// RELIABILITY.md K7: what is kept does not grow with what happened.
#[test]
fn ten_thousand_updates_leave_a_bounded_history_and_file() {
    let Some(disk) = SmallDisk::new(64 << 10) else { return };
    let dir = disk.0.path().join("state");
    let store = open(&dir);
    let bytes =
        || -> u64 { fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum() };
    let mut early = 0;
    for sequence in 1..=10_000 {
        store.save(&web(), &record(sequence), &[entry(sequence)]).unwrap();
        if sequence == 2_000 {
            early = bytes();
        }
    }
    assert_eq!(store.history(Some(&web()), usize::MAX).unwrap().len(), 500);
    // SQLite's log is cut back to four MiB when it was larger.
    assert!(bytes() < early + (1 << 20) && bytes() < 8 << 20, "{} bytes, {early} after 2 000", bytes());
    drop(store);
    assert_eq!(open(&dir).record(&web()).unwrap(), Some(record(10_000)));
}

/// Damages the database, opens it, and expects it set aside and an empty one that works.
fn check_set_aside(what: &str, damage: impl FnOnce(&Path)) {
    let (_base, dir) = filled();
    let path = dir.join("state.db");
    damage(&path);
    let damaged = fs::read(&path).ok();
    let store = Store::open(&dir, INSTANCE).unwrap_or_else(|error| panic!("{what}: {error}"));
    let StoreHealth::SetAside { path: aside, reason } = store.health() else {
        panic!("{what}: not set aside but {:?}", store.health());
    };
    assert!(!reason.is_empty(), "{what}");
    assert_eq!(fs::read(aside).ok(), damaged, "{what}: what was there must be kept");
    assert_eq!(store.load_all().unwrap(), [].into(), "{what}");
    store.save(&web(), &record(1), &[entry(1)]).unwrap();
    drop(store);
    let again = open(&dir);
    assert_eq!(again.health(), StoreHealth::Good, "{what}");
    assert_eq!(again.load_all().unwrap(), [(web(), record(1))].into(), "{what}");
}

#[test]
fn a_damaged_database_is_set_aside_and_an_empty_one_takes_its_place() {
    for length in [0, 1, 99, 100, 4096, 5000, 8192] {
        check_set_aside(&format!("cut to {length} bytes"), |path| {
            fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
        });
    }
    check_set_aside("text", |path| fs::write(path, "this is no database at all").unwrap());
    check_set_aside("zeros", |path| fs::write(path, vec![0; 40_960]).unwrap());
    check_set_aside("a database of someone else", |path| {
        fs::remove_file(path).unwrap();
        rusqlite::Connection::open(path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    });
    let without = |statement: &'static str| move |path: &Path| sql(path.parent().unwrap(), statement);
    check_set_aside("a table is missing", without("DROP TABLE record"));
    check_set_aside("a column is missing", without("ALTER TABLE record DROP COLUMN checksum"));
    check_set_aside("no instance", without("DELETE FROM meta"));
    check_set_aside("a version that never was", without("PRAGMA user_version = 0"));
    check_set_aside("only the log is left", |path| {
        fs::rename(path, path.with_file_name("state.db-wal")).unwrap();
    });
}

#[test]
fn a_record_is_never_read_wrongly_whatever_bytes_change() {
    let (_base, dir) = filled();
    let good = fs::read(dir.join("state.db")).unwrap();
    let expected = open(&dir).load_all().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let (mut noticed, rounds) = (0, 150);
    for round in 0..rounds {
        let base = TempDir::new().unwrap();
        let dir = base.path().join("state");
        fs::create_dir(&dir).unwrap();
        let mut bytes = good.clone();
        for _ in 0..random.usize(1..40) {
            let at = random.usize(0..bytes.len());
            bytes[at] = random.u8(..);
        }
        fs::write(dir.join("state.db"), bytes).unwrap();
        match Store::open(&dir, INSTANCE) {
            Ok(store) => {
                noticed += usize::from(store.health() != StoreHealth::Good);
                for (id, record) in store.load_all().unwrap() {
                    assert_eq!(expected.get(&id), Some(&record), "round {round}");
                }
                store.save(&web(), &record(1), &[entry(1)]).unwrap();
            }
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Refused, "round {round}: {error}"),
        }
    }
    assert!(noticed > rounds / 4, "{noticed} of {rounds}");
}

#[test]
fn a_damaged_record_is_set_aside_alone() {
    let (_base, dir) = filled();
    sql(&dir, "UPDATE record SET body = replace(body, '7', '8') WHERE service = 'shop/web'");
    let reader = Store::open_read_only(&dir).unwrap();
    assert_eq!(reader.load_all().unwrap(), [(db(), record(9))].into());
    assert!(matches!(reader.health(), StoreHealth::RecordsSetAside { .. }), "{:?}", reader.health());
    let store = open(&dir);
    let StoreHealth::RecordsSetAside { services, reason } = store.health() else {
        panic!("{:?}", store.health());
    };
    assert_eq!(
        (services, reason.as_str()),
        (vec!["shop/web".to_owned()], "its checksum does not fit its content")
    );
    assert_eq!(store.load_all().unwrap(), [(db(), record(9))].into());
    drop(store);
    assert_eq!(open(&dir).health(), StoreHealth::Good, "it is told once");
    let kept: String = rusqlite::Connection::open(dir.join("state.db"))
        .unwrap()
        .query_row("SELECT body FROM damaged WHERE service = 'shop/web'", [], |row| row.get(0))
        .unwrap();
    assert!(kept.contains("\"sequence\":8"), "{kept}");
}

#[test]
fn a_record_moved_to_another_service_is_damaged_too() {
    let (_base, dir) = filled();
    sql(&dir, "DELETE FROM record WHERE service = 'shop/db'; UPDATE record SET service = 'shop/db'");
    assert_eq!(open(&dir).load_all().unwrap(), [].into());
}

#[test]
fn databases_set_aside_do_not_fill_the_disk() {
    let (_base, dir) = filled();
    for _ in 0..9 {
        fs::write(dir.join("state.db"), "damaged").unwrap();
        open(&dir);
    }
    let aside = fs::read_dir(&dir).unwrap().filter_map(Result::ok);
    let aside = aside.filter(|entry| entry.file_name().to_string_lossy().contains(".corrupt-")).count();
    assert_eq!(aside, 5);
}

#[test]
fn a_database_deleted_under_a_running_store_is_made_anew_and_everything_saved_again() {
    let (_base, dir) = filled();
    let store = open(&dir);
    store.load_all().unwrap();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(dir.join(name));
    }
    assert!(store.save(&web(), &record(7), &[]).unwrap(), "what was believed to be saved is not");
    assert!(store.save(&db(), &record(9), &[]).unwrap());
    drop(store);
    assert_eq!(open(&dir).load_all().unwrap(), [(db(), record(9)), (web(), record(7))].into());
}

#[test]
fn a_state_directory_deleted_under_a_running_store_is_made_anew_with_its_lock() {
    let (_base, dir) = filled();
    let store = open(&dir);
    fs::remove_dir_all(&dir).unwrap();
    assert!(store.save(&web(), &record(7), &[]).unwrap());
    assert!(matches!(Store::open(&dir, INSTANCE), Err(StoreError::InUse { .. })));
    drop(store);
    assert_eq!(open(&dir).load_all().unwrap(), [(web(), record(7))].into());
}

#[test]
fn a_reader_sees_an_empty_store_where_there_is_none_and_makes_nothing() {
    let base = TempDir::new().unwrap();
    for dir in [base.path().join("missing"), base.path().to_owned()] {
        let store = Store::open_read_only(&dir).unwrap();
        assert_eq!(store.instance(), None);
        assert_eq!(store.load_all().unwrap(), [].into());
        assert_eq!(store.history(None, 10).unwrap(), []);
    }
    assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_beside_the_writer_sees_what_is_saved_and_can_write_nothing() {
    let (_base, dir) = filled();
    let writer = open(&dir);
    let reader = Store::open_read_only(&dir).unwrap();
    writer.save(&web(), &record(8), &[]).unwrap();
    assert_eq!(reader.record(&web()).unwrap(), Some(record(8)));
    for result in
        [reader.save(&web(), &record(1), &[]).map(|_| ()), reader.forget(&web()), reader.set_meta("a", "b")]
    {
        assert!(matches!(result, Err(StoreError::ReadOnly)));
    }
    assert_eq!(writer.record(&web()).unwrap(), Some(record(8)));
}

#[test]
fn a_reader_sets_nothing_aside() {
    let (_base, dir) = filled();
    fs::write(dir.join("state.db"), "damaged").unwrap();
    assert_eq!(Store::open_read_only(&dir).unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert_eq!(fs::read(dir.join("state.db")).unwrap(), b"damaged");
}

#[test]
fn nobody_else_may_read_or_write_it() {
    let (_base, dir) = filled();
    let store = open(&dir);
    store.save(&web(), &record(8), &[]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let names: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(names.len() >= 3, "{names:?}");
    for path in names {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn rights_that_were_too_wide_are_taken_off() {
    let (_base, dir) = filled();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(dir.join("state.db"), fs::Permissions::from_mode(0o666)).unwrap();
    let store = open(&dir);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("state.db"))), (0o700, 0o600));
    assert_eq!(store.load_all().unwrap().len(), 2);
}

#[test]
fn a_directory_shared_with_others_is_refused_and_its_rights_left_alone() {
    let base = TempDir::new().unwrap();
    fs::write(base.path().join("something"), "").unwrap();
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let error = Store::open(base.path(), INSTANCE).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(error.to_string().contains("others may write into it"), "{error}");
    let mode = fs::metadata(base.path()).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o1777);
}

#[test]
fn a_link_in_place_of_the_database_is_not_followed() {
    let (base, dir) = filled();
    let elsewhere = base.path().join("elsewhere");
    fs::rename(dir.join("state.db"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, dir.join("state.db")).unwrap();
    let error = Store::open(&dir, INSTANCE).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unwritable, "{error}");
}

/// A file system of `kib` KiB, or nothing where mounting is not allowed (and then the test that wants one is passed over).
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(kib: u32) -> Option<Self> {
        let disk = Self(TempDir::new().unwrap());
        let mounted = disk.mount(&format!("size={kib}k"));
        if !mounted {
            eprintln!("passed over: no right to mount a small file system");
        }
        mounted.then_some(disk)
    }

    fn mount(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(self.0.path());
        mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn read_only(&self, yes: bool) {
        let options = if yes { "remount,ro" } else { "remount,rw" };
        let status = Command::new("mount").args(["-o", options]).arg(self.0.path()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).stderr(Stdio::null()).status();
    }
}

#[test]
fn a_full_disk_is_an_error_and_keeps_what_was_saved() {
    let Some(disk) = SmallDisk::new(512) else { return };
    let dir = disk.0.path().join("state");
    let store = open(&dir);
    store.save(&web(), &record(1), &[entry(1)]).unwrap();
    let fill = disk.0.path().join("fill");
    let mut file = fs::File::create(&fill).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let mut saved = 1;
    let error =
        (2..10_000).find_map(|sequence| match store.save(&web(), &record(sequence), &[entry(sequence)]) {
            Ok(_) => {
                saved = sequence;
                None
            }
            Err(error) => Some(error),
        });
    let error = error.expect("a full disk");
    assert_eq!(error.kind(), StoreErrorKind::Unwritable, "{error}: {:?}", std::error::Error::source(&error));
    let reader = Store::open_read_only(&dir).unwrap();
    assert_eq!(reader.record(&web()).unwrap(), Some(record(saved)));
    drop(reader);
    fs::remove_file(&fill).unwrap();
    assert!(store.save(&web(), &record(20_000), &[]).unwrap(), "it goes on when there is room again");
    drop(store);
    assert_eq!(open(&dir).record(&web()).unwrap(), Some(record(20_000)));
}

#[test]
fn a_read_only_disk_refuses_the_writer_and_serves_the_reader() {
    let Some(disk) = SmallDisk::new(1024) else { return };
    let dir = disk.0.path().join("state");
    let store = open(&dir);
    store.save(&web(), &record(1), &[entry(1)]).unwrap();
    drop(store);
    disk.read_only(true);
    let error = Store::open(&dir, INSTANCE).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unwritable, "{error}");
    let reader = Store::open_read_only(&dir).unwrap();
    assert_eq!(reader.record(&web()).unwrap(), Some(record(1)));
    disk.read_only(false);
    assert_eq!(open(&dir).health(), StoreHealth::Good);
}

const CHILD: &str = "EVENKEEL_TEST_STORE_CHILD";

/// Saves without end, and says each number once it is durable.
fn save_until_killed(dir: &Path) -> ! {
    let store = open(dir);
    let mut sequence = store.record(&web()).unwrap().map_or(0, |record| record.sequence);
    loop {
        sequence += 1;
        store.save(&web(), &record(sequence), &[entry(sequence)]).unwrap();
        println!("saved {sequence}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn killed_at_any_instant_it_loses_nothing_that_was_saved() {
    if let Some(dir) = std::env::var_os(CHILD) {
        save_until_killed(Path::new(&dir));
    }
    let base = TempDir::new().unwrap();
    let dir = base.path().join("state");
    let mut random = fastrand::Rng::with_seed(5);
    let mut acknowledged = 0;
    for round in 0..8 {
        let name = "store::killed_at_any_instant_it_loses_nothing_that_was_saved";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(CHILD, &dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut left = random.u32(1..60);
        for line in lines {
            if let Some((_, number)) = line.rsplit_once("saved ") {
                acknowledged = number.parse().unwrap();
                left = left.saturating_sub(1);
                if left == 0 {
                    // SIGKILL; lines that are still in the pipe were durable before they were written.
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        let store = open(&dir);
        assert_eq!(store.health(), StoreHealth::Good, "round {round}");
        let saved = store.record(&web()).unwrap().unwrap().sequence;
        assert!(saved >= acknowledged, "round {round}: {acknowledged} was acknowledged, {saved} is there");
        let latest = store.history(Some(&web()), 1).unwrap();
        assert_eq!(latest[0].entry.number, Some(saved), "round {round}: a record without its history");
    }
    assert!(acknowledged > 8, "{acknowledged}");
}
