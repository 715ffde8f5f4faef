//! What the applications inside simulated containers do: a script per image, and what the engine's health check makes of it.

use std::collections::BTreeMap;

use crate::desired::spec::{Healthcheck, HealthcheckSpec};
use crate::state::observed::Health;
use crate::state::plan::Failure;

/// The script of an application. All times are milliseconds since its (re)start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// Ends by itself after this long with this exit code; `None`: runs until it is stopped.
    pub exits_after: Option<(u64, i64)>,
    /// Its health check passes from here on; `None`: never.
    pub healthy_after: Option<u64>,
    /// Its health check fails again from here on; `None`: stays well.
    pub ails_after: Option<u64>,
    /// The engine cannot start it, for this reason: a command that does not exist, a bad user.
    pub start_error: Option<(Failure, String)>,
    /// Does not end on the stop signal: the engine kills it after the grace period.
    pub ignores_term: bool,
    /// How long it takes to end after the stop signal.
    pub stop_takes: u64,
    /// Its exit code after the stop signal.
    pub stop_code: i64,
    /// An exit by itself is the kernel's doing: out of memory.
    pub oom: bool,
    /// Lines it prints at every start.
    pub output: Vec<String>,
    /// What commands in it, and its image's commands in containers of hooks, come to, by their program: milliseconds and exit
    /// code. Every other one ends at once with 0.
    pub commands: BTreeMap<String, (u64, i64)>,
}

impl Default for Behaviour {
    /// Runs, is well from the first look, and ends at once when asked to.
    fn default() -> Self {
        Self {
            exits_after: None,
            healthy_after: Some(0),
            ails_after: None,
            start_error: None,
            ignores_term: false,
            stop_takes: 0,
            stop_code: 0,
            oom: false,
            output: Vec::new(),
            commands: BTreeMap::new(),
        }
    }
}

impl Behaviour {
    /// Ends with `code` after `ms`.
    #[must_use]
    pub fn exits(ms: u64, code: i64) -> Self {
        Self { exits_after: Some((ms, code)), ..Self::default() }
    }

    /// Runs, and its health check never passes.
    #[must_use]
    pub fn never_healthy() -> Self {
        Self { healthy_after: None, ..Self::default() }
    }

    /// Its health check passes after `ms`.
    #[must_use]
    pub fn healthy_after(ms: u64) -> Self {
        Self { healthy_after: Some(ms), ..Self::default() }
    }

    /// Well at first, ill from `ms` on.
    #[must_use]
    pub fn ails_after(ms: u64) -> Self {
        Self { ails_after: Some(ms), ..Self::default() }
    }

    /// The engine refuses to start it.
    #[must_use]
    pub fn cannot_start(kind: Failure, text: &str) -> Self {
        Self { start_error: Some((kind, text.to_owned())), ..Self::default() }
    }

    /// Ends only when it is killed.
    #[must_use]
    pub fn ignores_term() -> Self {
        Self { ignores_term: true, ..Self::default() }
    }

    /// What this command comes to.
    pub(super) fn command(&self, words: &[String]) -> (u64, i64) {
        words.first().and_then(|program| self.commands.get(program)).copied().unwrap_or_default()
    }

    /// Milliseconds from the stop signal to the end, and the exit code, with `grace` seconds until the engine kills.
    pub(super) fn stops_in(&self, grace: u32) -> (u64, i64) {
        let limit = u64::from(grace) * 1000;
        if self.ignores_term || self.stop_takes > limit {
            (limit, 137)
        } else {
            (self.stop_takes, self.stop_code)
        }
    }
}

/// When the engine looks at an application's health, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckTimes {
    pub interval: u64,
    pub start_period: u64,
    pub retries: u64,
}

impl CheckTimes {
    /// The engine's defaults (30 s, 3 tries, no start period).
    pub const ENGINE: Self = Self { interval: 30_000, start_period: 0, retries: 3 };

    /// The check of a container; `None`: it has none.
    #[must_use]
    pub fn of(check: &Healthcheck, image_has_one: bool) -> Option<Self> {
        match check {
            Healthcheck::Inherit => image_has_one.then_some(Self::ENGINE),
            Healthcheck::Disabled => None,
            Healthcheck::Set(spec) => (image_has_one || !spec.test.is_empty()).then(|| Self::with(spec)),
        }
    }

    fn with(spec: &HealthcheckSpec) -> Self {
        let ms =
            |nanoseconds: Option<u64>, default| nanoseconds.map_or(default, |ns| (ns / 1_000_000).max(1));
        Self {
            interval: ms(spec.interval, Self::ENGINE.interval),
            start_period: spec.start_period.map_or(0, |ns| ns / 1_000_000),
            retries: spec.retries.filter(|retries| *retries > 0).map_or(Self::ENGINE.retries, u64::from),
        }
    }

    /// What the engine makes of the script. It looks at every multiple of the interval; a failure within the start period does not
    /// count before the first success; a success counts at once, failures when there were `retries` in a row.
    fn turns(self, script: &Behaviour) -> Turns {
        let ails = script.ails_after.unwrap_or(u64::MAX);
        let look = |from: u64| from.div_ceil(self.interval).max(1);
        let at = |number: u64| number.saturating_mul(self.interval);
        let healthy = script.healthy_after.map(look).filter(|number| at(*number) < ails);
        let given_up = (self.start_period / self.interval).saturating_add(self.retries);
        let unhealthy = healthy.is_none_or(|number| given_up < number).then(|| at(given_up));
        let ill = healthy
            .filter(|_| script.ails_after.is_some())
            .map(|number| at(look(ails).max(number + 1).saturating_add(self.retries - 1)));
        Turns { unhealthy, healthy: healthy.map(at), ill }
    }

    /// Health `age` milliseconds after the start.
    #[must_use]
    pub fn health(self, script: &Behaviour, age: u64) -> Health {
        let turns = self.turns(script);
        let reached = |turn: Option<u64>| turn.is_some_and(|at| at <= age);
        if reached(turns.ill) {
            Health::Unhealthy
        } else if reached(turns.healthy) {
            Health::Healthy
        } else if reached(turns.unhealthy) {
            Health::Unhealthy
        } else {
            Health::Starting
        }
    }

    /// The first change of health later than `age` milliseconds after the start.
    #[must_use]
    pub fn next_turn(self, script: &Behaviour, age: u64) -> Option<u64> {
        let turns = self.turns(script);
        [turns.unhealthy, turns.healthy, turns.ill].into_iter().flatten().filter(|at| *at > age).min()
    }
}

/// When health changes, in milliseconds since the start.
struct Turns {
    /// Gives up before the first success.
    unhealthy: Option<u64>,
    /// First success.
    healthy: Option<u64>,
    /// Gives up after the first success.
    ill: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_SECOND: CheckTimes = CheckTimes { interval: 1000, start_period: 0, retries: 3 };

    #[test]
    fn health_follows_the_looks_of_the_engine() {
        let check = |times: CheckTimes, script: &Behaviour, expected: &[(u64, Health)]| {
            for (age, health) in expected {
                assert_eq!(times.health(script, *age), *health, "{script:?} at {age}");
            }
        };
        let well = Behaviour::default();
        check(
            EVERY_SECOND,
            &well,
            &[(0, Health::Starting), (999, Health::Starting), (1000, Health::Healthy)],
        );
        let never = Behaviour::never_healthy();
        check(EVERY_SECOND, &never, &[(2999, Health::Starting), (3000, Health::Unhealthy)]);
        let late = Behaviour::healthy_after(4500);
        check(
            EVERY_SECOND,
            &late,
            &[(3000, Health::Unhealthy), (4999, Health::Unhealthy), (5000, Health::Healthy)],
        );
        let patient = CheckTimes { start_period: 10_000, ..EVERY_SECOND };
        check(patient, &late, &[(4999, Health::Starting), (5000, Health::Healthy)]);
        let ails = Behaviour::ails_after(5000);
        check(
            EVERY_SECOND,
            &ails,
            &[(1000, Health::Healthy), (6999, Health::Healthy), (7000, Health::Unhealthy)],
        );
    }

    #[test]
    fn every_change_of_health_is_announced_once() {
        let late = Behaviour { ails_after: Some(20_000), ..Behaviour::healthy_after(4500) };
        let mut age = 0;
        let mut seen = Vec::new();
        while let Some(turn) = EVERY_SECOND.next_turn(&late, age) {
            age = turn;
            seen.push((turn, EVERY_SECOND.health(&late, turn)));
        }
        let expected = [(3000, Health::Unhealthy), (5000, Health::Healthy), (22_000, Health::Unhealthy)];
        assert_eq!(seen, expected);
    }
}
