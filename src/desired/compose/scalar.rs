//! Plain scalars as Compose reads them: YAML 1.2's core schema, and the older octal `0440` for file modes.

use super::tree::Value;

/// What an unquoted word means.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    integer(text).or_else(|| float(text)).unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// A number too large for TOML stays the text it is written as.
pub(super) fn integer(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let signed = digits.len() < text.len();
    let (digits, radix) = match digits {
        "" => return None,
        _ if !signed && digits.starts_with("0x") => (digits.get(2..)?, 16),
        _ if !signed && digits.starts_with("0o") => (digits.get(2..)?, 8),
        _ if digits.len() > 1
            && digits.starts_with('0')
            && digits.bytes().all(|b| b.is_ascii_digit() && b < b'8') =>
        {
            (digits, 8)
        }
        _ => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let Ok(number) = i128::from_str_radix(digits, radix) else { return Some(Value::Text(text.to_owned())) };
    let number = if text.starts_with('-') { -number } else { number };
    Some(i64::try_from(number).map_or_else(|_| Value::Text(text.to_owned()), Value::Int))
}

pub(super) fn float(text: &str) -> Option<Value> {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    match rest {
        ".inf" | ".Inf" | ".INF" => {
            return Some(Value::Float(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }));
        }
        ".nan" | ".NaN" | ".NAN" if rest.len() == text.len() => return Some(Value::Float(f64::NAN)),
        _ => {}
    }
    let (mantissa, exponent) = rest.split_once(['e', 'E']).map_or((rest, None), |(m, e)| (m, Some(e)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let sound = match mantissa.split_once('.') {
        None => digits(mantissa),
        Some(("", after)) => digits(after),
        Some((before, after)) => digits(before) && (after.is_empty() || digits(after)),
    };
    let exponent_sound = exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)));
    (sound && exponent_sound).then(|| text.parse().ok().map(Value::Float)).flatten()
}

/// The text of a number as Compose passes it on: as Go prints it.
pub(super) fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let exponential = format!("{number:e}");
    let (mantissa, exponent) = exponential.split_once('e').unwrap_or((&exponential, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{number}"),
    }
}

/// A scalar as text; `None` for null, lists and maps.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(float_text(*number)),
        Value::Text(text) => Some(text.clone()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_compose_reads_them() {
        let text = |text: &str| Value::Text(text.to_owned());
        let cases = [
            ("", Value::Null),
            ("~", Value::Null),
            ("yes", text("yes")),
            ("no", text("no")),
            ("True", Value::Bool(true)),
            ("0440", Value::Int(288)),
            ("0o17", Value::Int(15)),
            ("0x1F", Value::Int(31)),
            ("-0x1F", text("-0x1F")),
            ("08", Value::Int(8)),
            ("+5", Value::Int(5)),
            ("-12", Value::Int(-12)),
            ("22:22", text("22:22")),
            ("1_000", text("1_000")),
            ("18446744073709551616", text("18446744073709551616")),
            (".5", Value::Float(0.5)),
            ("1.", Value::Float(1.0)),
            ("1e3", Value::Float(1000.0)),
            (".", text(".")),
            ("-", text("-")),
            ("e3", text("e3")),
            ("1.2.3", text("1.2.3")),
            ("2020-01-01", text("2020-01-01")),
            ("-.inf", Value::Float(f64::NEG_INFINITY)),
        ];
        for (written, meant) in cases {
            assert_eq!(resolve(written), meant, "{written:?}");
        }
    }

    #[test]
    fn numbers_become_text_as_go_prints_them() {
        let cases = [
            (1.0, "1"),
            (1.5, "1.5"),
            (3.10, "3.1"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (0.00001, "1e-05"),
            (0.0001, "0.0001"),
        ];
        for (number, text) in cases {
            assert_eq!(float_text(number), text);
        }
    }
}
