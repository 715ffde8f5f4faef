//! The search: every world that can be reached, on every core, each with the least that had to go wrong for it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use super::check;
use super::moves::Move;
use super::print::print;
use super::turn::{Broken, Explorer};
use super::world::{Budget, Scenario, World};

/// Turns a run without faults may take to its rest (a turn is a plan of a few steps, or a pause). RELIABILITY.md L2.
const MOST_TURNS: usize = 250;
const SHARDS: usize = 64;

/// What was found.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Pairs of a world and what had gone wrong on the way to it, without those for which less had to.
    pub states: usize,
    pub worlds: usize,
    pub transitions: usize,
    /// Turns of the longest run without faults.
    pub longest: usize,
}

/// How it broke, as moves from the beginning.
#[derive(Debug)]
pub struct Counterexample {
    pub moves: Vec<Move>,
    pub what: String,
}

#[derive(Clone, Copy)]
enum Calm {
    NotYet,
    Rest,
    Next(u128),
}

struct Node {
    parent: u128,
    by: Move,
    /// What had gone wrong, without those for which more had to.
    used: Vec<Budget>,
    calm: Calm,
}

struct Item {
    print: u128,
    used: Budget,
    world: World,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Few worlds wait at a time.
    Deep,
    /// The first counterexample is a shortest one.
    Broad,
}

struct Search<'s> {
    scenario: &'s Scenario,
    order: Order,
    most: usize,
    seen: Vec<Mutex<HashMap<u128, Node>>>,
    open: Mutex<Open>,
    more: Condvar,
    states: AtomicUsize,
    transitions: AtomicUsize,
}

#[derive(Default)]
struct Open {
    items: VecDeque<Item>,
    busy: usize,
    broken: Option<(u128, Broken)>,
}

/// Explores the scenario to its end, or to the first thing that breaks.
pub fn search(scenario: &Scenario) -> Result<Found, Counterexample> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    match run(scenario, Order::Deep, usize::MAX, threads) {
        Ok(Some(found)) => Ok(found),
        Ok(None) => unreachable!("no limit was set"),
        // A shorter way to the same is worth some time.
        Err(long) => match run(scenario, Order::Broad, 60_000, threads) {
            Err(short) if short.moves.len() < long.moves.len() => Err(short),
            _ => Err(long),
        },
    }
}

/// `None`: the limit was reached.
fn run(
    scenario: &Scenario,
    order: Order,
    most: usize,
    threads: usize,
) -> Result<Option<Found>, Counterexample> {
    let seen = (0..SHARDS).map(|_| Mutex::default()).collect();
    let search = Search {
        scenario,
        order,
        most,
        seen,
        open: Mutex::default(),
        more: Condvar::new(),
        states: AtomicUsize::new(0),
        transitions: AtomicUsize::new(0),
    };
    let first = scenario.first.clone();
    check::state(scenario, &first).map_err(|what| Counterexample { moves: Vec::new(), what })?;
    let root = print(scenario, &first);
    search.offer(root, root, Move::Start, Budget::NONE, first);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| search.work());
        }
    });
    if let Some((print, broken)) = search.open.lock().unwrap().broken.take() {
        let mut moves = search.way_to(print);
        moves.push(broken.by);
        return Err(Counterexample { moves, what: broken.what });
    }
    if search.states.load(Ordering::Relaxed) >= most {
        return Ok(None);
    }
    let longest = search.settles()?;
    let worlds = search.seen.iter().map(|shard| shard.lock().unwrap().len()).sum();
    let states = search.states.load(Ordering::Relaxed);
    let transitions = search.transitions.load(Ordering::Relaxed);
    Ok(Some(Found { states, worlds, transitions, longest }))
}

impl Search<'_> {
    fn shard(&self, print: u128) -> MutexGuard<'_, HashMap<u128, Node>> {
        self.seen[usize::try_from(print % SHARDS as u128).unwrap()].lock().unwrap()
    }

    /// Takes a world in, unless it was reached with no more going wrong already.
    fn note(&self, print: u128, parent: u128, by: Move, used: Budget) -> bool {
        let mut shard = self.shard(print);
        let node =
            shard.entry(print).or_insert_with(|| Node { parent, by, used: Vec::new(), calm: Calm::NotYet });
        if node.used.iter().any(|before| before.within(used)) {
            return false;
        }
        node.used.retain(|before| !used.within(*before));
        node.used.push(used);
        true
    }

    fn offer(&self, print: u128, parent: u128, by: Move, used: Budget, world: World) {
        if self.note(print, parent, by, used) {
            self.open.lock().unwrap().items.push_back(Item { print, used, world });
            self.more.notify_one();
        }
    }

    fn work(&self) {
        let explorer = Explorer::new(self.scenario);
        while let Some(item) = self.next() {
            let done = self.expand(&explorer, &item);
            let mut open = self.open.lock().unwrap();
            open.busy -= 1;
            if let Err(broken) = done {
                open.broken.get_or_insert((item.print, broken));
            }
            drop(open);
            self.more.notify_all();
        }
    }

    fn next(&self) -> Option<Item> {
        let mut open = self.open.lock().unwrap();
        loop {
            if open.broken.is_some() || self.states.load(Ordering::Relaxed) >= self.most {
                return None;
            }
            let item = match self.order {
                Order::Deep => open.items.pop_back(),
                Order::Broad => open.items.pop_front(),
            };
            match item {
                Some(item) => {
                    open.busy += 1;
                    return Some(item);
                }
                None if open.busy == 0 => return None,
                None => open = self.more.wait(open).unwrap(),
            }
        }
    }

    fn expand(&self, explorer: &Explorer<'_>, item: &Item) -> Result<(), Broken> {
        // Reached with less meanwhile: that one is, or was, expanded instead.
        if !self.shard(item.print).get(&item.print).is_some_and(|node| node.used.contains(&item.used)) {
            return Ok(());
        }
        self.states.fetch_add(1, Ordering::Relaxed);
        let expanded = explorer.expand(&item.world, item.used)?;
        self.transitions.fetch_add(expanded.next.len(), Ordering::Relaxed);
        let mut calm = expanded.rests.then_some(Calm::Rest);
        let mut fresh = Vec::new();
        for (by, world) in expanded.next {
            let print = print(self.scenario, &world);
            if calm.is_none() {
                calm = Some(Calm::Next(print));
            }
            let used = by.classes().into_iter().flatten().fold(item.used, Budget::with_one_more);
            if self.note(print, item.print, by, used) {
                fresh.push(Item { print, used, world });
            }
        }
        if let Some(node) = self.shard(item.print).get_mut(&item.print) {
            node.calm = calm.unwrap_or(Calm::Rest);
        }
        if !fresh.is_empty() {
            // Deep: what happens without a fault is looked at first, so that less has gone wrong for what comes early.
            fresh.reverse();
            self.open.lock().unwrap().items.extend(fresh);
            self.more.notify_all();
        }
        Ok(())
    }

    fn way_to(&self, mut print: u128) -> Vec<Move> {
        let mut moves = Vec::new();
        loop {
            let (parent, by) = match self.shard(print).get(&print) {
                Some(node) => (node.parent, node.by),
                None => break,
            };
            if by == Move::Start {
                break;
            }
            moves.push(by);
            print = parent;
        }
        moves.reverse();
        moves
    }

    /// From every world the run without faults comes to rest: none of these runs is a circle, none is long.
    fn settles(&self) -> Result<usize, Counterexample> {
        let calm: HashMap<u128, Calm> = self
            .seen
            .iter()
            .flat_map(|shard| {
                shard.lock().unwrap().iter().map(|(print, node)| (*print, node.calm)).collect::<Vec<_>>()
            })
            .collect();
        let mut turns: HashMap<u128, usize> = HashMap::with_capacity(calm.len());
        let mut longest = 0;
        for start in calm.keys() {
            let mut way = Vec::new();
            let mut at = *start;
            let mut length = loop {
                if let Some(known) = turns.get(&at) {
                    break *known;
                }
                match calm.get(&at) {
                    Some(Calm::Rest) => {
                        turns.insert(at, 0);
                        break 0;
                    }
                    Some(Calm::Next(next)) if way.len() < MOST_TURNS => {
                        way.push(at);
                        at = *next;
                    }
                    Some(Calm::Next(_)) => {
                        let what =
                            format!("from here it does not come to rest within {MOST_TURNS} turns (L1, L2)");
                        return Err(Counterexample { moves: self.way_to(*start), what });
                    }
                    Some(Calm::NotYet) | None => unreachable!("a world was seen and never looked at"),
                }
            };
            for print in way.into_iter().rev() {
                length += 1;
                turns.insert(print, length);
            }
            longest = longest.max(length);
        }
        Ok(longest)
    }
}

/// Explores, prints what was found, and panics with the trace of what broke.
pub fn prove(scenario: &Scenario) -> Found {
    let began = Instant::now();
    match search(scenario) {
        Ok(found) => {
            let Found { states, worlds, transitions, longest } = found;
            println!(
                "{}: {states} states ({worlds} worlds, {transitions} transitions, at most {longest} turns to rest) in {:.1} s; budget {}",
                scenario.name,
                began.elapsed().as_secs_f64(),
                scenario.budget
            );
            found
        }
        Err(found) => {
            let saved = super::trace::save(scenario, &found);
            panic!("{}: {}\n{saved}", scenario.name, found.what);
        }
    }
}
