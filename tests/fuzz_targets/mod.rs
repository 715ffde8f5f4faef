//! What is fuzzed: one function per kind of input, each with claims that hold for any bytes at all. They run over the corpora in
//! `tests/corpus` and mutations of them (`tests/prove/fuzz`, in `make test`), and over one file
//! (`FUZZ_TARGET=load FUZZ_FILE=path scripts/prove.sh prove one_file`).

mod answers;
mod archives;
mod compose;
mod database;
mod events;
mod format;
mod labels;
mod load;
mod output;
mod rows;
mod settings;
mod short_forms;
mod works;

/// A target: its name, which is that of its corpus, what it asserts, and how many mutations a short run makes of it.
pub struct Target {
    pub name: &'static str,
    pub check: fn(&[u8]),
    pub short_run: usize,
}

pub const TARGETS: &[Target] = &[
    Target { name: "load", check: load::check, short_run: 3_000 },
    Target { name: "short_forms", check: short_forms::check, short_run: 12_000 },
    Target { name: "labels", check: labels::check, short_run: 40_000 },
    Target { name: "answers", check: answers::check, short_run: 60_000 },
    Target { name: "events", check: events::check, short_run: 40_000 },
    Target { name: "rows", check: rows::check, short_run: 40_000 },
    Target { name: "database", check: database::check, short_run: 300 },
    Target { name: "output", check: output::check, short_run: 60_000 },
    Target { name: "compose", check: compose::check, short_run: 4_000 },
    Target { name: "format", check: format::check, short_run: 6_000 },
    Target { name: "works", check: works::check, short_run: 6_000 },
    Target { name: "archives", check: archives::check, short_run: 4_000 },
    Target { name: "settings", check: settings::check, short_run: 30_000 },
];

/// Takes input apart: bytes that choose, and texts up to a separator.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Bytes up to the next separator, or all that is left.
    fn part(&mut self, separator: u8) -> &'a [u8] {
        let at = self.0.iter().position(|byte| *byte == separator);
        let (part, rest) = match at {
            Some(at) => (&self.0[..at], &self.0[at + 1..]),
            None => (self.0, &[][..]),
        };
        self.0 = rest;
        part
    }

    fn line(&mut self) -> String {
        String::from_utf8_lossy(self.part(b'\n')).into_owned()
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// Whether a terminal would do something else with it than show it: written anew here, so that it is not the code's own list.
fn obeyed(c: char) -> bool {
    let code = u32::from(c);
    code < 0x20
        || (0x7f..=0x9f).contains(&code)
        || matches!(code, 0x61c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069)
}

fn assert_harmless(what: &str, text: &str) {
    let found = text.chars().find(|c| *c != '\n' && obeyed(*c));
    assert_eq!(found, None, "{what} lets a character through that a terminal obeys: {text:?}");
}
