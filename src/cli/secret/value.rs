//! Where a value comes from: a pipe, or somebody who types it unseen.

use std::io::{IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::limited;
use crate::secrets::vault::VALUE_CAP;

/// The value of a secret.
pub(super) fn read(name: &str, exact: bool) -> Result<Vec<u8>, String> {
    let mut stdin = std::io::stdin();
    let value = if stdin.is_terminal() { typed(name)?.into_bytes() } else { all(&mut stdin)? };
    let value = if exact { value } else { without_line_end(value) };
    if value.is_empty() {
        return Err("the value is empty".to_owned());
    }
    Ok(value)
}

/// Everything a reader has.
pub(super) fn all(from: &mut dyn Read) -> Result<Vec<u8>, String> {
    let bytes = limited(from).map_err(|error| format!("the value cannot be read: {error}"))?;
    if bytes.len() as u64 > VALUE_CAP {
        return Err(format!("the value is larger than {} MiB: mount it with `volumes`", VALUE_CAP >> 20));
    }
    Ok(bytes)
}

/// `echo` ends its line, and no password does. What has several lines is a file, and stays as it is.
fn without_line_end(mut value: Vec<u8>) -> Vec<u8> {
    let lines = value.iter().filter(|byte| **byte == b'\n').count();
    if lines == 1 && value.ends_with(b"\n") {
        value.pop();
        if value.ends_with(b"\r") {
            value.pop();
        }
    }
    value
}

fn typed(name: &str) -> Result<String, String> {
    let first = unseen(&format!("value of {name}: "))?;
    let second = unseen("once more: ")?;
    if first == second { Ok(first) } else { Err("the two are not the same; nothing was changed".to_owned()) }
}

/// One line that the terminal does not show.
fn unseen(question: &str) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the terminal cannot be asked: {error}");
    let mut stderr = std::io::stderr();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(|error| failed(&error))?;
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).map_err(|error| failed(&error))?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    quiet.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(&stdin, OptionalActions::Flush, &quiet).map_err(|error| failed(&error))?;
    let _shown_again = ShownAgain(before);
    let mut line = String::new();
    stdin.read_line(&mut line).map_err(|error| failed(&error))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

struct ShownAgain(Termios);

impl Drop for ShownAgain {
    fn drop(&mut self) {
        let _as_it_was = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::without_line_end;

    #[test]
    fn only_the_line_end_of_a_single_line_goes() {
        for (given, kept) in [
            ("hunter2\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            ("hunter2", "hunter2"),
            ("\n", ""),
            ("a\nb\n", "a\nb\n"),
            (" x \n", " x "),
        ] {
            assert_eq!(without_line_end(given.into()), kept.as_bytes(), "{given:?}");
        }
    }
}
