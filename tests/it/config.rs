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
