//! The simulated engine as `run --engine simulated` has it.

use std::sync::Arc;

use crate::controller::inbound::Loader;
use crate::desired::Wanted;
use crate::desired::spec::PullPolicy;
use crate::engine::sim::{self, Sim, image::made_up};

/// An engine of this process, whose time passes as long as the runtime lives. Every image can be pulled.
pub(super) fn engine() -> Sim {
    tracing::warn!("SIMULATED ENGINE: no container really runs; everything reported from here on is made up");
    let sim = Sim::from(sim::Host::any_image().began_at(crate::controller::clock::wall()));
    drop(sim::realtime(&sim));
    sim
}

/// What is never pulled is built on the host itself: a simulated host has it as soon as a file names it.
pub(super) fn with_what_is_built_here(load: Loader, sim: Sim) -> Loader {
    Arc::new(move |snapshot| {
        let loaded = load(snapshot);
        sim.with(|host| {
            for wanted in loaded.0.services.values() {
                let Wanted::Run(revision) = wanted else { continue };
                let image = &revision.spec.container.image;
                if revision.spec.policy.pull == PullPolicy::Never && host.resolve(image).is_none() {
                    host.load_image(made_up(image));
                }
            }
        });
        loaded
    })
}
