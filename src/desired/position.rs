//! Lines and columns of bytes, for people.

use std::collections::BTreeMap;

use super::diagnostic::Diagnostic;
use super::snapshot::{FileContent, Snapshot};

/// Turns byte offsets into 1-based lines and columns, remembering where the lines of each file start.
pub(super) struct Positions<'a> {
    snapshot: &'a Snapshot,
    starts: BTreeMap<String, Vec<usize>>,
}

const BOM: &str = "\u{feff}";

impl<'a> Positions<'a> {
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, starts: BTreeMap::new() }
    }

    fn bytes(&self, file: &str) -> &'a [u8] {
        match self.snapshot.files.get(file) {
            Some(FileContent::Read(bytes)) => bytes,
            Some(FileContent::Unreadable(_)) | None => &[],
        }
    }

    /// Gives each diagnostic its line and column.
    pub fn fill(&mut self, found: &mut [Diagnostic]) {
        for told in found {
            (told.line, told.column) = self.of(&told.primary.span.file, told.primary.span.start);
        }
    }

    /// Line and column, in characters, of a byte. A byte order mark takes no column. Bytes that are no UTF-8 count as one
    /// character for each run, as editors show them.
    pub fn of(&mut self, file: &str, offset: usize) -> (u32, u32) {
        let bytes = self.bytes(file);
        if !self.starts.contains_key(file) {
            let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
            self.starts.insert(file.to_owned(), std::iter::once(0).chain(ends).collect());
        }
        let Some(starts) = self.starts.get(file) else { return (1, 1) };
        let offset = offset.min(bytes.len());
        let line = starts.partition_point(|start| *start <= offset).max(1);
        let start = starts.get(line - 1).copied().unwrap_or_default();
        let before = String::from_utf8_lossy(bytes.get(start..offset).unwrap_or_default());
        let before = before.strip_prefix(BOM).unwrap_or(&before);
        let column = before.chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}
