//! A compose file that is anything. The first byte says whether it is laid over another.

use std::time::{Duration, Instant};

use evenkeel::cli::render::shown;
use evenkeel::desired::compose::{Note, Source, convert};
use evenkeel::desired::load;

use super::{Input, assert_harmless};

/// Far more than the bounds of the reader let any input take, on a slow machine.
const LONGEST: Duration = Duration::from_secs(20);

pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let refines = input.byte() == b'!';
    let text = String::from_utf8_lossy(input.rest()).into_owned();
    let source = Source { file: "compose.yaml", text: &text, refines };
    let began = Instant::now();
    let first = convert(&source);
    assert!(began.elapsed() < LONGEST, "{:?} for {} bytes", began.elapsed(), text.len());
    let again = convert(&source);
    assert_eq!(format!("{first:?}"), format!("{again:?}"), "the same text, another result");
    let told = |note: &Note| {
        assert!(note.line >= 1 && note.column >= 1, "{note}");
        assert_harmless("a note", &shown(&note.to_string()));
    };
    match first {
        Err(error) => told(&error),
        Ok((documents, notes)) => {
            notes.iter().for_each(told);
            assert!(!documents.is_empty());
            for document in documents {
                let toml = document.toml();
                super::format::rests(&toml).unwrap_or_else(|why| panic!("{why}\n{toml}"));
                let files = [("shop/compose.toml".to_owned(), toml.into_bytes())];
                let _state = load(&super::load::snapshot(&files), &super::load::host());
            }
        }
    }
}
