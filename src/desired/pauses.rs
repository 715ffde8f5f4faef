//! `paused`: what is watched and reported, and not changed.

use std::collections::BTreeMap;

use super::ident::{ProjectName, ServiceId};

/// That something is to be left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Where that is said: `fleet.toml, hosts.fra1`.
    pub place: String,
    /// `paused_until`: it ends then by itself. Milliseconds since 1970.
    pub until: Option<i64>,
}

impl Pause {
    /// One that ends when the files say so.
    #[must_use]
    pub fn at(place: String) -> Self {
        Self { place, until: None }
    }

    /// What is left of it at this instant.
    fn left(&self, now_ms: i64) -> Option<Paused<'_>> {
        let left = self.until.is_none_or(|until| now_ms < until);
        left.then_some(Paused { why: &self.place, until: self.until })
    }
}

/// Why something is left as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paused<'a> {
    pub why: &'a str,
    /// When that ends by itself. Milliseconds since 1970.
    pub until: Option<i64>,
}

impl<'a> Paused<'a> {
    /// Until somebody changes it.
    #[must_use]
    pub fn by(why: &'a str) -> Self {
        Self { why, until: None }
    }
}

/// Who is paused, and where that is said (`fleet.toml, hosts.fra1`). A host's own `paused` stands above everything; else what is
/// said nearest to a service counts, also where it says no.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    /// `[hosts.<this>] paused = true`.
    pub host: Option<Pause>,
    /// `[policy] paused = true`, or `paused_until`, at the root.
    pub everywhere: Option<Pause>,
    /// Projects for which a `[policy]` below the root says something: a place, or `None` for `paused = false`.
    pub projects: BTreeMap<ProjectName, Option<Pause>>,
    /// Services that say something themselves.
    pub services: BTreeMap<ServiceId, Option<Pause>>,
    /// Services that were given back by hand, with what to do about it. No file says so.
    pub released: BTreeMap<ServiceId, String>,
    /// The same of whole projects.
    pub released_projects: BTreeMap<ProjectName, String>,
}

impl Pauses {
    /// Why this service is left as it is at this instant (milliseconds since 1970); `None`: it is not paused.
    #[must_use]
    pub fn of(&self, id: &ServiceId, now_ms: i64) -> Option<Paused<'_>> {
        if let Some(host) = &self.host {
            return host.left(now_ms);
        }
        if let Some(why) = self.released.get(id) {
            return Some(Paused::by(why));
        }
        match self.services.get(id) {
            Some(own) => own.as_ref()?.left(now_ms),
            None => self.project(&id.project, now_ms),
        }
    }

    /// Why the networks and volumes of this project are left as they are.
    #[must_use]
    pub fn project(&self, project: &ProjectName, now_ms: i64) -> Option<Paused<'_>> {
        if let (None, Some(why)) = (&self.host, self.released_projects.get(project)) {
            return Some(Paused::by(why));
        }
        let own = self.projects.get(project);
        self.host.as_ref().or_else(|| own.unwrap_or(&self.everywhere).as_ref())?.left(now_ms)
    }

    /// A file that does not load unpauses nothing: what stood in it before stands until it loads again. `broken`: the files that do not.
    pub fn stand<'a>(&mut self, before: &Self, broken: impl Iterator<Item = &'a String> + Clone) {
        // `fleet.toml, hosts.fra1` or `shop/web.toml:3`; with several sources, files are called `<source>//<file>`.
        let stands = |said: &Option<Pause>| {
            let place = said.as_ref().map(|pause| pause.place.as_str());
            let file = place.and_then(|place| place.split([',', ':']).next()).unwrap_or_default();
            let is = |key: &String| key.rsplit("//").next() == Some(file);
            said.is_some() && broken.clone().any(is)
        };
        if self.host.is_none() && stands(&before.host) {
            self.host.clone_from(&before.host);
        }
        if self.everywhere.is_none() && stands(&before.everywhere) {
            self.everywhere.clone_from(&before.everywhere);
        }
        for (project, said) in before.projects.iter().filter(|(_, said)| stands(said)) {
            self.projects.entry(project.clone()).or_insert_with(|| said.clone());
        }
        for (id, said) in before.services.iter().filter(|(_, said)| stands(said)) {
            self.services.entry(id.clone()).or_insert_with(|| said.clone());
        }
    }

    /// Why what no project here has any more is left as it is.
    #[must_use]
    pub fn unwanted(&self, now_ms: i64) -> Option<Paused<'_>> {
        self.host.as_ref().or(self.everywhere.as_ref())?.left(now_ms)
    }
}
