//! How a value becomes a row and back. Pure; whatever stands in a row, decoding answers with a value or with a sentence.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// The version of the rows' JSON. It is raised together with the schema's version, so that a row newer than this is never
/// met in a database that could be opened.
pub const FORMAT: i64 = 1;

/// What a row holds beside its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub format: i64,
    pub body: Vec<u8>,
    /// Hex SHA-256 over table, key, format and body: a row that was moved to another key is as wrong as a flipped bit.
    pub checksum: Vec<u8>,
}

impl Row {
    /// Writes `value` down as a row of `table` under `key`.
    pub fn encode<T: Serialize>(table: &str, key: &str, value: &T) -> Result<Self, serde_json::Error> {
        let body = serde_json::to_vec(value)?;
        let checksum = checksum(table, key, FORMAT, &body).into_bytes();
        Ok(Self { format: FORMAT, body, checksum })
    }

    /// Reads it back; the error is for people and holds nothing of the body, which may contain secrets.
    pub fn decode<T: DeserializeOwned>(&self, table: &str, key: &str) -> Result<T, String> {
        if self.format != FORMAT {
            return Err(format!("it has the format {}, this version reads {FORMAT}", self.format));
        }
        if checksum(table, key, self.format, &self.body).as_bytes() != self.checksum {
            return Err("its checksum does not fit its content".to_owned());
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| format!("it does not decode (line {}, column {})", error.line(), error.column()))
    }
}

fn checksum(table: &str, key: &str, format: i64, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(format!("evenkeel {table} {format}\n{key}\n"));
    digest.update(body);
    hex::encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::record::Record;
    use crate::state::time::Timestamp;

    fn record() -> Record {
        Record { source: "shop/web.toml".to_owned(), sequence: 7, ..Record::default() }
    }

    #[test]
    fn a_row_reads_back_as_what_was_written() {
        let row = Row::encode("record", "shop/web", &record()).unwrap();
        assert_eq!(row.decode::<Record>("record", "shop/web"), Ok(record()));
    }

    #[test]
    fn a_row_is_good_only_under_its_own_key_and_table() {
        let row = Row::encode("record", "shop/web", &record()).unwrap();
        assert!(row.decode::<Record>("record", "shop/db").is_err());
        assert!(row.decode::<Record>("history", "shop/web").is_err());
    }

    #[test]
    fn an_error_tells_nothing_of_the_body() {
        let mut row = Row::encode("record", "a/b", &"hunter2").unwrap();
        let told = row.decode::<Record>("record", "a/b").unwrap_err();
        row.checksum.clear();
        let told_again = row.decode::<Record>("record", "a/b").unwrap_err();
        assert!(!told.contains("hunter2") && !told_again.contains("hunter2"), "{told} {told_again}");
    }

    proptest! {
        #[test]
        fn any_single_changed_byte_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut row = Row::encode("record", "shop/web", &record()).unwrap();
            let length = row.body.len() + row.checksum.len();
            let at = at.index(length);
            let body = row.body.len();
            let byte = if at < body { &mut row.body[at] } else { &mut row.checksum[at - body] };
            *byte ^= 1 << bit;
            prop_assert!(row.decode::<Record>("record", "shop/web").is_err());
        }

        #[test]
        fn no_row_panics(format in any::<i64>(), body in any::<Vec<u8>>(), checksum in any::<Vec<u8>>()) {
            let row = Row { format, body, checksum };
            prop_assert!(row.decode::<Record>("record", "shop/web").is_err());
        }

        #[test]
        fn a_row_with_a_right_checksum_and_any_json_decodes_or_says_why(text in "\\PC{0,60}", number in any::<i64>()) {
            for value in [serde_json::json!(text), serde_json::json!({ "sequence": number, "source": text }), serde_json::json!([text, number])] {
                let row = Row::encode("record", "shop/web", &value).unwrap();
                if let Ok(record) = row.decode::<Record>("record", "shop/web") {
                    prop_assert_eq!(record.source, text.clone());
                }
            }
            let row = Row::encode("record", "shop/web", &Timestamp(number)).unwrap();
            prop_assert_eq!(row.decode::<Timestamp>("record", "shop/web"), Ok(Timestamp(number)));
        }
    }
}
