//! Takes out of a failing story what it does not need to fail.

use std::time::{Duration, Instant};

use super::odds::Odds;
use super::run::prove;
use super::story::Story;

/// Longer than this nobody waits for a smaller story.
const LIMIT: Duration = Duration::from_secs(60);

/// The smallest story found in which something goes wrong still.
pub fn shrink(story: &Story) -> Story {
    let end = Instant::now() + LIMIT;
    let mut smallest = story.clone();
    loop {
        let before = smallest.clone();
        drop_acts(&mut smallest, end);
        drop_odds(&mut smallest, end);
        spare_calls(&mut smallest, end);
        if smallest == before || Instant::now() > end {
            return smallest;
        }
    }
}

fn fails(story: &Story, end: Instant) -> bool {
    Instant::now() < end && !prove(story, false).violations.is_empty()
}

/// In halves, quarters, ... down to one by one.
fn drop_acts(story: &mut Story, end: Instant) {
    let mut size = story.acts.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < story.acts.len() {
            let mut less = story.clone();
            less.acts.drain(from..(from + size).min(story.acts.len()));
            if fails(&less, end) { *story = less } else { from += size }
        }
        size /= 2;
    }
}

fn drop_odds(story: &mut Story, end: Instant) {
    let fields: [fn(&mut Odds) -> &mut u32; 8] = [
        |odds| &mut odds.death,
        |odds| &mut odds.unknown,
        |odds| &mut odds.error,
        |odds| &mut odds.engine,
        |odds| &mut odds.slow,
        |odds| &mut odds.stale,
        |odds| &mut odds.blind,
        |odds| &mut odds.events,
    ];
    for field in fields {
        let mut less = story.clone();
        *field(&mut less.odds) = 0;
        if less != *story && fails(&less, end) {
            *story = less;
        }
    }
}

fn spare_calls(story: &mut Story, end: Instant) {
    let fired = prove(story, false).fired;
    let mut size = fired.len().div_ceil(2);
    while size > 0 {
        for part in fired.chunks(size) {
            let mut less = story.clone();
            less.spared.extend(part);
            if less != *story && fails(&less, end) {
                *story = less;
            }
        }
        size /= 2;
    }
}
