//! What evenkeel logs while a story is played: errors must be explained by the story, the rest is for people.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Level, Metadata, Subscriber};

use super::acts::{Deed, Edit};
use super::story::Story;
use super::world::World;

#[derive(Clone)]
pub struct Log {
    loud: bool,
    world: Arc<Mutex<Option<Arc<World>>>>,
}

impl Log {
    pub fn new(loud: bool) -> Self {
        Self { loud, world: Arc::default() }
    }

    pub fn listen(&self) -> DefaultGuard {
        set_default(self.clone())
    }

    pub fn attach(&self, world: &Arc<World>) {
        *self.world.lock().unwrap() = Some(Arc::clone(world));
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && (*metadata.level() == Level::ERROR || self.loud && *metadata.level() <= Level::INFO)
    }
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if self.loud { LevelFilter::INFO } else { LevelFilter::ERROR })
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let Some(world) = self.world.lock().unwrap().clone() else { return };
        if *event.metadata().level() == Level::ERROR && !explained(&world.story, &line.0) {
            world.violated(format!("an error that nothing explains: {}", line.0));
        } else if self.loud {
            world.tell(format!("  {} {}", event.metadata().level(), line.0));
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Errors that a story must lead to.
fn explained(story: &Story, line: &str) -> bool {
    let deed = |wanted: &dyn Fn(&Deed) -> bool| story.acts.iter().any(|act| wanted(&act.deed));
    let edit =
        |wanted: &dyn Fn(&Edit) -> bool| deed(&|deed| matches!(deed, Deed::Edit(edit) if wanted(edit)));
    let unwritable = deed(&|deed| matches!(deed, Deed::StoreUnwritable(_)));
    let engine =
        story.odds.engine > 0 || story.odds.blind > 0 || deed(&|deed| matches!(deed, Deed::EngineDies(..)));
    if line.contains("the desired state cannot be read") {
        edit(&|edit| matches!(edit, Edit::Unreadable(_)))
    } else if line.contains("the store can't be written") || line.contains("could not be written down") {
        unwritable
    } else if line.contains("a pass panicked") {
        deed(&|deed| matches!(deed, Deed::Panic(_)))
    } else if line.contains("has not been seen as a whole") {
        engine
    } else {
        // A diagnostic of a file that was broken or cut: `p0/s1.toml:3: ...`.
        line.contains(".toml") && edit(&|edit| matches!(edit, Edit::Break(..) | Edit::Cut(..)))
    }
}
