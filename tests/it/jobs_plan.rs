//! The decision table of jobs: what is wanted, remembered and seen, and what follows. The cases are in `tests/it/jobs/*.txt`;
//! `PLAN_PRINT=1` prints what each case gives now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use evenkeel::desired::ident::{ServiceId, ServiceName};
use evenkeel::desired::load;
use evenkeel::desired::snapshot::{FileContent, HostFacts, RelPath, Snapshot};
use evenkeel::desired::work::{JobSpec, Runs, WorkId};
use evenkeel::state::jobs::*;
use evenkeel::state::observed::*;
use evenkeel::state::plan::Failure;
use evenkeel::state::record::RevisionId;
use evenkeel::state::time::{EngineStamp, Mono, Now, Timestamp};

const OWNER: &str = "test";
const MONO: u64 = 1_000_000;

#[derive(Default)]
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/jobs");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let mut section = String::new();
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            if let Some(title) = line.strip_prefix("## ") {
                let place = format!("{}:{}", file.file_name().unwrap().to_string_lossy(), number + 1);
                cases.push(Case { title: title.to_owned(), place, ..Case::default() });
            } else if let (Some(case), Some(text)) = (cases.last_mut(), line.strip_prefix("    ")) {
                case.sections.entry(section.clone()).or_default().push(text.trim().to_owned());
            } else if let (Some(case), false) =
                (cases.last_mut(), line.trim().is_empty() || line.starts_with('#'))
            {
                section = line.trim().to_owned();
                case.sections.entry(section.clone()).or_default();
            }
        }
    }
    cases
}

fn at(text: &str) -> Timestamp {
    let whole = if text.contains('T') { text.to_owned() } else { format!("2026-05-01T{text}Z") };
    Timestamp(whole.parse::<jiff::Timestamp>().unwrap_or_else(|_| panic!("time {text}")).as_millisecond())
}

fn spec_of(lines: &[String]) -> JobSpec {
    let own = lines.join("\n");
    let text = format!(
        "[jobs.report]\n{own}\n[jobs.fetch]\nimage = \"fetch:1\"\n[jobs.clean]\nimage = \"clean:1\"\n[services.db]\nimage = \"db:1\"\n"
    );
    let files = BTreeMap::from([(
        RelPath::new("shop/jobs.toml").unwrap(),
        FileContent::Read(text.into_bytes().into()),
    )]);
    let snapshot = Snapshot { files, root: "/desired".to_owned(), ..Snapshot::default() };
    let (desired, told) = load(&snapshot, &HostFacts { name: "host".to_owned(), ..HostFacts::default() });
    let job = desired.works.jobs.get(&WorkId::new("shop", "report").unwrap()).and_then(|job| job.wanted());
    let told: Vec<String> = told.iter().map(|told| told.headline()).collect();
    JobSpec::clone(job.unwrap_or_else(|| panic!("{told:?}\n{own}")))
}

fn options(words: &[&str]) -> BTreeMap<String, String> {
    let pair = |word: &&str| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    words.iter().filter_map(pair).collect()
}

fn container_id(run: &str) -> ContainerId {
    let mut digits: String = run.bytes().map(|byte| format!("{byte:02x}")).collect();
    digits.extend(std::iter::repeat_n('0', 64_usize.saturating_sub(digits.len())));
    ContainerId(digits.get(..64).unwrap().to_owned())
}

fn image() -> ImageFacts {
    ImageFacts {
        id: ImageId(format!("sha256:{}", "a".repeat(64))),
        digests: Vec::new(),
        tags: vec!["report:1".to_owned()],
        has_healthcheck: false,
        size: 1,
        architecture: "amd64".to_owned(),
        volumes: BTreeSet::new(),
        defaults: None,
    }
}

fn failure(text: &str) -> Failure {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .unwrap_or_else(|_| panic!("failure {text}"))
}

/// `20260501T023000Z running started=02:30:00 container`
fn run_of(line: &str) -> (RunId, Run) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let id = RunId::parse(words[0]).unwrap();
    let options = options(&words);
    let has = |word: &str| words.contains(&word);
    let cause = match options.get("by").map(String::as_str) {
        None => RunCause::Schedule { at: id.time().unwrap() },
        Some("hand") => RunCause::Hand,
        Some("change") => RunCause::Change,
        Some(other) => RunCause::After(ServiceName::new(other).unwrap()),
    };
    let mut run = Run::new(cause, options.get("due").map_or_else(|| id.time().unwrap(), |text| at(text)));
    run.attempt = options.get("attempt").map_or(1, |text| text.parse().unwrap());
    run.stage = match words[1] {
        "waiting" => Stage::Waiting,
        "intended" => Stage::Intended,
        "made" => Stage::Made,
        "starting" => {
            Stage::Starting(EngineSession(options.get("session").map_or(1, |text| text.parse().unwrap())))
        }
        "remaking" => Stage::Remaking,
        "running" => Stage::Running,
        _ => Stage::Ended,
    };
    run.started = options.get("started").map(|text| at(text));
    run.session = run.started.map(|_| EngineSession(1));
    run.stop = options.get("stop").map(|text| match text.as_str() {
        "timeout" => StopCause::TimedOut,
        "replaced" => StopCause::Replaced,
        _ => StopCause::Hand,
    });
    run.container = has("container").then(|| container_id(id.as_str()));
    run.exec = options.get("exec").map(|text| ExecId(text.clone()));
    if run.stage == Stage::Ended {
        let result = Result::ALL.into_iter().find(|result| result.word() == words[1]);
        run.end = Some(RunEnd {
            result: result.unwrap_or_else(|| panic!("result {}", words[1])),
            at: at(options.get("at").map_or("00:00:00", String::as_str)),
            took_ms: None,
            code: None,
            text: String::new(),
            tail: String::new(),
            number: options.get("number").map_or(1, |text| text.parse().unwrap()),
            last: !has("again"),
        });
    }
    (id, run)
}

/// `20260501T023000Z running`, `... exited exit=1`
fn container_of(line: &str, job: &JobSpec) -> (RunId, ObservedContainer) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let id = RunId::parse(words[0]).unwrap();
    let options = options(&words);
    let status: ContainerStatus = serde_json::from_value(serde_json::Value::from(words[1])).unwrap();
    let ran = status != ContainerStatus::Created && !words.contains(&"never");
    let own = ServiceId::new("shop", "report").unwrap();
    let Runs::Container { spec, .. } = &job.runs else { panic!("it has no containers") };
    let hash = evenkeel::desired::hash::SpecHash::of(&spec.container);
    let container = ObservedContainer {
        id: container_id(words[0]),
        name: container_name(&own, &id),
        labels: OwnLabels {
            owner: OWNER.to_owned(),
            service: own,
            slot: 1,
            revision: RevisionId::of(&hash, &image().id),
            spec: hash,
            image: image().id,
            image_ref: "report:1".to_owned(),
            image_digest: None,
            source: String::new(),
            hook: None,
            job: Some(id.clone()),
        },
        status,
        exit_code: options.get("exit").map_or(0, |text| text.parse().unwrap()),
        error: options.get("error").cloned().unwrap_or_default(),
        oom_killed: false,
        started_at: ran.then_some(EngineStamp(1_000_000_000)),
        finished_at: (status == ContainerStatus::Exited && ran).then_some(EngineStamp(3_500_000_000)),
        created_at: EngineStamp(1),
        restart_count: 0,
        health: Health::None,
        health_log: String::new(),
        restart: evenkeel::desired::spec::RestartPolicy::No,
        resources: evenkeel::desired::spec::Resources::default(),
        networks: BTreeMap::new(),
        network_mode: "default".to_owned(),
        tied: BTreeSet::new(),
        image: image().id,
        volumes: BTreeMap::new(),
        stop_timeout: None,
        probe: None,
        baked: None,
    };
    (id, container)
}

fn shown(at: Timestamp) -> String {
    let stamp = jiff::Timestamp::from_millisecond(at.0).unwrap().to_string();
    stamp.trim_start_matches("2026-05-01T").trim_end_matches('Z').to_owned()
}

fn step_words(step: &JobStep) -> String {
    match step {
        JobStep::Pull { image, .. } => format!("pull {image}"),
        JobStep::Create(creation) => {
            assert_eq!(creation.live.restart, evenkeel::desired::spec::RestartPolicy::No);
            format!("create {} from {}", creation.name, creation.labels.image_ref)
        }
        JobStep::Start { .. } => "start".to_owned(),
        JobStep::Stop { .. } => "stop".to_owned(),
        JobStep::Collect { ending, .. } => format!("collect {} {}", ending.result.word(), ending.text),
        JobStep::Remove { dead, .. } => if *dead { "remove dead" } else { "remove" }.to_owned(),
        JobStep::MakeExec { .. } => "make its command".to_owned(),
        JobStep::StartExec { .. } => "run its command".to_owned(),
    }
}

fn run_words(run: &Run) -> String {
    let stage = match (run.stage, &run.end) {
        (_, Some(end)) => {
            let more = if end.last { "" } else { ", again" };
            return format!("{}: {}{more}", end.result.word(), end.text);
        }
        (Stage::Waiting, _) => format!("waiting due={}", shown(run.due)),
        (Stage::Intended, _) => "intended".to_owned(),
        (Stage::Made, _) => "made".to_owned(),
        (Stage::Starting(session), _) => format!("starting session={}", session.0),
        (Stage::Remaking, _) => "remaking".to_owned(),
        (Stage::Running, _) => "running".to_owned(),
        (Stage::Ended, _) => "ended".to_owned(),
    };
    let stop = run.stop.map(|stop| format!(" stop={stop:?}")).unwrap_or_default();
    let remark = run.remark.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
    format!("{stage}{stop}{remark}")
}

fn play(case: &Case) -> Vec<String> {
    let id = WorkId::new("shop", "report").unwrap();
    let mut lines: Vec<String> = case.lines("job").to_vec();
    if !lines.iter().any(|line| line.starts_with("image") || line.starts_with("exec_in")) {
        lines.push("image = \"report:1\"".to_owned());
    }
    let spec = spec_of(&lines);
    let now = Now { wall: at(&case.lines("now")[0]), mono: Mono(MONO) };
    let mut record =
        JobRecord { spec: Some(Box::new(spec.clone())), considered: Some(now.wall), ..JobRecord::default() };
    let mut memo = JobMemo::default();
    let mut ends: BTreeMap<ServiceName, Vec<Ended>> = BTreeMap::new();
    let mut around = ObservedService { image: Some(image()), ..ObservedService::default() };
    let network = ObservedNetwork {
        id: "n".repeat(64),
        name: "shop_default".to_owned(),
        driver: "bridge".to_owned(),
        labels: BTreeMap::from([(label::OWNER.to_owned(), OWNER.to_owned())]),
        containers: BTreeSet::new(),
    };
    around.networks.insert("shop_default".to_owned(), vec![network]);
    let mut seen = Seen::default();
    let (mut wants, mut paused, mut chosen, mut session) = ("run", None, true, EngineSession(1));
    for line in case.lines("record") {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["new"] => (record.spec, record.considered) = (None, None),
            ["considered", time] => record.considered = Some(at(time)),
            ["consumed", name, number] => {
                record.consumed.insert(ServiceName::new(name).unwrap(), number.parse().unwrap());
            }
            ["changed"] => record.changed = Some(format!("{} report:1", spec.definition())),
            ["pulled", time] => record.pulled = Some(at(time)),
            _ => {
                let (run, is) = run_of(line);
                record.ends = record.ends.max(is.end.as_ref().map_or(0, |end| end.number));
                record.runs.insert(run, is);
            }
        }
    }
    for line in case.lines("memo") {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ago =
            |text: &str| Mono(MONO - (text.trim_end_matches('s').parse::<f64>().unwrap() * 1000.0) as u64);
        let run = RunId::parse(words[1]).unwrap();
        match words.as_slice() {
            ["doubt", _, since] => drop(memo.doubts.insert(run, ago(since))),
            ["running", _, since] => drop(memo.running.insert(run, (ago(since), 0))),
            ["stopped", _, since] => drop(memo.stopped.insert(run, ago(since))),
            ["pull-failed", _, kind, count, since] => {
                let trouble = Trouble {
                    kind: failure(kind),
                    text: "no".to_owned(),
                    count: count.parse().unwrap(),
                    last: ago(since),
                };
                memo.pulls.insert(run, trouble);
            }
            ["refused", _, kind, count, since] => {
                let trouble = Trouble {
                    kind: failure(kind),
                    text: "no".to_owned(),
                    count: count.parse().unwrap(),
                    last: ago(since),
                };
                memo.troubles.insert(run, trouble);
            }
            other => panic!("{}: memo {other:?}", case.place),
        }
    }
    for line in case.lines("seen") {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["image", "absent"] => around.image = None,
            ["network", "absent"] => around.networks.clear(),
            ["live-restore"] => seen.live_restore = true,
            ["session", number] => session = EngineSession(number.parse().unwrap()),
            ["db", progress] => {
                let progress = match *progress {
                    "healthy" => DependencyProgress::Healthy,
                    "running" => DependencyProgress::Running,
                    _ => DependencyProgress::Pending,
                };
                let state = DependencyState { desired: true, progress, serving: BTreeMap::new() };
                around.dependencies.insert(ServiceName::new("db").unwrap(), state);
            }
            ["within"] => {
                let plain = spec_of(&["image = \"db:1\"".to_owned()]);
                seen.within = Some(container_of("20260501T000000Z running", &plain).1);
            }
            ["exec", exec, state @ ..] => {
                let state = match state {
                    ["gone"] => None,
                    ["made"] => Some(ExecSeen { running: false, code: None }),
                    ["running"] => Some(ExecSeen { running: true, code: None }),
                    [_, code] => Some(ExecSeen { running: false, code: Some(code.parse().unwrap()) }),
                    other => panic!("{other:?}"),
                };
                seen.execs.insert(ExecId((*exec).to_owned()), state);
            }
            _ => {
                let (run, container) = container_of(line, &spec);
                seen.containers.insert(run, container);
            }
        }
    }
    for line in case.lines("ends") {
        let words: Vec<&str> = line.split_whitespace().collect();
        let result = Result::ALL.into_iter().find(|result| result.word() == words[2]).unwrap();
        let end = Ended { number: words[1].parse().unwrap(), result };
        ends.entry(ServiceName::new(words[0]).unwrap()).or_default().push(end);
    }
    let mut pressure = None;
    for line in case.lines("but") {
        match line.as_str() {
            "gone" | "frozen" => wants = line,
            "not chosen" => chosen = false,
            "no room" => pressure = Some("the disk is nearly full"),
            text => paused = Some(text),
        }
    }
    seen.around = around;
    let container = match &spec.runs {
        Runs::Container { spec, .. } => Some(&**spec),
        Runs::Exec(_) => None,
    };
    let zone = when::zone_for(Some(&spec), &jiff::tz::TimeZone::UTC);
    let nothing = BTreeSet::new();
    let inputs = Inputs {
        id: &id,
        owner: OWNER,
        wants: match wants {
            "gone" => Wants::Gone,
            "frozen" => Wants::Frozen,
            _ => Wants::Run(&spec),
        },
        spec: container.filter(|_| chosen),
        zone: &zone,
        record: &record,
        memo: &memo,
        seen: Some(&seen),
        ends: &ends,
        paused,
        pressure,
        strangers: false,
        followed: &nothing,
        pace_ms: 10_000,
        session,
        now,
    };
    let decision = decide(&inputs);
    assert_eq!(decide(&inputs), decision, "deterministic");
    told(&record, &decision)
}

fn told(before: &JobRecord, decision: &JobDecision) -> Vec<String> {
    let mut lines = Vec::new();
    let after = &decision.record;
    for (run, is) in &after.runs {
        if before.runs.get(run) != Some(is) {
            lines.push(format!("{run} {}", run_words(is)));
        }
    }
    let gone = before.runs.keys().filter(|run| !after.runs.contains_key(*run));
    lines.extend(gone.map(|run| format!("{run} is dropped")));
    if after.missed > before.missed {
        lines.push(format!("missed {}", after.missed - before.missed));
    }
    if after.skipped > before.skipped {
        lines.push(format!("skipped {}", after.skipped - before.skipped));
    }
    lines.extend(decision.plan.iter().map(|(run, step)| format!("-> {run} {}", step_words(step))));
    lines.extend(decision.memo.waits.iter().map(|(run, why)| format!("{run} waits: {why}")));
    if decision.forget {
        lines.push("forget the job".to_owned());
    }
    lines.push(match decision.next {
        Some(next) if next.0 <= MONO => "look again at once".to_owned(),
        Some(next) => format!("look again in {} s", (next.0 - MONO) as f64 / 1000.0),
        None => "wait for a change".to_owned(),
    });
    lines
}

#[test]
fn every_case_is_decided_as_the_table_says() {
    let cases = cases();
    assert!(cases.len() >= 55, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let lines = play(case);
        if std::env::var_os("PLAN_PRINT").is_some() {
            println!("{} ## {}\nthen\n    {}\n", case.place, case.title, lines.join("\n    "));
        }
        if lines != case.lines("then") {
            wrong.push(format!(
                "{} {}\n  expected:\n    {}\n  but:\n    {}",
                case.place,
                case.title,
                case.lines("then").join("\n    "),
                lines.join("\n    ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
