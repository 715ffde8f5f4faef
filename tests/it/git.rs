//! A repository as a source, with real repositories: what a commit becomes, and everything that can be wrong with one.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel::desired::snapshot::{FileContent, HostFacts, Snapshot};
use evenkeel::desired::spec::MountSource;
use evenkeel::desired::work::{JobSpec, Runs};
use evenkeel::desired::{Loaded, SourcesLoader, Wanted};
use evenkeel::source::git::{
    Checkout, GitError, GitSettings, GitSource, Login, Needs, Remote, SyncResult, Synced, Taken, Verify,
};
use evenkeel::source::{Update, Updates, read_snapshot};
use tempfile::TempDir;

use crate::support::repository::Repository;

const WEB: &str = "[services.web]\nimage = \"web:1\"\n";

struct Desk {
    root: TempDir,
    remote: Repository,
}

impl Desk {
    /// A repository with one commit that says [`WEB`].
    fn new() -> Self {
        let desk = Self::empty();
        desk.remote.write("shop/web.toml", WEB);
        desk.remote.commit("Run the shop");
        desk
    }

    fn empty() -> Self {
        let root = TempDir::new().unwrap();
        let remote = Repository::new(&root.path().join("remote"));
        Self { root, remote }
    }

    fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    fn settings(&self) -> GitSettings {
        let remote = Remote::new(&self.remote.url(), Login::None).unwrap();
        GitSettings {
            branch: Some("main".to_owned()),
            poll_ms: 50,
            timeout_ms: 20_000,
            ..GitSettings::new("infra", remote)
        }
    }

    fn checkout(&self, settings: &GitSettings) -> Checkout {
        Checkout::new(settings, &self.state(), &Arc::new(AtomicBool::new(false)))
    }

    fn fetch(&self, settings: &GitSettings) -> Result<Taken, GitError> {
        self.checkout(settings).fetch()
    }

    /// Fetches and applies, as `apply` does.
    fn apply(&self, settings: &GitSettings) -> Arc<Snapshot> {
        let mut checkout = self.checkout(settings);
        let taken = checkout.fetch().unwrap();
        checkout
            .apply(&taken.snapshot, &load(&taken.snapshot).pins.into_values().flatten().collect())
            .unwrap();
        taken.snapshot
    }

    fn follow(&self, settings: &GitSettings) -> Following {
        let tries: Arc<Mutex<Vec<Synced>>> = Arc::default();
        let told = Arc::clone(&tries);
        let needs: Needs = Arc::new(|snapshot| load(snapshot).pins.into_values().flatten().collect());
        let tell = Arc::new(move |synced: &Synced| told.lock().unwrap().push(synced.clone()));
        let (source, updates) = GitSource::watch(settings.clone(), &self.state(), needs, tell).unwrap();
        Following { source, updates, tries }
    }
}

struct Following {
    source: GitSource,
    updates: Updates,
    tries: Arc<Mutex<Vec<Synced>>>,
}

impl Following {
    async fn update(&mut self) -> Update {
        let next = tokio::time::timeout(Duration::from_secs(20), self.updates.next()).await;
        next.expect("an update in time").expect("the source goes on")
    }

    async fn commit(&mut self) -> String {
        id(&self.update().await.unwrap().snapshot)
    }

    /// The next try that ends so.
    async fn tried(&self, wanted: impl Fn(&Synced) -> bool) -> Synced {
        let from = self.tries.lock().unwrap().len();
        for _ in 0..2_000 {
            if let Some(found) = self.tries.lock().unwrap().iter().skip(from).find(|synced| wanted(synced)) {
                return found.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no such try: {:?}", self.tries.lock().unwrap().last());
    }
}

fn id(snapshot: &Snapshot) -> String {
    snapshot.revision.commit.as_ref().unwrap().id.clone()
}

fn load(snapshot: &Snapshot) -> Loaded {
    SourcesLoader::default().load(snapshot, &HostFacts { name: "box".to_owned(), ..HostFacts::default() })
}

fn refused(result: Result<Taken, GitError>) -> GitError {
    match result {
        Ok(taken) => panic!("it was taken: {:?}", taken.snapshot.revision),
        Err(error) => error,
    }
}

/// Where a service mounts a target from.
fn mounted(snapshot: &Snapshot, target: &str) -> (PathBuf, Option<String>) {
    let loaded = load(snapshot);
    let Some(Wanted::Run(revision)) = loaded.state.services.values().next() else {
        panic!("{:?}", loaded.diagnostics)
    };
    match &revision.spec.container.mounts[target].source {
        MountSource::Bind { path, content, .. } => (PathBuf::from(path), content.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_commit_is_read_by_the_rules_of_a_directory() {
    let desk = Desk::empty();
    let remote = &desk.remote;
    for (path, text) in [
        ("hello.toml", "[services.hello]\nimage = \"hello:1\"\n"),
        (
            "shop/web.toml",
            "[services.web]\nimage = \"web:1\"\nenv_file = [\"web.settings\", \"absent.settings\"]\n",
        ),
        ("shop/web.settings", "A=1\n"),
        ("shop/.env", "TAG=1\n"),
        ("shop/notes.txt", "not read\n"),
        ("shop/_draft.toml", "left out\n"),
        ("shop/.hidden.toml", "left out\n"),
        (".github/workflow.toml", "left out\n"),
        ("_old/x.toml", "left out\n"),
        ("common/base.toml", "[services.base]\nimage = \"base:1\"\n"),
    ] {
        remote.write(path, text);
    }
    for name in [
        &b"shop/\xff.toml"[..],
        b"shop/two\nlines.toml",
        b"shop/\"quotes\" and \t.toml",
        "shop/schön.toml".as_bytes(),
    ] {
        fs::write(remote.path.join(OsStr::from_bytes(name)), "# nothing\n").unwrap();
    }
    remote.write("large/big.toml", &"#".repeat((1 << 20) + 1));
    symlink("../common/base.toml", remote.path.join("shop/base.toml")).unwrap();
    symlink("/etc/passwd", remote.path.join("shop/out.toml")).unwrap();
    symlink("../../../etc/passwd", remote.path.join("shop/up.toml")).unwrap();
    symlink("nowhere", remote.path.join("shop/dangling.toml")).unwrap();
    symlink("../common", remote.path.join("shop/common")).unwrap();
    let commit = remote.commit("Everything");

    let taken = desk.fetch(&desk.settings()).unwrap().snapshot;
    let directory = read_snapshot(&remote.path).unwrap();
    let kinds = |snapshot: &Snapshot| -> Vec<(String, Option<Vec<u8>>)> {
        let content = |content: &FileContent| match content {
            FileContent::Read(bytes) => Some(bytes.to_vec()),
            FileContent::Unreadable(_) => None,
        };
        snapshot.files.iter().map(|(path, found)| (path.to_string(), content(found))).collect()
    };
    assert_eq!(kinds(&taken), kinds(&directory));
    let found = taken.revision.commit.clone().unwrap();
    assert_eq!(
        (found.id, found.author.as_str(), found.subject.as_str()),
        (commit, "Ada Lovelace", "Everything")
    );
}

#[test]
fn names_that_no_path_can_be_are_never_written_anywhere() {
    let desk = Desk::new();
    let remote = &desk.remote;
    // Git itself refuses to make such trees from files, so they are put together by hand.
    let blob = remote.git(&["rev-parse", "HEAD:shop/web.toml"]);
    let evil = |name: &str| {
        let line = format!("100644 blob {blob}\t{name}\n");
        let mut child = remote
            .command(&["mktree", "--missing"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), line.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let tree = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        remote.git(&["commit-tree", "-m", "evil", &tree])
    };
    for name in ["..", ".git", ".", ".GIT"] {
        let commit = evil(name);
        remote.git(&["update-ref", "refs/heads/evil", &commit]);
        let settings = GitSettings { branch: Some("evil".to_owned()), ..desk.settings() };
        let told = refused(desk.fetch(&settings)).to_string();
        assert!(told.contains("fetch failed") || told.contains("no TOML file"), "{name}: {told}");
    }
    assert!(desk.fetch(&desk.settings()).is_ok(), "the good branch is not the worse for it");
}

#[test]
fn a_branch_a_tag_or_what_the_repository_says_itself() {
    let desk = Desk::new();
    let first = desk.remote.head();
    desk.remote.git(&["tag", "-a", "v1", "-m", "one"]);
    desk.remote.git(&["branch", "next"]);
    let second = desk.remote.commit("Second");
    let at = |branch: Option<&str>| {
        let settings = GitSettings { branch: branch.map(str::to_owned), ..desk.settings() };
        desk.fetch(&settings).map(|taken| id(&taken.snapshot))
    };
    assert_eq!(at(None).unwrap(), second);
    assert_eq!(at(Some("main")).unwrap(), second);
    assert_eq!(at(Some("next")).unwrap(), first);
    assert_eq!(at(Some("v1")).unwrap(), first, "an annotated tag means its commit");
    let told = at(Some("nope")).unwrap_err();
    assert!(matches!(told, GitError::NoBranch(_)) && told.to_string().contains("`nope`"), "{told}");
}

#[test]
fn an_absent_or_empty_path_is_not_an_empty_desired_state() {
    let desk = Desk::new();
    desk.remote.write("docs/readme.md", "nothing to run\n");
    desk.remote.commit("Docs");
    let at = |path: &str| desk.fetch(&GitSettings { path: path.to_owned(), ..desk.settings() });
    let snapshot = at("shop").unwrap().snapshot;
    assert_eq!(snapshot.files.keys().map(|path| path.as_str()).collect::<Vec<_>>(), ["web.toml"]);
    assert!(matches!(refused(at("absent")), GitError::NoPath { .. }));
    assert!(matches!(refused(at("shop/web.toml")), GitError::NoPath { .. }), "a file is no folder");
    let told = refused(at("docs"));
    assert!(
        matches!(told, GitError::Empty { .. }) && told.to_string().contains("without services"),
        "{told}"
    );
}

#[tokio::test]
async fn whatever_happens_to_the_repository_the_last_commit_stands() {
    let desk = Desk::new();
    let first = desk.remote.head();
    let mut following = desk.follow(&desk.settings());
    assert_eq!(following.commit().await, first);

    // Force-push: what the branch says now is taken, as any other commit.
    desk.remote.write("shop/web.toml", &WEB.replace(":1", ":2"));
    desk.remote.git(&["add", "--all"]);
    desk.remote.git(&["commit", "--quiet", "--amend", "-m", "Rewritten"]);
    let second = desk.remote.head();
    assert_eq!(following.commit().await, second);

    // The branch goes, the path goes, the repository goes: each is told, and nothing is published.
    desk.remote.git(&["branch", "-m", "main", "other"]);
    let synced = following.tried(|synced| synced.result == SyncResult::Failed).await;
    assert!(matches!(synced.trouble, Some(GitError::NoBranch(_))), "{:?}", synced.trouble);
    assert_eq!(synced.commit.unwrap().id, second);
    let aside = desk.root.path().join("aside");
    fs::rename(&desk.remote.path, &aside).unwrap();
    following.source.sync();
    let synced = following.tried(|synced| matches!(synced.trouble, Some(GitError::Failed { .. }))).await;
    assert_eq!(synced.commit.unwrap().id, second);
    fs::rename(&aside, &desk.remote.path).unwrap();
    desk.remote.git(&["branch", "-m", "other", "main"]);
    following.source.sync();
    let synced = following.tried(|synced| synced.result == SyncResult::Unchanged).await;
    assert_eq!((synced.commit.unwrap().id, synced.trouble), (second, None));

    desk.remote.git(&["rm", "--quiet", "-r", "."]);
    desk.remote.commit("Nothing left");
    let synced = following.tried(|synced| synced.result == SyncResult::Failed).await;
    assert!(matches!(synced.trouble, Some(GitError::Empty { .. })), "{:?}", synced.trouble);
    desk.remote.write("shop/web.toml", WEB);
    let third = desk.remote.commit("Back again");
    following.source.sync();
    assert_eq!(following.commit().await, third, "and it goes on where the branch is");
}

#[tokio::test]
async fn what_was_applied_last_is_enough_to_start_without_a_network() {
    let desk = Desk::new();
    let commit = id(&desk.apply(&desk.settings()));
    fs::rename(&desk.remote.path, desk.root.path().join("gone")).unwrap();
    let mut following = desk.follow(&desk.settings());
    assert_eq!(following.commit().await, commit);
    drop(following);

    // It counts for exactly these settings: another branch or path is another desired state.
    for settings in [
        GitSettings { branch: Some("next".to_owned()), ..desk.settings() },
        GitSettings { path: "shop".to_owned(), ..desk.settings() },
        GitSettings { remote: Remote::new("/elsewhere", Login::None).unwrap(), ..desk.settings() },
    ] {
        let mut following = desk.follow(&settings);
        assert!(following.update().await.is_err(), "{settings:?}");
    }
}

#[test]
fn a_damaged_copy_is_made_anew_by_itself() {
    let desk = Desk::new();
    desk.apply(&desk.settings());
    let copy = desk.state().join("git/infra/repository.git");
    let packs = || -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![copy.join("objects")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                if entry.path().is_dir() { open.push(entry.path()) } else { found.push(entry.path()) }
            }
        }
        found
    };
    let damage: [(&str, &dyn Fn()); 4] = [
        ("every object cut short", &|| {
            for path in packs() {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
                fs::write(&path, b"x").unwrap();
            }
        }),
        ("objects gone", &|| {
            for path in packs() {
                fs::remove_file(path).unwrap();
            }
        }),
        ("no HEAD", &|| fs::remove_file(copy.join("HEAD")).unwrap()),
        ("locks left behind", &|| {
            for name in ["refs/evenkeel/incoming.lock", "shallow.lock", "packed-refs.lock"] {
                fs::create_dir_all(copy.join(name).parent().unwrap()).unwrap();
                fs::write(copy.join(name), "").unwrap();
            }
        }),
    ];
    for (number, (what, damage)) in damage.into_iter().enumerate() {
        damage();
        desk.remote.write("shop/web.toml", &WEB.replace(":1", &format!(":{}", number + 2)));
        let commit = desk.remote.commit(what);
        let mut checkout = desk.checkout(&desk.settings());
        let snapshot = checkout.fetch().unwrap_or_else(|error| panic!("{what}: {error}")).snapshot;
        assert_eq!(id(&snapshot), commit, "{what}");
        checkout.apply(&snapshot, &BTreeSet::new()).unwrap();
        // The very same commit again, from a damaged copy.
        damage();
        let again = desk.fetch(&desk.settings()).unwrap_or_else(|error| panic!("{what}, again: {error}"));
        assert_eq!(id(&again.snapshot), commit, "{what}, again");
    }
}

/// Makes an SSH key and returns its private file and its public line.
fn ssh_key(folder: &Path, name: &str) -> (PathBuf, String) {
    let path = folder.join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    (path, public.trim().to_owned())
}

fn signed(desk: &Desk, options: &[&str], subject: &str) -> String {
    desk.remote.git(&["add", "--all"]);
    let mut arguments: Vec<&str> = Vec::new();
    for option in options {
        arguments.extend(["-c", option]);
    }
    arguments.extend(["commit", "--quiet", "--allow-empty", "-S", "-m", subject]);
    desk.remote.git(&arguments);
    desk.remote.head()
}

#[test]
fn only_commits_signed_with_an_allowed_ssh_key_are_taken() {
    let desk = Desk::new();
    let (own, public) = ssh_key(desk.root.path(), "ada");
    let (other, _) = ssh_key(desk.root.path(), "mallory");
    let allowed = desk.root.path().join("allowed_signers");
    fs::write(&allowed, format!("ada@example.org {public}\n")).unwrap();
    let settings =
        GitSettings { verify: Verify::Ssh { allowed_signers: allowed.clone() }, ..desk.settings() };
    let key = |path: &Path| format!("user.signingkey={}", path.display());

    let told = refused(desk.fetch(&settings)).to_string();
    assert!(told.contains("has no SSH signature"), "{told}");
    let good = signed(&desk, &["gpg.format=ssh", &key(&own)], "Signed");
    let taken = desk.fetch(&settings).unwrap();
    assert_eq!(id(&taken.snapshot), good);
    assert_eq!(taken.signer.as_deref(), Some("ada@example.org"));

    signed(&desk, &["gpg.format=ssh", &key(&other)], "By somebody else");
    let told = refused(desk.fetch(&settings)).to_string();
    assert!(told.contains("not among the allowed signers"), "{told}");

    // The signature of the good commit on another content.
    let raw = desk.remote.git(&["cat-file", "commit", &good]);
    let forged = raw.replace("Signed", "Forged");
    let path = desk.root.path().join("forged");
    fs::write(&path, format!("{forged}\n")).unwrap();
    let commit = desk.remote.git(&["hash-object", "-t", "commit", "-w", path.to_str().unwrap()]);
    desk.remote.git(&["update-ref", "refs/heads/main", &commit]);
    let told = refused(desk.fetch(&settings)).to_string();
    assert!(told.contains("its signature is bad"), "{told}");

    // A key that is taken out of the file counts no more, also for what was applied.
    desk.remote.git(&["update-ref", "refs/heads/main", &good]);
    desk.apply(&settings);
    fs::write(&allowed, "").unwrap();
    assert!(matches!(refused(desk.fetch(&settings)), GitError::Unverified { .. }));
    assert!(matches!(desk.checkout(&settings).last(), Err(GitError::Unverified { .. })));
    fs::remove_file(&allowed).unwrap();
    let told = refused(desk.fetch(&settings)).to_string();
    assert!(told.contains("allowed_signers") && told.contains("cannot be read"), "{told}");
}

/// Makes a GPG key in the desk's key ring and returns its fingerprint.
fn gpg_key(desk: &Desk, name: &str) -> String {
    let ring = desk.remote.home().join("gnupg");
    fs::create_dir_all(&ring).unwrap();
    fs::set_permissions(&ring, fs::Permissions::from_mode(0o700)).unwrap();
    let gpg = |arguments: &[&str]| {
        let output = Command::new("gpg").arg("--homedir").arg(&ring).args(arguments).output().unwrap();
        assert!(output.status.success(), "gpg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    gpg(&["--batch", "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never"]);
    let listed = gpg(&["--batch", "--with-colons", "--list-keys", name]);
    listed.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap().trim_matches(':').to_owned()
}

#[test]
fn only_commits_signed_with_a_key_of_the_keyring_are_taken() {
    if Command::new("gpg").arg("--version").output().is_err() {
        crate::support::machine::skip("gpg is not here");
        return;
    }
    let desk = Desk::new();
    let (own, other) = (gpg_key(&desk, "Ada <ada@example.org>"), gpg_key(&desk, "Mallory <m@example.org>"));
    let ring = desk.remote.home().join("gnupg");
    let keyring = desk.root.path().join("keys.asc");
    let exported =
        Command::new("gpg").arg("--homedir").arg(&ring).args(["--armor", "--export", &own]).output();
    fs::write(&keyring, exported.unwrap().stdout).unwrap();
    let settings = GitSettings { verify: Verify::Gpg { keyring }, ..desk.settings() };

    let told = refused(desk.fetch(&settings)).to_string();
    assert!(told.contains("it is not signed"), "{told}");
    let good = signed(&desk, &[&format!("user.signingkey={own}")], "Signed");
    let taken = desk.fetch(&settings).unwrap();
    assert_eq!(id(&taken.snapshot), good);
    assert!(taken.signer.as_deref().is_some_and(|signer| signer.contains("Ada")), "{:?}", taken.signer);
    signed(&desk, &[&format!("user.signingkey={other}")], "By somebody else");
    let told = refused(desk.fetch(&settings)).to_string();
    assert!(told.contains("cannot be checked") || told.contains("not among"), "{told}");

    // An SSH signature is none of this kind, whoever made it.
    let (key, _) = ssh_key(desk.root.path(), "ada");
    signed(&desk, &["gpg.format=ssh", &format!("user.signingkey={}", key.display())], "By another kind");
    assert!(matches!(refused(desk.fetch(&settings)), GitError::Unverified { .. }));
    let _ended = Command::new("gpgconf").arg("--homedir").arg(&ring).args(["--kill", "all"]).status();
}

#[tokio::test]
async fn an_unsigned_commit_leaves_the_last_verified_one_in_force() {
    let desk = Desk::new();
    let (own, public) = ssh_key(desk.root.path(), "ada");
    let allowed = desk.root.path().join("allowed_signers");
    fs::write(&allowed, format!("ada@example.org {public}\n")).unwrap();
    let settings = GitSettings { verify: Verify::Ssh { allowed_signers: allowed }, ..desk.settings() };
    let key = format!("user.signingkey={}", own.display());
    let good = signed(&desk, &["gpg.format=ssh", &key], "Signed");
    let mut following = desk.follow(&settings);
    assert_eq!(following.commit().await, good);
    desk.remote.commit("Unsigned");
    let synced = following.tried(|synced| synced.result == SyncResult::Unverified).await;
    assert_eq!(synced.commit.unwrap().id, good);
    let better = signed(&desk, &["gpg.format=ssh", &key], "Signed again");
    assert_eq!(following.commit().await, better);
}

#[test]
fn submodules_are_not_fetched_and_only_who_needs_one_is_left_as_it_is() {
    let desk = Desk::new();
    let other = Repository::new(&desk.root.path().join("other"));
    other.write("x.toml", WEB);
    other.commit("Other");
    desk.remote.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        &other.url(),
        "mod",
    ]);
    desk.remote
        .write("shop/db.toml", "[services.db]\nimage = \"db:1\"\nvolumes = [\"../mod:/etc/mod:ro\"]\n");
    desk.remote.commit("With a submodule");
    let loaded = load(&desk.fetch(&desk.settings()).unwrap().snapshot);
    let of = |name: &str| loaded.state.services.iter().find(|(id, _)| id.to_string() == name).unwrap().1;
    assert!(matches!(of("shop/web"), Wanted::Run(_)));
    let Wanted::Frozen(why) = of("shop/db") else { panic!("it would run") };
    assert!(why[0].headline().contains("submodule"), "{}", why[0].headline());
    assert!(!loaded.state.services.keys().any(|id| id.project.as_str() == "mod"));
}

#[test]
fn submodules_are_fetched_when_asked_for() {
    let desk = Desk::new();
    let (shared, inner) =
        (Repository::new(&desk.root.path().join("shared")), Repository::new(&desk.root.path().join("inner")));
    inner.write("deep.conf", "deep\n");
    inner.commit("Inner");
    let add = |to: &Repository, url: &str, path: &str| {
        to.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, path]);
    };
    shared.write(
        "cache.toml",
        "[services.cache]\nimage = \"cache:1\"\nvolumes = [\"./inner/deep.conf:/etc/deep.conf\"]\n",
    );
    add(&shared, &inner.url(), "inner");
    let first = shared.commit("Shared");
    add(&desk.remote, "../shared", "hosts/shared");
    let added = desk.remote.commit("With what is shared");
    // What is named by its commit counts, not where its branch is.
    shared.write("cache.toml", "[services.cache]\nimage = \"cache:2\"\n");
    shared.commit("Later");
    assert_ne!(shared.head(), first);

    let settings = GitSettings { submodules: true, ..desk.settings() };
    let snapshot = desk.apply(&settings);
    let loaded = load(&snapshot);
    let cache = loaded.state.services.iter().find(|(id, _)| id.service.as_str() == "cache").unwrap();
    let Wanted::Run(revision) = cache.1 else { panic!("{:?}", loaded.diagnostics) };
    assert_eq!(
        (cache.0.to_string().as_str(), revision.spec.container.image.as_str()),
        ("shared/cache", "cache:1")
    );
    assert_eq!(revision.spec.source.commit.as_ref().unwrap().id, added, "who put it there");
    let MountSource::Bind { path, .. } = &revision.spec.container.mounts["/etc/deep.conf"].source else {
        panic!()
    };
    assert_eq!(fs::read_to_string(path).unwrap(), "deep\n");
    // Nobody is asked for what is here.
    fs::rename(&shared.path, desk.root.path().join("gone")).unwrap();
    assert!(desk.checkout(&settings).last().unwrap().is_some());
    let hosts = GitSettings { path: "hosts".to_owned(), ..settings.clone() };
    assert!(desk.fetch(&hosts).is_ok(), "the same below a folder");

    // One that cannot be had is a commit that is not taken.
    desk.remote.git(&["rm", "--quiet", "--cached", "hosts/shared"]);
    let absent = "0123456789012345678901234567890123456789";
    desk.remote.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{absent},hosts/shared")]);
    desk.remote.git(&["commit", "--quiet", "-m", "Absent"]);
    let told = refused(desk.fetch(&settings)).to_string();
    assert!(told.contains("fetch failed") || told.contains("cannot be fetched"), "{told}");
}

#[test]
fn what_is_too_large_is_not_fetched_and_what_runs_is_not_touched() {
    let desk = Desk::new();
    let settings = GitSettings { max_size: 1 << 20, ..desk.settings() };
    let good = id(&desk.apply(&settings));
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(24 << 20).collect();
    fs::write(desk.remote.path.join("huge.bin"), noise).unwrap();
    desk.remote.commit("Huge");
    let told = refused(desk.fetch(&settings)).to_string();
    assert!(told.contains("more than 1 MiB"), "{told}");
    let last = desk.checkout(&settings).last().unwrap().unwrap();
    assert_eq!(id(&last.snapshot), good);
    let left = fs::read_dir(desk.state().join("git/infra/repository.git/objects/pack")).unwrap().flatten();
    assert!(left.map(|entry| entry.file_name()).all(|name| !name.to_string_lossy().starts_with("tmp_")));
}

#[test]
fn a_commit_with_more_files_than_any_desired_state_has_is_refused_in_moments() {
    let desk = Desk::new();
    let good = id(&desk.apply(&desk.settings()));
    let mut stream = String::from(
        "blob\nmark :1\ndata 2\nx\n\ncommit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 4\nMany\n",
    );
    stream.push_str(&format!("from {good}\n"));
    for number in 0..100_001 {
        stream.push_str(&format!("M 100644 :1 many/{}/{number}.toml\n", number % 100));
    }
    let mut child = desk
        .remote
        .command(&["fast-import", "--quiet", "--force"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), stream.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let told = refused(desk.fetch(&desk.settings())).to_string();
    assert!(told.contains("more than 100000 files"), "{told}");
    assert_eq!(id(&desk.checkout(&desk.settings()).last().unwrap().unwrap().snapshot), good);
    let shop = GitSettings { path: "shop".to_owned(), ..desk.settings() };
    assert!(desk.fetch(&shop).is_ok(), "a folder of it can still be meant");
}

#[test]
fn addresses_that_run_programs_or_show_secrets_are_refused() {
    let token = || Login::Token { file: "/t".into(), user: "x".to_owned() };
    for url in ["ext::sh -c id", "-oProxyCommand=id", "fd::7", "", "a b", "svn://x/y", "relative/path"] {
        assert!(Remote::new(url, Login::None).is_err(), "{url}");
    }
    for url in [
        "https://h/p.git",
        "ssh://git@h/p",
        "git@h:p.git",
        "/srv/p.git",
        "file:///srv/p",
        "http://h/p",
        "git://h/p",
    ] {
        assert!(Remote::new(url, Login::None).is_ok(), "{url}");
    }
    assert!(Remote::new("https://user:secret@h/p", Login::None).unwrap_err().contains("token_file"));
    assert!(Remote::new("https://ghp_0123456789abcdefghij@h/p", Login::None).is_err());
    assert!(Remote::new("http://h/p", token()).unwrap_err().contains("plain http"));
    assert!(
        Remote::new("http://127.0.0.1:80/p", token()).is_ok() && Remote::new("https://h/p", token()).is_ok()
    );
    assert!(Remote::new("http://127.0.0.1.evil.example/p", token()).is_err());
    assert_eq!(Remote::new("https://ada@h/p", Login::None).unwrap().shown(), "https://h/p");
}

#[test]
fn what_a_service_mounts_decides_and_never_the_commit() {
    let desk = Desk::empty();
    let text = "[services.web]\nimage = \"web:1\"\nvolumes = [\"./a.conf:/etc/a.conf\", \"./conf.d:/etc/conf.d:ro\", \"./data:/data\", \"./none:/none\"]\n";
    for (path, text) in [
        ("shop/web.toml", text),
        ("shop/a.conf", "one\n"),
        ("shop/conf.d/x", "one\n"),
        ("shop/data/seed", "one\n"),
        ("readme", "one\n"),
    ] {
        desk.remote.write(path, text);
    }
    desk.remote.commit("One");
    let hash = |snapshot: &Snapshot| match load(snapshot).state.services.values().next() {
        Some(Wanted::Run(revision)) => revision.hash.clone(),
        other => panic!("{other:?}"),
    };
    let first = desk.apply(&desk.settings());
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let (file, folder, data) =
        (mounted(&first, "/etc/a.conf").0, mounted(&first, "/etc/conf.d").0, mounted(&first, "/data").0);
    assert_eq!(
        (read(&file), read(&folder.join("x")), read(&data.join("seed"))),
        ("one\n".into(), "one\n".into(), "one\n".into())
    );
    assert!(file.starts_with(desk.state().join("git/infra/copies")) && file.ends_with("a.conf"));
    assert_eq!(
        data,
        desk.state().join("git/infra/tree/shop/data"),
        "what is written to has one place for ever"
    );

    desk.remote.write("readme", "two\n");
    desk.remote.write("shop/other.toml", "# a file of the project, with nothing in it\n");
    desk.remote.commit("Nothing that it uses");
    assert_eq!(hash(&desk.apply(&desk.settings())), hash(&first));

    // Each of the three replaces; the old copies stay for going back; what the service wrote stays.
    fs::write(data.join("written"), "by the service").unwrap();
    let mut before = hash(&first);
    for path in ["shop/a.conf", "shop/conf.d/x", "shop/data/seed"] {
        desk.remote.write(path, "two\n");
        desk.remote.commit(path);
        let now = desk.apply(&desk.settings());
        assert_ne!(hash(&now), before, "{path}");
        before = hash(&now);
    }
    let now = desk.apply(&desk.settings());
    assert_eq!(read(&mounted(&now, "/etc/a.conf").0), "two\n");
    assert_eq!((read(&file), read(&folder.join("x"))), ("one\n".into(), "one\n".into()));
    assert_eq!(
        (read(&data.join("seed")), read(&data.join("written"))),
        ("two\n".into(), "by the service".into())
    );
    assert_eq!(mounted(&now, "/none"), (desk.state().join("git/infra/tree/shop/none"), None));

    desk.remote.git(&["rm", "--quiet", "shop/data/seed"]);
    desk.remote.write("shop/data/other", "new\n");
    desk.remote.commit("Another seed");
    desk.apply(&desk.settings());
    assert!(!data.join("seed").exists() && data.join("other").exists() && data.join("written").exists());
}

#[test]
fn a_job_has_the_files_of_its_commit_and_is_the_same_job_whatever_else_a_commit_changes() {
    let desk = Desk::empty();
    let text = "[jobs.fill]\nimage = \"x:1\"\non_change = true\nvolumes = [\"./seed.sql:/seed.sql:ro\"]\n";
    desk.remote.write("shop/jobs.toml", text);
    desk.remote.write("shop/seed.sql", "one\n");
    desk.remote.commit("One");
    let job = |snapshot: &Snapshot| {
        let state = load(snapshot).state;
        JobSpec::clone(state.works.jobs.values().next().and_then(|job| job.wanted()).unwrap())
    };
    let seed = |job: &JobSpec| match &job.runs {
        Runs::Container { spec, .. } => match &spec.container.mounts["/seed.sql"].source {
            MountSource::Bind { path, .. } => fs::read_to_string(path).unwrap(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let first = job(&desk.apply(&desk.settings()));
    assert_eq!(seed(&first), "one\n");
    assert_eq!(first.source.commit.as_ref().map(|commit| commit.subject.as_str()), Some("One"));

    desk.remote.write("shop/jobs.toml", &format!("# A line above it.\n{text}"));
    desk.remote.commit("A comment");
    let second = job(&desk.apply(&desk.settings()));
    assert_eq!(second.definition(), first.definition());

    desk.remote.write("shop/seed.sql", "two\n");
    desk.remote.commit("Two");
    let third = job(&desk.apply(&desk.settings()));
    assert_ne!(third.definition(), first.definition());
    assert_eq!((seed(&third), seed(&first)), ("two\n".to_owned(), "one\n".to_owned()));
}

#[test]
fn no_link_that_a_container_made_leads_what_is_written_elsewhere() {
    let desk = Desk::empty();
    desk.remote.write("shop/web.toml", "[services.web]\nimage = \"web:1\"\nvolumes = [\"./data:/data\"]\n");
    desk.remote.write("shop/data/sub/seed", "one\n");
    desk.remote.commit("One");
    let data = mounted(&desk.apply(&desk.settings()), "/data").0;
    let outside = desk.root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("seed"), "of the host").unwrap();
    fs::remove_dir_all(data.join("sub")).unwrap();
    symlink(&outside, data.join("sub")).unwrap();
    desk.remote.write("shop/data/sub/seed", "two\n");
    desk.remote.commit("Two");
    let mut checkout = desk.checkout(&desk.settings());
    let taken = checkout.fetch().unwrap().snapshot;
    let pins = load(&taken).pins.into_values().flatten().collect();
    let told = checkout.apply(&taken, &pins).unwrap_err();
    assert!(matches!(told, GitError::Disk { .. }), "{told}");
    assert_eq!(fs::read_to_string(outside.join("seed")).unwrap(), "of the host");

    // A link in place of the file itself is replaced, not followed.
    fs::remove_file(data.join("sub")).unwrap();
    fs::create_dir(data.join("sub")).unwrap();
    symlink(outside.join("seed"), data.join("sub/seed")).unwrap();
    checkout.apply(&taken, &pins).unwrap();
    assert_eq!(fs::read_to_string(outside.join("seed")).unwrap(), "of the host");
    assert_eq!(fs::read_to_string(data.join("sub/seed")).unwrap(), "two\n");
}

#[test]
fn a_mount_through_a_link_stays_in_the_repository() {
    let desk = Desk::empty();
    desk.remote.write(
        "shop/web.toml",
        "[services.web]\nimage = \"web:1\"\nvolumes = [\"./ok:/ok\"]\n[services.bad]\nimage = \"web:1\"\nvolumes = [\"./out:/out\"]\n[services.deep]\nimage = \"web:1\"\nvolumes = [\"./folder:/folder:ro\"]\n",
    );
    desk.remote.write("real.conf", "real\n");
    symlink("../real.conf", desk.remote.path.join("shop/ok")).unwrap();
    symlink("/etc", desk.remote.path.join("shop/out")).unwrap();
    fs::create_dir(desk.remote.path.join("shop/folder")).unwrap();
    symlink("../../../../etc/shadow", desk.remote.path.join("shop/folder/in")).unwrap();
    desk.remote.commit("Links");
    let snapshot = desk.apply(&desk.settings());
    let loaded = load(&snapshot);
    for (id, wanted) in &loaded.state.services {
        match (id.service.as_str(), wanted) {
            ("web", Wanted::Run(revision)) => {
                let MountSource::Bind { path, .. } = &revision.spec.container.mounts["/ok"].source else {
                    panic!()
                };
                assert_eq!(fs::read_to_string(path).unwrap(), "real\n");
            }
            ("bad" | "deep", Wanted::Frozen(why)) => {
                assert!(why[0].headline().contains("leads out of the repository"), "{}", why[0].headline());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_service_knows_the_commit_that_last_touched_it() {
    let desk = Desk::new();
    let first = desk.remote.head();
    desk.remote
        .write("shop/db.toml", "[services.db]\nimage = \"db:1\"\nvolumes = [\"./db.conf:/etc/db.conf\"]\n");
    desk.remote.write("shop/db.conf", "one\n");
    let second = desk.remote.commit("A database");
    desk.remote.write("readme", "nothing\n");
    desk.remote.commit("Words");
    let commits = |snapshot: &Snapshot| -> Vec<String> {
        let of = |wanted: &Wanted| match wanted {
            Wanted::Run(revision) => revision.spec.source.commit.clone().unwrap().id,
            Wanted::Frozen(why) => panic!("{why:?}"),
        };
        load(snapshot).state.services.values().map(of).collect()
    };
    let mut checkout = desk.checkout(&desk.settings());
    assert_eq!(commits(&checkout.fetch().unwrap().snapshot), [second, first.clone()]);
    desk.remote.write("shop/db.conf", "two\n");
    let third = desk.remote.commit("What it mounts counts as well");
    // Once on top of what is known, and once from nothing.
    assert_eq!(commits(&checkout.fetch().unwrap().snapshot), [third.clone(), first.clone()]);
    assert_eq!(commits(&desk.fetch(&desk.settings()).unwrap().snapshot), [third, first]);
}

#[test]
fn dates_of_any_century_change_nothing() {
    let desk = Desk::new();
    for date in ["1970-01-02T00:00:00Z", "2099-12-31T00:00:00Z"] {
        desk.remote.write("shop/web.toml", &format!("# {date}\n{WEB}"));
        desk.remote.git(&["add", "--all"]);
        let mut commit = desk.remote.command(&["commit", "--quiet", "--message", date]);
        let done = commit.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date).status();
        assert!(done.unwrap().success());
        assert_eq!(id(&desk.apply(&desk.settings())), desk.remote.head(), "{date}");
    }
}

#[test]
fn nothing_that_git_could_be_set_up_to_run_is_run() {
    let desk = Desk::new();
    let (home, ran) = (desk.root.path().join("someone"), desk.root.path().join("ran"));
    let trap = home.join("trap");
    fs::create_dir_all(home.join("hooks")).unwrap();
    fs::write(&trap, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
    // A hook that every change of a ref calls, and one that every look at files may call.
    for hook in ["reference-transaction", "post-checkout", "post-merge", "pre-auto-gc"] {
        symlink(&trap, home.join("hooks").join(hook)).unwrap();
    }
    let trap = trap.display();
    let settings = format!(
        "[core]\nhooksPath = {}\nfsmonitor = {trap}\n[filter \"x\"]\nsmudge = {trap}\nclean = {trap}\n[diff \"x\"]\ntextconv = {trap}\n",
        home.join("hooks").display()
    );
    fs::write(home.join(".gitconfig"), settings).unwrap();
    desk.remote.write(".gitattributes", "* filter=x diff=x\n");
    desk.remote.write(".gitmodules", "[submodule \"x\"]\npath = x\nurl = ext::sh -c id\n");
    desk.remote.commit("Traps");
    // To be sure that the trap works: git itself falls into it.
    let fell = desk.remote.command(&["update-ref", "refs/heads/probe", "HEAD"]).env("HOME", &home).status();
    assert!(fell.unwrap().success() && fs::remove_file(&ran).is_ok());
    let ended = Command::new(crate::support::host::BINARY)
        .args(["plan", "--engine", "simulated", "--repo", &desk.remote.url(), "--config", "/dev/null"])
        .arg("--state")
        .arg(desk.state())
        .env("HOME", &home)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(!ran.exists());
}

#[test]
fn a_full_disk_changes_nothing_and_is_got_over() {
    let desk = Desk::new();
    let state = desk.state();
    fs::create_dir_all(&state).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "none"]).arg(&state).status();
    if !mounted.is_ok_and(|status| status.success()) {
        crate::support::machine::skip("a small file system can be mounted by root only");
        return;
    }
    struct Unmount(PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        }
    }
    let _unmount = Unmount(state.clone());
    let good = id(&desk.apply(&desk.settings()));
    let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(4 << 20).collect();
    desk.remote.write("shop/big.bin", &noise);
    desk.remote.commit("Too much for this disk");
    let told = refused(desk.fetch(&desk.settings())).to_string();
    assert!(told.contains("No space left") || told.contains("fetch failed"), "{told}");
    assert_eq!(id(&desk.checkout(&desk.settings()).last().unwrap().unwrap().snapshot), good);

    // Fetched, but what is to be mounted finds no room: the commit is not taken either.
    desk.remote.git(&["reset", "--quiet", "--hard", &good]);
    desk.remote.write("shop/web.toml", "[services.web]\nimage = \"web:1\"\nvolumes = [\"./zeros:/zeros\"]\n");
    desk.remote.write("shop/zeros", &"0".repeat(8 << 20));
    desk.remote.commit("Packs well");
    let mut checkout = desk.checkout(&desk.settings());
    let taken = checkout.fetch().unwrap().snapshot;
    let pins = load(&taken).pins.into_values().flatten().collect();
    let told = checkout.apply(&taken, &pins).unwrap_err();
    assert!(matches!(told, GitError::Disk { .. }) && told.to_string().contains("No space left"), "{told}");
    assert_eq!(id(&desk.checkout(&desk.settings()).last().unwrap().unwrap().snapshot), good);
    let copies: Vec<_> =
        fs::read_dir(state.join("git/infra/copies")).map(|all| all.flatten().collect()).unwrap_or_default();
    assert!(copies.is_empty(), "half a copy is none: {copies:?}");

    desk.remote.write("shop/zeros", "fits\n");
    let small = desk.remote.commit("Smaller");
    assert_eq!(id(&desk.apply(&desk.settings())), small);
}
