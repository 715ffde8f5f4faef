//! The clocks. Everything that asks what time it is asks one of these, so that tests and `plan` can bring their own time.
//!
//! Waiting is by the monotonic clock only: a step of the wall clock (NTP, a resumed laptop) moves no deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::state::time::{Mono, Now, Timestamp};

/// A wait that ends when its clock reaches the instant it was made for.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Tells the time and waits for it.
pub trait Clock: Send + Sync + 'static {
    /// Both clocks at one instant.
    fn now(&self) -> Now;

    /// Ends when the monotonic clock has reached `at`; at once if it has. Dropping it is fine.
    fn sleep_until(&self, at: Mono) -> Sleep;
}

/// The machine's clocks. `Mono` counts from the first use in this process, and all copies count alike.
///
/// It is read through tokio, so a test with `start_paused` gets virtual time without another clock. Outside of such tests
/// that is the monotonic clock of the system, which stands still while the machine is suspended.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    fn start() -> Instant {
        static START: OnceLock<std::time::Instant> = OnceLock::new();
        Instant::from_std(*START.get_or_init(|| Instant::now().into_std()))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let passed = Instant::now().saturating_duration_since(Self::start());
        Now { wall: wall(), mono: Mono(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)) }
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        match Self::start().checked_add(Duration::from_millis(at.0)) {
            Some(instant) => Box::pin(tokio::time::sleep_until(instant)),
            // Further away than the clock can count: never.
            None => Box::pin(std::future::pending()),
        }
    }
}

/// The wall clock, for names and history. Milliseconds since 1970, UTC; negative on a machine whose clock is before that.
#[must_use]
pub fn wall() -> Timestamp {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Timestamp(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    })
}

/// The same for what compares with time stamps of files.
#[must_use]
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// A clock that moves only when told: for tests and for `plan`, which plays the future without living through it.
/// Clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock {
    time: watch::Sender<Now>,
}

impl ManualClock {
    #[must_use]
    pub fn new(start: Now) -> Self {
        Self { time: watch::Sender::new(start) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, ms: u64) {
        self.time.send_modify(|now| forward(now, ms));
    }

    /// Moves both clocks forward until the monotonic one shows `at`. Does nothing if it is past that: time never goes back.
    pub fn advance_to(&self, at: Mono) {
        self.time.send_modify(|now| {
            let ms = at.since(now.mono);
            forward(now, ms);
        });
    }

    /// Steps the wall clock alone, as an administrator or NTP does.
    pub fn step_wall(&self, wall: Timestamp) {
        self.time.send_modify(|now| now.wall = wall);
    }
}

impl Default for ManualClock {
    /// Starts at 2026-01-01T00:00:00Z, zero on the monotonic clock.
    fn default() -> Self {
        Self::new(Now { wall: Timestamp(1_767_225_600_000), mono: Mono(0) })
    }
}

fn forward(now: &mut Now, ms: u64) {
    now.mono = now.mono.after(ms);
    now.wall = Timestamp(now.wall.0.saturating_add_unsigned(ms));
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        *self.time.borrow()
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        let mut time = self.time.subscribe();
        Box::pin(async move {
            if time.wait_for(|now| now.mono >= at).await.is_err() {
                // Every handle of the clock is gone, so its time will never come.
                std::future::pending::<()>().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_manual_clock_wakes_its_sleepers_when_their_time_comes_and_not_before() {
        let clock = ManualClock::default();
        let mut sleep = clock.sleep_until(Mono(100));
        assert!(sleep.as_mut().now_or_never().is_none());
        clock.advance(99);
        assert!(sleep.as_mut().now_or_never().is_none());
        clock.advance_to(Mono(100));
        assert!(sleep.as_mut().now_or_never().is_some());
        assert!(clock.sleep_until(Mono(100)).now_or_never().is_some(), "a past instant needs no waiting");
    }

    #[test]
    fn a_step_of_the_wall_clock_moves_no_deadline() {
        let clock = ManualClock::default();
        let mut sleep = clock.sleep_until(Mono(100));
        clock.step_wall(Timestamp(4_000_000_000_000));
        assert_eq!(clock.now().mono, Mono(0));
        assert!(sleep.as_mut().now_or_never().is_none());
    }

    #[test]
    fn manual_time_never_goes_back() {
        let clock = ManualClock::default();
        clock.advance(50);
        clock.advance_to(Mono(10));
        assert_eq!(clock.now().mono, Mono(50));
    }

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_sleeps_until_an_instant_of_its_own_time() {
        let clock = SystemClock;
        let due = clock.now().mono.after(300_000);
        clock.sleep_until(due).await;
        let now = clock.now().mono;
        assert!(now >= due && now.since(due) < 1000, "{now:?} for {due:?}");
    }
}
