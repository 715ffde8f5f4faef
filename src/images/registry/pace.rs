//! How often a registry is asked.
//!
//! Values only: the clock is given. A registry that says that it is asked too often is believed, and one that says how many more
//! questions it will answer is asked more slowly as they run out.

/// Questions that may be asked at once.
const BURST: u64 = 20;
/// Milliseconds after which one more may be asked.
const STEP_MS: u64 = 250;
/// How long a registry is left alone that says it has had enough, and not for how long.
const UNSAID_MS: u64 = 60_000;
/// The longest that it is left alone, whatever it says.
const LONGEST_MS: u64 = 6 * 3_600_000;
/// Of the questions that it says it still answers, so many are left to the engine's own pulls.
const RESERVE: u64 = 20;

/// The pace of one registry, by milliseconds of a clock that never goes back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pace {
    /// When the questions asked so far are all made up for.
    even_at: u64,
    /// Until when it wants to be left alone.
    quiet_until: u64,
}

impl Pace {
    /// A question is to be asked: `Ok` when to ask it.
    ///
    /// # Errors
    /// For how many milliseconds the registry wants to be left alone.
    pub fn ask(&mut self, now: u64) -> Result<u64, u64> {
        if self.quiet_until > now {
            return Err(self.quiet_until - now);
        }
        let at = self.even_at.saturating_sub((BURST - 1) * STEP_MS).max(now);
        self.even_at = self.even_at.max(now) + STEP_MS;
        Ok(at)
    }

    /// It says that it was asked too often. Returns for how long it is left alone.
    pub fn refused(&mut self, now: u64, retry_after_ms: Option<u64>) -> u64 {
        let wait = retry_after_ms.unwrap_or(UNSAID_MS).clamp(1_000, LONGEST_MS);
        self.quiet_until = self.quiet_until.max(now.saturating_add(wait));
        self.quiet_until - now
    }

    /// It says how many more questions it answers, and within which time.
    pub fn remaining(&mut self, now: u64, count: u64, window_ms: u64) {
        if count <= RESERVE {
            let share = window_ms.min(LONGEST_MS) / 4;
            self.quiet_until = self.quiet_until.max(now.saturating_add(share));
        }
    }
}

/// `Retry-After`: seconds, or a date, which is compared with the `Date` of the same answer: what our own clock says does not matter.
#[must_use]
pub fn retry_after_ms(text: &str, date: Option<&str>) -> Option<u64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let read = |text: &str| Some(jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp().as_millisecond());
    let wait = read(text)?.saturating_sub(read(date?)?);
    Some(u64::try_from(wait).unwrap_or_default())
}

/// `RateLimit-Remaining: 76;w=21600`: how many, and the window in milliseconds.
#[must_use]
pub fn remaining(text: &str) -> Option<(u64, u64)> {
    let (count, rest) = text.split_once(';').unwrap_or((text, ""));
    let window = rest.trim().strip_prefix("w=").and_then(|seconds| seconds.parse::<u64>().ok());
    Some((count.trim().parse().ok()?, window.unwrap_or(3_600).saturating_mul(1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_asked_at_once_and_the_rest_at_the_pace() {
        let mut pace = Pace::default();
        let times: Vec<u64> = (0..24).map(|_| pace.ask(1_000).unwrap()).collect();
        assert_eq!(times.iter().filter(|at| **at == 1_000).count() as u64, BURST);
        assert_eq!(times[BURST as usize..], [1_250, 1_500, 1_750, 2_000]);
        // After a rest it is as if nothing had been.
        assert_eq!(pace.ask(60_000), Ok(60_000));
    }

    #[test]
    fn a_registry_that_has_had_enough_is_left_alone_for_as_long_as_it_says() {
        let mut pace = Pace::default();
        assert_eq!(pace.refused(1_000, Some(30_000)), 30_000);
        assert_eq!(pace.ask(2_000), Err(29_000));
        // A later word that is shorter does not shorten it.
        assert_eq!(pace.refused(2_000, Some(1_000)), 29_000);
        assert_eq!(pace.ask(31_000), Ok(31_000));
        assert_eq!(pace.refused(31_000, None), UNSAID_MS);
        assert_eq!(Pace::default().refused(0, Some(u64::MAX)), LONGEST_MS);
    }

    #[test]
    fn the_last_questions_are_left_to_the_pulls() {
        let mut pace = Pace::default();
        pace.remaining(0, 76, 21_600_000);
        assert_eq!(pace.ask(0), Ok(0));
        pace.remaining(0, 3, 21_600_000);
        assert_eq!(pace.ask(0), Err(5_400_000));
    }

    #[test]
    fn headers_are_read() {
        let now = Some("Thu, 26 Nov 2026 10:00:00 GMT");
        for (text, expected) in [
            ("120", Some(120_000)),
            (" 0 ", Some(0)),
            ("Thu, 26 Nov 2026 10:02:00 GMT", Some(120_000)),
            ("Thu, 26 Nov 2026 09:00:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
        ] {
            assert_eq!(retry_after_ms(text, now), expected, "{text}");
        }
        assert_eq!(retry_after_ms("Thu, 26 Nov 2026 10:02:00 GMT", None), None);
        for (text, expected) in
            [("76;w=21600", Some((76, 21_600_000))), ("5", Some((5, 3_600_000))), ("x", None)]
        {
            assert_eq!(remaining(text), expected, "{text}");
        }
    }
}
