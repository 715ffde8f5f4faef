//! No daemon runs: the command builds by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::Arc;

use super::{BuildArgs, Told, conclude, folder, logins};
use crate::cli::assemble::{self, Word};
use crate::cli::context::chain;
use crate::cli::show::clean;
use crate::cli::sources::Take;
use crate::cli::{look, out};
use crate::config::Settings;
use crate::controller::clock::{self, SystemClock};
use crate::controller::records::{Durable, Records};
use crate::controller::store::Store;
use crate::controller::trigger::Inbox;
use crate::controller::works::Book;
use crate::controller::works::builds::{
    Board, Demand, Demands, Outcome, Parts, Round, Site, Tell, Wanted, wanted,
};
use crate::desired::DesiredState;
use crate::desired::ident::ServiceId;
use crate::desired::work::ImageSource;
use crate::desired::work::answers::Asker;
use crate::engine::{Engine, Observe};
use crate::metrics::Metrics;
use crate::note;
use crate::secrets::Secrets;
use crate::state::builds::name_of;

pub(super) async fn build(settings: &Settings, args: &BuildArgs) -> i32 {
    match by_itself(settings, args).await {
        Ok(told) => conclude(&told, args.json),
        Err(error) => out::fail(error),
    }
}

async fn by_itself(settings: &Settings, args: &BuildArgs) -> Result<Vec<Told>, String> {
    let secrets = assemble::secrets(settings, false);
    let engine = assemble::engine(settings, &secrets)?;
    let word = Word::of(Arc::clone(&engine) as Arc<dyn Observe>).await;
    let loaded = assemble::load(settings, &word, &secrets, Take::Newest)?;
    let store = Store::open(&settings.state, &settings.instance).map_err(|error| chain(&error))?;
    let book = Arc::new(Book::read(&store).map_err(|error| chain(&error))?);
    let records: Arc<dyn Records> = Arc::new(Durable::new(Arc::new(store)));
    let all = wanted(&loaded.desired, clock::wall());
    let site = site(settings, &secrets, engine, records, book, args.json).await?;
    let board = Arc::clone(&site.board);
    board.keep(all.keys());
    let chosen: Vec<Asker> = match args.names.as_slice() {
        [] if args.reference.is_some() => {
            return Err("say which build is to be made of another branch".to_owned());
        }
        [] => all.keys().cloned().collect(),
        names => names.iter().map(|name| board.named(name)).collect::<Result<_, _>>()?,
    };
    let demand = Demand {
        number: 1,
        forced: !args.names.is_empty(),
        no_push: args.no_push,
        reference: args.reference.clone(),
    };
    let demands: Demands = chosen.iter().map(|asker| (asker.clone(), demand.clone())).collect();
    let outcomes = round(&site, &all, demands, chosen.iter().cloned().collect()).await;
    let told = |asker: &Asker| {
        let outcome = outcomes.get(asker).map(Outcome::report)?;
        Some(Told { name: name_of(asker), outcome })
    };
    Ok(chosen.iter().filter_map(told).collect())
}

async fn round(
    site: &Site,
    all: &BTreeMap<Asker, Wanted>,
    demands: Demands,
    only: BTreeSet<Asker>,
) -> BTreeMap<Asker, Outcome> {
    let round = Round { site, wanted: all, demands, only: Some(only), overtaken: &|| false };
    round.run().await.outcomes
}

async fn site(
    settings: &Settings,
    secrets: &Arc<Secrets>,
    engine: Arc<dyn Engine>,
    records: Arc<dyn Records>,
    book: Arc<Book>,
    silent: bool,
) -> Result<Site, String> {
    let root = engine.facts().await.map(|facts| facts.root_dir).unwrap_or_default();
    // `apply` has an answer of its own on its output.
    let tell: Tell = Arc::new(|_: &Asker, text: &str| out::hint(format_args!("{}", clean(text))));
    let parts = Parts {
        engine,
        maker: assemble::maker(settings, secrets)?,
        registry: assemble::registries(settings, secrets),
        records,
        book,
        inbox: Arc::new(Inbox::default()),
        clock: Arc::new(SystemClock),
        metrics: Arc::new(Metrics::new().map_err(|error| error.to_string())?),
        news: Arc::default(),
        disk_free: Arc::new(move || look::space(std::path::Path::new(&root))),
        room: settings.limits.disk_pressure,
        folder: folder(settings),
        board: Arc::new(Board::default()),
        logins: logins(settings),
        tell: (!silent).then_some(tell),
    };
    Site::new(parts).await.map_err(|error| error.to_string())
}

/// What `apply` needs of builds before it begins.
pub(in crate::cli) struct Needed<'a> {
    pub settings: &'a Settings,
    pub secrets: &'a Arc<Secrets>,
    pub engine: Arc<dyn Engine>,
    pub records: Arc<dyn Records>,
    pub book: Arc<Book>,
    /// Empty: all.
    pub only: &'a BTreeSet<ServiceId>,
    pub json: bool,
}

/// Builds what services need and is due, before they are converged. Returns whether the images are other ones now, and whether a build
/// failed: then its services stay on the image they have.
pub(in crate::cli) async fn needed(
    needed: Needed<'_>,
    desired: &DesiredState,
) -> Result<(bool, bool), String> {
    let Needed { settings, secrets, engine, records, book, only, json } = needed;
    let all = wanted(desired, clock::wall());
    let of_services = desired.works.chosen.iter().filter(|(id, _)| only.is_empty() || only.contains(*id));
    let chosen: BTreeSet<Asker> = of_services
        .filter_map(|(id, chosen)| match &chosen.image {
            ImageSource::Build(_) => Some(Asker::Service(id.clone())),
            ImageSource::Built(build) => Some(Asker::Build(build.clone())),
            ImageSource::Said | ImageSource::Policy(_) => None,
        })
        .filter(|asker| all.contains_key(asker))
        .collect();
    if chosen.is_empty() {
        return Ok((false, false));
    }
    let before = book.answers();
    let silent = json || !std::io::stderr().is_terminal();
    let site = site(settings, secrets, engine, records, Arc::clone(&book), silent).await?;
    let demands = chosen.iter().map(|asker| (asker.clone(), Demand::default())).collect();
    let outcomes = round(&site, &all, demands, chosen).await;
    let mut failed = false;
    for (asker, outcome) in &outcomes {
        let name = name_of(asker);
        match outcome {
            Outcome::Built { image, .. } => note!("{name}: built {image}"),
            Outcome::Failed { why, .. } | Outcome::Refused { why } => {
                failed = true;
                note!("{name}: not built: {} (evenkeel build {name} --log)", crate::cli::show::one_line(why));
            }
            Outcome::Unchanged { .. } | Outcome::Current { .. } => {}
        }
    }
    Ok((book.answers() != before, failed))
}
