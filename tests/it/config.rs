//! The daemon's settings: which source wins, and what a wrong one is told.

use std::collections::BTreeMap;
use std::path::Path;

use evenkeel::config::{Listen, LogFormat, Settings, Sources, WatchKind};

type Given<'a> = &'a [(&'a str, &'a str)];
type Flags<'a> = &'a [(&'static str, &'a str)];

fn sources(file: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Sources {
    Sources {
        file: (!file.is_empty()).then(|| ("evenkeel.toml".to_owned(), file.to_owned())),
        environment: environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        flags: flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect(),
        local_desired: false,
        host_name: "box1".to_owned(),
    }
}

fn complaint(file: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> String {
    Settings::resolve(&sources(file, environment, flags)).unwrap_err().to_string()
}

#[test]
fn nothing_said_gives_the_defaults() {
    let settings = Settings::resolve(&sources("", &[], &[])).unwrap();
    assert_eq!(settings.desired, Path::new("/etc/evenkeel/desired"));
    assert_eq!(settings.state, Path::new("/var/lib/evenkeel"));
    assert_eq!(settings.socket, Path::new("/var/lib/evenkeel/evenkeel.sock"));
    assert_eq!((settings.instance.as_str(), settings.host.as_str()), ("evenkeel", "box1"));
    assert_eq!(settings.docker_host, None);
    assert_eq!(settings.listen, Listen::On("127.0.0.1:9877".parse().unwrap()));
    assert_eq!((settings.log_format, settings.log_level.as_str()), (LogFormat::Text, "info"));
    assert_eq!((settings.watch, settings.concurrency, settings.pulls), (WatchKind::Inotify, 4, 4));
    assert_eq!(settings.limits, evenkeel::state::decide::Limits::default());
    assert_eq!(settings.intervals.resync_ms, 300_000);
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn a_desired_directory_right_here_is_the_default() {
    let here = Sources { local_desired: true, ..sources("", &[], &[]) };
    assert_eq!(Settings::resolve(&here).unwrap().desired, Path::new("desired"));
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "state = '/file'\nlisten = '127.0.0.1:1'\n[log]\nlevel = 'warn'";
    let environment = [("EVENKEEL_LISTEN", "127.0.0.1:2"), ("EVENKEEL_LOG_LEVEL", "error")];
    let flags = [("log.level", "debug")];
    // (file, environment, flags) -> (state, listen, level)
    let table = [
        (false, false, false, "/var/lib/evenkeel", 9877, "info"),
        (true, false, false, "/file", 1, "warn"),
        (true, true, false, "/file", 2, "error"),
        (true, true, true, "/file", 2, "debug"),
        (false, true, true, "/var/lib/evenkeel", 2, "debug"),
        (true, false, true, "/file", 1, "debug"),
    ];
    for (with_file, with_environment, with_flags, state, port, level) in table {
        let settings = Settings::resolve(&sources(
            if with_file { file } else { "" },
            if with_environment { &environment } else { &[] },
            if with_flags { &flags } else { &[] },
        ))
        .unwrap();
        let case = format!("file {with_file}, environment {with_environment}, flags {with_flags}");
        assert_eq!(settings.state, Path::new(state), "{case}");
        assert_eq!(settings.listen, Listen::On(([127, 0, 0, 1], port).into()), "{case}");
        assert_eq!(settings.log_level, level, "{case}");
        assert_eq!(settings.socket, Path::new(state).join("evenkeel.sock"), "the socket follows: {case}");
    }
}

#[test]
fn every_key_can_stand_in_the_file() {
    let file = r#"
desired = "d"
state = "s"
instance = "one"
host = "h"
docker_host = "tcp://10.0.0.1:2376"
listen = "off"
socket = "/run/e.sock"
watch = "poll"
[log]
format = "json"
level = "info,evenkeel=debug"
[concurrency]
services = 2
pulls = "3"
[limits]
disk_floor = "512MiB"
watch_window = "1m"
watch_restarts = 9
dependency_timeout = "10s"
keep_revisions = 7
[intervals]
resync = "1m"
rescan = "5s"
removal_quiet = "0s"
"#;
    let settings = Settings::resolve(&sources(file, &[], &[])).unwrap();
    assert_eq!((settings.listen, settings.watch), (Listen::Off, WatchKind::Poll));
    assert_eq!(settings.socket, Path::new("/run/e.sock"));
    assert_eq!((settings.concurrency, settings.pulls), (2, 3));
    assert_eq!((settings.limits.disk_floor, settings.limits.watch_ms), (512 << 20, 60_000));
    assert_eq!((settings.limits.watch_restarts, settings.limits.keep_revisions), (9, 7));
    assert_eq!((settings.limits.dependency_ms, settings.limits.removal_quiet_ms), (10_000, 0));
    assert_eq!((settings.intervals.resync_ms, settings.intervals.rescan_ms), (60_000, 5_000));
    assert_eq!(settings.docker_host.as_deref(), Some("tcp://10.0.0.1:2376"));
    assert_eq!((settings.log_format, settings.log_level.as_str()), (LogFormat::Json, "info,evenkeel=debug"));
}

#[test]
fn a_wrong_setting_is_told_with_its_place_and_the_fix() {
    let table: [(&str, Given, Flags, &[&str]); 13] = [
        ("x = 1\nlissten = 'off'", &[], &[], &["evenkeel.toml:1", "evenkeel.toml:2", "did you mean listen?"]),
        ("level = 'info'", &[], &[], &["evenkeel.toml:1", "did you mean log.level?"]),
        ("[log]\nformat = 'xml'", &[], &[], &["evenkeel.toml:2", "log.format", "text or json"]),
        ("log = 'json'", &[], &[], &["[log]"]),
        ("listen = ['a']", &[], &[], &["listen must be text"]),
        ("listen = ", &[], &[], &["evenkeel.toml:1"]),
        ("config = 'x'", &[], &[], &["no setting config"]),
        ("", &[("EVENKEEL_LISTEN", "9877")], &[], &["EVENKEEL_LISTEN", "127.0.0.1:9877"]),
        ("", &[], &[("listen", ":9877")], &["--listen", "0.0.0.0:9877"]),
        ("", &[], &[("log.level", "inof")], &["--log-level", "info"]),
        ("", &[], &[("concurrency.services", "0")], &["--concurrency", "1 to 256"]),
        ("", &[], &[("docker_host", "/var/run/docker.sock")], &["--docker-host", "unix://"]),
        (
            "[limits]\ndisk_floor = '1 gigglebyte'\nwatch_window = 5",
            &[],
            &[],
            &["evenkeel.toml:2", "1GiB", "evenkeel.toml:3", "15m"],
        ),
    ];
    for (file, environment, flags, parts) in table {
        let said = complaint(file, environment, flags);
        for part in parts {
            assert!(said.contains(part), "{file:?} {environment:?} {flags:?}\n{said}\nlacks {part:?}");
        }
    }
}

#[test]
fn an_unknown_variable_of_ours_is_a_warning_with_a_suggestion() {
    let settings = Settings::resolve(&sources("", &[("EVENKEEL_DESIERD", "x")], &[])).unwrap();
    assert_eq!(settings.warnings.len(), 1);
    assert!(settings.warnings[0].contains("did you mean EVENKEEL_DESIRED?"), "{:?}", settings.warnings);
}

/// The sources as people would be shown them, by name.
fn from(file: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Vec<String> {
    let settings = Settings::resolve(&sources(file, environment, flags)).unwrap();
    settings.sources.iter().map(|source| format!("{} {}", source.name(), source.shown())).collect()
}

#[test]
fn where_the_desired_state_comes_from() {
    let both = "[source.infra]\nurl = 'https://h/i.git'\nbranch = 'main'\npath = 'hosts'\n[source.local]\ndir = '/srv/local'";
    let infra = "infra https://h/i.git#main:hosts";
    assert_eq!(from("", &[], &[]), ["desired /etc/evenkeel/desired"]);
    assert_eq!(from(both, &[], &[]), [infra, "local /srv/local"]);
    assert_eq!(from(&format!("desired = '/d'\n{both}"), &[], &[]), ["desired /d", infra, "local /srv/local"]);
    // What is named for this run stands instead of what the file lists.
    assert_eq!(from(both, &[], &[("desired", "/mine")]), ["desired /mine"]);
    assert_eq!(from(both, &[("EVENKEEL_DESIRED", "/mine")], &[]), ["desired /mine"]);
    assert_eq!(from(both, &[], &[("repo", "/srv/o.git"), ("branch", "next")]), ["git /srv/o.git#next"]);
    assert_eq!(
        from(both, &[], &[("repo", "https://h/i.git"), ("branch", "next")]),
        ["infra https://h/i.git#next:hosts"]
    );
    assert_eq!(
        from(both, &[], &[("branch", "next")]),
        ["infra https://h/i.git#next:hosts", "local /srv/local"]
    );
    assert_eq!(from("repo = '/srv/o.git'\npath = 'a'", &[], &[]), ["git /srv/o.git:a"]);
}

#[test]
fn a_wrong_source_is_told_with_its_line() {
    for (file, line, told) in [
        ("[source.infra]\nurk = 'x'", 2, "did you mean url?"),
        ("[source.infra]\nbranch = 'main'", 1, "needs dir = "),
        ("[source.infra]\nurl = 'https://h/p'\nbranch = 'a..b'", 3, "no name of a branch"),
        ("[source.infra]\nurl = 'https://h/p'\npath = '../up'", 3, "a folder below the root"),
        ("[source.infra]\nurl = 'https://h/p'\npoll = '1s'", 3, "the least is 10 s"),
        ("[source.infra]\nurl = 'ext::sh -c id'", 2, "no address"),
        ("[source.infra]\nurl = 'https://u:secret@h/p'", 2, "token_file"),
        ("[source.infra]\nurl = 'http://h/p'\ntoken_file = '/t'", 2, "plain http"),
        ("[source.infra]\nurl = 'git@h:p'\ntoken_file = '/t'", 2, "token_file is for https"),
        ("[source.infra]\nurl = 'https://h/p'\nssh_key_file = '/t'", 2, "ssh_key_file is for ssh"),
        (
            "[source.infra]\nurl = 'https://h/p'\nkeyring_file = '/k'\nallowed_signers_file = '/a'",
            2,
            "one is used",
        ),
        ("[source.infra]\ndir = '/d'\nbranch = 'main'", 2, "has no `branch`"),
        ("[source.Infra]\ndir = '/d'", 1, "cannot name a source"),
        ("[source]\ninfra = '/d'", 2, "must be a table"),
        ("source = '/d'", 1, "must be tables"),
        ("[source.infra]\nurl = ['https://h/p']", 2, "must be text"),
    ] {
        let found = complaint(file, &[], &[]);
        assert!(
            found.contains(&format!("evenkeel.toml:{line}: ")) && found.contains(told),
            "{file}\n{found}"
        );
        assert!(!found.contains("secret@"), "{found}");
    }
    let found = complaint("", &[], &[("branch", "main")]);
    assert!(found.contains("name it with --repo"), "{found}");
}
