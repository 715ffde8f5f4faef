//! What containers printed, and who the engine says it is.

use bytes::Bytes;

use super::fault::Op;
use super::host::Host;
use crate::engine::{EngineFacts, LogChunk, LogOptions, Result};
use crate::state::observed::ContainerId;
use crate::state::time::{EngineStamp, Timestamp};

const LINES_KEPT: usize = 256;

impl Host {
    pub fn ask_facts(&mut self) -> Result<EngineFacts> {
        self.read(Op::Facts, "engine", |host| Ok(EngineFacts::clone(&host.facts)))
    }

    pub(super) fn ask_events(&mut self) -> Result<()> {
        self.read(Op::Events, "engine", |_| Ok(()))
    }

    pub(super) fn ask_logs(&mut self, id: &ContainerId) -> Result<()> {
        self.read(Op::Logs, id.short(), |host| host.container(Op::Logs, id).map(drop))
    }

    /// What a container printed, one line each.
    pub fn last_lines(&mut self, id: &ContainerId) -> Result<String> {
        self.read(Op::Logs, id.short(), |host| {
            let container = host.container(Op::Logs, id)?;
            Ok(container.log.iter().map(|(_, line)| format!("{line}\n")).collect())
        })
    }

    /// What the application says at its start.
    pub(super) fn print(&mut self, id: &ContainerId) {
        let lines =
            self.containers.get(id).map(|container| container.script.output.clone()).unwrap_or_default();
        for line in lines {
            let stamp = self.stamp();
            if let Some(container) = self.containers.get_mut(id) {
                container.log.push((stamp, line));
                let excess = container.log.len().saturating_sub(LINES_KEPT);
                container.log.drain(..excess);
            }
        }
    }

    /// The stamp after which the lines that were asked for begin.
    pub(super) fn log_start(&self, id: &ContainerId, options: &LogOptions) -> EngineStamp {
        let since =
            EngineStamp(options.since.map_or(i64::MIN, |seconds| seconds.saturating_mul(1_000_000_000) - 1));
        let Some(container) = self.containers.get(id) else { return since };
        let skipped = container.log.len().saturating_sub(options.tail.unwrap_or(usize::MAX));
        let tail = skipped.checked_sub(1).and_then(|last| container.log.get(last));
        tail.map_or(since, |(stamp, _)| since.max(*stamp))
    }

    /// The first line after a stamp, and its own.
    pub(super) fn log_line(
        &self,
        id: &ContainerId,
        after: EngineStamp,
        timestamps: bool,
    ) -> Option<(EngineStamp, LogChunk)> {
        let (stamp, line) = self.containers.get(id)?.log.iter().find(|(stamp, _)| *stamp > after)?;
        let text = if timestamps {
            format!("{} {line}\n", Timestamp(stamp.0 / 1_000_000))
        } else {
            format!("{line}\n")
        };
        Some((*stamp, LogChunk { stderr: false, bytes: Bytes::from(text) }))
    }
}
