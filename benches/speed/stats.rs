//! Medians and ratios.

use std::time::Duration;

/// What one contender took, a figure for each round.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub ms: Vec<f64>,
}

impl Sample {
    pub fn push(&mut self, took: Duration) {
        self.ms.push(took.as_secs_f64() * 1e3);
    }

    pub fn median(&self) -> f64 {
        let mut sorted = self.ms.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[odd / 2],
            even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
        }
    }

    fn range(values: &[f64]) -> (f64, f64) {
        values.iter().fold((f64::INFINITY, 0.0), |(low, high), value| (value.min(low), value.max(high)))
    }

    /// `712 (690-760)`, milliseconds.
    pub fn shown(&self) -> String {
        if self.ms.is_empty() {
            return "-".to_owned();
        }
        let (low, high) = Self::range(&self.ms);
        format!("{} ({}–{})", figure(self.median()), figure(low), figure(high))
    }

    /// Median against median, with the least and the greatest ratio of one round.
    pub fn against(&self, other: &Self) -> Ratio {
        let rounds: Vec<f64> = self.ms.iter().zip(&other.ms).map(|(own, theirs)| own / theirs).collect();
        let (low, high) = Self::range(&rounds);
        Ratio { of_medians: self.median() / other.median(), low, high }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Ratio {
    pub of_medians: f64,
    low: f64,
    high: f64,
}

impl Ratio {
    pub fn shown(&self) -> String {
        if self.of_medians.is_nan() {
            return "-".to_owned();
        }
        format!("{:.2} ({:.2}–{:.2})", self.of_medians, self.low, self.high)
    }
}

pub fn figure(value: f64) -> String {
    match value {
        small if small < 10.0 => format!("{small:.2}"),
        middle if middle < 100.0 => format!("{middle:.1}"),
        large => format!("{large:.0}"),
    }
}
