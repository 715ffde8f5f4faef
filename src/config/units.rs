//! Durations and sizes as people write them.

use crate::state::space::Threshold;

/// `500ms`, `90s`, `15m`, `1h30m`, `2d` in milliseconds.
///
/// # Errors
/// What is wrong with it and what would be right, as the rest of a sentence.
pub fn duration(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 6] =
        [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
    let wrong =
        || format!("`{text}` is no duration; write a number with its unit, as in 500ms, 90s, 15m, 1h30m, 2d");
    let mut rest = text.trim();
    let mut total = 0_u64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, left) = after.split_at(letters);
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let value = number.parse::<u64>().ok().zip(factor).and_then(|(number, by)| number.checked_mul(by));
        total = value.and_then(|value| total.checked_add(value)).ok_or_else(wrong)?;
        rest = left;
    }
    Ok(total)
}

/// `1073741824`, `512MiB`, `1GiB`, `500MB` in bytes. `K`, `M`, `G`, `T` alone count in 1024s, as Docker's do.
///
/// # Errors
/// What is wrong with it and what would be right, as the rest of a sentence.
pub fn size(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let digits = trimmed.len() - trimmed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = trimmed.split_at(digits);
    let factor: Option<u64> = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kib" => Some(1 << 10),
        "m" | "mib" => Some(1 << 20),
        "g" | "gib" => Some(1 << 30),
        "t" | "tib" => Some(1 << 40),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "tb" => Some(1_000_000_000_000),
        _ => None,
    };
    number.parse::<u64>().ok().zip(factor).and_then(|(number, by)| number.checked_mul(by)).ok_or_else(|| {
        format!("`{text}` is no size; write bytes or a number with its unit, as in 512MiB, 1GiB")
    })
}

/// A size, a part of the whole (`10%`), or `off`.
///
/// # Errors
/// What is wrong with it and what would be right, as the rest of a sentence.
pub fn threshold(text: &str) -> Result<Threshold, String> {
    let text = text.trim();
    if text == "off" {
        return Ok(Threshold::Bytes(0));
    }
    match text.strip_suffix('%') {
        Some(number) => match number.trim().parse::<u8>() {
            Ok(percent) if percent <= 100 => Ok(Threshold::Percent(percent)),
            _ => Err(format!("`{text}` is no part of the whole; write 0% to 100%, or a size as in 5GiB")),
        },
        None => size(text).map(Threshold::Bytes).map_err(|why| format!("{why}, 10% or off")),
    }
}

#[cfg(test)]
mod tests {
    use super::{duration, size, threshold};
    use crate::state::space::Threshold;

    #[test]
    fn thresholds_are_sizes_or_parts() {
        let good = [
            ("5GiB", Threshold::Bytes(5 << 30)),
            ("10%", Threshold::Percent(10)),
            ("0 %", Threshold::Percent(0)),
            ("off", Threshold::Bytes(0)),
        ];
        for (text, value) in good {
            assert_eq!(threshold(text), Ok(value), "{text}");
        }
        for (text, hint) in [("101%", "5GiB"), ("-1%", "5GiB"), ("10 percent", "10%"), ("", "10%")] {
            assert!(threshold(text).is_err_and(|why| why.contains(hint)), "{text}");
        }
    }

    #[test]
    fn durations_are_numbers_with_units() {
        let good = [("500ms", 500), ("90s", 90_000), ("1h30m", 5_400_000), ("2d", 172_800_000), ("0s", 0)];
        for (text, ms) in good {
            assert_eq!(duration(text), Ok(ms), "{text}");
        }
        for text in
            ["", "5", "m", "5 m", "1x", "-1s", "1.5h", "99999999999999999999s", "18446744073709551615w", "é"]
        {
            assert!(duration(text).is_err_and(|why| why.contains("15m")), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_numbers_with_units() {
        let good = [
            ("0", 0),
            ("512", 512),
            ("1GiB", 1 << 30),
            ("1g", 1 << 30),
            ("500 MB", 500_000_000),
            ("2KiB", 2048),
        ];
        for (text, bytes) in good {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "1X", "-1", "1.5GiB", "99999999999TiB"] {
            assert!(size(text).is_err_and(|why| why.contains("1GiB")), "{text}");
        }
    }
}
