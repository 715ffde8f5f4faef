//! The files of a story: as they are now, as text, and as the daemon hears of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use evenkeel::controller::inbound::Inbound;
use evenkeel::desired::snapshot::{FileContent, RelPath, Snapshot, SourceRevision};
use evenkeel::source::{Published, SourceError, Update};
use tokio::time::Instant;

use super::acts::Edit;
use super::story::{Service, Story};
use super::world::World;

/// The quiet period after which the source says that nothing changed. Milliseconds.
const QUIET: u64 = 10_000;

#[derive(Debug, Clone)]
pub struct Files {
    pub defined: Vec<Service>,
    pub present: Vec<bool>,
    before: Vec<Service>,
    one_file: bool,
    pub broken: BTreeSet<usize>,
    pub cut: BTreeMap<usize, u32>,
    pub empty: bool,
    pub unreadable: bool,
}

/// What the files say of one service, for the check of removals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Wanted,
    Absent,
    /// Something does not load, or is cut: nothing may be concluded.
    Unclear,
}

impl Files {
    pub fn new(story: &Story) -> Self {
        Self {
            defined: story.services.clone(),
            present: vec![true; story.services.len()],
            before: story.services.clone(),
            one_file: story.one_file,
            broken: BTreeSet::new(),
            cut: BTreeMap::new(),
            empty: false,
            unreadable: false,
        }
    }

    /// Nobody's dependency and nobody's network: it can leave without breaking another one's definition.
    fn is_needed(&self, index: usize) -> bool {
        self.defined.iter().zip(&self.present).any(|(other, present)| {
            *present
                && (other.parent == Some(index) || other.needs.iter().any(|(needed, _)| *needed == index))
        })
    }

    fn needs_the_absent(&self, index: usize) -> bool {
        let service = &self.defined[index];
        service
            .needs
            .iter()
            .map(|(needed, _)| *needed)
            .chain(service.parent)
            .any(|other| !self.present[other])
    }

    /// Makes an edit. Those that last (a broken file) are ended by [`Self::mend`].
    pub fn edit(&mut self, edit: &Edit) {
        let change = |this: &mut Self, index: usize, change: &dyn Fn(&mut Service)| {
            this.before[index] = this.defined[index].clone();
            change(&mut this.defined[index]);
        };
        match *edit {
            Edit::Image(index, version) => change(self, index, &|it| it.version = version),
            Edit::Environment(index, value) => change(self, index, &|it| it.environment = value),
            Edit::Memory(index, limit) => change(self, index, &|it| it.memory = limit),
            Edit::Scale(index, replicas) => change(self, index, &|it| it.replicas = replicas),
            Edit::Restart(index, policy) if !self.defined[index].job => {
                change(self, index, &|it| it.restart = policy)
            }
            Edit::Restart(..) => {}
            Edit::Remove(index) if !self.is_needed(index) => self.present[index] = false,
            Edit::Remove(_) => {}
            Edit::Add(index) if !self.needs_the_absent(index) => self.present[index] = true,
            Edit::Add(_) => {}
            Edit::Back(index) => std::mem::swap(&mut self.defined[index], &mut self.before[index]),
            Edit::Break(index, _) => {
                self.broken.insert(index);
            }
            Edit::Cut(index, permille, _) => {
                self.cut.insert(index, permille);
            }
            Edit::Empty(_) => self.empty = true,
            Edit::Unreadable(_) => self.unreadable = true,
        }
    }

    pub fn mend(&mut self) {
        self.broken.clear();
        self.cut.clear();
        (self.empty, self.unreadable) = (false, false);
    }

    pub fn standing(&self, index: usize) -> Standing {
        if self.unreadable || self.empty || !self.broken.is_empty() || !self.cut.is_empty() {
            Standing::Unclear
        } else if self.present[index] {
            Standing::Wanted
        } else {
            Standing::Absent
        }
    }

    fn path(&self, service: &Service) -> String {
        let file = if self.one_file { "all" } else { &service.name };
        format!("p{}/{file}.toml", service.project)
    }

    pub fn snapshot(&self) -> Result<Snapshot, SourceError> {
        if self.unreadable {
            return Err(SourceError::Missing(PathBuf::from("/desired")));
        }
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        if !self.empty {
            for (service, _) in self.defined.iter().zip(&self.present).filter(|(_, present)| **present) {
                texts.entry(self.path(service)).or_default().push_str(&self.text(service));
            }
        }
        for index in &self.broken {
            if let Some(text) = texts.get_mut(&self.path(&self.defined[*index])) {
                text.push_str("[services.\n");
            }
        }
        for (index, permille) in &self.cut {
            if let Some(text) = texts.get_mut(&self.path(&self.defined[*index])) {
                text.truncate(text.len() * *permille as usize / 1_000);
            }
        }
        let digest = format!("{texts:?}");
        let files = texts.into_iter().filter_map(|(path, text)| {
            Some((RelPath::new(&path)?, FileContent::Read(text.into_bytes().into())))
        });
        Ok(Snapshot {
            revision: SourceRevision { digest, commit: None },
            root: "/desired".to_owned(),
            files: files.collect(),
            ..Snapshot::default()
        })
    }

    fn text(&self, service: &Service) -> String {
        let name = &service.name;
        let mut text = format!("[services.{name}]\nimage = \"{}\"\n", service.image());
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        line(format!("scale = {}", service.replicas));
        line(format!("restart = \"{}\"", service.restart));
        line(format!("environment = {{ N = \"{}\" }}", service.environment));
        if service.memory > 0 {
            line(format!("mem_limit = \"{}m\"", service.memory));
        }
        if let Some(port) = service.port {
            line(format!("ports = [\"{port}:80\"]"));
        }
        if service.volume {
            line(format!("volumes = [\"{name}-data:/data\"]"));
        }
        match service.parent {
            Some(parent) => line(format!("network_mode = \"service:{}\"", self.defined[parent].name)),
            None if service.network => line(format!("networks = [\"default\", \"{name}-net\"]")),
            None => {}
        }
        if !service.needs.is_empty() {
            let needs: Vec<String> = service
                .needs
                .iter()
                .map(|(other, condition)| format!("{} = \"{condition}\"", self.defined[*other].name))
                .collect();
            line(format!("depends_on = {{ {} }}", needs.join(", ")));
        }
        if service.check {
            line(format!("[services.{name}.healthcheck]\ntest = [\"CMD\", \"check\"]"));
            line("interval = \"2s\"\nretries = 3\nstart_period = \"60s\"".to_owned());
        }
        if let Some(order) = service.order {
            line(format!("[services.{name}.deploy.update_config]\norder = \"{order}\""));
        }
        if service.volume {
            let _ = writeln!(text, "[volumes.{name}-data]");
        }
        if service.network {
            let _ = writeln!(text, "[networks.{name}-net]");
        }
        text
    }
}

/// How one daemon hears of the files: what is new at once, and what has not changed for the quiet period once more.
pub struct Heard {
    world: Arc<World>,
    seen: Option<u64>,
    since: Instant,
    confirmed: bool,
}

impl Heard {
    pub fn new(world: Arc<World>) -> Self {
        Self { world, seen: None, since: Instant::now(), confirmed: false }
    }
}

#[async_trait]
impl Inbound for Heard {
    async fn next(&mut self) -> Option<Update> {
        loop {
            let changed = self.world.edited.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (number, files) = self.world.files();
            if self.seen != Some(number) {
                (self.seen, self.since, self.confirmed) = (Some(number), Instant::now(), false);
                return Some(published(&files, 0));
            }
            if self.confirmed || files.unreadable {
                changed.await;
                continue;
            }
            let quiet = Duration::from_millis(QUIET);
            if tokio::time::timeout_at(self.since + quiet, changed).await.is_err() {
                self.confirmed = true;
                return Some(published(&files, QUIET));
            }
        }
    }

    fn rescan(&self) {}
}

fn published(files: &Files, quiet_ms: u64) -> Update {
    files.snapshot().map(|snapshot| Published { snapshot: Arc::new(snapshot), quiet_ms })
}
