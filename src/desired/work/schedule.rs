//! Schedules in cron's words, and time zones.

use std::sync::LazyLock;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZoneDatabase;
use serde::{Deserialize, Serialize};

use crate::desired::suggest::nearest;

/// Five fields of cron: minute, hour, day of month, month, day of week. Made by [`Schedule::parse`] alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule(String);

/// Why a text is no schedule: the bytes at fault, a sentence, and what to say beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub start: usize,
    pub end: usize,
    pub message: String,
    pub label: String,
}

/// Names for whole schedules.
pub const NICKNAMES: [(&str, &str); 7] = [
    ("yearly", "0 0 1 1 *"),
    ("annually", "0 0 1 1 *"),
    ("monthly", "0 0 1 * *"),
    ("weekly", "0 0 * * 0"),
    ("daily", "0 0 * * *"),
    ("midnight", "0 0 * * *"),
    ("hourly", "0 * * * *"),
];

/// What stands in one place of a schedule.
struct Place {
    name: &'static str,
    number: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const PLACES: [Place; 5] = [
    Place { name: "minute", number: "first", least: 0, most: 59, names: &[] },
    Place { name: "hour", number: "second", least: 0, most: 23, names: &[] },
    Place { name: "day of the month", number: "third", least: 1, most: 31, names: &[] },
    Place {
        name: "month",
        number: "fourth",
        least: 1,
        most: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Place {
        name: "day of the week",
        number: "fifth",
        least: 0,
        most: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];
const DAY: usize = 2;
const WEEKDAY: usize = 4;

impl Schedule {
    /// Reads five fields or a nickname (`@daily`). What never comes (31 February) is a fault.
    ///
    /// # Errors
    /// What is wrong, and where in the text.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fields = fields(text);
        if let Some(nickname) = text.trim().strip_prefix('@') {
            let known = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(nickname));
            return known
                .map(|(_, fields)| Self((*fields).to_owned()))
                .ok_or_else(|| unknown_nickname(text, nickname));
        }
        if fields.len() != PLACES.len() {
            return Err(wrong_number(text, fields.len()));
        }
        let mut canonical = Vec::new();
        for (number, ((start, field), place)) in fields.iter().zip(&PLACES).enumerate() {
            canonical.push(place.read(number, *start, field)?);
        }
        never(&fields, &canonical)?;
        let schedule = Self(canonical.join(" "));
        match parser().parse(&schedule.0) {
            Ok(_) => Ok(schedule),
            Err(error) => Err(Fault {
                start: 0,
                end: text.len(),
                message: format!("`{text}` is not a schedule: {error}"),
                label: "not understood".to_owned(),
            }),
        }
    }

    /// The five fields, names as numbers.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For telling when it is due.
    #[must_use]
    pub fn cron(&self) -> Option<Cron> {
        parser().parse(&self.0).ok()
    }
}

/// Cron as it always was: five fields, and either of two restricted days is enough.
fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).dom_and_dow(false).build()
}

/// The words of a text, each with its first byte.
fn fields(text: &str) -> Vec<(usize, &str)> {
    text.split_whitespace().map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word)).collect()
}

fn unknown_nickname(text: &str, nickname: &str) -> Fault {
    let near = nearest(nickname, NICKNAMES.iter().map(|(name, _)| *name));
    Fault {
        start: 0,
        end: text.len(),
        message: format!("`{}` is not the name of a schedule", text.trim()),
        label: near.map_or_else(
            || "one of @hourly, @daily, @weekly, @monthly, @yearly".to_owned(),
            |near| format!("did you mean \"@{near}\"?"),
        ),
    }
}

fn wrong_number(text: &str, number: usize) -> Fault {
    let count = |n: usize| if n == 1 { "1 field".to_owned() } else { format!("{n} fields") };
    let label = match number {
        6 => "five fields: there are no seconds",
        0 => "when should it run?",
        _ => "five fields are needed",
    };
    Fault {
        start: 0,
        end: text.len(),
        message: format!("a schedule has 5 fields, and this has {}", count(number)),
        label: label.to_owned(),
    }
}

impl Place {
    fn fault(&self, start: usize, text: &str, message: String) -> Fault {
        let label = format!("{} field is the {}", self.number, self.name);
        Fault { start, end: start + text.len(), message, label }
    }

    fn missing(&self, start: usize, text: &str) -> Fault {
        self.fault(start, text, format!("a value of the {} is missing", self.name))
    }

    /// Reads one field: a list of values, ranges and steps. Returns it with numbers for names.
    fn read(&self, number: usize, start: usize, field: &str) -> Result<String, Fault> {
        let mut at = start;
        let mut items = Vec::new();
        for item in field.split(',') {
            if item.is_empty() {
                // It has no text to point at: the comma before it has, or else the one behind.
                let comma = if at > start { at - 1 } else { at };
                return Err(self.missing(comma, ","));
            }
            items.push(self.item(number, at, item)?);
            at += item.len() + 1;
        }
        Ok(items.join(","))
    }

    fn item(&self, number: usize, at: usize, item: &str) -> Result<String, Fault> {
        if let Some(special) = self.special(number, at, item)? {
            return Ok(special);
        }
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some((at + base.len() + 1, step))),
            None => (item, None),
        };
        let canonical = match base.split_once('-') {
            _ if base == "*" => base.to_owned(),
            Some((first, last)) if first.is_empty() || last.is_empty() => return Err(self.missing(at, base)),
            Some((first, last)) => {
                let (low, mut high) = (self.value(at, first)?, self.value(at + first.len() + 1, last)?);
                if number == WEEKDAY && high == 0 {
                    high = 7;
                }
                if low > high {
                    let message = format!("the range {base} of the {} runs backwards", self.name);
                    return Err(self.fault(at, base, message));
                }
                format!("{low}-{high}")
            }
            None if step.is_some() => {
                let message = format!("`{item}` steps from a single {}", self.name);
                let mut fault = self.fault(at, item, message);
                fault.label = format!(
                    "a step needs a range: \"{base}-{}/{}\"",
                    self.most,
                    step.map_or("", |step| step.1)
                );
                return Err(fault);
            }
            None => self.value(at, base)?.to_string(),
        };
        let Some((place, step)) = step else { return Ok(canonical) };
        match step.parse::<u32>() {
            Ok(step @ 1..) if step <= self.most.max(1) => Ok(format!("{canonical}/{step}")),
            _ => {
                let shown = if step.is_empty() { item } else { step };
                let place = if step.is_empty() { at } else { place };
                let message = format!("`{shown}` is not a step within {}-{}", self.least, self.most);
                Err(self.fault(place, shown, message))
            }
        }
    }

    /// A number or a name within the range of the field.
    fn value(&self, at: usize, text: &str) -> Result<u32, Fault> {
        let lower = text.to_ascii_lowercase();
        if let Some(index) = self.names.iter().position(|name| *name == lower) {
            return Ok(u32::try_from(index).unwrap_or_default() + self.least);
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mut fault = self.fault(at, text, format!("`{text}` is not a {}", self.name));
            if let Some(near) = nearest(&lower, self.names.iter().copied()) {
                fault.label = format!("did you mean {near}?");
            }
            return Err(fault);
        }
        match text.parse::<u32>() {
            Ok(value) if (self.least..=self.most).contains(&value) => Ok(value),
            _ => {
                let message = format!("{} {text} is outside {}-{}", self.name, self.least, self.most);
                Err(self.fault(at, text, message))
            }
        }
    }

    /// `L`, `LW` and `15W` of days, `5L` and `5#2` of weekdays, `?` for any of both.
    fn special(&self, number: usize, at: usize, item: &str) -> Result<Option<String>, Fault> {
        let upper = item.to_ascii_uppercase();
        if matches!(upper.as_str(), "W") || upper.starts_with('#') {
            return Err(self.missing(at, item));
        }
        match number {
            DAY | WEEKDAY if upper == "?" => Ok(Some("*".to_owned())),
            DAY if upper == "L" || upper == "LW" => Ok(Some(upper)),
            DAY => match upper.strip_suffix('W') {
                Some(day) => self.value(at, day).map(|day| Some(format!("{day}W"))),
                None => Ok(None),
            },
            WEEKDAY => {
                if let Some((day, week)) = upper.split_once('#') {
                    let day = self.value(at, day)?;
                    return match week.parse::<u32>() {
                        _ if week == "L" => Ok(Some(format!("{day}#L"))),
                        Ok(week @ 1..=5) => Ok(Some(format!("{day}#{week}"))),
                        _ => Err(self.fault(
                            at,
                            item,
                            format!("`{item}` is not one of the five weeks of a month"),
                        )),
                    };
                }
                match upper.strip_suffix('L') {
                    Some(day) if !day.is_empty() => self.value(at, day).map(|day| Some(format!("{day}#L"))),
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }
}

/// 31 February and the like: no day of the month is in any of the months, and the day of the week does not help.
fn never(fields: &[(usize, &str)], canonical: &[String]) -> Result<(), Fault> {
    const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let part = |number: usize| canonical.get(number).map(String::as_str).unwrap_or_default();
    if part(WEEKDAY) != "*" || part(DAY).contains(['*', 'L']) {
        return Ok(());
    }
    let first = part(DAY)
        .split(',')
        .filter_map(|item| item.split(['-', '/', 'W']).next()?.parse::<u32>().ok())
        .min()
        .unwrap_or_default();
    let months = part(3).split(',').flat_map(|item| {
        let (base, step) = item.split_once('/').unwrap_or((item, "1"));
        let (low, high) = match base.split_once('-') {
            Some((low, high)) => (low.parse().unwrap_or(1), high.parse().unwrap_or(12)),
            None if base == "*" => (1, 12),
            None => (base.parse().unwrap_or(1), base.parse().unwrap_or(12)),
        };
        (low..=high).step_by(step.parse().unwrap_or(1_usize).max(1))
    });
    let longest = months.filter_map(|month: usize| LONGEST.get(month.wrapping_sub(1))).max().copied();
    if longest.is_none_or(|longest| first <= longest) {
        return Ok(());
    }
    let (start, text) = fields.get(DAY).copied().unwrap_or_default();
    let month = fields.get(3).map(|(_, text)| *text).unwrap_or_default();
    Err(Fault {
        start,
        end: start + text.len(),
        message: format!("day {text} never comes in month {month}"),
        label: format!("at most {} days there", longest.unwrap_or_default()),
    })
}

/// Every IANA name there is, in order. From the binary, so that files mean the same on every host.
#[must_use]
pub fn zones() -> &'static [String] {
    static ZONES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut names: Vec<String> =
            TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        names
    });
    &ZONES
}

/// The name as IANA writes it.
#[must_use]
pub fn zone(text: &str) -> Option<&'static str> {
    zones().iter().find(|name| name.eq_ignore_ascii_case(text)).map(String::as_str)
}

/// The zone that a text was probably meant to be. People write a city, too.
#[must_use]
pub fn near_zone(text: &str) -> Option<&'static str> {
    let whole = nearest(text, zones().iter().map(String::as_str));
    whole.or_else(|| {
        let city = text.replace(' ', "_");
        let last =
            |name: &&String| name.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(&city));
        zones().iter().find(last).map(String::as_str)
    })
}
