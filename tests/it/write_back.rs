//! Commits made here and pushed, against a repository on the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use evenkeel::desired::recorded::record;
use evenkeel::source::git::{Change, GitError, GitSettings, Login, Remote, Verify, Writing, Written, write};

use crate::support::repository::Repository;

const WEB: &str = "# the shop\n[services.web] # here\nimage = \"r\"\nimage_policy = { semver = \"^1\" }\n";

struct Scene {
    folder: tempfile::TempDir,
    repository: Repository,
    settings: GitSettings,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::new(&folder.path().join("origin"));
        repository.git(&["config", "receive.denyCurrentBranch", "ignore"]);
        repository.write("desired/shop/web.toml", WEB);
        repository.write("desired/shop/other.toml", "[services.db]\nimage = \"d:1\"\n");
        repository.write("README", "text\n");
        repository.commit("Begin");
        let mut settings = GitSettings::new("infra", Remote::new(&repository.url(), Login::None).unwrap());
        settings.path = "desired".to_owned();
        settings.branch = Some("main".to_owned());
        Self { folder, repository, settings }
    }

    fn write(&self, branch: Option<&str>, changes: &[Change]) -> Result<Vec<Written>, GitError> {
        let writing = Writing {
            branch: branch.map(str::to_owned),
            name: "evenkeel".to_owned(),
            email: "ops@example.org".to_owned(),
        };
        write(&self.settings, self.folder.path(), &writing, changes, &Arc::new(AtomicBool::new(false)))
    }

    fn shown(&self, what: &str) -> String {
        self.repository.git(&["show", what])
    }
}

fn change(tag: &str) -> Change {
    let tag = tag.to_owned();
    Change {
        message: format!("shop/web: r {tag}"),
        files: vec!["shop/other.toml".to_owned(), "shop/nowhere.toml".to_owned(), "shop/web.toml".to_owned()],
        edit: Arc::new(move |text| record(text, "services", "web", &tag)),
    }
}

#[test]
fn a_change_is_a_commit_of_its_own_and_is_made_once() {
    let scene = Scene::new();
    let head = scene.repository.head();
    assert_eq!(scene.write(None, &[change("1.2")]).unwrap(), [Written::Pushed]);
    let text = scene.shown("main:desired/shop/web.toml");
    assert_eq!(text, WEB.replace("\"^1\" }", "\"^1\", current = \"1.2\" }").trim());
    let log = scene.repository.git(&["log", "--format=%an <%ae> %cn %s %P", "-1", "main"]);
    assert_eq!(log, format!("evenkeel <ops@example.org> evenkeel shop/web: r 1.2 {head}"));
    assert_eq!(scene.repository.git(&["diff", "--name-only", &head, "main"]), "desired/shop/web.toml");
    assert_eq!(scene.write(None, &[change("1.2")]).unwrap(), [Written::Unchanged]);
    assert_eq!(scene.repository.git(&["rev-list", "--count", "main"]), "2");
    // Two at once are two commits; one that cannot be made keeps nobody back.
    let nowhere = Change { edit: Arc::new(|text| record(text, "services", "nobody", "1")), ..change("x") };
    let written = scene.write(None, &[nowhere, change("1.3")]).unwrap();
    assert!(matches!(&written[0], Written::Impossible(why) if why.contains("image_policy")), "{written:?}");
    assert_eq!(written[1], Written::Pushed);
    assert_eq!(scene.repository.git(&["rev-list", "--count", "main"]), "3");
}

#[test]
fn who_was_faster_wins_and_the_change_is_made_anew_on_what_they_left() {
    let scene = Scene::new();
    let (path, tries) = (scene.repository.path.clone(), Arc::new(AtomicUsize::new(0)));
    let (home, count) = (scene.repository.home().to_owned(), Arc::clone(&tries));
    let raced = Change {
        edit: Arc::new(move |text| {
            if text.contains("services.web") && count.fetch_add(1, Ordering::SeqCst) < 2 {
                // Somebody pushes to the same file while the commit is made.
                let other = Repository::at(&path, &home);
                let number = count.load(Ordering::SeqCst);
                let more = fs::read_to_string(path.join("desired/shop/web.toml")).unwrap();
                other.write("desired/shop/web.toml", &format!("{more}# edit {number}\n"));
                other.commit("Meanwhile");
            }
            record(text, "services", "web", "1.2")
        }),
        ..change("1.2")
    };
    assert_eq!(scene.write(None, &[raced]).unwrap(), [Written::Pushed]);
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    let text = scene.shown("main:desired/shop/web.toml");
    assert!(
        text.contains("# edit 1") && text.contains("# edit 2") && text.contains("current = \"1.2\""),
        "{text}"
    );
    assert_eq!(scene.repository.git(&["rev-list", "--count", "main"]), "4");
}

#[test]
fn another_branch_is_made_continued_and_begun_anew_when_it_was_merged() {
    let scene = Scene::new();
    let branch = Some("evenkeel/images");
    scene.write(branch, &[change("1.2")]).unwrap();
    assert_eq!(scene.repository.git(&["rev-list", "--count", "main"]), "1");
    scene.write(branch, &[change("1.3")]).unwrap();
    assert_eq!(scene.repository.git(&["rev-list", "--count", "evenkeel/images"]), "3");
    scene.repository.git(&["merge", "--quiet", "--no-ff", "-m", "Merge", "evenkeel/images"]);
    scene.write(branch, &[change("1.4")]).unwrap();
    let parent = scene.repository.git(&["rev-parse", "evenkeel/images^"]);
    assert_eq!(parent, scene.repository.git(&["rev-parse", "main"]));
    // Without a name of its own the repository's own branch is meant.
    let mut own = scene;
    own.settings.branch = None;
    assert_eq!(own.write(None, &[change("1.5")]).unwrap(), [Written::Pushed]);
    assert!(own.shown("main:desired/shop/web.toml").contains("1.5"));
}

#[test]
fn a_repository_that_says_no_is_believed() {
    let mut scene = Scene::new();
    let hook = scene.repository.path.join(".git/hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\necho 'main is protected' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let error = scene.write(None, &[change("1.2")]).unwrap_err();
    assert!(error.to_string().contains("protected") || error.to_string().contains("declined"), "{error}");
    assert_eq!(scene.repository.git(&["rev-list", "--count", "main"]), "1");
    fs::remove_file(hook).unwrap();
    // What must be signed is not written to: the next sync would refuse it.
    scene.settings.verify = Verify::Ssh { allowed_signers: "/nowhere".into() };
    let error = scene.write(None, &[change("1.2")]).unwrap_err();
    assert!(error.to_string().contains("signed"), "{error}");
    assert_eq!(scene.write(Some("proposals"), &[change("1.2")]).unwrap(), [Written::Pushed]);
    scene.settings.verify = Verify::Off;
    scene.repository.git(&["tag", "v1"]);
    scene.settings.branch = Some("v1".to_owned());
    let error = scene.write(None, &[change("1.3")]).unwrap_err();
    assert!(error.to_string().contains("a tag is followed"), "{error}");
}
