//! How likely each call goes wrong, and how: drawn per seed, so that some seeds see one fault often and others many seldom (swarm testing).

use evenkeel::engine::sim::{Fault, Moment, Op};
use evenkeel::state::plan::Failure;
use fastrand::Rng;

/// Of ten thousand calls, so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Odds {
    /// evenkeel dies.
    pub death: u32,
    /// No answer: lost, done, done later.
    pub unknown: u32,
    /// The engine says no.
    pub error: u32,
    /// The engine dies.
    pub engine: u32,
    /// The request or its answer takes long.
    pub slow: u32,
    /// A list that shows what was.
    pub stale: u32,
    /// A read that fails.
    pub blind: u32,
    /// Events: lost, twice, late, in another order, a thousandfold; the stream ends.
    pub events: u32,
}

/// What becomes of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Pass,
    /// evenkeel dies before it is sent, or when it was carried out, or the engine carries it out later.
    DieBefore,
    DieAfter,
    DieLater(u64),
    Fault(Fault),
    /// Milliseconds before it is carried out, and until its answer is there.
    Slow(u64, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFate {
    Pass,
    Lost,
    Twice,
    Flood,
    Late(u64),
    AfterTheNext,
    /// Nothing more comes for so long, and nobody is told.
    Silence(u64),
    EndOfStream,
}

impl Odds {
    pub fn draw(rng: &mut Rng, pure: bool) -> Self {
        let mut some = |most: u32| match rng.u8(..100) {
            0..=49 => 0,
            50..=84 => rng.u32(1..=most / 8),
            _ => rng.u32(most / 8..=most),
        };
        let mut odds = Self {
            death: some(400),
            unknown: some(800),
            error: some(1_000),
            engine: some(150),
            slow: some(2_000),
            stale: some(3_000),
            blind: some(800),
            events: some(5_000),
        };
        if pure {
            (odds.error, odds.engine, odds.blind) = (0, 0, 0);
        }
        odds
    }

    pub fn of_call(&self, rng: &mut Rng, op: Op) -> Fate {
        let mut dice = rng.u32(..10_000);
        let mut hit = |odds: u32| {
            let hit = dice < odds;
            dice = dice.saturating_sub(odds);
            if hit {
                dice = u32::MAX;
            }
            hit
        };
        if hit(self.death) {
            return match rng.u8(..3) {
                0 if op.writes() => Fate::DieAfter,
                1 if op.writes() => Fate::DieLater(rng.u64(1..20_000)),
                _ => Fate::DieBefore,
            };
        }
        if hit(self.engine) {
            let moments = [Moment::Before, Moment::Midway, Moment::After];
            return Fate::Fault(Fault::EngineDies(moments[rng.usize(..3)]));
        }
        if hit(self.slow) {
            let mut ms = || if rng.bool() { 0 } else { rng.u64(1..4_000) };
            return Fate::Slow(ms(), ms());
        }
        if op.writes() { self.of_write(rng, op, &mut hit) } else { self.of_read(rng, op, &mut hit) }
    }

    fn of_write(&self, rng: &mut Rng, op: Op, hit: &mut impl FnMut(u32) -> bool) -> Fate {
        if hit(self.unknown) {
            let fates = [Fault::Lost, Fault::DoneButUnknown, Fault::DoneLater(rng.u64(1..30_000))];
            return Fate::Fault(fates[rng.usize(..3)].clone());
        }
        if hit(self.error) {
            let kinds: &[Failure] = match op {
                Op::Create => &[Failure::Internal, Failure::Conflict, Failure::NoSpace],
                Op::Start => &[Failure::Internal, Failure::PortBusy, Failure::NoSpace],
                Op::Remove => &[Failure::Internal, Failure::InProgress, Failure::Conflict],
                Op::Rename => &[Failure::Internal, Failure::NotFound, Failure::NoSpace],
                Op::Pull => &[Failure::Registry, Failure::Internal, Failure::Unauthorized],
                Op::Connect => &[Failure::Internal, Failure::NotFound],
                _ => &[Failure::Internal],
            };
            return Fate::Fault(Fault::Error(kinds[rng.usize(..kinds.len())]));
        }
        Fate::Pass
    }

    fn of_read(&self, rng: &mut Rng, op: Op, hit: &mut impl FnMut(u32) -> bool) -> Fate {
        if hit(self.blind) {
            let kinds = [Failure::Unknown, Failure::Internal, Failure::Unreachable];
            return Fate::Fault(Fault::Error(kinds[rng.usize(..3)]));
        }
        if op == Op::List && hit(self.stale) {
            return Fate::Fault(Fault::StaleRead);
        }
        Fate::Pass
    }

    pub fn of_event(&self, rng: &mut Rng) -> EventFate {
        if rng.u32(..10_000) >= self.events {
            return EventFate::Pass;
        }
        match rng.u8(..20) {
            0..=6 => EventFate::Lost,
            7..=9 => EventFate::Twice,
            10 | 11 => EventFate::Flood,
            12..=14 => EventFate::Late(rng.u64(1..10_000)),
            15..=17 => EventFate::AfterTheNext,
            18 => EventFate::Silence(rng.u64(1_000..600_000)),
            _ => EventFate::EndOfStream,
        }
    }
}
