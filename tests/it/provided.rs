//! `[secrets]`, `[configs]` and `[credentials]`: what a load asks of the host, and what it makes of the answers.

use std::collections::BTreeMap;

use evenkeel::desired::diagnostic::Diagnostic;
use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::provided::{Answer, Answers, Ask, Cipher, Credential, Origin, Word};
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use evenkeel::desired::spec::{MountSource, ServiceSpec};
use evenkeel::desired::{DesiredState, Wanted, load};
use evenkeel::engine::sim::{Fault, Op};
use evenkeel::state::diff::differences;

use crate::rig::Rig;

const FOLDER: &str = "/run/ek/secrets";

fn snapshot(files: &[(&str, &str)]) -> Snapshot {
    let files = files.iter().map(|(path, text)| {
        (RelPath::new(path).unwrap(), FileContent::Read(text.as_bytes().to_vec().into()))
    });
    Snapshot { root: "/srv/desired".to_owned(), files: files.collect(), ..Snapshot::default() }
}

fn host(answers: Answers) -> HostFacts {
    HostFacts {
        name: "fra1".to_owned(),
        environment: BTreeMap::from([("PASSWORD".to_owned(), "hunter2".to_owned())]),
        provided: FOLDER.to_owned(),
        answers,
        ..HostFacts::default()
    }
}

/// Loads with every question answered by `answer`.
fn answered(files: &[(&str, &str)], answer: impl Fn(&Ask) -> Answer) -> (DesiredState, Vec<Diagnostic>) {
    let snapshot = snapshot(files);
    let (state, _) = load(&snapshot, &host(Answers::default()));
    let answers = asks(&state).into_iter().map(|ask| {
        let given = answer(&ask);
        (ask, given)
    });
    load(&snapshot, &host(Answers::new(answers.collect())))
}

fn asks(state: &DesiredState) -> Vec<Ask> {
    let used = state.provided.iter().filter(|(_, provided)| provided.is_used());
    used.map(|(id, provided)| Ask { id: id.clone(), origin: provided.origin.clone() }).collect()
}

fn spec<'a>(state: &'a DesiredState, service: &str) -> Option<&'a ServiceSpec> {
    match state.services.get(&ServiceId::new("shop", service).unwrap())? {
        Wanted::Run(revision) => Some(&revision.spec),
        Wanted::Frozen(_) => None,
    }
}

fn hash(state: &DesiredState, service: &str) -> String {
    match &state.services[&ServiceId::new("shop", service).unwrap()] {
        Wanted::Run(revision) => revision.hash.to_string(),
        Wanted::Frozen(why) => panic!("{why:?}"),
    }
}

fn path(spec: &ServiceSpec, target: &str) -> String {
    match &spec.container.mounts[target].source {
        MountSource::Bind { path, .. } => path.clone(),
        other => panic!("{other:?}"),
    }
}

fn told(found: &[Diagnostic]) -> Vec<String> {
    found.iter().map(Diagnostic::headline).collect()
}

const SHOP: &str = r#"
[services.web]
image = "web:1"
secrets = ["password", { source = "tls", target = "/etc/tls.pem", uid = 1000, mode = 0o400 }]
configs = ["ini"]
[services.db]
image = "db:1"
secrets = ["password"]
[services.cache]
image = "cache:1"

[secrets]
password = { age = "files/password.age" }
tls = { file = "/etc/ssl/private/app.pem" }
other-hosts = { age = "files/other.age" }

[configs.ini]
content = "port = ${PORT:-8080}\n"
"#;

fn shop() -> Vec<(&'static str, &'static str)> {
    vec![
        ("shop/web.toml", SHOP),
        ("shop/files/password.age", "age-encryption.org/v1"),
        ("shop/files/other.age", "age-encryption.org/v1"),
    ]
}

#[test]
fn only_what_is_used_here_is_asked_for_and_every_content_is_named_in_the_path() {
    let (state, found) = answered(&shop(), |ask| Ok(format!("content-of-{}", ask.id.key)));
    assert_eq!(told(&found), Vec::<String>::new());
    let web = spec(&state, "web").unwrap();
    assert_eq!(path(web, "/run/secrets/password"), format!("{FOLDER}/content-of-password.0444.0.0"));
    assert_eq!(path(web, "/etc/tls.pem"), format!("{FOLDER}/content-of-tls.0400.1000.0"));
    assert_eq!(path(web, "/ini"), format!("{FOLDER}/content-of-ini.0444.0.0"));
    assert!(web.container.mounts.values().all(|mount| mount.read_only));
    assert!(web.source.files.contains("shop/files/password.age"), "{:?}", web.source.files);
    let mut asked: Vec<(String, String)> =
        asks(&state).into_iter().map(|ask| (ask.id.to_string(), format!("{:?}", ask.origin))).collect();
    asked.sort();
    let expected = [
        ("shop/configs/ini", "Here((12 bytes))"),
        ("shop/secrets/password", "Sealed(Age, \"shop/files/password.age\", (21 bytes))"),
        ("shop/secrets/tls", "HostFile(None, \"/etc/ssl/private/app.pem\")"),
    ];
    assert_eq!(asked, expected.map(|(id, origin)| (id.to_owned(), origin.to_owned())));
    let text = format!("{state:?}");
    assert!(!text.contains("8080"), "a content is printed");
}

#[test]
fn a_changed_secret_changes_exactly_the_services_that_use_it() {
    let (before, _) = answered(&shop(), |_| Ok("old".to_owned()));
    let (after, _) = answered(&shop(), |ask| Ok(if ask.id.key == "tls" { "new" } else { "old" }.to_owned()));
    assert_ne!(hash(&before, "web"), hash(&after, "web"));
    assert_eq!(hash(&before, "db"), hash(&after, "db"));
    assert_eq!(hash(&before, "cache"), hash(&after, "cache"));
}

#[test]
fn a_plan_tells_what_changed_by_the_file_and_not_by_where_it_lies() {
    let (before, _) = answered(&shop(), |_| Ok("0123456789abcdef".to_owned()));
    let (after, _) = answered(&shop(), |ask| {
        Ok(if ask.id.key == "tls" { "fedcba9876543210" } else { "0123456789abcdef" }.to_owned())
    });
    let all = differences(spec(&before, "web").unwrap(), spec(&after, "web").unwrap());
    let told: Vec<String> =
        all.iter().map(|one| format!("{} {:?} {:?} {:?}", one.path, one.old, one.new, one.effect)).collect();
    let line =
        "files[/etc/tls.pem] Some(\"01234567, 0400 of 1000:0\") Some(\"fedcba98, 0400 of 1000:0\") Replace";
    assert_eq!(told, [line]);
}

#[test]
fn what_the_host_cannot_give_freezes_who_needs_it_and_nobody_else() {
    let (state, found) = answered(&shop(), |ask| match ask.id.key.as_str() {
        "tls" => Err("there is no file /etc/ssl/private/app.pem on this host".to_owned()),
        _ => Ok("x".to_owned()),
    });
    let line = "shop/web.toml:14:16: error[secret-unavailable]: secret `tls` is not to be had on this host";
    assert_eq!(told(&found), [line]);
    assert_eq!(found[0].helps, ["there is no file /etc/ssl/private/app.pem on this host"]);
    assert!(spec(&state, "web").is_none(), "it is frozen");
    assert!(spec(&state, "db").is_some() && spec(&state, "cache").is_some(), "they stand in the same file");
    assert!(state.broken.is_empty(), "the file itself is as it should be: {:?}", state.broken);
}

#[test]
fn a_file_that_is_told_by_a_signal_keeps_its_path_and_the_hash_while_its_content_changes() {
    let text = SHOP.replace(
        "target = \"/etc/tls.pem\", uid = 1000, mode = 0o400",
        "target = \"/etc/tls.pem\", uid = 1000, mode = 0o400, on_change = \"hup\"",
    );
    let files: Vec<(&str, &str)> = shop()
        .into_iter()
        .map(|(path, old)| (path, if path.ends_with(".toml") { &*text } else { old }))
        .collect();
    let (before, found) = answered(&files, |_| Ok("old".to_owned()));
    assert_eq!(told(&found), Vec::<String>::new());
    let (after, _) = answered(&files, |ask| Ok(if ask.id.key == "tls" { "new" } else { "old" }.to_owned()));
    assert_eq!(hash(&before, "web"), hash(&after, "web"));
    let (old, new) = (spec(&before, "web").unwrap(), spec(&after, "web").unwrap());
    let place = path(old, "/etc/tls.pem");
    assert_eq!(place, path(new, "/etc/tls.pem"));
    assert!(
        place.starts_with(&format!("{FOLDER}/live-")) && place.ends_with("-secret-tls.0400.1000.0"),
        "{place}"
    );
    let [(at, file)] = new.live.files.iter().collect::<Vec<_>>()[..] else { panic!("{:?}", new.live.files) };
    assert_eq!((at, &*file.content, &*file.signal, &*file.shown), (&place, "new", "SIGHUP", "secret tls"));
    // Another container has another file: old and new of an update each keep what they were made for.
    let other = text.replace("web:1", "web:2");
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, old)| (*path, if path.ends_with(".toml") { &*other } else { *old }))
        .collect();
    let (updated, _) = answered(&files, |_| Ok("old".to_owned()));
    assert_ne!(path(spec(&updated, "web").unwrap(), "/etc/tls.pem"), place);
}

#[test]
fn specs_without_them_are_what_they_were() {
    let (state, _) = answered(&shop(), |_| Ok("x".to_owned()));
    let text = serde_json::to_string(spec(&state, "cache").unwrap()).unwrap();
    assert!(!text.contains("files\":{"), "{text}");
}

/// The lines below a service that uses `it`, and what is said: place, slug, a part of the rest.
#[test]
fn a_definition_that_is_none_is_explained_at_its_place() {
    let rows = [
        ("[secrets.it]", "4:1: error[source-missing]: `secrets.it` does not say where it comes from"),
        (
            "[secrets]\nit = { file = \"a\", age = \"b\" }",
            "5:20: error[source-given-twice]: `secrets.it` has two sources: `file` and `age`",
        ),
        (
            "[secrets]\nit = { external = true, environment = \"X\" }",
            "5:8: error[source-given-twice]: `secrets.it` has two sources: `environment` and `external`",
        ),
        ("[secrets]\nit = { external = false }", "5:6: error[source-missing]"),
        (
            "[secrets]\nit = { content = \"hunter2\" }",
            "5:8: error[unsupported-key]: `content` in secrets.it is not supported",
        ),
        ("[secrets]\nit = { agee = \"b\" }", "5:8: error[unknown-key]: unknown key `agee` in secrets.it"),
        (
            "[secrets]\nit = { age = \"files/none.age\" }",
            "5:14: error[missing-file]: `shop/files/none.age` does not exist",
        ),
        ("[secrets]\nit = { age = 7 }", "5:14: error[bad-type]: `secrets.it.age` takes text"),
        ("[secrets]\nit = \"files/x\"", "5:6: error[bad-type]: `secrets.it` takes a table, not text"),
        (
            "[secrets]\nit = { environment = \"$PASSWORD2\" }",
            "error[unset-variable]: variable `PASSWORD2` is not set",
        ),
        (
            "[secrets]\nit = { environment = \"A B\" }",
            "5:22: error[bad-variable]: `secrets.it.environment` takes the name of a variable",
        ),
        (
            "[secrets]\nit = { external = true, name = \"a/b\" }",
            "5:32: error[bad-name]: `a/b` cannot be the name of a secret of the host",
        ),
        (
            "[secrets]\nother = { external = true }",
            "3:13: error[undeclared-secret]: secret `it` is not declared in project `shop`",
        ),
    ];
    for (lines, part) in rows {
        let text = format!(
            "[services.web]\nimage = \"web:1\"\nsecrets = [\"it\"]\n{lines}\n[services.x]\nimage = \"x\"\n"
        );
        let text =
            if lines.starts_with("[secrets]\nother") { text.replace("[\"it\"]", "[\"it\"] ") } else { text };
        let (state, found) = load(&snapshot(&[("shop/web.toml", &text)]), &host(Answers::default()));
        let said = told(&found);
        assert!(said.iter().any(|line| line.contains(part)), "{lines}\n{said:#?}\ninstead of {part}");
        assert_eq!(said.len(), 1, "{lines}\n{said:#?}");
        assert!(spec(&state, "web").is_none(), "{lines}: it runs without its secret");
        assert!(!said[0].contains("hunter2"), "{said:?}");
    }
}

#[test]
fn a_variable_of_the_controller_needs_no_other_leave_than_to_be_named() {
    let text = "[services.web]\nimage = \"a\"\nsecrets = [\"a\", \"b\"]\n[secrets]\na.environment = \"PASSWORD\"\nb.environment = \"ELSEWHERE\"\n";
    let (state, found) = load(&snapshot(&[("shop/web.toml", text)]), &host(Answers::default()));
    assert_eq!(told(&found), Vec::<String>::new(), "without a word: another machine may have it");
    let values: Vec<bool> = asks(&state)
        .iter()
        .map(|ask| match &ask.origin {
            Origin::Variable(_, value) => value.as_ref().is_some_and(|value| value.expose() == b"hunter2"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(values, [true, false]);
}

#[test]
fn questions_are_told_apart_by_what_they_are_about() {
    let ask = |text: &str| {
        let shop = text.as_bytes().to_vec();
        let (state, _) = load(
            &snapshot(&[("shop/web.toml", SHOP), ("shop/files/password.age", text)]),
            &host(Answers::default()),
        );
        let sealed = asks(&state).into_iter().find(|ask| ask.origin.cipher() == Some(Cipher::Age));
        let ask = sealed.unwrap();
        assert!(!format!("{ask:?}").contains(&String::from_utf8(shop).unwrap()));
        ask
    };
    let (one, other) = (ask("age one"), ask("age two"));
    assert_eq!(one.fingerprint("salt"), ask("age one").fingerprint("salt"));
    assert_ne!(one.fingerprint("salt"), other.fingerprint("salt"));
    assert_ne!(one.fingerprint("salt"), one.fingerprint("pepper"));
}

#[test]
fn credentials_take_secrets_by_name() {
    let text = "[services.web]\nimage = \"a\"\n[secrets]\nregistry = { external = true }\n\
        [credentials.\"registry.example.com:5000\"]\nusername = \"ci\"\npassword = \"secret:registry\"\n";
    let (state, found) = answered(&[("shop/web.toml", text)], |_| Ok("content".to_owned()));
    assert_eq!(told(&found), Vec::<String>::new());
    let Credential { username, password, token, place, .. } = &state.credentials["registry.example.com:5000"];
    assert_eq!(username, &Some(Word::Plain("ci".to_owned())));
    assert!(
        matches!(password, Some(Word::Secret(id, name)) if id.key == "registry" && name == "content"),
        "{password:?}"
    );
    assert_eq!((token, &**place), (&None, "shop/web.toml:5"));
    assert_eq!(asks(&state).len(), 1, "a login is a use");
}

#[test]
fn credentials_that_are_none_are_explained() {
    let rows = [
        (
            "password = \"secret:registri\"\nusername = \"ci\"",
            "error[undeclared-secret]: secret `registri` is not declared",
        ),
        ("username = \"ci\"", "error[bad-credential]"),
        ("password = \"secret:registry\"", "error[bad-credential]"),
        (
            "password = \"secret:registry\"\ntoken = \"secret:registry\"\nusername = \"a\"",
            "error[bad-credential]",
        ),
        ("pasword = \"secret:registry\"\nssh_key = \"secret:registry\"", "error[unknown-key]"),
        ("token = \"ghp_hunter2\"", "warning[plain-credential]"),
    ];
    for (lines, part) in rows {
        let text =
            format!("[secrets]\nregistry = {{ external = true }}\n[credentials.\"ghcr.io\"]\n{lines}\n");
        let (_, found) = load(&snapshot(&[("shop/web.toml", &text)]), &host(Answers::default()));
        let said = told(&found);
        assert!(said.len() == 1 && said[0].contains(part), "{lines}\n{said:#?}\ninstead of {part}");
        assert!(!format!("{found:?}").contains("ghp_hunter2"), "{found:?}");
    }
    let twice = |user: &str| {
        format!(
            "[credentials.\"ghcr.io\"]\nusername = \"{user}\"\npassword = \"secret:x\"\n[secrets]\nx.external = true\n"
        )
    };
    let files = [("a/a.toml", twice("one")), ("b/b.toml", twice("two"))];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, &**text)).collect();
    let (_, found) = load(&snapshot(&files), &host(Answers::default()));
    assert!(told(&found)[0].contains("the login for `ghcr.io` is given in two ways"), "{:?}", told(&found));
}

#[test]
fn the_example_of_the_language_loads() {
    let text = include_str!("../fixtures/examples/07-secrets.toml");
    let files = [("vault/app.toml", text), ("vault/files/db-password.age", "age-encryption.org/v1")];
    let (state, found) = load(&snapshot(&files), &host(Answers::default()));
    assert_eq!(told(&found), Vec::<String>::new());
    let id = ServiceId::new("vault", "app").unwrap();
    let Wanted::Run(revision) = &state.services[&id] else { panic!("{:?}", state.services[&id]) };
    let targets: Vec<&str> = revision.spec.container.mounts.keys().map(String::as_str).collect();
    assert_eq!(targets, ["/etc/app/app.ini", "/etc/app/tls.pem", "/run/secrets/db-password"]);
}

const SIGNALLED: &str = "[services.web]\nimage = \"web:1\"\nrestart = \"always\"\n\
    secrets = [{ source = \"tls\", on_change = \"SIGHUP\" }, { source = \"ca\", on_change = \"SIGUSR1\" }]\n\
    [secrets]\ntls.external = true\nca.external = true\n";

/// The signalled service with these contents.
fn signalled(tls: &str, ca: &str) -> DesiredState {
    answered(&[("shop/all.toml", SIGNALLED)], |ask| Ok(if ask.id.key == "tls" { tls } else { ca }.to_owned()))
        .0
}

/// How often something was delivered, and how often a container was made.
fn calls(rig: &Rig) -> (u64, u64) {
    rig.sim.with(|host| (host.calls(Op::Deliver), host.calls(Op::Create)))
}

#[tokio::test(start_paused = true)]
async fn each_change_is_told_once_and_what_may_not_have_been_told_again() {
    let rig = Rig::new();
    rig.apply_with("", |application| application.desired = signalled("1", "1")).await;
    assert_eq!(calls(&rig), (0, 1), "it reads them at its start");
    rig.apply_with("", |application| application.desired = signalled("2", "1")).await;
    assert_eq!(calls(&rig), (1, 1));
    rig.apply_with("", |application| application.desired = signalled("2", "1")).await;
    assert_eq!(calls(&rig), (1, 1), "nothing has changed");
    rig.apply_with("", |application| application.desired = signalled("3", "2")).await;
    assert_eq!(calls(&rig), (3, 1), "two signals are two calls");
    rig.sim.with(|host| host.fail(Op::Deliver, Fault::DoneButUnknown));
    rig.apply_with("", |application| application.desired = signalled("4", "2")).await;
    assert_eq!(calls(&rig), (5, 1), "nobody knows whether it was told: it is told again");
    let steps = rig.watcher.steps.lock().unwrap().clone();
    let line = "give shop-web-1 the new secret tls and send it SIGHUP";
    assert!(steps.iter().any(|step| step.contains(line)), "{steps:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_down_gets_the_new_content_before_it_is_started_and_no_signal() {
    let rig = Rig::new();
    rig.apply_with("", |application| application.desired = signalled("1", "1")).await;
    rig.sim.with(|host| {
        let id = host.containers.values().next().unwrap().id.clone();
        host.stop(&id, None).unwrap();
    });
    rig.apply_with("", |application| application.desired = signalled("2", "2")).await;
    assert_eq!(calls(&rig), (1, 1));
    let steps = rig.watcher.steps.lock().unwrap().clone();
    let given =
        steps.iter().position(|step| step.contains("give shop-web-1 the new secret ca and secret tls"));
    let started = steps.iter().rposition(|step| step.contains("start shop-web-1"));
    assert!(given.is_some() && given < started, "{steps:#?}");
    assert!(!steps.iter().any(|step| step.contains("send it")), "{steps:#?}");
}
