//! Schedules across both changes of the clock, in five zones and a few more, with the times on the wall and the instants side by side.

use evenkeel::desired::work::schedule::Schedule;
use evenkeel::state::jobs::when::{Calendar, jitter};
use evenkeel::state::time::Timestamp;

fn zone(name: &str) -> jiff::tz::TimeZone {
    jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// The occurrences between two instants, as the wall shows them, with the offset then.
fn occurrences(schedule: &str, zone_name: &str, from: &str, to: &str) -> Vec<String> {
    let zone = zone(zone_name);
    let calendar = Calendar::new(&Schedule::parse(schedule).unwrap(), &zone).unwrap();
    let (mut now, end) = (at(from), at(to));
    let mut found = Vec::new();
    while let Some(next) = calendar.next(now).filter(|next| *next < end) {
        assert!(next > now, "{schedule} in {zone_name}: time goes on");
        let shown = jiff::Timestamp::from_millisecond(next.0).unwrap().to_zoned(zone.clone());
        found.push(shown.strftime("%m-%d %H:%M %:z").to_string());
        now = next;
        assert!(found.len() < 10_000);
    }
    found
}

#[test]
fn times_that_the_clock_skips_or_repeats_run_once() {
    let table: &[(&str, &str, &str, &str, &[&str])] = &[
        // Northern spring: 02:00-03:00 does not exist, and what falls into it is the first minute after it.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-31T00:00:00Z",
            &["03-29 03:00 +02:00", "03-30 02:30 +02:00"],
        ),
        (
            "0,30 2,3 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-29T12:00:00Z",
            &["03-29 03:00 +02:00", "03-29 03:30 +02:00"],
        ),
        // Northern autumn: 02:00-03:00 is there twice.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            "2026-10-27T00:00:00Z",
            &["10-25 02:30 +02:00", "10-26 02:30 +01:00"],
        ),
        (
            "*/20 1-3 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            "2026-10-25T12:00:00Z",
            &[
                "10-25 01:00 +02:00",
                "10-25 01:20 +02:00",
                "10-25 01:40 +02:00",
                "10-25 02:00 +02:00",
                "10-25 02:20 +02:00",
                "10-25 02:40 +02:00",
                "10-25 03:00 +01:00",
                "10-25 03:20 +01:00",
                "10-25 03:40 +01:00",
            ],
        ),
        // America: another Sunday, and 01:00-02:00 in autumn.
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00:00Z",
            "2026-03-09T12:00:00Z",
            &["03-08 03:00 -04:00", "03-09 02:30 -04:00"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00:00Z",
            "2026-11-02T12:00:00Z",
            &["11-01 01:30 -04:00", "11-02 01:30 -05:00"],
        ),
        // The southern hemisphere: spring is in October, autumn in April.
        (
            "30 2 * * *",
            "Australia/Sydney",
            "2026-10-03T00:00:00Z",
            "2026-10-05T00:00:00Z",
            &["10-04 03:00 +11:00", "10-05 02:30 +11:00"],
        ),
        (
            "30 2 * * *",
            "Australia/Sydney",
            "2026-04-04T00:00:00Z",
            "2026-04-06T00:00:00Z",
            &["04-05 02:30 +11:00", "04-06 02:30 +10:00"],
        ),
        // At midnight: Chile's day begins at one.
        (
            "0 0 * * *",
            "America/Santiago",
            "2026-09-05T12:00:00Z",
            "2026-09-07T12:00:00Z",
            &["09-06 01:00 -03:00", "09-07 00:00 -03:00"],
        ),
        (
            "30 23 * * *",
            "America/Santiago",
            "2026-04-04T12:00:00Z",
            "2026-04-06T12:00:00Z",
            &["04-04 23:30 -03:00", "04-05 23:30 -04:00"],
        ),
        // Half an hour: 02:00-02:30 is skipped, 01:30-02:00 repeated.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            "2026-10-05T00:00:00Z",
            &["10-04 02:30 +11:00", "10-05 02:15 +11:00"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T00:00:00Z",
            "2026-04-06T00:00:00Z",
            &["04-05 01:45 +11:00", "04-06 01:45 +10:30"],
        ),
        (
            "*/15 1-2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T12:00:00Z",
            "2026-10-04T12:00:00Z",
            &[
                "10-04 01:00 +10:30",
                "10-04 01:15 +10:30",
                "10-04 01:30 +10:30",
                "10-04 01:45 +10:30",
                "10-04 02:30 +11:00",
                "10-04 02:45 +11:00",
            ],
        ),
        // Without any of this.
        (
            "30 2 * * *",
            "UTC",
            "2026-03-28T12:00:00Z",
            "2026-03-30T12:00:00Z",
            &["03-29 02:30 +00:00", "03-30 02:30 +00:00"],
        ),
        // Samoa left out a whole day.
        (
            "0 12 * * *",
            "Pacific/Apia",
            "2011-12-29T12:00:00Z",
            "2011-12-31T12:00:00Z",
            &["12-29 12:00 -10:00", "12-31 00:00 +14:00", "12-31 12:00 +14:00"],
        ),
    ];
    for (schedule, zone, from, to, expected) in table {
        assert_eq!(occurrences(schedule, zone, from, to), *expected, "`{schedule}` in {zone}");
    }
}

#[test]
fn either_of_two_restricted_days_is_enough_and_one_alone_restricts() {
    let days = |schedule: &str| -> Vec<String> {
        let found = occurrences(schedule, "Europe/Berlin", "2026-05-01T00:00:00Z", "2026-05-21T00:00:00Z");
        found.iter().map(|text| text.get(..5).unwrap().to_owned()).collect()
    };
    // 2026-05-01 is a Friday.
    assert_eq!(days("0 6 13 * mon"), ["05-04", "05-11", "05-13", "05-18"]);
    assert_eq!(days("0 6 13 * *"), ["05-13"]);
    assert_eq!(days("0 6 * * mon"), ["05-04", "05-11", "05-18"]);
    assert_eq!(days("0 6 L * *"), Vec::<String>::new());
}

/// Half an hour after half an hour of a year, in each zone: a schedule that names them all runs whenever the wall shows one for the first time, and
/// at no other time.
#[test]
fn a_schedule_of_every_hour_agrees_with_a_clock_that_is_watched() {
    for name in
        ["Europe/Berlin", "America/New_York", "Australia/Sydney", "America/Santiago", "Australia/Lord_Howe"]
    {
        let zone = zone(name);
        let mut shown = std::collections::BTreeSet::new();
        let mut expected = Vec::new();
        let start = at("2026-01-01T00:00:00Z");
        for step in 0..(366 * 48) {
            let now = Timestamp(start.0 + step * 1_800_000);
            let wall = zone.to_datetime(jiff::Timestamp::from_millisecond(now.0).unwrap());
            // A gap is made up for at its end, which is a full or half hour here.
            assert_eq!(wall.minute() % 30, 0);
            if shown.insert(wall) && now > start {
                expected.push(now);
            }
        }
        let calendar = Calendar::new(&Schedule::parse("*/30 * * * *").unwrap(), &zone).unwrap();
        let (mut now, mut found) = (start, Vec::new());
        while let Some(next) = calendar.next(now).filter(|next| next.0 < start.0 + 366 * 24 * 60 * 60_000) {
            found.push(next);
            now = next;
        }
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn jitter_is_the_same_for_a_run_and_differs_between_hosts_and_runs() {
    let noon = at("2026-05-01T12:00:00Z");
    let one = jitter("fra1 shop/nightly", noon, 60_000);
    assert_eq!(one, jitter("fra1 shop/nightly", noon, 60_000));
    assert!(one <= 60_000);
    let many: std::collections::BTreeSet<u64> = (0..200)
        .map(|day| jitter("fra1 shop/nightly", Timestamp(noon.0 + day * 86_400_000), 60_000))
        .collect();
    assert!(many.len() > 190, "spread: {}", many.len());
    assert_ne!(one, jitter("nyc1 shop/nightly", noon, 60_000));
    assert_eq!(jitter("x", noon, 0), 0);
}
