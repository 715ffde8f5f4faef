//! What a seed says: which services there are, what is edited when, and what goes wrong.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use super::acts::{Act, Deed, draw_acts};
use super::odds::Odds;

/// What the application of one version of an image does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Good,
    /// Healthy after so many milliseconds.
    Slow(u64),
    /// Ends only when it is killed.
    IgnoresTerm,
    /// Ends with 1 after so many milliseconds, at every start.
    Crash(u64),
    NeverHealthy,
    /// The engine refuses to start it.
    BadCommand,
    /// The registry does not have it.
    Missing,
    /// Ends with 0 after so many milliseconds.
    Job(u64),
}

/// One service as its file defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub project: usize,
    pub name: String,
    pub version: u32,
    pub environment: u32,
    /// Megabytes; 0: no limit.
    pub memory: u32,
    pub replicas: u32,
    pub restart: &'static str,
    pub order: Option<&'static str>,
    pub check: bool,
    pub port: Option<u16>,
    pub volume: bool,
    pub network: bool,
    /// The service whose network it shares.
    pub parent: Option<usize>,
    pub needs: Vec<(usize, &'static str)>,
    pub job: bool,
}

impl Service {
    pub fn image(&self) -> String {
        format!("{}:{}", self.name, self.version)
    }

    /// `p0/s3`, as evenkeel calls it.
    pub fn id(&self) -> String {
        format!("p{}/{}", self.project, self.name)
    }

    /// Two copies of one slot must never run at the same time.
    pub fn exclusive(&self) -> bool {
        self.port.is_some() || self.parent.is_some()
    }

    pub fn start_first(&self) -> bool {
        self.order == Some("start-first") && !self.exclusive()
    }
}

/// Everything that one seed says. Parts can be taken out of it to find what a failure needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    pub seed: u64,
    /// Only what a correct controller must not let show: its own crashes, lost and odd events, stale and late answers, unknown outcomes.
    pub pure: bool,
    /// Edits wait until the host is at rest, so that the same story without faults has the same history.
    pub paced: bool,
    pub live_restore: bool,
    /// All services of a project in one file.
    pub one_file: bool,
    pub services: Vec<Service>,
    /// By image reference.
    pub images: BTreeMap<String, Kind>,
    pub acts: Vec<Act>,
    pub odds: Odds,
    /// Calls, by their number, that are let through although the odds are against them.
    pub spared: BTreeSet<u64>,
}

impl Story {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let pure = rng.u8(..100) < 35;
        let mut story = Self {
            seed,
            pure,
            paced: pure && rng.u8(..100) < 80 || rng.u8(..100) < 15,
            live_restore: rng.u8(..100) < 20,
            one_file: rng.bool(),
            services: Vec::new(),
            images: BTreeMap::new(),
            acts: Vec::new(),
            odds: Odds::draw(&mut rng, pure),
            spared: BTreeSet::new(),
        };
        story.draw_services(&mut rng);
        story.draw_images(&mut rng);
        story.acts = draw_acts(&mut rng, &story);
        story
    }

    /// The same edits, and nothing that goes wrong.
    pub fn without_faults(&self) -> Self {
        let acts = self.acts.iter().filter(|act| matches!(act.deed, Deed::Edit(_))).cloned().collect();
        Self { acts, odds: Odds::default(), ..self.clone() }
    }

    fn draw_services(&mut self, rng: &mut Rng) {
        let projects = rng.usize(1..=3);
        let count = rng.usize(3..=12);
        for index in 0..count {
            let service = self.draw_service(rng, index, projects);
            self.services.push(service);
        }
    }

    fn draw_service(&self, rng: &mut Rng, index: usize, projects: usize) -> Service {
        let project = rng.usize(..projects);
        let job = rng.u8(..100) < 12;
        let siblings: Vec<usize> =
            (0..index).filter(|other| self.services[*other].project == project).collect();
        let host = siblings.iter().copied().find(|other| {
            let other = &self.services[*other];
            !other.job && other.parent.is_none() && other.replicas == 1
        });
        let parent = host.filter(|_| !job && rng.u8(..100) < 12);
        let port = (!job && parent.is_none() && rng.u8(..100) < 25).then(|| 8000 + index as u16);
        let needs = siblings.iter().filter(|_| rng.u8(..100) < 25).map(|other| {
            let target = &self.services[*other];
            let condition = if target.job {
                "service_completed_successfully"
            } else if target.check {
                "service_healthy"
            } else {
                "service_started"
            };
            (*other, condition)
        });
        let needs = needs.collect();
        let single = job || parent.is_some() || port.is_some() || rng.bool();
        Service {
            project,
            name: format!("s{index}"),
            version: 1,
            environment: 0,
            memory: if rng.bool() { 0 } else { 64 },
            replicas: if single { 1 } else { rng.u32(2..=3) },
            restart: if job { "no" } else { ["always", "unless-stopped", "on-failure"][rng.usize(..3)] },
            // What is exclusive cannot start first, and a file that asks for it is refused.
            order: [None, Some("stop-first"), Some("auto"), Some("start-first")]
                [rng.usize(..if port.is_some() || parent.is_some() { 3 } else { 4 })],
            check: !job && rng.bool(),
            port,
            volume: rng.u8(..100) < 30,
            network: parent.is_none() && rng.u8(..100) < 30,
            parent,
            needs,
            job,
        }
    }

    /// The first version is good; of the later ones a third is not.
    fn draw_images(&mut self, rng: &mut Rng) {
        for service in &self.services {
            for version in 1..=MOST_VERSIONS {
                let good = version == 1 || rng.u8(..100) < 65;
                let kind = match (service.job, good) {
                    (true, true) => Kind::Job(rng.u64(100..30_000)),
                    (true, false) => Kind::Crash(rng.u64(50..800)),
                    (false, true) => match rng.u8(..10) {
                        0 | 1 => Kind::Slow(rng.u64(1_000..40_000)),
                        2 => Kind::IgnoresTerm,
                        _ => Kind::Good,
                    },
                    (false, false) => match rng.u8(..10) {
                        0..=4 => Kind::Crash(rng.u64(50..800)),
                        5 | 6 if service.check => Kind::NeverHealthy,
                        7 => Kind::Missing,
                        _ => Kind::BadCommand,
                    },
                };
                self.images.insert(format!("{}:{version}", service.name), kind);
            }
        }
    }

    pub fn kind(&self, service: &Service) -> Kind {
        self.images.get(&service.image()).copied().unwrap_or(Kind::Missing)
    }

    /// This version can serve.
    pub fn is_good(&self, service: &Service) -> bool {
        matches!(self.kind(service), Kind::Good | Kind::Slow(_) | Kind::IgnoresTerm | Kind::Job(_))
    }
}

pub const MOST_VERSIONS: u32 = 6;
