//! Values of secrets at rest and in memory: what is written where, with which permissions, and what comes back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use evenkeel::desired::SourcesLoader;
use evenkeel::desired::ident::{ProjectName, ServiceId};
use evenkeel::desired::provided::{Content, ProvidedId, ProvidedKind};
use evenkeel::desired::secret::Sensitive;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use evenkeel::desired::spec::ServiceSpec;
use evenkeel::desired::{Loaded, Wanted};
use evenkeel::engine::files::Files;
use evenkeel::engine::registry::{Login, RegistryAuth};
use evenkeel::secrets::vault::{Shelf, Vault};
use evenkeel::secrets::{Logins, Secrets};
use evenkeel::state::plan::Failure;
use tempfile::TempDir;

/// A state directory, and a folder in memory.
struct Place {
    state: TempDir,
    memory: TempDir,
}

impl Place {
    fn new() -> Self {
        let memory = tempfile::Builder::new().prefix("evenkeel-test-").tempdir_in("/dev/shm").unwrap();
        Self { state: tempfile::tempdir().unwrap(), memory }
    }

    fn folder(&self) -> PathBuf {
        self.memory.path().join("secrets")
    }

    fn secrets(&self, read_only: bool) -> Secrets {
        Secrets::new(self.state.path(), &self.folder(), &self.state.path().join("age.key"), read_only)
    }

    fn load(&self, secrets: &Secrets, text: &str) -> Loaded {
        let path = RelPath::new("shop/web.toml").unwrap();
        let files = BTreeMap::from([(path, FileContent::Read(text.as_bytes().to_vec().into()))]);
        let snapshot = Snapshot { root: "/srv".to_owned(), files, ..Snapshot::default() };
        let provided = self.folder().to_string_lossy().into_owned();
        let facts = HostFacts { name: "fra1".to_owned(), provided, ..HostFacts::default() };
        secrets.load(&mut SourcesLoader::default(), &snapshot, facts)
    }
}

fn id(key: &str) -> ProvidedId {
    ProvidedId { project: ProjectName::new("shop").unwrap(), kind: ProvidedKind::Secret, key: key.to_owned() }
}

fn spec(loaded: &Loaded) -> ServiceSpec {
    match &loaded.state.services[&ServiceId::new("shop", "web").unwrap()] {
        Wanted::Run(revision) => ServiceSpec::clone(&revision.spec),
        Wanted::Frozen(why) => panic!("{why:#?}"),
    }
}

fn binds(spec: &ServiceSpec) -> Vec<String> {
    let text = serde_json::to_value(&spec.container.mounts).unwrap();
    text.as_object()
        .unwrap()
        .values()
        .map(|mount| mount["source"]["bind"]["path"].as_str().unwrap().to_owned())
        .collect()
}

/// Every byte below a folder.
fn all_bytes(folder: &Path, found: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all_bytes(&path, found);
        } else {
            found.extend(path.to_string_lossy().bytes());
            found.extend(fs::read(path).unwrap());
        }
    }
}

fn holds(folder: &Path, text: &str) -> bool {
    let mut bytes = Vec::new();
    all_bytes(folder, &mut bytes);
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn a_name_tells_values_apart_and_is_of_no_use_elsewhere() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (here, elsewhere) = (Vault::new(one.path(), false), Vault::new(two.path(), false));
    let value = Content::new(*b"hunter2");
    let name = here.name(&id("a"), &value).unwrap();
    assert_eq!(name, here.name(&id("a"), &value).unwrap());
    assert_eq!(name, Vault::new(one.path(), false).name(&id("a"), &value).unwrap(), "also after a restart");
    assert_ne!(name, here.name(&id("a"), &Content::new(*b"hunter3")).unwrap());
    assert_ne!(name, here.name(&id("b"), &value).unwrap(), "that two are the same shows nobody");
    assert_ne!(name, elsewhere.name(&id("a"), &value).unwrap(), "another host has another key");
}

#[test]
fn values_at_rest_are_encrypted_whole_and_ours_alone() {
    let state = tempfile::tempdir().unwrap();
    let vault = Vault::new(state.path(), false);
    vault.put(Shelf::Values, "one", b"hunter2-one").unwrap();
    vault.put(Shelf::Store, "two", b"hunter2-two").unwrap();
    assert!(!holds(state.path(), "hunter2"), "a value can be read in the state directory");
    assert_eq!(vault.get(Shelf::Values, "one").unwrap().as_deref(), Some(&b"hunter2-one"[..]));
    assert_eq!(vault.get(Shelf::Store, "one").unwrap(), None);
    let mode = |path: &str| fs::metadata(state.path().join(path)).unwrap().mode() & 0o777;
    assert_eq!([mode("secrets"), mode("secrets/values")], [0o700, 0o700]);
    assert_eq!([mode("secrets/key"), mode("secrets/values/one"), mode("secrets/store/two")], [0o600; 3]);
    // One that was moved to another name, or changed, is no value.
    fs::rename(state.path().join("secrets/store/two"), state.path().join("secrets/store/three")).unwrap();
    assert!(vault.get(Shelf::Store, "three").unwrap_err().contains("damaged"));
    let path = state.path().join("secrets/values/one");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(vault.get(Shelf::Values, "one").unwrap_err().contains("damaged"));
    fs::write(&path, b"short").unwrap();
    assert!(vault.get(Shelf::Values, "one").unwrap_err().contains("cut short"));
}

#[test]
fn who_only_looks_writes_nothing() {
    let place = Place::new();
    let secrets = place.secrets(true);
    let loaded =
        place.load(&secrets, "[services.web]\nimage = 'a'\nconfigs = ['c']\n[configs.c]\ncontent = 'x'\n");
    assert_eq!(binds(&spec(&loaded)).len(), 1);
    assert_eq!(fs::read_dir(place.state.path()).unwrap().count(), 0, "nothing is in the state directory");
}

const TEXT: &str = "[services.web]\nimage = 'a'\nsecrets = [{ source = 's', uid = 1000, gid = 1001, mode = 0o400 }]\nconfigs = ['c']\n\
    [secrets.s]\nexternal = true\n[configs.c]\ncontent = 'hunter2-config'\n";

#[test]
fn files_lie_in_memory_with_the_permissions_of_their_names_and_come_back() {
    let place = Place::new();
    let secrets = place.secrets(false);
    let Loaded { diagnostics, .. } = place.load(&secrets, TEXT);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    assert_eq!(diagnostics[0].helps, ["it is not on this host yet: evenkeel secret set s"]);
    assert!(!secrets.is_stale(), "nothing has changed");
    secrets.vault.put(Shelf::Store, "s", b"hunter2-secret").unwrap();
    assert!(secrets.is_stale(), "it was set");
    let loaded = place.load(&secrets, TEXT);
    assert!(loaded.diagnostics.is_empty() && !secrets.is_stale(), "{:?}", loaded.diagnostics);
    let spec = spec(&loaded);
    let paths = binds(&spec);
    assert!(!format!("{:?} {}", loaded.state, serde_json::to_string(&spec).unwrap()).contains("hunter2"));
    secrets.ensure(&paths).unwrap();
    let own = |path: &str| {
        let meta = fs::metadata(path).unwrap();
        (meta.mode() & 0o7777, meta.uid(), meta.gid(), fs::read_to_string(path).unwrap())
    };
    let mut found: Vec<_> = paths.iter().map(|path| own(path)).collect();
    found.sort();
    let root = rustix::process::geteuid().is_root();
    let config = (
        0o444,
        if root { 0 } else { found[1].1 },
        if root { 0 } else { found[1].2 },
        "hunter2-config".to_owned(),
    );
    assert!(root, "the permissions of others need root");
    assert_eq!(found, [(0o400, 1000, 1001, "hunter2-secret".to_owned()), config]);
    assert_eq!(fs::metadata(place.folder()).unwrap().mode() & 0o777, 0o700);

    // After a reboot: another process, and nothing in memory. The files' word may be another one by now.
    fs::remove_dir_all(place.folder()).unwrap();
    let again = place.secrets(false);
    again.vault.put(Shelf::Store, "s", b"hunter2-newer").unwrap();
    again.ensure(&paths).unwrap();
    let mut back: Vec<_> = paths.iter().map(|path| own(path)).collect();
    back.sort();
    assert_eq!(back, found);
    assert_eq!(again.restore(std::iter::once(&spec)), 0);

    // A file of somebody's hands is put right.
    let secret = paths.iter().find(|path| path.ends_with(".0400.1000.1001")).unwrap();
    fs::set_permissions(secret, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    again.ensure(&paths).unwrap();
    assert_eq!(own(secret).0, 0o400);
}

#[test]
fn a_value_that_is_gone_is_said_so_and_never_another_one_in_its_stead() {
    let place = Place::new();
    let secrets = place.secrets(false);
    secrets.vault.put(Shelf::Store, "s", b"hunter2-old").unwrap();
    let old = spec(&place.load(&secrets, TEXT));
    fs::remove_dir_all(place.state.path().join("secrets/values")).unwrap();
    secrets.vault.put(Shelf::Store, "s", b"hunter2-new").unwrap();
    let new = spec(&place.load(&secrets, TEXT));
    secrets.ensure(&binds(&new)).unwrap();
    let secret = |spec: &ServiceSpec| {
        binds(spec).into_iter().filter(|path| path.contains(".0400.")).collect::<Vec<_>>()
    };
    assert_ne!(secret(&old), secret(&new));
    let error = secrets.ensure(&secret(&old)).unwrap_err();
    assert_eq!(error.kind, Failure::Invalid);
    assert!(error.message.contains("is not on this host any more"), "{}", error.message);
    assert!(!Path::new(&secret(&old)[0]).exists());
    assert_eq!(secrets.restore([&old, &new].into_iter()), 1);
}

#[test]
fn a_folder_on_a_disk_is_refused_with_what_to_do() {
    let place = Place::new();
    let disk = tempfile::tempdir().unwrap();
    if rustix::fs::statfs(disk.path()).unwrap().f_type == rustix::fs::statfs("/dev/shm").unwrap().f_type {
        eprintln!("SKIPPED: the temporary folder is in memory; nothing was shown about a disk");
        return;
    }
    if fs::read_link("/proc/1/ns/mnt")
        .ok()
        .is_some_and(|first| fs::read_link("/proc/self/ns/mnt").ok() == Some(first))
    {
        eprintln!(
            "SKIPPED: this process may mount for the whole host; nothing was shown about one that may not"
        );
        return;
    }
    let folder = disk.path().join("secrets");
    let secrets = Secrets::new(place.state.path(), &folder, &disk.path().join("age.key"), false);
    let error = secrets.ensure(&[format!("{}/00.0444.0.0", folder.display())]).unwrap_err();
    assert_eq!(error.kind, Failure::Internal);
    assert!(
        error.message.contains("is on a disk") && error.message.contains("secrets_dir"),
        "{}",
        error.message
    );
}

const LIVE: &str = "[services.web]\nimage = 'a'\nsecrets = [{ source = 's', on_change = 'SIGHUP' }]\n[secrets.s]\nexternal = true\n";

#[test]
fn a_live_file_changes_in_place_and_comes_back_as_it_was_last() {
    let place = Place::new();
    let secrets = place.secrets(false);
    let contents = |secrets: &Secrets, value: &[u8]| -> BTreeMap<String, String> {
        secrets.vault.put(Shelf::Store, "s", value).unwrap();
        let files = spec(&place.load(secrets, LIVE)).live.files;
        files.into_iter().map(|(path, file)| (path, file.content)).collect()
    };
    let first = contents(&secrets, b"a long first value");
    let path = first.keys().next().unwrap().clone();
    secrets.rewrite(&first).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    let second = contents(&secrets, b"short");
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    secrets.rewrite(&second).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "short");
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "a container that has it mounted sees it");
    fs::remove_dir_all(place.folder()).unwrap();
    place.secrets(false).ensure(std::slice::from_ref(&path)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "short");
    // Only files that are meant to change are changed.
    let other = BTreeMap::from([("/etc/passwd".to_owned(), "x".to_owned())]);
    assert!(secrets.rewrite(&other).is_err());
}

#[test]
fn what_a_kept_revision_has_stays_and_the_rest_goes_when_it_is_old() {
    let place = Place::new();
    let secrets = place.secrets(false);
    secrets.vault.put(Shelf::Store, "s", b"one").unwrap();
    let kept = spec(&place.load(&secrets, TEXT));
    secrets.ensure(&binds(&kept)).unwrap();
    secrets.vault.put(Shelf::Store, "s", b"two").unwrap();
    let dropped = spec(&place.load(&secrets, TEXT));
    secrets.ensure(&binds(&dropped)).unwrap();
    secrets.vault.put(Shelf::Store, "s", b"three").unwrap();
    place.load(&secrets, TEXT);
    assert_eq!(secrets.clear(std::iter::once(&kept)), 0, "they are new");
    let two_hours_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7_200);
    let values = place.state.path().join("secrets/values");
    for folder in [&values, &place.folder()] {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            fs::File::open(entry.path()).unwrap().set_modified(two_hours_ago).unwrap();
        }
    }
    // A value and a file of what nobody keeps; that of `three` is wanted now.
    assert_eq!(secrets.clear(std::iter::once(&kept)), 2);
    assert!(binds(&kept).iter().all(|path| Path::new(path).exists()));
    assert_eq!(fs::read_dir(values).unwrap().count(), 3);
    assert!(secrets.vault.has(Shelf::Store, "s"));
}

struct Others;

#[async_trait]
impl RegistryAuth for Others {
    async fn login(&self, registry: &str) -> Result<Option<Login>, String> {
        Ok(Some(Login::IdentityToken(Sensitive::new(format!("of {registry}")))))
    }
}

#[tokio::test]
async fn the_files_word_on_a_login_wins_for_its_host() {
    let place = Place::new();
    let secrets = Arc::new(place.secrets(false));
    secrets.vault.put(Shelf::Store, "r", b"hunter2\n").unwrap();
    let text = "[secrets]\nr.external = true\ngone.external = true\n\
        [credentials.\"registry.example.com\"]\nusername = 'ci'\npassword = 'secret:r'\n\
        [credentials.\"docker.io\"]\ntoken = 'secret:r'\n\
        [credentials.\"github.com\"]\nssh_key = 'secret:r'\n\
        [credentials.\"broken.example.com\"]\ntoken = 'secret:gone'\n";
    place.load(&secrets, text);
    let logins = Logins::new(Arc::clone(&secrets), Arc::new(Others));
    let password = Login::Password { user: "ci".to_owned(), password: Sensitive::new("hunter2") };
    assert_eq!(logins.login("registry.example.com").await, Ok(Some(password)));
    let token = Login::IdentityToken(Sensitive::new("hunter2"));
    assert_eq!(logins.login("index.docker.io").await, Ok(Some(token)), "Docker Hub has several names");
    for other in ["ghcr.io", "github.com"] {
        let theirs = Login::IdentityToken(Sensitive::new(format!("of {other}")));
        assert_eq!(logins.login(other).await, Ok(Some(theirs)));
    }
    let error = logins.login("broken.example.com").await.unwrap_err();
    assert!(error.contains("(shop/web.toml:11)") && error.contains("is not to be had"), "{error}");
}
