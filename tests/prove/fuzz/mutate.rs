//! Mutations that know a little of what they mutate: lines, words of the language, numbers at the edges, parts of other inputs.

use fastrand::Rng;

/// Words that mean something to at least one target.
const WORDS: &[&str] = &[
    "[services.web]\n",
    "[services.",
    "image = ",
    "ports = [",
    "volumes = [",
    "depends_on = ",
    "override = true\n",
    "name = ",
    "[networks]\n",
    "[vars]\n",
    "[defaults.services]\n",
    "[policy.guard]\n",
    "on_hosts = ",
    "env_file = ",
    "healthcheck.test = ",
    "deploy.update_config.order = ",
    "${",
    "}",
    "$$",
    "$SET",
    ":-",
    ":?",
    "\"\"\"",
    "'''",
    "= {",
    "[[",
    "]]",
    "#> b.toml\n",
    "#> .env\n",
    "#> sub/c.toml\n",
    "\u{feff}",
    "\u{202e}",
    "\u{1b}[31m",
    "\0",
    "\r\n",
    "é",
    "\u{10ffff}",
    "=",
    ":",
    "/",
    "::1",
    "[::1]:",
    "0-65535",
    "/udp",
    ":ro",
    ":z",
    "@sha256:",
    "dev.evenkeel.owner=evenkeel\n",
    "dev.evenkeel.project=",
    "dev.evenkeel.slot=0",
    "null",
    "[]",
    "{}",
    "\"Id\":",
    "\"State\":",
    "\"Labels\":null",
    "true",
    "1e999",
    "-1",
    "0",
    "65536",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "1.5h",
    "µs",
    "64 KiB",
    "\"Type\":\"container\"",
    "\"Action\":\"die\"",
    "exec_",
    "listen = ",
    "[log]\n",
    "\"sequence\":",
    "\"revisions\":[",
    "2026-01-01T00:00:00Z",
    "CMD-SHELL",
    "service_healthy",
    "rw,noexec",
];

pub struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    random: Rng,
}

/// Longer ones only cost time.
const LONGEST: usize = 16 << 10;

impl<'a> Mutator<'a> {
    pub fn new(corpus: &'a [Vec<u8>], seed: u64) -> Self {
        Self { corpus, random: Rng::with_seed(seed) }
    }

    fn any(&mut self) -> &'a [u8] {
        &self.corpus[self.random.usize(0..self.corpus.len())]
    }

    pub fn next(&mut self) -> Vec<u8> {
        let mut input = self.any().to_vec();
        for _ in 0..self.random.usize(1..=5) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    /// A range of `input`, short ones more often.
    fn range(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let start = self.random.usize(0..=input.len());
        let most = if self.random.bool() { 8 } else { input.len() };
        start..(start + self.random.usize(0..=most)).min(input.len())
    }

    /// The line around a place, its end included.
    fn line(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let at = self.random.usize(0..=input.len());
        let start = input[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let end = input[at..].iter().position(|byte| *byte == b'\n').map_or(input.len(), |end| at + end + 1);
        start..end
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random.usize(0..=input.len());
        match self.random.u8(0..14) {
            0 | 1 => {
                let word = WORDS[self.random.usize(0..WORDS.len())];
                input.splice(at..at, word.bytes());
            }
            2 => {
                let (range, word) = (self.range(input), WORDS[self.random.usize(0..WORDS.len())]);
                input.splice(range, word.bytes());
            }
            3 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.random.u8(0..8);
                }
            }
            4 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.random.u8(..);
                }
            }
            5 => input.truncate(at),
            6 => drop(input.drain(self.range(input))),
            7 => drop(input.drain(self.line(input))),
            8 => {
                let copy = input[self.line(input)].to_vec();
                input.splice(at..at, copy);
            }
            9 => {
                let copy = input[self.range(input)].repeat(self.random.usize(1..20));
                input.splice(at..at, copy);
            }
            10 | 11 => {
                let other = self.any();
                let piece = match self.random.bool() {
                    true => self.line(other),
                    false => self.range(other),
                };
                let piece = other[piece].to_vec();
                let range = if self.random.bool() { at..at } else { self.line(input) };
                input.splice(range, piece);
            }
            12 => self.number(input),
            _ => {
                let other = self.any();
                let from = self.random.usize(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }

    /// Another number in place of one.
    fn number(&mut self, input: &mut Vec<u8>) {
        let digits: Vec<usize> = (0..input.len()).filter(|at| input[*at].is_ascii_digit()).collect();
        if digits.is_empty() {
            return;
        }
        let at = digits[self.random.usize(0..digits.len())];
        let end = input[at..]
            .iter()
            .position(|byte| !byte.is_ascii_digit())
            .map_or(input.len(), |length| at + length);
        let numbers = [
            "0",
            "1",
            "255",
            "256",
            "65535",
            "65536",
            "-1",
            "4294967295",
            "9223372036854775808",
            "00",
            "1.5",
        ];
        let number = numbers[self.random.usize(0..numbers.len())];
        input.splice(at..end, number.bytes());
    }
}
