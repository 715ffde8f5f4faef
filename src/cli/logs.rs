//! `evenkeel logs SERVICE|JOB`: what its containers print, as they print it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use serde::Serialize;

use super::context::{block_on, settings};
use super::service::pick;
use super::show::clean;
use super::{code, jobs, look, out, revisions};
use crate::config::{Flags, Settings, duration};
use crate::controller::clock;
use crate::desired::ident::ServiceId;
use crate::engine::{ContainerFilter, LogChunk, LogOptions, Observe};
use crate::state::observed::{ContainerId, ContainerSummary, label};
use crate::{note, say};

/// How often `--follow` looks whether the service has got another container.
const LOOK: Duration = Duration::from_secs(2);
/// A longer line is printed in parts: what a program prints without ever ending a line is not collected.
const LINE_CAP: usize = 1 << 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel logs web                what its containers printed
  evenkeel logs web -f --tail 20   go on, across replacements
  evenkeel logs web --since 15m
  evenkeel logs web --json | jq -r 'select(.stream == \"stderr\").line'
  evenkeel logs web --previous-failure
                                   the last lines of the revision that failed, kept when it was removed
  evenkeel logs nightly            what the last run of a job printed
  evenkeel logs nightly -f         the run that is under way, and those that come
  evenkeel logs nightly --run 20261126T023000Z")]
pub struct LogsArgs {
    /// `project/service`, or `service` where that is clear; or a job in the same way
    #[arg(value_name = "SERVICE|JOB")]
    service: String,
    /// The run of a job [default: the last one]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Go on printing, also when the container is replaced
    #[arg(long, short)]
    follow: bool,
    /// Last lines of each container [default: all]
    #[arg(long, short = 'n', value_name = "LINES")]
    tail: Option<usize>,
    /// From this on: a duration (15m) or a time (2026-11-22T05:00:00Z)
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Since>,
    /// With the engine's time before each line
    #[arg(long, short)]
    timestamps: bool,
    /// The stored evidence against the last rejected revision instead
    #[arg(long, conflicts_with_all = ["follow", "tail", "since", "timestamps"])]
    previous_failure: bool,
    /// As JSON: one object for each line, or the revision that failed
    #[arg(long)]
    json: bool,
}

/// What `--since` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Milliseconds before now.
    Ago(u64),
    /// Seconds since 1970.
    At(i64),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Since::At(at.as_second()));
    }
    duration(text)
        .map(Since::Ago)
        .map_err(|_| "write a duration (90s, 15m, 2h) or a time (2026-11-22T05:00:00Z)".to_owned())
}

pub(super) fn run(flags: &Flags, args: &LogsArgs) -> i32 {
    match settings(flags, None) {
        Ok(settings) if args.previous_failure => block_on(evidence(&settings, args)),
        Ok(settings) => block_on(logs(&settings, args)),
        Err(code) => code,
    }
}

async fn logs(settings: &Settings, args: &LogsArgs) -> i32 {
    let engine = match look::engine(settings) {
        Ok(engine) => engine,
        Err(error) => return out::fail(error),
    };
    let all = match containers(&engine, settings, None).await {
        Ok(all) => all,
        Err(error) => return out::fail(error),
    };
    let of = |kind: fn(&str, &str) -> What, label: &str| {
        let named = all.iter().filter_map(|found| named_by(found, label));
        let mut known: Vec<ServiceId> = named.collect();
        known.sort();
        known.dedup();
        pick(&args.service, &known).map(|id| kind(id.project.as_str(), id.service.as_str()))
    };
    let service = of(What::service, label::SERVICE);
    let what = match service {
        Ok(what) if args.run.is_none() => what,
        service => match of(What::job, label::JOB) {
            Ok(job) => job,
            Err(_) => return from_journal(settings, args, service.err()).await,
        },
    };
    let mut reader = Reader::new(engine, args);
    let mut mine: Vec<ContainerSummary> = all.into_iter().filter(|found| what.has(found)).collect();
    if what.job {
        mine.sort_by(|a, b| b.labels.get(label::RUN).cmp(&a.labels.get(label::RUN)));
    }
    if let Some(run) = &args.run {
        mine.retain(|found| found.labels.get(label::RUN) == Some(run));
        if mine.is_empty() {
            return from_journal(settings, args, None).await;
        }
    }
    let known: Vec<ContainerId> = mine.iter().map(|found| found.id.clone()).collect();
    reader.attach(serving(mine)).await;
    if what.job && args.follow {
        // A run can be over before it is seen to run: whatever comes from here on is read.
        reader.seen.extend(known);
    }
    if !args.follow || args.run.is_some() {
        return reader.drain().await;
    }
    reader.follow(settings, &what).await
}

/// A service or a job.
struct What {
    project: String,
    name: String,
    job: bool,
}

impl What {
    fn service(project: &str, name: &str) -> Self {
        Self { project: project.to_owned(), name: name.to_owned(), job: false }
    }

    fn job(project: &str, name: &str) -> Self {
        Self { job: true, ..Self::service(project, name) }
    }

    fn label(&self) -> &'static str {
        if self.job { label::JOB } else { label::SERVICE }
    }

    fn has(&self, found: &ContainerSummary) -> bool {
        found.labels.get(label::PROJECT) == Some(&self.project)
            && found.labels.get(self.label()) == Some(&self.name)
    }
}

/// What the journal kept of runs whose containers are gone, or that never had one.
async fn from_journal(settings: &Settings, args: &LogsArgs, otherwise: Option<String>) -> i32 {
    let rows = match jobs::rows(settings, None, 0).await {
        Ok(rows) => rows,
        Err(code) => return code,
    };
    if let Err(error) = jobs::named(&args.service, &rows) {
        let told = otherwise.map_or(error, |error| format!("{error} (only what has containers has logs)"));
        return out::fail(told);
    }
    let rows = match jobs::rows(settings, Some(&args.service), 1000).await {
        Ok(rows) => rows,
        Err(code) => return code,
    };
    let Some(row) = rows.first() else { return out::fail("the job is gone") };
    let run = match &args.run {
        None => row.runs.first(),
        Some(run) => row.runs.iter().find(|row| row.run == *run),
    };
    let Some(run) = run else {
        return out::fail(match &args.run {
            Some(run) => format!("the journal of {} knows no run {run} that has ended", row.job),
            None => format!("no run of {} has ended yet, and none has a container", row.job),
        });
    };
    if args.json {
        return out::json(run);
    }
    note!("run {} has no container any more; the last lines that it printed:", run.run);
    if let Some(tail) = &run.tail {
        say!("{}", clean(tail));
    }
    code::OK
}

/// The containers that run; when none does, the one that was made last: its end is what one wants to see.
fn serving(all: Vec<ContainerSummary>) -> Vec<ContainerSummary> {
    let up: Vec<ContainerSummary> = all.iter().filter(|found| found.status.is_up()).cloned().collect();
    if up.is_empty() { all.into_iter().take(1).collect() } else { up }
}

fn named_by(found: &ContainerSummary, label: &str) -> Option<ServiceId> {
    ServiceId::new(found.labels.get(label::PROJECT)?, found.labels.get(label)?)
}

/// Containers of this instance, as the engine lists them: the last made first.
async fn containers(
    engine: &Arc<dyn Observe>,
    settings: &Settings,
    what: Option<&What>,
) -> Result<Vec<ContainerSummary>, String> {
    let mut labels = BTreeMap::from([(label::OWNER.to_owned(), settings.instance.clone())]);
    if let Some(what) = what {
        labels.insert(label::PROJECT.to_owned(), what.project.clone());
        labels.insert(what.label().to_owned(), what.name.clone());
    }
    engine
        .list_containers(&ContainerFilter { labels, ..ContainerFilter::default() })
        .await
        .map_err(|error| error.to_string())
}

type Lines = BoxStream<'static, (String, Result<LogChunk, String>)>;

/// Everything that is being read.
struct Reader {
    engine: Arc<dyn Observe>,
    options: LogOptions,
    streams: SelectAll<Lines>,
    seen: BTreeSet<ContainerId>,
    /// The begun line of each container, by whether it is on stderr: only whole lines get a name in front.
    begun: BTreeMap<(String, bool), Vec<u8>>,
    json: bool,
    failed: bool,
}

/// A line as JSON.
#[derive(Serialize)]
struct Line<'a> {
    container: &'a str,
    stream: &'static str,
    /// The engine's.
    time: Option<&'a str>,
    line: &'a str,
}

impl Reader {
    fn new(engine: Arc<dyn Observe>, args: &LogsArgs) -> Self {
        let since = args.since.map(|since| match since {
            Since::Ago(ms) => clock::wall().0.saturating_sub_unsigned(ms).div_euclid(1000),
            Since::At(seconds) => seconds,
        });
        let timestamps = args.timestamps || args.json;
        let options = LogOptions { follow: args.follow, tail: args.tail, timestamps, since };
        let (seen, begun) = (BTreeSet::new(), BTreeMap::new());
        Self { engine, options, streams: SelectAll::new(), seen, begun, json: args.json, failed: false }
    }

    async fn attach(&mut self, found: Vec<ContainerSummary>) {
        for container in found {
            if !self.seen.insert(container.id.clone()) {
                continue;
            }
            let name = container.names.first().cloned().unwrap_or_else(|| container.id.short().to_owned());
            match self.engine.logs(&container.id, &self.options).await {
                Ok(stream) => {
                    let named =
                        stream.map(move |chunk| (name.clone(), chunk.map_err(|error| error.to_string())));
                    self.streams.push(named.boxed());
                }
                Err(error) => {
                    out::fail(error);
                    self.failed = true;
                }
            }
        }
    }

    async fn drain(mut self) -> i32 {
        while let Some((name, chunk)) = self.streams.next().await {
            self.print(&name, chunk);
        }
        self.finish()
    }

    async fn follow(mut self, settings: &Settings, what: &What) -> i32 {
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                Some((name, chunk)) = self.streams.next(), if !self.streams.is_empty() => self.print(&name, chunk),
                _ = tick.tick() => {
                    // A look that fails is made again; what is being read goes on meanwhile.
                    let found = containers(&self.engine, settings, Some(what)).await.unwrap_or_default();
                    let up = found.into_iter().filter(|found| what.job || found.status.is_up()).collect();
                    self.attach(up).await;
                }
                _ = tokio::signal::ctrl_c() => return self.finish(),
            }
        }
    }

    fn print(&mut self, name: &str, chunk: Result<LogChunk, String>) {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                self.failed = true;
                out::fail(format_args!("{name}: {error}"));
                return;
            }
        };
        if self.seen.len() <= 1 && !self.json {
            return raw(chunk.stderr, &[&chunk.bytes]);
        }
        let begun = self.begun.entry((name.to_owned(), chunk.stderr)).or_default();
        begun.extend_from_slice(&chunk.bytes);
        while let Some(line) = next_line(begun) {
            emit(self.json, name, chunk.stderr, &line);
        }
    }

    fn finish(mut self) -> i32 {
        for ((name, stderr), line) in std::mem::take(&mut self.begun) {
            if !line.is_empty() {
                emit(self.json, &name, stderr, &line);
            }
        }
        if self.failed { code::ERROR } else { code::OK }
    }
}

/// Takes a whole line (or as much of an endless one as is held) from what was read, without its end.
fn next_line(begun: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = begun.iter().position(|byte| *byte == b'\n');
    let mut line: Vec<u8> = match end {
        Some(end) => begun.drain(..=end).collect(),
        None if begun.len() >= LINE_CAP => std::mem::take(begun),
        None => return None,
    };
    line.pop_if(|byte| end.is_some() && *byte == b'\n');
    Some(line)
}

fn emit(json: bool, name: &str, stderr: bool, line: &[u8]) {
    if !json {
        return raw(stderr, &[name.as_bytes(), b" | ", line, b"\n"]);
    }
    let text = String::from_utf8_lossy(line);
    // The engine was asked for the time of each line, which it writes in front.
    let stamped = text.split_once(' ').filter(|(time, _)| time.parse::<jiff::Timestamp>().is_ok());
    let (time, line) = stamped.map_or((None, &*text), |(time, line)| (Some(time), line));
    let stream = if stderr { "stderr" } else { "stdout" };
    out::json_line(&Line { container: name, stream, time, line: line.trim_end_matches('\r') });
}

/// The program's bytes as they are, each to the stream it wrote to.
fn raw(stderr: bool, parts: &[&[u8]]) {
    fn write(mut to: impl Write, parts: &[&[u8]]) -> io::Result<()> {
        parts.iter().try_for_each(|part| to.write_all(part))?;
        to.flush()
    }
    let written = if stderr { write(io::stderr().lock(), parts) } else { write(io::stdout().lock(), parts) };
    if written.is_err() {
        std::process::exit(code::OK);
    }
}

async fn evidence(settings: &Settings, args: &LogsArgs) -> i32 {
    let revisions = match revisions::of(settings, &args.service).await {
        Ok(revisions) => revisions,
        Err(code) => return code,
    };
    let Some(failed) =
        revisions.iter().find(|row| row.evidence.as_ref().is_some_and(|text| !text.is_empty()))
    else {
        return out::fail("no revision of this service that is still known failed and left lines behind");
    };
    if args.json {
        return out::json(failed);
    }
    note!("r{} {} {} ended with:", failed.number, failed.id, failed.image);
    say!("{}", clean(failed.evidence.as_deref().unwrap_or_default()));
    code::OK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_duration_or_a_time() {
        assert_eq!(since("15m"), Ok(Since::Ago(900_000)));
        assert_eq!(since("1970-01-01T00:01:00Z"), Ok(Since::At(60)));
        assert!(since("yesterday").is_err_and(|why| why.contains("15m")));
    }

    #[test]
    fn lines_are_taken_whole_and_endless_ones_in_parts() {
        let mut read = b"one\ntwo\r\nbeg".to_vec();
        assert_eq!(next_line(&mut read).as_deref(), Some(&b"one"[..]));
        assert_eq!(next_line(&mut read).as_deref(), Some(&b"two\r"[..]));
        assert_eq!((next_line(&mut read), read.as_slice()), (None, &b"beg"[..]));
        read = vec![b'x'; LINE_CAP + 1];
        assert_eq!(next_line(&mut read).map(|line| line.len()), Some(LINE_CAP + 1));
        assert!(read.is_empty());
    }
}
