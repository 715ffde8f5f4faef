//! Reading a directory, and following it: real files, and what editors, Kubernetes and administrators do to them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use evenkeel::desired::snapshot::{FileContent, RelPath, Snapshot};
use evenkeel::source::{
    DirSource, Published, Settings, SourceError, Update, Updates, read_payload, read_snapshot,
};
use tempfile::TempDir;

/// Makes files: `path = content`, one per line; `path -> target` makes a link, `path |` a pipe, `path/` a folder.
fn make(root: &Path, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some((path, content)) = line.split_once(" = ") {
            write(root, path, content);
        } else if let Some((path, target)) = line.split_once(" -> ") {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            symlink(target.replace("ROOT", root.to_str().unwrap()), root.join(path)).unwrap();
        } else if let Some(path) = line.strip_suffix(" |") {
            assert!(Command::new("mkfifo").arg(root.join(path)).status().unwrap().success());
        } else {
            fs::create_dir_all(root.join(line)).unwrap();
        }
    }
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// `path = content` or `path ! sentence`, one per line.
fn show(snapshot: &Snapshot) -> String {
    let line = |(path, content): (&RelPath, &FileContent)| match content {
        FileContent::Read(bytes) => format!("{path} = {}\n", String::from_utf8_lossy(bytes).trim()),
        FileContent::Unreadable(sentence) => format!("{path} ! {sentence}\n"),
    };
    snapshot.files.iter().map(line).collect()
}

fn check(made: &str, expected: &str) {
    let dir = TempDir::new().unwrap();
    make(dir.path(), made);
    let expected: String = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(show(&read_snapshot(dir.path()).unwrap()), expected, "of\n{made}");
}

#[test]
fn toml_and_env_files_are_read_in_every_folder() {
    check(
        "b.toml = 2
         a.toml = 1
         shop/web.toml = 3
         shop/.env = A=1
         shop/live.env = B=1
         shop/files/deep/x.toml = 4
         README.md = no",
        "a.toml = 1
         b.toml = 2
         shop/.env = A=1
         shop/files/deep/x.toml = 4
         shop/live.env = B=1
         shop/web.toml = 3",
    );
}

#[test]
fn hidden_names_and_editors_litter_are_left_out() {
    check(
        ".git/config.toml = no
         _old/web.toml = no
         .hidden.toml = no
         _draft.toml = no
         .env/x.toml = no
         web.toml = yes
         web.toml~ = no
         .web.toml.swp = no
         4913 = no
         web.toml.tmp = no
         #web.toml# = no
         .#web.toml -> someone@host.1234",
        "web.toml = yes",
    );
}

#[test]
fn files_that_env_file_names_are_read_and_no_others() {
    check(
        "shop/web.toml = services.web.env_file = ['vars.txt', '.secret/app', '../all.txt', 'gone.txt']
         shop/vars.txt = A=1
         shop/.secret/app = B=1
         shop/data.txt = no
         all.txt = C=1
         gone/ ",
        "all.txt = C=1
         shop/.secret/app = B=1
         shop/vars.txt = A=1
         shop/web.toml = services.web.env_file = ['vars.txt', '.secret/app', '../all.txt', 'gone.txt']",
    );
    check(
        "web.toml = services.web.env_file = 'vars/${STAGE}.txt'
         vars/live.txt = A=1
         vars/test.txt = A=2
         other/live.txt = no",
        "vars/live.txt = A=1
         vars/test.txt = A=2
         web.toml = services.web.env_file = 'vars/${STAGE}.txt'",
    );
}

#[test]
fn links_count_when_they_lead_below_the_root() {
    check(
        "..2026/web.toml = 1
         ..2026/shop/db.toml = 2
         ..data -> ..2026
         web.toml -> ..data/web.toml
         shop -> ..data/shop
         absolute.toml -> ROOT/..2026/web.toml",
        "absolute.toml = 1
         shop/db.toml = 2
         web.toml = 1",
    );
}

#[test]
fn what_is_no_file_of_ours_is_unreadable_and_says_why() {
    check(
        "good.toml = 1
         out.toml -> /etc/hostname
         nowhere.toml -> gone.toml
         loop.toml -> loop.toml
         device.toml -> /dev/zero
         pipe.toml |
         pipe |",
        "device.toml ! the link leads out of the desired state; put the file itself there
         good.toml = 1
         loop.toml ! it can't be read: Too many levels of symbolic links
         nowhere.toml ! the link leads nowhere
         out.toml ! the link leads out of the desired state; put the file itself there
         pipe.toml ! it is a pipe, not a file",
    );
}

#[test]
fn a_folder_that_cannot_be_read_stands_for_the_files_it_may_hold() {
    check(
        "web.toml = 1
         out -> /etc
         shop/up -> ..
         shop/db.toml = 2",
        "out/*.toml ! the link leads out of the desired state
         shop/db.toml = 2
         shop/up/*.toml ! the link leads back to a folder above it
         web.toml = 1",
    );
}

#[test]
fn folders_nested_without_end_are_cut_off_and_reported() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), &format!("{}x.toml", "d/".repeat(60)), "1");
    let shown = show(&read_snapshot(dir.path()).unwrap());
    assert!(shown.contains("/*.toml ! folders are nested more than 32 deep"), "{shown}");
}

#[test]
fn a_file_over_the_limit_and_a_name_that_is_not_utf8_are_unreadable() {
    use std::os::unix::ffi::OsStrExt;
    let dir = TempDir::new().unwrap();
    write(dir.path(), "fits.toml", &"#".repeat(1 << 20));
    write(dir.path(), "large.toml", &"#".repeat((1 << 20) + 1));
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"odd\xff.toml")), "1").unwrap();
    let files = read_snapshot(dir.path()).unwrap().files;
    let unreadable: Vec<String> = files
        .iter()
        .filter_map(|(path, content)| match content {
            FileContent::Unreadable(sentence) => Some(format!("{path} ! {sentence}")),
            FileContent::Read(_) => None,
        })
        .collect();
    assert_eq!(
        unreadable,
        ["large.toml ! it is larger than 1 MiB", "odd\u{fffd}.toml ! its name is not UTF-8"]
    );
    assert_eq!(files.len(), 3);
}

#[test]
fn a_root_that_cannot_be_read_is_an_error_and_never_an_empty_state() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("missing");
    assert_eq!(read_snapshot(&missing), Err(SourceError::Missing(missing.clone())));
    write(dir.path(), "file", "");
    let file = dir.path().join("file");
    assert_eq!(read_snapshot(&file), Err(SourceError::NotADirectory(file.clone())));
    let text = read_snapshot(&missing).unwrap_err().to_string();
    assert!(text.contains("does not exist: create the directory"), "{text}");
}

#[test]
fn equal_content_gives_an_equal_revision_and_any_change_another() {
    let dir = TempDir::new().unwrap();
    let revision = || read_snapshot(dir.path()).unwrap().revision;
    make(dir.path(), "a.toml = 1\nshop/b.toml = 2");
    let first = revision();
    assert_eq!(first.digest.len(), 64);
    write(dir.path(), "README", "not read");
    assert_eq!(revision(), first);
    write(dir.path(), "a.toml", "3");
    assert_ne!(revision(), first);
    write(dir.path(), "a.toml", "1");
    assert_eq!(revision(), first);
    fs::rename(dir.path().join("a.toml"), dir.path().join("c.toml")).unwrap();
    assert_ne!(revision(), first);
}

#[test]
fn the_root_keeps_the_name_it_was_given_also_when_that_is_a_link() {
    let dir = TempDir::new().unwrap();
    make(dir.path(), "rev1/web.toml = 1\ncurrent -> rev1");
    let snapshot = read_snapshot(&dir.path().join("current")).unwrap();
    assert_eq!(snapshot.root, dir.path().join("current").to_str().unwrap());
    assert_eq!(show(&snapshot), "web.toml = 1\n");
}

#[test]
fn a_single_file_is_read_by_the_same_rules() {
    let dir = TempDir::new().unwrap();
    make(dir.path(), ".secret/app = A=1\nout -> /etc/hostname");
    let read = |path| read_payload(dir.path(), &RelPath::new(path).unwrap());
    assert_eq!(read(".secret/app"), Some(FileContent::Read(b"A=1".to_vec().into())));
    assert!(matches!(read("out"), Some(FileContent::Unreadable(_))));
    assert_eq!(read("gone"), None);
}

/// A directory `desired` that is followed; only the kernel's events can be in time, because the regular read is far away.
struct Followed {
    dir: TempDir,
    source: DirSource,
    updates: Updates,
}

const WITHIN: Duration = Duration::from_secs(10);

impl Followed {
    async fn new(made: &str) -> Self {
        Self::with(made, Settings { poll: false, rescan_ms: 3_600_000, quiet_ms: 3_600_000 }).await
    }

    async fn with(made: &str, settings: Settings) -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("desired")).unwrap();
        make(&dir.path().join("desired"), made);
        let (source, updates) = DirSource::watch(&dir.path().join("desired"), settings).unwrap();
        let mut followed = Self { dir, source, updates };
        followed.next().await.unwrap();
        followed
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("desired")
    }

    async fn next(&mut self) -> Update {
        let next = tokio::time::timeout(WITHIN, self.updates.next()).await;
        next.expect("an update in time").expect("a source that lives")
    }

    /// Waits for the update that shows `expected`; whatever comes on the way there was true for a moment.
    async fn until(&mut self, expected: &str) -> Published {
        let mut seen = Vec::new();
        loop {
            let Ok(next) = tokio::time::timeout(WITHIN, self.updates.next()).await else {
                panic!("never saw {expected:?}, only {seen:?}");
            };
            match next.expect("a source that lives") {
                Ok(published) if show(&published.snapshot) == expected => return published,
                other => seen.push(other.map(|published| show(&published.snapshot))),
            }
        }
    }

    async fn until_error(&mut self) -> SourceError {
        loop {
            if let Err(error) = self.next().await {
                return error;
            }
        }
    }
}

#[tokio::test]
async fn every_way_to_save_a_file_is_noticed() {
    let mut followed = Followed::new("web.toml = 0").await;
    let root = followed.root();
    let file = root.join("web.toml");

    // nano, shell redirection: truncate and write.
    fs::write(&file, "nano").unwrap();
    followed.until("web.toml = nano\n").await;

    // vim: a probe, the old one renamed to a backup, a new one written, the backup removed.
    fs::write(root.join("4913"), "").unwrap();
    fs::remove_file(root.join("4913")).unwrap();
    fs::rename(&file, root.join("web.toml~")).unwrap();
    fs::write(&file, "vim").unwrap();
    fs::remove_file(root.join("web.toml~")).unwrap();
    followed.until("web.toml = vim\n").await;

    // sed -i, VS Code, most programs: a temporary file renamed over it.
    fs::write(root.join("sedB3kqz1"), "sed").unwrap();
    fs::rename(root.join("sedB3kqz1"), &file).unwrap();
    followed.until("web.toml = sed\n").await;

    // And again, after the file's inode changed.
    fs::write(&file, "again").unwrap();
    followed.until("web.toml = again\n").await;

    fs::remove_file(&file).unwrap();
    followed.until("").await;
}

#[tokio::test]
async fn a_new_folder_is_followed_with_what_is_in_it() {
    let mut followed = Followed::new("web.toml = 0").await;
    make(&followed.root(), "shop/a/b/db.toml = 1");
    followed.until("shop/a/b/db.toml = 1\nweb.toml = 0\n").await;
    write(&followed.root(), "shop/a/b/db.toml", "2");
    followed.until("shop/a/b/db.toml = 2\nweb.toml = 0\n").await;
    fs::rename(followed.root().join("shop"), followed.root().join("store")).unwrap();
    followed.until("store/a/b/db.toml = 2\nweb.toml = 0\n").await;
    write(&followed.root(), "store/a/b/db.toml", "3");
    followed.until("store/a/b/db.toml = 3\nweb.toml = 0\n").await;
}

#[tokio::test]
async fn a_flip_of_the_data_link_is_one_change() {
    let mut followed = Followed::new(
        "..1/web.toml = 1
         ..1/db.toml = 1
         ..data -> ..1
         web.toml -> ..data/web.toml
         db.toml -> ..data/db.toml",
    )
    .await;
    for revision in 2..5 {
        let root = followed.root();
        let shown = format!("db.toml = {revision}\nweb.toml = {revision}\n");
        make(&root, &format!("..{revision}/web.toml = {revision}\n..{revision}/db.toml = {revision}"));
        symlink(format!("..{revision}"), root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        let published = followed.next().await.unwrap();
        assert_eq!(show(&published.snapshot), shown);
    }
}

#[tokio::test]
async fn a_replaced_directory_is_followed_and_the_old_one_is_not() {
    let mut followed = Followed::new("web.toml = 0").await;
    let (root, old, new) =
        (followed.root(), followed.dir.path().join("old"), followed.dir.path().join("new"));
    make(&new, "web.toml = 1");
    fs::rename(&root, &old).unwrap();
    fs::rename(&new, &root).unwrap();
    followed.until("web.toml = 1\n").await;
    write(&old, "web.toml", "from the old one");
    write(&root, "draft", "2");
    fs::rename(root.join("draft"), root.join("web.toml")).unwrap();
    let published = followed.next().await.unwrap();
    assert_eq!(show(&published.snapshot), "web.toml = 2\n");
    // Back again: the same inode under the same name as in the beginning.
    fs::rename(&root, &new).unwrap();
    fs::rename(&old, &root).unwrap();
    followed.until("web.toml = from the old one\n").await;
    write(&root, "web.toml", "3");
    followed.until("web.toml = 3\n").await;
}

#[tokio::test]
async fn a_root_that_is_a_link_is_followed_where_it_leads() {
    let dir = TempDir::new().unwrap();
    make(dir.path(), "rev1/web.toml = 1\nrev2/web.toml = 2\ndesired -> rev1");
    let settings = Settings { poll: false, rescan_ms: 3_600_000, quiet_ms: 3_600_000 };
    let (source, updates) = DirSource::watch(&dir.path().join("desired"), settings).unwrap();
    let mut followed = Followed { dir, source, updates };
    followed.until("web.toml = 1\n").await;
    let base = followed.dir.path().to_owned();
    symlink("rev2", base.join("next")).unwrap();
    fs::rename(base.join("next"), base.join("desired")).unwrap();
    followed.until("web.toml = 2\n").await;
    write(&base, "rev2/web.toml", "3");
    followed.until("web.toml = 3\n").await;
}

#[tokio::test]
async fn a_deleted_directory_is_an_error_until_it_is_back() {
    let mut followed = Followed::new("web.toml = 0").await;
    for round in 1..4 {
        fs::remove_dir_all(followed.root()).unwrap();
        assert_eq!(followed.until_error().await, SourceError::Missing(followed.root()));
        make(&followed.root(), &format!("web.toml = {round}"));
        followed.until(&format!("web.toml = {round}\n")).await;
        write(&followed.root(), "web.toml", "edited");
        followed.until("web.toml = edited\n").await;
    }
}

#[tokio::test]
async fn a_hundred_files_at_once_are_a_few_updates_at_most() {
    let mut followed = Followed::new("web.toml = 0").await;
    let lines: String = (0..100).map(|n| format!("shop{}/s{n:02}.toml = {n}\n", n % 10)).collect();
    make(&followed.root(), &lines);
    let mut updates = 0;
    loop {
        updates += 1;
        if followed.next().await.unwrap().snapshot.files.len() == 101 {
            break;
        }
    }
    assert!(updates <= 3, "{updates} updates");
}

#[tokio::test]
async fn a_touch_that_changes_nothing_publishes_nothing() {
    let settings = Settings { poll: false, rescan_ms: 3_600_000, quiet_ms: 500 };
    let mut followed = Followed::with("web.toml = 0", settings).await;
    write(&followed.root(), "web.toml", "0");
    write(&followed.root(), "notes.txt", "of no interest");
    fs::set_permissions(followed.root().join("web.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    followed.source.rescan();
    // The next to come is the word that it has been quiet, counted from the first read.
    let published = followed.next().await.unwrap();
    assert_eq!(show(&published.snapshot), "web.toml = 0\n");
    assert!(published.quiet_ms >= 500, "{}", published.quiet_ms);
}

#[tokio::test]
async fn a_state_is_called_quiet_once_it_was_read_unchanged_for_long_enough() {
    let settings = Settings { poll: false, rescan_ms: 3_600_000, quiet_ms: 300 };
    let mut followed = Followed::with("web.toml = 0", settings).await;
    assert!(followed.next().await.unwrap().quiet_ms >= 300);
    write(&followed.root(), "web.toml", "1");
    assert_eq!(followed.until("web.toml = 1\n").await.quiet_ms, 0);
    assert!(followed.next().await.unwrap().quiet_ms >= 300);
}

#[tokio::test]
async fn a_directory_that_came_back_must_be_quiet_anew() {
    let settings = Settings { poll: false, rescan_ms: 3_600_000, quiet_ms: 300 };
    let mut followed = Followed::with("web.toml = 0", settings).await;
    assert!(followed.next().await.unwrap().quiet_ms >= 300);
    let aside = followed.dir.path().join("aside");
    fs::rename(followed.root(), &aside).unwrap();
    followed.until_error().await;
    fs::rename(&aside, followed.root()).unwrap();
    assert_eq!(followed.next().await.unwrap().quiet_ms, 0);
    assert!(followed.next().await.unwrap().quiet_ms >= 300);
}

#[tokio::test]
async fn polling_finds_every_change_without_the_kernel() {
    let settings = Settings { poll: true, rescan_ms: 20, quiet_ms: 3_600_000 };
    let mut followed = Followed::with("web.toml = 0", settings).await;
    write(&followed.root(), "web.toml", "1");
    followed.until("web.toml = 1\n").await;
    fs::remove_dir_all(followed.root()).unwrap();
    followed.until_error().await;
    make(&followed.root(), "web.toml = 2");
    followed.until("web.toml = 2\n").await;
}

#[tokio::test]
async fn a_change_the_kernel_did_not_tell_is_found_by_the_regular_read_and_on_demand() {
    // A payload file in a hidden folder is not watched before it exists.
    let made = "web.toml = services.web.env_file = '.secret/a/b'";
    let settings = Settings { poll: false, rescan_ms: 50, quiet_ms: 3_600_000 };
    let mut followed = Followed::with(made, settings).await;
    make(&followed.root(), ".secret/a/b = A=1");
    followed.until(&format!(".secret/a/b = A=1\n{made}\n")).await;

    let mut followed = Followed::new(made).await;
    make(&followed.root(), ".secret/a/b = A=1");
    followed.source.rescan();
    followed.until(&format!(".secret/a/b = A=1\n{made}\n")).await;
}

#[tokio::test]
async fn a_dropped_source_ends_its_updates() {
    let followed = Followed::new("web.toml = 0").await;
    let Followed { dir: _dir, source, mut updates } = followed;
    drop(source);
    let ended = tokio::time::timeout(WITHIN, async { while updates.next().await.is_some() {} }).await;
    assert!(ended.is_ok(), "the source goes on without its handle");
}

/// Set in the process that the test starts of itself where the kernel gives few watches.
const FEW: &str = "EVENKEEL_TEST_FEW_WATCHES";

/// Limits of inotify belong to a user; a user namespace has limits of its own.
fn with_limit(limit: &str) -> Option<String> {
    let script = format!("echo {limit} && exec \"$0\" \"$@\"");
    let test = "source::where_the_kernel_gives_no_watches_the_files_are_read_all_the_same";
    let ended = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FEW, "1")
        .output()
        .ok()?;
    let shown = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
    Some(shown.into_owned())
}

#[tokio::test]
async fn where_the_kernel_gives_no_watches_the_files_are_read_all_the_same() {
    if std::env::var_os(FEW).is_some() {
        let mut followed = Followed::new("a/web.toml = 0\nb/c/db.toml = 0").await;
        write(&followed.root(), "b/c/db.toml", "1");
        followed.until("a/web.toml = 0\nb/c/db.toml = 1\n").await;
        return;
    }
    let namespace = ["--user", "--map-root-user", "true"];
    if !Command::new("unshare").args(namespace).status().is_ok_and(|status| status.success()) {
        crate::support::machine::skip("user namespaces are not allowed here, so no limit could be set");
        return;
    }
    for limit in ["2 > /proc/sys/user/max_inotify_watches", "0 > /proc/sys/user/max_inotify_instances"] {
        let shown = with_limit(limit).unwrap();
        assert!(shown.contains("1 passed"), "{limit}:\n{shown}");
    }
}
