//! Compose's written forms of durations, sizes, numbers of cores, booleans and numbers. Exact: no float is involved.

use std::fmt;

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationFault {
    /// A bare number.
    NoUnit,
    UnknownUnit,
    Negative,
    TooLong,
    /// Not even a number.
    Shapeless,
}

impl fmt::Display for DurationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUnit => "it has no unit",
            Self::UnknownUnit => "it has an unknown unit",
            Self::Negative => "it is negative",
            Self::TooLong => "it is longer than 292 years",
            Self::Shapeless => "it is not numbers with units",
        })
    }
}

const DURATION_UNITS: [(&str, u128); 9] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// Reads Compose's durations (`1m30s`, `1.5h`, `2d`) as nanoseconds; at most what the engine's signed 64 bits hold.
///
/// # Errors
/// What is wrong with the text.
pub fn duration(text: &str) -> Result<u64, DurationFault> {
    let text = text.trim();
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err(DurationFault::Shapeless);
    }
    if text.starts_with('-') {
        return Err(DurationFault::Negative);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (number, after) = split_at(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split_at(after, |c| !c.is_ascii_digit() && c != '.');
        let decimal = Decimal::read(number).ok_or(DurationFault::Shapeless)?;
        if unit.is_empty() {
            return Err(DurationFault::NoUnit);
        }
        let (_, scale) =
            DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or(DurationFault::UnknownUnit)?;
        total = decimal
            .times(*scale)
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= i64::MAX as u128)
            .ok_or(DurationFault::TooLong)?;
        rest = after;
    }
    u64::try_from(total).map_err(|_| DurationFault::TooLong)
}

/// Prints a duration in its largest whole units, so that [`duration`] reads the same back.
#[must_use]
pub fn print_duration(nanoseconds: u64) -> String {
    let mut left = u128::from(nanoseconds);
    let mut text = String::new();
    for (unit, scale) in DURATION_UNITS {
        if unit != "µs" && left >= scale {
            text.push_str(&format!("{}{unit}", left / scale));
            left %= scale;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads Compose's sizes (`512m`, `1.5g`, `64 KiB`, `1024`) as bytes. All units are powers of 1024, as in the engine's
/// own command line.
///
/// # Errors
/// What is wrong with the text, as the end of a sentence.
pub fn size(text: &str) -> Result<u64, &'static str> {
    let lower = text.trim().to_ascii_lowercase();
    if lower.starts_with('-') {
        return Err("it is negative");
    }
    let (number, unit) = split_at(&lower, |c| c.is_ascii_digit() || c == '.');
    let decimal = Decimal::read(number).ok_or("it does not begin with a number")?;
    let power = match unit.trim_start_matches(' ') {
        "" | "b" => 0,
        "k" | "kb" | "ki" | "kib" => 1,
        "m" | "mb" | "mi" | "mib" => 2,
        "g" | "gb" | "gi" | "gib" => 3,
        "t" | "tb" | "ti" | "tib" => 4,
        "p" | "pb" | "pi" | "pib" => 5,
        _ => return Err("its unit is unknown"),
    };
    decimal
        .times(1024_u128.pow(power))
        .filter(|bytes| *bytes <= i64::MAX as u128)
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or("it is too large")
}

/// Prints a size in the largest unit that divides it, so that [`size`] reads the same back.
#[must_use]
pub fn print_size(bytes: u64) -> String {
    for (unit, shift) in [("g", 30_u32), ("m", 20), ("k", 10)] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}b")
}

/// Reads a number of cores as billionths of a core: `0.5` is 500 000 000, exactly.
///
/// # Errors
/// What is wrong with the text, as the end of a sentence.
pub fn cores(text: &str) -> Result<u64, &'static str> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err("it is negative");
    }
    let decimal = Decimal::read(text).ok_or("it is not a number")?;
    if decimal.fraction.trim_end_matches('0').len() > 9 {
        return Err("the engine counts billionths of a core, no finer");
    }
    decimal
        .times(1_000_000_000)
        .filter(|billionths| *billionths <= i64::MAX as u128)
        .and_then(|billionths| u64::try_from(billionths).ok())
        .ok_or("it is too large")
}

/// Compose's words for yes and no, as it takes them after a variable was filled in.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "y" | "yes" | "on" | "1" => Some(true),
        "false" | "n" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Whether a text stands for yes.
#[must_use]
pub fn is_true(text: &str) -> bool {
    boolean(text) == Some(true)
}

/// A float as Compose passes it to a container: `1.0` is `1`, `1e21` is `1e+21`.
#[must_use]
pub fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{number:e}");
        if let Some((mantissa, exponent)) = text.split_once('e') {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            return format!("{mantissa}e{sign}{digits:0>2}");
        }
    }
    format!("{number}")
}

/// An exact non-negative decimal number.
struct Decimal<'t> {
    whole: &'t str,
    fraction: &'t str,
}

impl<'t> Decimal<'t> {
    fn read(text: &'t str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let good = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
        good.then_some(Self { whole, fraction })
    }

    /// The product, cut to a whole number; `None` when it does not fit.
    fn times(&self, scale: u128) -> Option<u128> {
        let whole = if self.whole.is_empty() { 0 } else { self.whole.parse::<u128>().ok()? };
        // Digits beyond the eighteenth are below every unit that exists here.
        let fraction: String = self.fraction.chars().take(18).collect();
        let places = u32::try_from(fraction.len()).ok()?;
        let part = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
        let part = part.checked_mul(scale)? / 10_u128.pow(places);
        whole.checked_mul(scale)?.checked_add(part)
    }
}

fn split_at(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}
