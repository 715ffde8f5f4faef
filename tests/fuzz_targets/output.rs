//! Text that is not ours on its way to a terminal: what a container logged, an engine said, a file holds.

use evenkeel::cli::{render, show};
use evenkeel::controller::execute::evidence;

use super::assert_harmless;

/// What is kept of a failed container's log.
const LINES: usize = 40;
const BYTES: usize = 8 << 10;

pub fn check(input: &[u8]) {
    let kept = evidence(input);
    assert_harmless("evidence", &kept);
    assert!(kept.len() <= BYTES && kept.lines().count() <= LINES, "{} bytes", kept.len());
    let text = String::from_utf8_lossy(input);
    assert_harmless("show::clean", &show::clean(&text));
    let line = show::one_line(&text);
    assert_harmless("show::one_line", &line);
    assert!(!line.contains('\n'));
    let shown = render::shown(&text);
    assert_harmless("render::shown", &shown);
    assert!(!shown.contains('\n'));
    if !text.chars().any(super::obeyed) {
        assert_eq!(
            (shown.as_str(), show::clean(&text).as_str()),
            (&*text, &*text),
            "harmless text is shown as it is"
        );
    }
}
