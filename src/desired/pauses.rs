//! `paused`: what is watched and reported, and not changed.

use std::collections::BTreeMap;

use super::ident::{ProjectName, ServiceId};

/// Who is paused, and where that is said (`fleet.toml, hosts.fra1`). A host's own `paused` stands above everything; else what is
/// said nearest to a service counts, also where it says no.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    /// `[hosts.<this>] paused = true`.
    pub host: Option<String>,
    /// `[policy] paused = true` at the root.
    pub everywhere: Option<String>,
    /// Projects for which a `[policy]` below the root says something: a place, or `None` for `paused = false`.
    pub projects: BTreeMap<ProjectName, Option<String>>,
    /// Services that say something themselves.
    pub services: BTreeMap<ServiceId, Option<String>>,
    /// Services that were given back by hand, with what to do about it. No file says so.
    pub released: BTreeMap<ServiceId, String>,
    /// The same of whole projects.
    pub released_projects: BTreeMap<ProjectName, String>,
}

impl Pauses {
    /// Why this service is left as it is; `None`: it is not paused.
    #[must_use]
    pub fn of(&self, id: &ServiceId) -> Option<&str> {
        if self.host.is_some() {
            return self.host.as_deref();
        }
        if let Some(why) = self.released.get(id) {
            return Some(why);
        }
        match self.services.get(id) {
            Some(own) => own.as_deref(),
            None => self.project(&id.project),
        }
    }

    /// Why the networks and volumes of this project are left as they are.
    #[must_use]
    pub fn project(&self, project: &ProjectName) -> Option<&str> {
        if let (None, Some(why)) = (&self.host, self.released_projects.get(project)) {
            return Some(why);
        }
        let own = self.projects.get(project);
        self.host.as_deref().or_else(|| own.unwrap_or(&self.everywhere).as_deref())
    }

    /// A file that does not load unpauses nothing: what stood in it before stands until it loads again. `broken`: the files that do not.
    pub fn stand<'a>(&mut self, before: &Self, broken: impl Iterator<Item = &'a String> + Clone) {
        // `fleet.toml, hosts.fra1` or `shop/web.toml:3`; with several sources, files are called `<source>//<file>`.
        let stands = |said: &Option<String>| {
            let file = said.as_deref().and_then(|place| place.split([',', ':']).next()).unwrap_or_default();
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
    pub fn unwanted(&self) -> Option<&str> {
        self.host.as_deref().or(self.everywhere.as_deref())
    }
}
