//! What happens from outside, in time: edits, words of operators, deaths, people, tools.

use fastrand::Rng;

use super::story::{Kind, MOST_VERSIONS, Story};

/// Something that happens, so many milliseconds after what happened before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    pub gap: u64,
    pub deed: Deed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    Edit(Edit),
    Word(usize, Word),
    /// evenkeel is killed, and is back after so many milliseconds.
    Kill(u64),
    /// evenkeel is asked to stop.
    Term(u64),
    /// It is killed, and its store is gone when it is back.
    KillAndForget(u64),
    /// The engine is killed; the newest containers are revived first.
    EngineDies(u64, bool),
    EngineRestarts,
    Human(usize, Human),
    Prune(Prune),
    Foreign(usize, Foreign),
    /// For so many milliseconds.
    StoreUnwritable(u64),
    DiskFull(u64),
    DiskLow(u64),
    RegistryDown(u64),
    /// The wall clock is moved by so many milliseconds.
    WallClock(i64),
    /// The next pass for this service panics.
    Panic(usize),
    /// A container of it answers nothing for so long.
    Hang(usize, u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    Image(usize, u32),
    Environment(usize, u32),
    Memory(usize, u32),
    Scale(usize, u32),
    Restart(usize, &'static str),
    Remove(usize),
    Add(usize),
    /// The definition before its last edit.
    Back(usize),
    /// Its file does not parse, for so long.
    Break(usize, u64),
    /// Its file ends in the middle: so much of a thousand is there, for less than the quiet period.
    Cut(usize, u32, u64),
    /// The directory is empty for so long.
    Empty(u64),
    /// The directory cannot be read for so long.
    Unreadable(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Rollback,
    Hold(Option<u64>),
    Release,
    Retry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Human {
    RemoveByForce,
    Stop,
    Kill,
    Restart,
    /// Starts whatever of it does not run.
    StartAll,
    Rename,
    PolicyNo,
    PolicyAlways,
    /// For so long.
    Pause(u64),
    ProcessDies,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    Containers,
    Networks,
    Images,
    System,
    KeepTags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Holds the name of its first slot, when that is free, for so long.
    Name(u64),
    /// Listens on its port for so long.
    Port(u64),
    /// A container that carries a copy of its labels.
    CopiedLabels,
}

pub fn draw_acts(rng: &mut Rng, story: &Story) -> Vec<Act> {
    let edits = if story.paced { rng.usize(2..=6) } else { rng.usize(3..=14) };
    let mut acts = Vec::new();
    for _ in 0..edits {
        acts.push(Act { gap: gap(rng), deed: Deed::Edit(draw_edit(rng, story)) });
    }
    if rng.u8(..100) < 30 {
        chain(rng, story, &mut acts);
    }
    let most = rng.usize(0..=12);
    // Swarm: a seed has a few kinds of deeds, and those often.
    let kinds: Vec<u8> = (0..rng.usize(1..=4)).map(|_| rng.u8(..if story.pure { 5 } else { 18 })).collect();
    for _ in 0..most {
        let kind = kinds[rng.usize(..kinds.len())];
        let at = rng.usize(..=acts.len());
        acts.insert(at, Act { gap: gap(rng), deed: draw_deed(rng, story, kind) });
    }
    acts
}

/// From the middle of a step to long after everything is over.
fn gap(rng: &mut Rng) -> u64 {
    match rng.u8(..10) {
        0..=2 => rng.u64(0..500),
        3..=6 => rng.u64(500..15_000),
        7 | 8 => rng.u64(15_000..120_000),
        _ => rng.u64(120_000..1_500_000),
    }
}

/// One version, another, one that cannot serve, and back to the first.
fn chain(rng: &mut Rng, story: &Story, acts: &mut Vec<Act>) {
    let service = rng.usize(..story.services.len());
    let name = &story.services[service].name;
    let bad = (2..=MOST_VERSIONS).find(|version| {
        matches!(story.images.get(&format!("{name}:{version}")), Some(Kind::Crash(_) | Kind::BadCommand))
    });
    let good = (2..=MOST_VERSIONS).find(|version| {
        let kind = story.images.get(&format!("{name}:{version}"));
        matches!(kind, Some(Kind::Good | Kind::Slow(_) | Kind::IgnoresTerm | Kind::Job(_)))
    });
    for version in [Some(1), good, bad, Some(1)].into_iter().flatten() {
        acts.push(Act { gap: gap(rng), deed: Deed::Edit(Edit::Image(service, version)) });
    }
}

fn draw_edit(rng: &mut Rng, story: &Story) -> Edit {
    let service = rng.usize(..story.services.len());
    let defined = &story.services[service];
    match rng.u8(..20) {
        0..=7 => Edit::Image(service, rng.u32(1..=MOST_VERSIONS)),
        8 | 9 => Edit::Environment(service, rng.u32(0..3)),
        10 => Edit::Memory(service, [0, 64, 128][rng.usize(..3)]),
        11 | 12 if defined.replicas > 1 => Edit::Scale(service, rng.u32(0..=3)),
        11 | 12 => Edit::Restart(service, ["always", "unless-stopped", "on-failure"][rng.usize(..3)]),
        13 => Edit::Remove(service),
        14 => Edit::Add(service),
        15 | 16 => Edit::Back(service),
        17 => Edit::Break(service, rng.u64(1_000..200_000)),
        18 => Edit::Cut(service, rng.u32(0..1_000), rng.u64(10..8_000)),
        _ if rng.bool() => Edit::Empty(rng.u64(100..100_000)),
        _ => Edit::Unreadable(rng.u64(100..100_000)),
    }
}

fn draw_deed(rng: &mut Rng, story: &Story, kind: u8) -> Deed {
    let service = rng.usize(..story.services.len());
    let while_ = |rng: &mut Rng| rng.u64(100..120_000);
    match kind {
        0 | 1 => Deed::Kill(rng.u64(50..60_000)),
        2 => Deed::Term(rng.u64(50..60_000)),
        3 => Deed::WallClock(rng.i64(-90_000_000..90_000_000)),
        4 => Deed::Panic(service),
        5 => Deed::KillAndForget(rng.u64(50..60_000)),
        6 => Deed::EngineDies(rng.u64(50..300_000), rng.bool()),
        7 => Deed::EngineRestarts,
        8 | 9 => Deed::Human(service, draw_human(rng)),
        10 | 11 => {
            let kinds = [Prune::Containers, Prune::Networks, Prune::Images, Prune::System, Prune::KeepTags];
            Deed::Prune(kinds[rng.usize(..kinds.len())])
        }
        12 => {
            let kinds = [Foreign::Name(while_(rng)), Foreign::Port(while_(rng)), Foreign::CopiedLabels];
            Deed::Foreign(service, kinds[rng.usize(..kinds.len())])
        }
        13 => Deed::StoreUnwritable(while_(rng)),
        14 if rng.bool() => Deed::DiskFull(while_(rng)),
        14 => Deed::DiskLow(while_(rng)),
        15 => Deed::RegistryDown(while_(rng)),
        16 => Deed::Hang(service, rng.u64(1_000..300_000)),
        _ => {
            let hold = if rng.bool() { None } else { Some(rng.u64(1_000..600_000)) };
            let words = [Word::Rollback, Word::Hold(hold), Word::Release, Word::Retry];
            Deed::Word(service, words[rng.usize(..4)])
        }
    }
}

fn draw_human(rng: &mut Rng) -> Human {
    let kinds = [
        Human::RemoveByForce,
        Human::Stop,
        Human::Kill,
        Human::Restart,
        Human::StartAll,
        Human::Rename,
        Human::PolicyNo,
        Human::PolicyAlways,
        Human::Pause(rng.u64(1_000..120_000)),
        Human::ProcessDies,
    ];
    kinds[rng.usize(..kinds.len())]
}
