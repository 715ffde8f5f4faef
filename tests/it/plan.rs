//! The decision table: one service, what is wanted, remembered and seen, and the plan that must follow. The cases are in
//! `tests/it/plan/*.txt` and read like a manual; `PLAN_PRINT=1` prints what each case gives now.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use evenkeel::desired::hooks::HookPoint;
use evenkeel::desired::ident::{ServiceId, ServiceName};
use evenkeel::desired::load;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use evenkeel::desired::spec::{Resources, RestartPolicy, ServiceSpec};
use evenkeel::desired::timing::Window;
use evenkeel::desired::work::schedule::Schedule;
use evenkeel::desired::{Paused, Revision, Wanted, diagnostic, hash::SpecHash};
use evenkeel::state::decide::{Inputs, Limits, Removal, decide};
use evenkeel::state::hooks::run::{HookEnd, HookKey, HookRun};
use evenkeel::state::observed::*;
use evenkeel::state::plan::{Failure, Next, Planned, Step};
use evenkeel::state::probe::ProbeSeen;
use evenkeel::state::record::*;
use evenkeel::state::space::Space;
use evenkeel::state::time::{EngineStamp, Mono, Now, Timestamp};

const OWNER: &str = "test";
const NOW_MS: u64 = 1_000_000;
const NOW_WALL: i64 = 1_800_000_000_000;

/// One case: sections of lines.
#[derive(Debug, Default)]
struct Case {
    title: String,
    place: String,
    sections: BTreeMap<String, Vec<String>>,
}

impl Case {
    fn lines(&self, section: &str) -> &[String] {
        self.sections.get(section).map_or(&[], Vec::as_slice)
    }
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/plan");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let mut section = String::new();
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            if let Some(title) = line.strip_prefix("## ") {
                let place = format!("{}:{}", file.file_name().unwrap().to_string_lossy(), number + 1);
                cases.push(Case { title: title.to_owned(), place, ..Case::default() });
            } else if line.starts_with('#') || line.trim().is_empty() || cases.is_empty() {
                // Prose.
            } else if line.starts_with("    ") {
                cases
                    .last_mut()
                    .unwrap()
                    .sections
                    .entry(section.clone())
                    .or_default()
                    .push(line.trim().to_owned());
            } else {
                section = line.trim().to_owned();
                cases.last_mut().unwrap().sections.entry(section.clone()).or_default();
            }
        }
    }
    cases
}

/// Everything a case says, ready for `decide`.
struct World {
    id: ServiceId,
    /// The wanted service as written, without its image.
    body: String,
    desired: Option<Wanted>,
    removal_held: Option<String>,
    paused: Option<(String, Option<i64>)>,
    window: Option<Window>,
    observed: ObservedService,
    record: Record,
    memo: Memo,
    limits: Limits,
    /// What a revision is called in the table: the image's tag, as in `web:2`.
    names: BTreeMap<String, String>,
}

fn image_id(reference: &str) -> ImageId {
    let mut digits = reference.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    digits.extend(std::iter::repeat_n('0', 64_usize.saturating_sub(digits.len())));
    ImageId(format!("sha256:{}", digits.get(..64).unwrap()))
}

fn container_id(name: &str) -> ContainerId {
    let mut digits = name.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    digits.extend(std::iter::repeat_n('0', 64_usize.saturating_sub(digits.len())));
    let tail = digits.len().saturating_sub(64);
    ContainerId(digits.get(tail..).unwrap().to_owned())
}

fn facts(reference: &str, options: &[&str]) -> ImageFacts {
    ImageFacts {
        id: image_id(reference),
        digests: Vec::new(),
        tags: vec![reference.to_owned()],
        has_healthcheck: false,
        size: 1 << 20,
        architecture: "amd64".to_owned(),
        volumes: options
            .iter()
            .filter_map(|option| option.strip_prefix("volume="))
            .map(str::to_owned)
            .collect(),
        defaults: None,
    }
}

fn spec_of(body: &str) -> ServiceSpec {
    let text = format!(
        "[services.web]\n{body}\n[services.db]\nimage = \"db:1\"\n[services.vpn]\nimage = \"vpn:1\"\n[volumes]\ndata = {{}}\n[networks]\nfront = {{}}\nback = {{}}\n"
    );
    let files = BTreeMap::from([(
        RelPath::new("shop/web.toml").unwrap(),
        FileContent::Read(text.into_bytes().into()),
    )]);
    let snapshot = Snapshot { files, root: "/desired".to_owned(), ..Snapshot::default() };
    let (desired, diagnostics) =
        load(&snapshot, &HostFacts { name: "host".to_owned(), ..HostFacts::default() });
    match desired.services.get(&ServiceId::new("shop", "web").unwrap()) {
        Some(Wanted::Run(revision)) => ServiceSpec::clone(&revision.spec),
        other => {
            panic!("{other:?}: {:?}\n{body}", diagnostics.iter().map(|d| d.headline()).collect::<Vec<_>>())
        }
    }
}

fn seconds(text: &str) -> u64 {
    let number: f64 = text.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("seconds: {text}"));
    (number * 1000.0) as u64
}

fn failure(text: &str) -> Failure {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .unwrap_or_else(|_| panic!("failure: {text}"))
}

fn policy(text: &str) -> RestartPolicy {
    match text {
        "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure { max_retries: 0 },
        other => panic!("restart policy {other}"),
    }
}

impl World {
    fn new(case: &Case) -> Self {
        let body = case.lines("service").join("\n");
        let mut world = Self {
            id: ServiceId::new("shop", "web").unwrap(),
            body,
            desired: None,
            removal_held: None,
            paused: None,
            window: None,
            observed: ObservedService { session: EngineSession(1), ..ObservedService::default() },
            record: Record::default(),
            memo: Memo::default(),
            limits: Limits::default(),
            names: BTreeMap::new(),
        };
        world.read_desired(case);
        world.read_host(case);
        world.read_record(case);
        for reference in case.lines("host").iter().filter_map(|line| line.trim().strip_prefix("pruned ")) {
            world.observed.kept_images.remove(&image_id(reference));
        }
        for line in case.lines("observed") {
            world.read_container(line);
        }
        for line in case.lines("memo") {
            world.read_memo(line);
        }
        world
    }

    fn read_desired(&mut self, case: &Case) {
        let paused = case.lines("paused");
        let until = paused.iter().find_map(|line| line.strip_prefix("until "));
        let until = until.map(|stamp| stamp.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        self.paused = paused.first().map(|place| (place.clone(), until));
        if let [schedule, timezone] = case.lines("window") {
            self.window = Some(Window {
                schedule: Schedule::parse(schedule).unwrap(),
                timezone: timezone.clone(),
                place: "fleet.toml, policy.window".to_owned(),
            });
        }
        if case.sections.contains_key("unwanted") {
            self.removal_held = case.lines("unwanted").first().filter(|line| *line != "allowed").cloned();
            return;
        }
        if case.sections.contains_key("frozen") {
            let fault = diagnostic::Diagnostic::error("syntax", diagnostic::Span::default(), "broken", "");
            self.desired = Some(Wanted::Frozen(vec![fault]));
            self.observed.networks.insert("shop_default".to_owned(), vec![network("shop_default")]);
            return;
        }
        let spec = spec_of(&self.body);
        self.observed.image = Some(facts(&spec.container.image, &[]));
        for name in spec.live.networks.keys() {
            self.observed.networks.insert(name.clone(), vec![network(name)]);
        }
        self.observed.volumes.insert("shop_data".to_owned(), Some(volume("shop_data")));
        self.record.source.clone_from(&spec.source.file);
        let revision = Revision::of(spec);
        self.record.wish = Some(revision.wish.clone());
        self.desired = Some(Wanted::run(revision));
    }

    /// The spec as it was when its image was `image`.
    fn spec_with(&self, image: &str) -> ServiceSpec {
        let mut lines: Vec<&str> = self.body.lines().filter(|line| !line.starts_with("image")).collect();
        let own = format!("image = \"{image}\"");
        lines.insert(0, &own);
        spec_of(&lines.join("\n"))
    }

    fn revision(&mut self, image: &str) -> RevisionId {
        let spec = self.spec_with(image);
        let id = RevisionId::of(&SpecHash::of(&spec.container), &image_id(image));
        self.names.insert(id.short().to_owned(), image.to_owned());
        id
    }

    fn read_host(&mut self, case: &Case) {
        for line in case.lines("host") {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["image", "absent"] => self.observed.image = None,
                ["image", reference, options @ ..] => self.observed.image = Some(facts(reference, options)),
                // Taken from what the record keeps, which is read later.
                ["pruned", _] => {}
                ["foreign", name, rest @ ..] => {
                    let compose_project = rest.first().map(|word| (*word).to_owned());
                    let holder = NameHolder { id: container_id("foreign"), owner: None, compose_project };
                    self.observed.name_holders.insert((*name).to_owned(), holder);
                }
                ["network", "missing", name] => {
                    self.observed.networks.insert((*name).to_owned(), Vec::new());
                }
                ["network", name] => {
                    self.observed.networks.insert((*name).to_owned(), vec![network(name)]);
                }
                ["volume", "missing", name] => {
                    self.observed.volumes.insert((*name).to_owned(), None);
                }
                ["exec", exec, state @ ..] => {
                    let seen = match state {
                        ["made"] => ExecSeen { running: false, code: None },
                        ["running"] => ExecSeen { running: true, code: None },
                        ["ended", code] => ExecSeen { running: false, code: Some(code.parse().unwrap()) },
                        other => panic!("exec {other:?}"),
                    };
                    self.observed.execs.insert(ExecId((*exec).to_owned()), Some(seen));
                }
                ["disk", mib] => {
                    let free = mib.parse::<u64>().unwrap() << 20;
                    self.observed.disk_free = Some(Space { free, total: 100 << 30 });
                }
                ["session", number] => self.observed.session = EngineSession(number.parse().unwrap()),
                ["parent", name, rest @ ..] => self.observed.parent = Some(parent(name, rest)),
                ["tied", name, container, rest @ ..] => {
                    let name = evenkeel::desired::ident::ServiceName::new(name).unwrap();
                    self.observed.tied.insert(name, parent(container, rest));
                }
                ["mounted", reference, here] => {
                    self.observed.mounted_images.insert((*reference).to_owned(), *here == "here");
                }
                ["dependency", name, progress] => self.read_dependency(name, progress, "db-1"),
                ["dependency", name, progress, container] => self.read_dependency(name, progress, container),
                ["kept-tag", reference] => {
                    let tag = self.revision(reference).short().to_owned();
                    self.observed.keep_tags.insert(tag, image_id(reference));
                }
                ["stray-tag", tag] => {
                    self.observed.keep_tags.insert((*tag).to_owned(), image_id("stray:1"));
                }
                other => panic!("{}: host line {other:?}", case.place),
            }
        }
    }

    fn read_dependency(&mut self, name: &str, progress: &str, container: &str) {
        let progress = match progress {
            "pending" => DependencyProgress::Pending,
            "running" => DependencyProgress::Running,
            "healthy" => DependencyProgress::Healthy,
            "running-without-check" => DependencyProgress::RunningWithoutCheck,
            "completed" => DependencyProgress::Completed,
            "failed" => DependencyProgress::Failed,
            other => panic!("progress {other}"),
        };
        let serving = BTreeMap::from([(container_id(container), Some(EngineStamp(1)))]);
        let state = DependencyState { desired: true, progress, serving };
        self.observed.dependencies.insert(ServiceName::new(name).unwrap(), state);
    }

    fn keep(&mut self, image: &str, verdict: RevisionVerdict) -> RevisionId {
        let id = self.revision(image);
        let spec = self.spec_with(image);
        self.observed.kept_images.insert(image_id(image), facts(image, &[]));
        self.observed.keep_tags.insert(id.short().to_owned(), image_id(image));
        self.record.sequence += 1;
        let good = verdict == RevisionVerdict::Good;
        self.record.revisions.push(KeptRevision {
            id: id.clone(),
            number: self.record.sequence,
            hash: SpecHash::of(&spec.container),
            spec: std::sync::Arc::new(spec),
            image: image_id(image),
            digest: None,
            pulled: false,
            verdict,
            cause: format!("{image} was wanted"),
            since: Timestamp(1),
            good_since: good.then_some(Timestamp(1)),
            evidence: None,
        });
        id
    }

    fn read_record(&mut self, case: &Case) {
        for line in case.lines("record") {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["good", image] => self.record.good = Some(self.keep(image, RevisionVerdict::Good)),
                ["kept", image] => drop(self.keep(image, RevisionVerdict::Good)),
                ["pulled", image] => {
                    let id = self.keep(image, RevisionVerdict::Good);
                    let kept = self.record.revisions.iter_mut().find(|kept| kept.id == id).unwrap();
                    kept.pulled = true;
                }
                ["intent", image] => self.record.intent = Some(self.keep(image, RevisionVerdict::Candidate)),
                ["rejected", image, reason @ ..] => {
                    let at = Timestamp(2);
                    drop(self.keep(image, RevisionVerdict::Rejected { reason: reason.join(" "), at }));
                }
                ["rolling-back", image] => self.record.rolling_back = Some(self.revision(image)),
                ["watch", image, "previous", previous] => {
                    let (revision, previous) = (self.revision(image), Some(self.revision(previous)));
                    self.record.watch = Some(Watch { revision, previous });
                }
                ["awaiting", image, rest @ ..] => {
                    let revision = self.keep(image, RevisionVerdict::Candidate);
                    let window = rest == ["window"];
                    self.record.awaiting = Some(Awaiting { revision, since: Timestamp(2), window });
                }
                ["hurried", image] => {
                    self.record.hurried = Some(self.keep(image, RevisionVerdict::Candidate));
                }
                ["approved", image] => {
                    self.record.approved = Some(self.keep(image, RevisionVerdict::Candidate));
                }
                ["began", point, index, image, rest @ ..] => {
                    let run = self.hook(point, index, image, rest, None);
                    self.record.hooks.push(run);
                }
                ["ended", point, index, image, "in", name, "with", code] => {
                    let end = Some(HookEnd::Code(code.parse().unwrap()));
                    let run = self.hook(point, index, image, &["in", name], end);
                    self.record.hooks.push(run);
                }
                ["to-greet", name] => drop(self.record.to_greet.insert(container_id(name))),
                ["owed", point, image] => {
                    let revision = self.revision(image);
                    self.record.owed.push((hook_point(point), revision));
                }
                ["applied", name, image] => {
                    let live = self.spec_with(image).live;
                    let networks =
                        live.networks.keys().map(|name| (name.clone(), format!("id-of-{name}"))).collect();
                    self.record
                        .applied
                        .insert(container_id(name), evenkeel::state::record::Applied { live, networks });
                }
                ["replaced-for", path] => {
                    self.record.replaced_for.insert((*path).to_owned(), EngineStamp(0));
                }
                ["stopped", name] => drop(self.record.stopped.insert(container_id(name))),
                ["completed", image] => self.record.completed = Some(self.revision(image)),
                ["unsettled", name, op, "session", session, more @ ..] => {
                    assert!(matches!(more, [] | ["repeated"]), "{more:?}");
                    self.record.unsettled.push(Unsettled {
                        container: container_id(name),
                        op: if *op == "start" { UnsettledOp::Start } else { UnsettledOp::Promote },
                        session: EngineSession(session.parse().unwrap()),
                        started_at: None,
                        repeated: !more.is_empty(),
                    });
                }
                ["hold", "rollback", image] => {
                    let until_wish_changes = self.record.wish.clone();
                    self.hold(Some(image), until_wish_changes, None);
                }
                ["hold", "rollback-of-another-wish", image] => {
                    self.hold(Some(image), Some("other".to_owned()), None)
                }
                ["hold"] => self.hold(None, None, None),
                ["hold", "expired"] => self.hold(None, None, Some(Timestamp(1))),
                ["hold", "for", time] => {
                    let end = NOW_WALL + i64::try_from(seconds(time)).unwrap();
                    self.hold(None, None, Some(Timestamp(end)));
                }
                ["wish", "changed"] => self.record.wish = Some("another".to_owned()),
                ["under", name, container] => {
                    let serving = BTreeMap::from([(container_id(container), Some(EngineStamp(1)))]);
                    self.record.started_under.insert((*name).to_owned(), serving);
                }
                other => panic!("{}: record line {other:?}", case.place),
            }
        }
    }

    fn hook(
        &mut self,
        point: &str,
        index: &str,
        image: &str,
        rest: &[&str],
        end: Option<HookEnd>,
    ) -> HookRun {
        let (container, exec) = match rest {
            [] => (None, None),
            ["in", name] => (Some(container_id(name)), None),
            ["in", name, "as", exec] => (Some(container_id(name)), Some(ExecId((*exec).to_owned()))),
            other => panic!("hook {other:?}"),
        };
        let revision = self.revision(image);
        let key = HookKey { point: hook_point(point), index: index.parse().unwrap(), revision, container };
        HookRun { key, began: Timestamp(NOW_WALL), exec, end, output: None }
    }

    fn hold(&mut self, image: Option<&str>, until_wish_changes: Option<String>, expires: Option<Timestamp>) {
        let revision = image.map(|image| self.revision(image));
        self.record.hold = Some(Hold {
            revision,
            until_wish_changes,
            expires,
            reason: "by hand".to_owned(),
            since: Timestamp(3),
        });
    }

    /// `NAME IMAGE STATUS [option...]`
    fn read_container(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, image, status, options @ ..] = words.as_slice() else { panic!("container line {line}") };
        let spec = self.spec_with(image);
        let started = *status != "created";
        let slot = name.split('.').next().unwrap().rsplit('-').next().unwrap().parse().unwrap_or(1);
        let mut container = ObservedContainer {
            id: container_id(name),
            name: (*name).to_owned(),
            labels: OwnLabels {
                owner: OWNER.to_owned(),
                service: self.id.clone(),
                slot,
                revision: self.revision(image),
                spec: SpecHash::of(&spec.container),
                image: image_id(image),
                image_ref: (*image).to_owned(),
                image_digest: None,
                source: String::new(),
                hook: None,
                job: None,
            },
            status: serde_json::from_value(serde_json::Value::String((*status).to_owned())).unwrap(),
            exit_code: 0,
            error: String::new(),
            oom_killed: false,
            started_at: started.then_some(EngineStamp(1_000_000_000)),
            finished_at: (*status == "exited").then_some(EngineStamp(3_500_000_000)),
            created_at: EngineStamp(i64::from(slot)),
            restart_count: 0,
            health: Health::None,
            health_log: String::new(),
            restart: RestartPolicy::No,
            resources: spec.live.resources.clone(),
            networks: spec.live.networks.keys().map(|name| (name.clone(), endpoint(name))).collect(),
            network_mode: "default".to_owned(),
            tied: BTreeSet::new(),
            image: image_id(image),
            volumes: BTreeMap::new(),
            stop_timeout: spec.container.stop_grace_period,
            probe: None,
            baked: None,
        };
        for option in options {
            self.option(&mut container, option);
        }
        self.record.containers.insert(container.id.clone());
        match container.labels.hook {
            Some(_) => self.observed.hooks.push(container),
            None => self.observed.containers.push(container),
        }
    }

    fn option(&self, container: &mut ObservedContainer, option: &str) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            "policy" => container.restart = policy(value),
            "exit" => container.exit_code = value.parse().unwrap(),
            "health" => {
                container.health =
                    serde_json::from_value(serde_json::Value::String(value.to_owned())).unwrap()
            }
            "probe" => {
                let health: Health =
                    serde_json::from_value(serde_json::Value::String(value.to_owned())).unwrap();
                let last = "connection refused".to_owned();
                container.health = health;
                container.probe = Some(ProbeSeen { health, last, failures: 0, rounds: 0 });
            }
            "rounds" => container.probe.as_mut().unwrap().rounds = value.parse().unwrap(),
            "hook" => container.labels.hook = Some(value.to_owned()),
            "restarts" => container.restart_count = value.parse().unwrap(),
            "started" => {
                container.started_at = Some(EngineStamp(value.parse::<i64>().unwrap() * 1_000_000_000))
            }
            "error" => container.error = value.replace('_', " "),
            "oom" => container.oom_killed = true,
            "memory" => container.resources.memory = Some(value.parse::<u64>().unwrap() << 20),
            "parent" => container.network_mode = format!("container:{}", container_id(value).0),
            "tied" => drop(container.tied.insert(container_id(value).0)),
            "linked" => drop(container.tied.insert(value.to_owned())),
            "address" => container
                .networks
                .values_mut()
                .for_each(|endpoint| endpoint.settings.ipv4_address = Some(value.to_owned())),
            "mac" => container
                .networks
                .values_mut()
                .for_each(|endpoint| endpoint.settings.mac_address = Some(value.to_owned())),
            "off" => drop(container.networks.remove(value)),
            "on" => drop(container.networks.insert(value.to_owned(), endpoint(value))),
            "alias" => container
                .networks
                .values_mut()
                .for_each(|endpoint| endpoint.aliases.extend([value.to_owned()])),
            "anonymous" => drop(container.volumes.insert(value.to_owned(), "anon1".to_owned())),
            other => panic!("container option {other}"),
        }
    }

    fn read_memo(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ago = |text: &str| Mono(NOW_MS - seconds(text));
        match words.as_slice() {
            ["gate", name, "open", since, rest @ ..] => {
                let id = container_id(name);
                let seen = self.observed.containers.iter().find(|container| container.id == id);
                let unseen = rest.contains(&"unseen");
                let window = GateWindow {
                    since: ago(since),
                    session: EngineSession(1),
                    started_at: if unseen { None } else { seen.and_then(|container| container.started_at) },
                    restart_count: if rest.contains(&"restarted") {
                        7
                    } else {
                        seen.map_or(0, |container| container.restart_count)
                    },
                    passed: rest.iter().any(|word| word.starts_with("passed")),
                    passed_at: rest.iter().find_map(|word| word.strip_prefix("passed=")).map(ago),
                    ended: rest.contains(&"ended"),
                };
                self.memo.gates.insert(id, window);
            }
            ["fight", group, count, "last", last] => {
                let group = evenkeel::desired::spec::DriftGroup::ALL
                    .into_iter()
                    .find(|known| known.as_str() == *group)
                    .unwrap();
                let fight = evenkeel::state::record::Fight { count: count.parse().unwrap(), last: ago(last) };
                self.memo.fights.insert(group, fight);
            }
            ["starts", name, count, "last", last] => drop(self.memo.starts.insert(
                container_id(name),
                Attempts {
                    count: count.parse().unwrap(),
                    last: ago(last),
                    kind: Failure::Internal,
                    text: String::new(),
                },
            )),
            ["refused", name, count, kind, "last", last] => drop(self.memo.starts.insert(
                container_id(name),
                Attempts {
                    count: count.parse().unwrap(),
                    last: ago(last),
                    kind: failure(kind),
                    text: format!("the engine said {kind}"),
                },
            )),
            ["pull-failed", count, kind, "last", last] => {
                let text = format!("the registry said {kind}");
                self.memo.pull = Some(Attempts {
                    count: count.parse().unwrap(),
                    last: ago(last),
                    kind: failure(kind),
                    text,
                });
            }
            ["pulled", reference, "last", last] => {
                self.memo.pulled = Some(((*reference).to_owned(), ago(last)))
            }
            ["trouble", count, kind, "last", last] => {
                let text = format!("the engine said {kind}");
                self.memo.trouble = Some(Attempts {
                    count: count.parse().unwrap(),
                    last: ago(last),
                    kind: failure(kind),
                    text,
                });
            }
            ["housekeeping-failed", "last", last] => {
                self.memo.housekeeping = Some(Attempts {
                    count: 1,
                    last: ago(last),
                    kind: Failure::Conflict,
                    text: String::new(),
                });
            }
            ["watch", since, "starts", starts] => {
                self.memo.watch_since = Some(ago(since));
                self.memo.watch_starts = starts.parse().unwrap();
                let ids = self.observed.containers.iter().map(|container| (container.id.clone(), 0));
                self.memo.watch_base = ids.collect();
            }
            ["slot-passed", ago_text] => self.memo.slot_passed_at = Some(ago(ago_text)),
            ["waiting", since] => self.memo.waiting_since = Some(ago(since)),
            other => panic!("memo line {other:?}"),
        }
    }

    fn decide(&self) -> evenkeel::state::decide::Decision {
        let removal = self.removal_held.as_deref().map_or(Removal::Allowed, Removal::Held);
        decide(Inputs {
            id: &self.id,
            owner: OWNER,
            desired: self.desired.as_ref(),
            removal,
            paused: self.paused.as_ref().map(|(why, until)| Paused { why, until: *until }),
            window: self.window.as_ref(),
            observed: &self.observed,
            record: &self.record,
            memo: &self.memo,
            refs_in_use: &BTreeSet::new(),
            now: Now { wall: Timestamp(NOW_WALL), mono: Mono(NOW_MS) },
            limits: self.limits,
        })
    }

    /// Ids become names, and hashes the images they stand for.
    fn named(&self, id: &ContainerId) -> String {
        let mut all = self.observed.containers.iter().chain(&self.observed.hooks);
        let found = all.find(|container| container.id == *id);
        found.map_or_else(|| id.short().to_owned(), |container| container.name.clone())
    }

    fn readable(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (hash, image)| text.replace(hash.as_str(), image))
    }

    fn printed(&self, planned: &Planned) -> String {
        let named = |id| self.named(id);
        let text = match &planned.step {
            Step::Pull { image, .. } => format!("pull {image}"),
            Step::Keep { tag, .. } => format!("keep {tag}"),
            Step::Untag { reference } => format!("untag {reference}"),
            Step::CreateNetwork(network) => format!("create network {}", network.name),
            Step::CreateVolume(volume) => format!("create volume {}", volume.name),
            Step::Create(creation) => self.printed_creation(creation),
            Step::Start { id } => format!("start {}", named(id)),
            Step::Stop { id, grace } => format!(
                "stop {}{}",
                named(id),
                grace.map(|grace| format!(" within {grace} s")).unwrap_or_default()
            ),
            Step::SetRestart { id, policy } => {
                let policy = serde_json::to_value(policy).unwrap();
                format!(
                    "set restart of {} to {}",
                    named(id),
                    policy.as_str().map_or_else(|| policy.to_string(), str::to_owned)
                )
            }
            Step::SetResources { id, resources } => {
                format!("set limits of {} to {}", named(id), limits(resources))
            }
            Step::Deliver { id, files, signal } => {
                let contents: Vec<String> =
                    files.values().map(|file| format!("{} {}", file.shown, file.content)).collect();
                let signal = signal.as_deref().map(|signal| format!(" with {signal}")).unwrap_or_default();
                format!("deliver {} to {}{signal}", contents.join(", "), named(id))
            }
            Step::Rename { id, name } => format!("rename {} to {name}", named(id)),
            Step::Connect { id, network, .. } => format!("connect {} to {network}", named(id)),
            Step::Disconnect { id, network, .. } => format!("disconnect {} from {network}", named(id)),
            Step::MakeExec { key, id, .. } => format!("make {key} in {}", named(id)),
            Step::StartExec { key, id, limit_ms, .. } => {
                format!("run {key} in {} within {}", named(id), evenkeel::state::gate::seconds(*limit_ms))
            }
            Step::SaveLogs { id, .. } => format!("save logs of {}", named(id)),
            Step::Remove { id, dead } => {
                format!("remove {}{}", named(id), if *dead { " by force" } else { "" })
            }
            Step::RemoveNetwork { name, .. } => format!("remove network {name}"),
        };
        self.readable(&text)
    }

    fn printed_creation(&self, creation: &evenkeel::state::plan::Creation) -> String {
        let mut text = format!("create {} from {}", creation.name, creation.labels.image_ref);
        if let Some(parent) = &creation.parent {
            let known = ["vpn-1", "vpn-2"].into_iter().find(|name| container_id(name) == *parent);
            write!(text, " in the network of {}", known.unwrap_or("?")).unwrap();
        }
        for (target, volume) in &creation.inherited {
            write!(text, " with {volume} at {target}").unwrap();
        }
        text
    }

    fn print(&self) -> Vec<String> {
        let mut names = self.names.clone();
        if let Some(Wanted::Run(revision)) = &self.desired {
            let image = &revision.spec.container.image;
            names.insert(RevisionId::of(&revision.hash, &image_id(image)).short().to_owned(), image.clone());
        }
        let world = Self { names, ..self.clone_for_names() };
        let decision = world.decide();
        let mut lines: Vec<String> = decision.plan.iter().map(|planned| world.printed(planned)).collect();
        for entry in &decision.history {
            let event = serde_json::to_value(entry.event).unwrap();
            lines.push(world.readable(&format!(
                "history {} {}",
                event.as_str().unwrap(),
                entry.revision.as_ref().map_or("-", |id| id.short())
            )));
        }
        if decision.plan.is_empty() {
            lines.push(match decision.next {
                Next::AwaitChange => "wait for a change".to_owned(),
                Next::At(at) => {
                    format!("look again in {}", evenkeel::state::gate::seconds(at.since(Mono(NOW_MS))))
                }
                Next::Again => "look again at once".to_owned(),
            });
        }
        lines.push(format!("=> {} {}", decision.condition.kind.as_str(), decision.condition.reason));
        lines
    }

    fn clone_for_names(&self) -> Self {
        Self {
            id: self.id.clone(),
            body: self.body.clone(),
            desired: self.desired.clone(),
            removal_held: self.removal_held.clone(),
            paused: self.paused.clone(),
            window: self.window.clone(),
            observed: self.observed.clone(),
            record: self.record.clone(),
            memo: self.memo.clone(),
            limits: self.limits,
            names: self.names.clone(),
        }
    }
}

fn hook_point(text: &str) -> HookPoint {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).unwrap()
}

fn limits(resources: &Resources) -> String {
    resources.memory.map_or("other".to_owned(), |bytes| format!("memory {} MiB", bytes >> 20))
}

fn network(name: &str) -> ObservedNetwork {
    let labels = BTreeMap::from([(label::OWNER.to_owned(), OWNER.to_owned())]);
    ObservedNetwork {
        id: format!("id-of-{name}"),
        name: name.to_owned(),
        driver: "bridge".to_owned(),
        labels,
        containers: BTreeSet::new(),
    }
}

fn volume(name: &str) -> ObservedVolume {
    ObservedVolume { name: name.to_owned(), driver: "local".to_owned(), labels: BTreeMap::new() }
}

fn endpoint(name: &str) -> ObservedEndpoint {
    ObservedEndpoint {
        network_id: format!("id-of-{name}"),
        aliases: BTreeSet::from(["web".to_owned()]),
        ..ObservedEndpoint::default()
    }
}

fn parent(name: &str, rest: &[&str]) -> Parent {
    let started =
        rest.iter().find_map(|word| word.strip_prefix("started=")).map_or(1, |text| text.parse().unwrap());
    Parent {
        id: container_id(name),
        name: name.to_owned(),
        running: !rest.contains(&"down"),
        started_at: Some(EngineStamp(started * 1_000_000_000)),
    }
}

#[test]
fn the_decision_table_holds() {
    let cases = cases();
    assert!(cases.len() >= 100, "only {} cases: the table is the manual of the decision", cases.len());
    let mut wrong = String::new();
    for case in &cases {
        let got = World::new(case).print();
        if std::env::var_os("PLAN_PRINT").is_some() {
            println!("## {} ({})\nplan\n    {}\n", case.title, case.place, got.join("\n    "));
        }
        if got != case.lines("plan") {
            write!(
                wrong,
                "\n{}: {}\n  expected\n    {}\n  got\n    {}\n",
                case.place,
                case.title,
                case.lines("plan").join("\n    "),
                got.join("\n    ")
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_decision_is_deterministic_and_a_settled_one_is_empty_twice() {
    for case in cases() {
        let world = World::new(&case);
        let (first, second) = (world.decide(), world.decide());
        assert_eq!(first, second, "{}: {}", case.place, case.title);
        if first.plan.is_empty() && first.next == Next::AwaitChange {
            let again = World { record: first.record.clone(), memo: first.memo.clone(), ..world }.decide();
            assert!(again.plan.is_empty() && again.record == first.record, "{}: {}", case.place, case.title);
        }
    }
}

#[test]
fn every_title_is_told_once() {
    let mut seen = BTreeSet::new();
    for case in cases() {
        assert!(seen.insert(case.title.clone()), "{}: the title `{}` stands twice", case.place, case.title);
        assert!(!case.lines("plan").is_empty(), "{}: no plan is expected", case.place);
    }
}
