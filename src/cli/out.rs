//! Printing. A reader that went away (`evenkeel status | head -1`) ends the program quietly, as it ends `cat`.

use std::fmt;
use std::io::{self, Write};

/// Prints to stdout, colours only where they are wanted.
pub fn print(text: fmt::Arguments<'_>) {
    settle(anstream::stdout().lock().write_fmt(text));
}

/// Prints a line to stdout.
pub fn line(text: fmt::Arguments<'_>) {
    let mut stdout = anstream::stdout().lock();
    settle(stdout.write_fmt(text).and_then(|()| stdout.write_all(b"\n")));
}

/// Prints a line to stderr: progress, warnings, errors. Nobody is left to tell when that fails.
pub fn note(text: fmt::Arguments<'_>) {
    let mut stderr = anstream::stderr().lock();
    let _told = stderr.write_fmt(text).and_then(|()| stderr.write_all(b"\n"));
}

/// Prints to stderr as it comes: what a program says that runs meanwhile.
pub fn hint(text: fmt::Arguments<'_>) {
    let _told = anstream::stderr().lock().write_fmt(text);
}

/// Prints an error the way every command does and returns the exit code for it.
pub fn fail(error: impl fmt::Display) -> i32 {
    note(format_args!("{ERROR}error:{ERROR:#} {error}"));
    super::code::ERROR
}

/// Prints a value as JSON, indented, with a line end.
pub fn json(value: &impl serde::Serialize) -> i32 {
    match serde_json::to_string_pretty(value) {
        Ok(text) => {
            line(format_args!("{text}"));
            super::code::OK
        }
        Err(error) => fail(format_args!("cannot write JSON: {error}")),
    }
}

/// Prints a value as JSON in one line, for a reader that takes them as they come.
pub fn json_line(value: &impl serde::Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => {
            let mut stdout = anstream::stdout().lock();
            settle(stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n")));
            settle(stdout.flush());
        }
        Err(error) => {
            fail(format_args!("cannot write JSON: {error}"));
        }
    }
}

fn settle(printed: io::Result<()>) {
    match printed {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(super::code::OK),
        Err(error) => {
            note(format_args!("cannot print: {error}"));
            std::process::exit(super::code::ERROR)
        }
    }
}

/// `say!("...", ...)`: a line on stdout.
#[macro_export]
macro_rules! say {
    () => { $crate::cli::out::line(format_args!("")) };
    ($($part:tt)*) => { $crate::cli::out::line(format_args!($($part)*)) };
}

/// `note!("...", ...)`: a line on stderr.
#[macro_export]
macro_rules! note {
    ($($part:tt)*) => { $crate::cli::out::note(format_args!($($part)*)) };
}

const fn colour(colour: anstyle::AnsiColor) -> anstyle::Style {
    anstyle::Style::new().fg_color(Some(anstyle::Color::Ansi(colour)))
}

pub const ERROR: anstyle::Style = colour(anstyle::AnsiColor::Red).bold();
pub const BAD: anstyle::Style = colour(anstyle::AnsiColor::Red);
pub const GOOD: anstyle::Style = colour(anstyle::AnsiColor::Green);
pub const CHANGE: anstyle::Style = colour(anstyle::AnsiColor::Yellow);
pub const BOLD: anstyle::Style = anstyle::Style::new().bold();
pub const DIM: anstyle::Style = anstyle::Style::new().dimmed();
