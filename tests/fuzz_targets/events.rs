//! Endless answers: lines of events, frames of logs. The first bytes say where the connection cuts them, the rest is what comes.

use bytes::Bytes;
use evenkeel::engine::convert::events::event;
use evenkeel::engine::docker::streams::{Demux, FRAME_CAP, LINE_CAP, Lines};

use super::Input;

/// Most characters kept of one attribute.
const ATTRIBUTE: usize = 256;

pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let pieces = [input.byte(), input.byte(), input.byte()].map(|byte| usize::from(byte) + 1);
    let body = input.rest();
    lines(body, &pieces);
    for terminal in [false, true] {
        logs(body, &pieces, terminal);
    }
    huge_line(body);
}

/// Pieces of these lengths in turn.
fn cut<'a>(mut body: &'a [u8], pieces: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = pieces.iter().cycle();
    std::iter::from_fn(move || {
        let length = (*lengths.next()?).min(body.len());
        let (piece, rest) = body.split_at(length);
        body = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn lines(body: &[u8], pieces: &[usize]) {
    let whole = Lines::default().push(body);
    let mut cutter = Lines::default();
    let mut found = Vec::new();
    for piece in cut(body, pieces) {
        found.extend(cutter.push(piece));
        assert!(cutter.held() <= LINE_CAP);
    }
    assert_eq!(found, whole, "lines depend on how they arrive");
    for line in &whole {
        let Some(event) = event(line) else { continue };
        assert!(!event.action.is_empty() && !event.action.contains(':'));
        assert!(event.attributes.len() <= 7, "{:?}", event.attributes);
        assert!(event.attributes.values().all(|value| value.chars().count() <= ATTRIBUTE));
    }
}

/// A line that never ends is dropped, and the next one is not.
fn huge_line(body: &[u8]) {
    if body.first().is_none_or(|byte| *byte != b'h') {
        return;
    }
    let mut cutter = Lines::default();
    for _ in 0..20 {
        assert_eq!(cutter.push(&[b'x'; LINE_CAP / 16]), Vec::<Vec<u8>>::new());
        assert!(cutter.held() <= LINE_CAP);
    }
    assert_eq!(cutter.push(b"\nnext\n"), [b"next".to_vec()]);
}

fn logs(body: &[u8], pieces: &[usize], terminal: bool) {
    let read = |parts: &mut dyn Iterator<Item = &[u8]>| {
        let mut demux = Demux::new(terminal);
        let mut output = [Vec::new(), Vec::new()];
        let mut took = 0;
        for part in parts {
            let mut chunks = demux.push(Bytes::copy_from_slice(part));
            took += part.len();
            assert!(demux.held() < FRAME_CAP, "{} bytes held", demux.held());
            chunks
                .drain(..)
                .for_each(|chunk| output[usize::from(chunk.stderr)].extend_from_slice(&chunk.bytes));
        }
        demux
            .finish()
            .into_iter()
            .for_each(|chunk| output[usize::from(chunk.stderr)].extend_from_slice(&chunk.bytes));
        assert!(output.iter().map(Vec::len).sum::<usize>() <= took, "more comes out than went in");
        output
    };
    let whole = read(&mut std::iter::once(body));
    assert_eq!(read(&mut cut(body, pieces)), whole, "output depends on how it arrives");
    if terminal {
        assert_eq!(whole[0], body);
    }
}
