//! Cutting the engine's endless answers into pieces, with bounded memory. The two cutters are pure; the rest joins them to streams.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::wire::WireError;
use crate::engine::LogChunk;

/// The longest event line that is read. A longer one is some container's labels (they may be megabytes) and is skipped;
/// events only say where to look, and the regular look at everything finds what they left out.
pub const LINE_CAP: usize = 1 << 20;
/// The most of one log frame that is held back to be handed on in one piece.
pub const FRAME_CAP: usize = 64 << 10;
const FRAME_HEADER: usize = 8;

/// Cuts at line ends.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    /// The line being read is too long: drop it up to its end.
    skipping: bool,
}

impl Lines {
    /// Lines that are whole with these bytes; empty ones and those longer than [`LINE_CAP`] are left out.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            if self.held.len() + text.len() > LINE_CAP {
                self.held = Vec::new();
                self.skipping = true;
            }
            if !self.skipping {
                self.held.extend_from_slice(text);
            }
            if ends {
                let line = std::mem::take(&mut self.held);
                if !std::mem::take(&mut self.skipping) && !line.is_empty() {
                    lines.push(line);
                }
            }
        }
        lines
    }

    /// Bytes held back until their line ends: never more than [`LINE_CAP`].
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

/// The last event heard, as a mark to know its engine process by: an engine keeps its events in memory only, so one that still
/// tells this event is the one that told it before.
#[derive(Debug, Default)]
pub(super) struct LastEvent(Mutex<Option<(i64, u64)>>);

impl LastEvent {
    /// `line` as it came. What is no event leaves the mark as it was.
    pub(super) fn note(&self, line: &[u8]) {
        if let Some(mark) = mark(line) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark);
        }
    }

    /// When it happened, in nanoseconds since 1970 by the engine's clock.
    pub(super) fn at(&self) -> Option<i64> {
        self.get().map(|(at, _)| at)
    }

    pub(super) fn is(&self, line: &[u8]) -> bool {
        self.get().is_some_and(|last| mark(line) == Some(last))
    }

    fn get(&self) -> Option<(i64, u64)> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When an event happened, and a digest of all that was said of it.
fn mark(line: &[u8]) -> Option<(i64, u64)> {
    #[derive(serde::Deserialize)]
    struct When {
        #[serde(rename = "timeNano")]
        at: i64,
    }
    let When { at } = serde_json::from_slice(line).ok()?;
    let mut digest = DefaultHasher::new();
    line.trim_ascii().hash(&mut digest);
    Some((at, digest.finish()))
}

/// Takes the frames of a log apart: a header of eight bytes (stream, three zeros, length) and so many bytes of output. A
/// container with a terminal has one stream without frames.
#[derive(Debug)]
pub enum Demux {
    Terminal,
    Frames { held: BytesMut, stderr: bool, left: usize },
}

impl Demux {
    #[must_use]
    pub fn new(terminal: bool) -> Self {
        if terminal { Self::Terminal } else { Self::Frames { held: BytesMut::new(), stderr: false, left: 0 } }
    }

    /// What can be handed on now.
    pub fn push(&mut self, bytes: Bytes) -> Vec<LogChunk> {
        let (held, stderr, left) = match self {
            Self::Terminal => return vec![LogChunk { stderr: false, bytes }],
            Self::Frames { held, stderr, left } => (held, stderr, left),
        };
        held.extend_from_slice(&bytes);
        let mut chunks = Vec::new();
        loop {
            if *left == 0 {
                let Some(header) = held.first_chunk::<FRAME_HEADER>().copied() else { return chunks };
                let [stream, _, _, _, length @ ..] = header;
                *stderr = stream == 2;
                *left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                let _ = held.split_to(FRAME_HEADER);
                continue;
            }
            // A whole frame, or of a huge one what is there by now.
            if held.len() < *left && held.len() < FRAME_CAP {
                return chunks;
            }
            let piece = held.split_to(held.len().min(*left)).freeze();
            *left -= piece.len();
            chunks.push(LogChunk { stderr: *stderr, bytes: piece });
        }
    }

    /// What is left when the connection ends within a frame.
    pub fn finish(&mut self) -> Option<LogChunk> {
        match self {
            Self::Frames { held, stderr, left } if *left > 0 && !held.is_empty() => {
                Some(LogChunk { stderr: *stderr, bytes: held.split().freeze() })
            }
            _ => None,
        }
    }

    /// Bytes held back until their frame is whole: less than [`FRAME_CAP`] between two calls.
    #[must_use]
    pub fn held(&self) -> usize {
        match self {
            Self::Terminal => 0,
            Self::Frames { held, .. } => held.len(),
        }
    }
}

/// Passes chunks of a body through `cut`; the first error ends the stream, and `rest` comes behind a clean end.
pub(super) fn cut_up<T, S, C, R>(
    body: BoxStream<'static, Result<Bytes, WireError>>,
    state: S,
    cut: C,
    rest: R,
) -> BoxStream<'static, Result<T, WireError>>
where
    T: Send + 'static,
    S: Send + 'static,
    C: Fn(&mut S, Bytes) -> Vec<T> + Send + Sync + 'static,
    R: Fn(&mut S) -> Vec<T> + Send + Sync + 'static,
{
    let start = Some((body, state, cut, rest));
    stream::unfold(start, |live| async {
        let (mut body, mut state, cut, rest) = live?;
        match body.next().await {
            Some(Ok(bytes)) => {
                let items: Vec<_> = cut(&mut state, bytes).into_iter().map(Ok).collect();
                Some((items, Some((body, state, cut, rest))))
            }
            Some(Err(error)) => Some((vec![Err(error)], None)),
            None => Some((rest(&mut state).into_iter().map(Ok).collect(), None)),
        }
    })
    .flat_map(stream::iter)
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way of cutting the input in two gives the same lines.
    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive() {
        let input = b"one\n\ntwo\r\nthree\nrest";
        for at in 0..input.len() {
            let mut lines = Lines::default();
            let mut found = lines.push(&input[..at]);
            found.extend(lines.push(&input[at..]));
            assert_eq!(found, [b"one".to_vec(), b"two\r".to_vec(), b"three".to_vec()], "cut at {at}");
        }
    }

    #[test]
    fn a_line_too_long_is_skipped_and_the_next_one_is_not() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for _ in 0..40 {
            found.extend(lines.push(&vec![b'x'; 64 << 10]));
            assert!(lines.held() <= LINE_CAP);
        }
        found.extend(lines.push(b"\nnext\n"));
        assert_eq!(found, [b"next".to_vec()]);
    }

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let mut bytes = vec![stream, 0, 0, 0];
        bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    #[test]
    fn frames_do_not_depend_on_how_the_bytes_arrive() {
        let input = [frame(1, "out\n"), frame(2, "err\n"), frame(1, ""), frame(1, "\u{1}tail")].concat();
        for at in 0..input.len() {
            let mut demux = Demux::new(false);
            let mut chunks = demux.push(Bytes::copy_from_slice(&input[..at]));
            chunks.extend(demux.push(Bytes::copy_from_slice(&input[at..])));
            let found: Vec<_> = chunks.iter().map(|c| (c.stderr, &c.bytes[..])).collect();
            let expected: [(bool, &[u8]); 3] = [(false, b"out\n"), (true, b"err\n"), (false, b"\x01tail")];
            assert_eq!(found, expected, "cut at {at}");
            assert_eq!(demux.finish(), None);
        }
    }

    #[test]
    fn a_huge_frame_is_handed_on_in_pieces_and_a_broken_one_at_the_end() {
        let mut demux = Demux::new(false);
        let header = [2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        assert!(demux.push(Bytes::copy_from_slice(&header)).is_empty());
        let chunks = demux.push(Bytes::from(vec![b'x'; FRAME_CAP]));
        assert_eq!(chunks.len(), 1);
        assert!(demux.push(Bytes::from_static(b"end")).is_empty());
        assert_eq!(demux.finish(), Some(LogChunk { stderr: true, bytes: Bytes::from_static(b"end") }));
    }

    #[test]
    fn a_terminal_has_no_frames() {
        let mut demux = Demux::new(true);
        let bytes = Bytes::from_static(b"\x01\x00 not a header");
        assert_eq!(demux.push(bytes.clone()), [LogChunk { stderr: false, bytes }]);
    }
}
