//! Schedules, version ranges, forms of times, regular expressions on tags, and whole files of jobs, builds and artifacts. The first byte
//! chooses which, the rest is its text.

use evenkeel::desired::convert::scalar;
use evenkeel::desired::load;
use evenkeel::desired::work::schedule::Schedule;
use evenkeel::desired::work::{Work, timestamp_form, version_range};

use super::Input;
use super::load::{host, snapshot, state_is_whole};

const KINDS: &[fn(&str)] = &[schedule, range, time, pattern, file];

pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let which = usize::from(input.byte()) % KINDS.len();
    let text = String::from_utf8_lossy(input.rest()).into_owned();
    KINDS[which](&text);
}

fn schedule(text: &str) {
    match Schedule::parse(text) {
        Ok(schedule) => {
            assert_eq!(
                Schedule::parse(schedule.as_str()).as_ref(),
                Ok(&schedule),
                "{text:?} reads back differently"
            );
            assert!(schedule.cron().is_some(), "{text:?} is a schedule that nothing can follow");
        }
        Err(fault) => {
            assert!(fault.start <= fault.end && fault.end <= text.len(), "{text:?}: {fault:?}");
            assert!(text.get(fault.start..fault.end).is_some(), "{text:?}: {fault:?} cuts a character");
            assert!(!fault.message.is_empty() && !fault.label.is_empty(), "{text:?}");
        }
    }
}

fn range(text: &str) {
    match version_range(text) {
        Ok(range) => assert_eq!(version_range(&range.to_string()), Ok(range), "{text:?}"),
        Err(Some(meant)) => assert!(version_range(&meant).is_ok(), "{text:?}: {meant:?} is no range either"),
        Err(None) => {}
    }
}

fn time(text: &str) {
    let _ = timestamp_form(text);
    if let Ok(time) = scalar::duration(text) {
        assert_eq!(scalar::duration(&scalar::print_duration(time)), Ok(time), "{text:?}");
    }
}

fn pattern(text: &str) {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    // JSON's escapes are TOML's, but for this one.
    let quoted = quoted.replace('\u{7f}', "\\u007f");
    file(&format!(
        "[services.a]\nimage = \"r\"\nimage_policy = {{ number = {quoted}, exclude = {quoted} }}\n"
    ));
}

fn file(text: &str) {
    let (state, found) = load(&snapshot(&[("shop/web.toml".to_owned(), text.as_bytes().to_vec())]), &host());
    state_is_whole(&state, &found);
    let works = &state.works;
    let jobs = works.jobs.values().map(|work| matches!(work, Work::Frozen(why) if why.is_empty()));
    let builds = works.builds.values().map(|work| matches!(work, Work::Frozen(why) if why.is_empty()));
    assert!(!jobs.chain(builds).any(|silent| silent), "something is frozen and does not say why");
    for (id, work) in &works.jobs {
        let Some(job) = work.wanted() else { continue };
        let stored = serde_json::to_vec(&**job).unwrap();
        assert_eq!(
            serde_json::from_slice::<evenkeel::desired::work::JobSpec>(&stored).unwrap(),
            **job,
            "{id}"
        );
    }
    for id in works.chosen.keys() {
        assert!(
            !matches!(state.services.get(id), Some(evenkeel::desired::Wanted::Run(_))),
            "{id} would run with an image that nobody chose"
        );
    }
    for told in &works.not_run {
        assert!(!told.is_error() && told.line > 0, "{told:?}");
    }
}
