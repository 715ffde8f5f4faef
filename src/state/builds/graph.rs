//! Which build stands on which, and the order to make them in.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::convert::canonical_image;
use crate::desired::work::answers::Asker;

/// A build as the graph sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// What its image is called, without a tag.
    pub image: String,
    /// Whole names that always mean its newest image.
    pub names: BTreeSet<String>,
    /// Images that its Dockerfile begins with, as they are written.
    pub bases: BTreeSet<String>,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// What stands on nothing first. Those in a circle are not in it, nor those that stand on one.
    pub order: Vec<Asker>,
    /// By build and the name in its Dockerfile: the build that makes it.
    pub stands_on: BTreeMap<Asker, BTreeMap<String, Asker>>,
    /// Those that stand on themselves in the end, with the way.
    pub circles: BTreeMap<Asker, Vec<Asker>>,
}

/// Who stands on whom. A base without a tag, or with `latest`, is another build's newest image; so is one with a name that this build gives to each of
/// its images.
#[must_use]
pub fn graph(nodes: &BTreeMap<Asker, Node>) -> Graph {
    let mut makers: BTreeMap<String, &Asker> = BTreeMap::new();
    for (asker, node) in nodes {
        let always = [format!("{}:latest", node.image)];
        for name in always.iter().chain(&node.names) {
            if let Ok(name) = canonical_image(name) {
                makers.entry(name).or_insert(asker);
            }
        }
    }
    let mut graph = Graph::default();
    for (asker, node) in nodes {
        let maker = |base: &String| {
            let made_by = canonical_image(base).ok().and_then(|name| makers.get(&name).copied());
            made_by.map(|maker| (base.clone(), maker.clone()))
        };
        graph.stands_on.insert(asker.clone(), node.bases.iter().filter_map(maker).collect());
    }
    let mut open: BTreeSet<&Asker> = nodes.keys().collect();
    loop {
        let ready: Vec<&Asker> = open
            .iter()
            .copied()
            .filter(|asker| graph.below(asker).all(|below| !open.contains(below)))
            .collect();
        if ready.is_empty() {
            break;
        }
        for asker in ready {
            open.remove(asker);
            graph.order.push(asker.clone());
        }
    }
    for asker in open {
        if let Some(way) = graph.way_back(asker) {
            graph.circles.insert(asker.clone(), way);
        }
    }
    graph
}

impl Graph {
    /// What a build stands on.
    pub fn below<'g>(&'g self, asker: &Asker) -> impl Iterator<Item = &'g Asker> + use<'g> {
        self.stands_on.get(asker).into_iter().flat_map(BTreeMap::values)
    }

    /// Builds that these stand on, themselves among them.
    #[must_use]
    pub fn all_below(&self, first: impl IntoIterator<Item = Asker>) -> BTreeSet<Asker> {
        let mut found = BTreeSet::new();
        let mut open: Vec<Asker> = first.into_iter().collect();
        while let Some(asker) = open.pop() {
            open.extend(self.below(&asker).filter(|below| !found.contains(*below)).cloned());
            found.insert(asker);
        }
        found
    }

    fn way_back(&self, first: &Asker) -> Option<Vec<Asker>> {
        let mut from: BTreeMap<&Asker, &Asker> = BTreeMap::new();
        let mut open = vec![first];
        while let Some(asker) = open.pop() {
            for next in self.stands_on.get(asker).into_iter().flat_map(BTreeMap::values) {
                if next == first {
                    let mut way = vec![first.clone(), asker.clone()];
                    let mut here = asker;
                    while let Some(before) = from.get(here) {
                        way.push((*before).clone());
                        here = before;
                    }
                    way.reverse();
                    return Some(way);
                }
                if !from.contains_key(next) {
                    from.insert(next, asker);
                    open.push(next);
                }
            }
        }
        None
    }
}
