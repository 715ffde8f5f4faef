//! Rows of the store. The first byte damages, the second line is a key, the rest is a body.

use evenkeel::controller::store::Row;
use evenkeel::state::record::{HistoryEntry, Record};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Input;

pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let damage = input.byte();
    let key = input.line();
    let body = input.rest();
    raw(&key, body);
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    signed::<Record>("record", &key, &value, damage);
    signed::<HistoryEntry>("history", &key, &value, damage);
}

/// Nobody signed it: it is never a record, and why is said without quoting it.
fn raw(key: &str, body: &[u8]) {
    for (format, checksum) in [(1, &b""[..]), (1, body), (2, b"0"), (i64::MIN, body)] {
        let row = Row { format, body: body.to_vec(), checksum: checksum.to_vec() };
        let why = row.decode::<Record>("record", key).expect_err("a record that nobody signed");
        assert!(why.len() < 200, "{why}");
    }
}

/// Signed, so only its content can be wrong: a value that is written down again as it was read, or a reason.
fn signed<T>(table: &str, key: &str, value: &Value, damage: u8)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let row = Row::encode(table, key, value).unwrap();
    match row.decode::<T>(table, key) {
        Err(why) => assert!(why.len() < 200, "{why}"),
        Ok(read) => {
            let again = Row::encode(table, key, &read).unwrap();
            assert_eq!(again.decode::<T>(table, key).as_ref(), Ok(&read), "written and read back");
            let other = format!("{key}x");
            assert!(again.decode::<T>(table, &other).is_err() && again.decode::<T>("other", key).is_err());
            let mut flipped = again;
            let at = usize::from(damage) % flipped.body.len();
            flipped.body[at] ^= 1 << (damage % 8);
            assert!(flipped.decode::<T>(table, key).is_err(), "a flipped bit at {at}");
        }
    }
}
