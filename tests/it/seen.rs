//! The rarer fields of a report: what somebody set is seen, what an engine adds or forgets by itself is not, and what a container was started with by
//! hand is written down so that it says the same.

use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::spec::{DeviceRequest, Namespace, NetworkMode};
use evenkeel::desired::write;
use evenkeel::engine::convert::observed;
use evenkeel::state::baked::Baked;
use evenkeel::state::diff::container_differences;
use evenkeel::state::seen::{Scope, seen};

use crate::keys::{Good, all_good, file, load_text, spec, spec_of};
use crate::round_trip::{creation, image, inspected};

/// What differs when a container of this definition is reported so.
fn told(lines: &str, change: fn(&mut Baked), scope: Scope) -> Vec<String> {
    let (id, spec, image) = (ServiceId::new("shop", "web").unwrap(), spec(lines), image());
    let found = observed::container(&inspected(&creation(&id, &spec, &image, "me"), false), "me").unwrap();
    let mut baked = Baked::clone(found.baked.as_ref().unwrap());
    change(&mut baked);
    let defaults = image.defaults.as_ref().unwrap();
    let seen = seen(&spec.container, &baked, defaults, &image.volumes, scope);
    let of = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let found = container_differences(&spec.container, &seen);
    found.into_iter().map(|field| format!("{} {} -> {}", field.path, of(field.old), of(field.new))).collect()
}

type Row = (&'static str, fn(&mut Baked), &'static [&'static str], &'static [&'static str]);

#[test]
fn what_somebody_set_of_the_rarer_fields_is_seen_and_what_an_engine_does_by_itself_is_not() {
    // Left: for containers that were made from the definition. Right: for those that others made.
    let table: [Row; 26] = [
        ("", |_| {}, &[], &[]),
        ("", |b| b.extra.tty = true, &["tty false -> true"], &["tty false -> true"]),
        (
            "stdin_open = true",
            |b| b.extra.stdin_open = false,
            &["stdin_open true -> false"],
            &["stdin_open true -> false"],
        ),
        ("", |b| b.extra.ipc = Some(Namespace::Host), &["ipc - -> host"], &["ipc - -> host"]),
        ("", |b| b.extra.ipc = Some(Namespace::Shareable), &[], &[]),
        (
            "ipc = 'host'",
            |b| b.extra.ipc = Some(Namespace::Private),
            &["ipc host -> private"],
            &["ipc host -> private"],
        ),
        ("ipc = 'private'", |b| b.extra.ipc = None, &[], &[]),
        ("pid = 'host'", |b| b.extra.pid = None, &["pid host -> -"], &["pid host -> -"]),
        ("", |b| b.extra.pid = Some(Namespace::Host), &["pid - -> host"], &["pid - -> host"]),
        ("", |b| b.extra.uts = Some("host".to_owned()), &["uts - -> host"], &["uts - -> host"]),
        (
            "userns_mode = 'host'",
            |b| b.extra.userns_mode = None,
            &["userns_mode host -> -"],
            &["userns_mode host -> -"],
        ),
        // Which of the two an engine takes by itself depends on the host.
        ("", |b| b.extra.cgroup = Some("private".to_owned()), &[], &[]),
        (
            "cgroup = 'host'",
            |b| b.extra.cgroup = Some("private".to_owned()),
            &["cgroup host -> private"],
            &["cgroup host -> private"],
        ),
        ("", |b| b.extra.runtime = Some("nvidia".to_owned()), &[], &[]),
        (
            "runtime = 'runc'",
            |b| b.extra.runtime = Some("crun".to_owned()),
            &["runtime runc -> crun"],
            &["runtime runc -> crun"],
        ),
        ("", |b| b.extra.dns_opt = vec!["ndots:2".to_owned()], &[], &["dns_opt [] -> [\"ndots:2\"]"]),
        (
            "group_add = ['video']",
            |b| b.extra.group_add.clear(),
            &["group_add [\"video\"] -> []"],
            &["group_add [\"video\"] -> []"],
        ),
        // Forgotten with a warning where the kernel has no such thing.
        ("mem_swappiness = 10", |b| b.extra.mem_swappiness = None, &[], &[]),
        (
            "mem_swappiness = 10",
            |b| b.extra.mem_swappiness = Some(60),
            &["mem_swappiness 10 -> 60"],
            &["mem_swappiness 10 -> 60"],
        ),
        ("oom_kill_disable = true", |b| b.extra.oom_kill_disable = false, &[], &[]),
        ("blkio_config = { weight = 300 }", |b| b.extra.blkio = Default::default(), &[], &[]),
        (
            "",
            |b| b.extra.blkio.weight = Some(300),
            &["blkio_config.weight - -> 300"],
            &["blkio_config.weight - -> 300"],
        ),
        ("", |b| b.extra.oom_score_adj = Some(-500), &[], &["oom_score_adj - -> -500"]),
        (
            "security_opt = ['systempaths=unconfined']",
            |b| b.unmasked = Some(false),
            &["security_opt.systempaths true -> false"],
            &["security_opt.systempaths true -> false"],
        ),
        // An engine adds an option of its own to containers that live in the host's namespaces.
        ("pid = 'host'", |b| b.security_opt.extend(["label=disable".to_owned()]), &[], &[]),
        (
            "",
            |b| b.extra.device_requests.push(DeviceRequest { count: -1, ..DeviceRequest::default() }),
            &["device requests [] -> [\"all\"]"],
            &["device requests [] -> [\"all\"]"],
        ),
    ];
    let mut wrong = Vec::new();
    for (number, (lines, change, asked, everything)) in table.into_iter().enumerate() {
        for (scope, expected) in [(Scope::Asked, asked), (Scope::Everything, everything)] {
            let got = told(lines, change, scope);
            // Others' words for what nobody asked for are compared in their own rows.
            let got: Vec<&str> = got.iter().map(String::as_str).filter(|line| is_rarer(line)).collect();
            if got != expected {
                wrong.push(format!("row {number}, {scope:?}: `{lines}`: {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        told("volumes_from = ['container:ab']", |b| b.extra.volumes_from.clear(), Scope::Asked).len() == 1
    );
}

/// The image of these tests has its own command, labels and ports, which `Everything` tells too.
fn is_rarer(line: &str) -> bool {
    let common = ["expose", "labels", "volumes", "logging"];
    !common.iter().any(|path| line.starts_with(path))
}

#[test]
fn what_was_started_by_hand_with_the_rarer_fields_is_written_down_as_it_is() {
    let mut tried = 0;
    let mut wrong = Vec::new();
    for Good(lines, ..) in all_good() {
        let Some(mut spec) = spec_of(&load_text(&file(lines)).0) else { continue };
        // What is written down names containers, not services, and of a link the engine's name for it.
        if spec.container.extra == Default::default() || spec.container.extra.ties().next().is_some() {
            continue;
        }
        spec.container.extra.links.clear();
        spec.container.extra.volumes_from.clear();
        // A device by its CDI name is asked for among the devices.
        spec.container.extra.device_requests.retain(|request| request.driver.as_deref() != Some("cdi"));
        if spec.container.network_mode == NetworkMode::Networks {
            spec.container.network_mode = NetworkMode::Bridge;
        }
        spec.container.mounts.clear();
        spec.live = Default::default();
        let text = write::service("web", &spec.container, &spec.live);
        let (state, told) = load_text(&text);
        let again = spec_of(&state).map(|spec| spec.container.extra);
        tried += 1;
        if again.as_ref() != Some(&spec.container.extra) {
            let told: Vec<String> = told.iter().map(|told| told.headline()).collect();
            wrong.push(format!("{lines}\n{text}\n{told:?}\n{again:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n---\n"));
    assert!(tried > 30, "{tried}");
}
