//! The layout of a text that is anything: what is TOML stays what it is, and is at rest once it is laid out.

use evenkeel::desired::format::{format, same};

pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _no_toml = rests(text);
}

/// What the layout does to a text; an error when that is no TOML.
pub fn rests(text: &str) -> Result<(), String> {
    let text = text.trim_start_matches('\u{feff}');
    let once = format(text).map_err(|(why, _)| why)?;
    assert!(same(text, &once), "{text}\n---\n{once}");
    // The parser that the loader has must agree on what it says.
    let value = |text: &str| text.parse::<toml::Table>().map(|table| format!("{table:?}")).map_err(|_| ());
    assert_eq!(value(text), value(&once), "{text}\n---\n{once}");
    assert_eq!(format(&once).as_ref(), Ok(&once), "not at rest: {text}");
    Ok(())
}
