//! `evenkeel observe`: what a plan needs to know of this host, as JSON, to plan against it elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;

use super::context::{block_on, chain, settings};
use super::sources::{self, Facts, Take};
use super::{assemble, look, out};
use crate::config::{Flags, Settings};
use crate::controller::observation::{Observation, Observer, observe};
use crate::controller::records::{Durable, Records};
use crate::controller::store::Store;
use crate::controller::works::Book;
use crate::desired::SourcesLoader;
use crate::desired::provided::Ask;
use crate::note;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel observe > fra1.json            what is on this host, and what evenkeel remembers of it
  evenkeel plan --observed fra1.json      on any machine: the plan that this host would make for the files there

It only reads. No value of an environment variable is in it, no output of a container, and no label that is not evenkeel's or
Compose's own; texts that a plan must compare are salted digests. Names, images, ports and paths are in it.")]
pub struct ObserveArgs {}

pub(super) fn run(flags: &Flags, _args: &ObserveArgs) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    block_on(async {
        match look(&settings).await {
            Ok(observation) => {
                let (containers, images, networks, volumes) = observation.engine.size();
                note!(
                    "host {}: {containers} containers, {images} images, {networks} networks, {volumes} volumes",
                    observation.host
                );
                out::json(&observation)
            }
            Err(error) => out::fail(error),
        }
    })
}

async fn look(settings: &Settings) -> Result<Observation, String> {
    let engine = Arc::new(look::docker(settings)?);
    // The files are not looked at, only where they are: their problems are for `validate`.
    let root = sources::root(settings);
    let provided = settings.secrets_dir.to_string_lossy();
    let contents = contents(settings);
    let store = Store::open_read_only(&settings.state).map_err(|error| chain(&error))?;
    let records = store.load_all().map_err(|error| chain(&error))?;
    let images = Book::read(&store).map_err(|error| chain(&error))?.answers().0.clone();
    let session = Durable::new(Arc::new(store)).session().await.map_err(|error| error.to_string())?;
    let state = std::path::absolute(&settings.state).unwrap_or_else(|_| settings.state.clone());
    let state = state.to_string_lossy();
    let home = std::env::var("HOME").ok().filter(|home| !home.is_empty());
    let timezone = look::host_facts(settings, None).timezone;
    let observer = Observer {
        engine: &*engine,
        instance: &settings.instance,
        host: &settings.host,
        root: &root,
        home: home.as_deref(),
        timezone: timezone.as_deref(),
        state: &state,
        repositories: sources::repositories(&settings.sources),
        provided: &provided,
        contents,
        limits: settings.limits,
        records,
        session,
        images,
        salt: salt()?,
    };
    observe(observer).await.map_err(|error| error.to_string())
}

/// What the files on this host ask for. Without files nothing is known of it, and whatever a plan elsewhere asks for looks changed.
fn contents(settings: &Settings) -> BTreeMap<Ask, String> {
    let secrets = assemble::secrets(settings, true);
    let facts: Facts = {
        let settings = settings.clone();
        Arc::new(move || look::host_facts(&settings, None))
    };
    let Ok(read) = sources::read(settings, Take::Applied, &facts) else { return BTreeMap::new() };
    secrets.load(&mut SourcesLoader::default(), &read.snapshot, facts());
    secrets.contents()
}

/// The kernel's randomness: nobody has a table of digests for it.
fn salt() -> Result<String, String> {
    let mut bytes = [0_u8; 16];
    let filled = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    match filled {
        Ok(16) => Ok(hex::encode(bytes)),
        Ok(_) => Err("the kernel gave too little randomness; try again".to_owned()),
        Err(error) => Err(format!("the kernel gives no randomness: {error}")),
    }
}
