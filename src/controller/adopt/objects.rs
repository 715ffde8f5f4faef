//! The networks and volumes of a project.

use std::collections::BTreeMap;

use super::Deed;
use crate::controller::host::Host;
use crate::controller::wish::Wish;
use crate::desired::hash::{network_definition, volume_definition};
use crate::desired::ident::ProjectName;
use crate::desired::spec::{NetworkSpec, VolumeSpec};
use crate::engine::{Result, adopted};
use crate::metrics::adoption::ObjectAdoption;
use crate::state::diff::{Effect, FieldDifference};
use crate::state::observed::label;

/// What Compose made under these names for this project becomes ours; what others made is noted.
pub(super) async fn examine(host: &Host, wish: &Wish, project: &ProjectName, deed: &mut Deed) -> Result<()> {
    let networks = wish.state.networks.values().filter(|spec| spec.project == *project && !spec.external);
    for spec in networks {
        network(host, spec, deed).await?;
    }
    let volumes = wish.state.volumes.values().filter(|spec| spec.project == *project && !spec.external);
    for spec in volumes {
        volume(host, spec, deed).await?;
    }
    Ok(())
}

/// Of this project and of nobody else.
fn is_of(labels: &BTreeMap<String, String>, project: &ProjectName) -> bool {
    let of_compose = labels.get(label::COMPOSE_PROJECT).is_some_and(|found| found == project.as_str());
    of_compose && !labels.contains_key(label::OWNER)
}

async fn network(host: &Host, spec: &NetworkSpec, deed: &mut Deed) -> Result<()> {
    let found = host.engine.networks_named(&spec.name).await?;
    let ours = |labels: &BTreeMap<String, String>| labels.get(label::OWNER) == Some(&host.owner);
    if found.is_empty() || found.iter().any(|network| ours(&network.labels)) {
        return Ok(());
    }
    let Some(network) = found.iter().find(|network| is_of(&network.labels, &spec.project)) else {
        let (name, key) = (&spec.name, &spec.key);
        deed.report.notes.push(format!(
            "network {name} was not made for this project: to use it as it is: [networks.{key}] external = true, name = \"{name}\""
        ));
        return Ok(());
    };
    let differences = field("driver", &network.driver, spec.driver.as_deref(), "bridge");
    deed.report.networks.push(ObjectAdoption { name: spec.name.clone(), differences });
    let mut labels = marks(&host.owner, &spec.project);
    labels.extend([
        (label::NETWORK.to_owned(), spec.key.clone()),
        (label::DEFINITION.to_owned(), network_definition(spec)),
        (adopted::NAME.to_owned(), spec.name.clone()),
    ]);
    deed.register.released_networks.remove(&network.id);
    deed.register.networks.insert(network.id.clone(), labels);
    Ok(())
}

async fn volume(host: &Host, spec: &VolumeSpec, deed: &mut Deed) -> Result<()> {
    let Some(found) = host.engine.volume(&spec.name).await? else { return Ok(()) };
    if found.labels.get(label::OWNER) == Some(&host.owner) {
        return Ok(());
    }
    if !is_of(&found.labels, &spec.project) {
        let (name, key) = (&spec.name, &spec.key);
        deed.report.notes.push(format!(
            "volume {name} was not made for this project: to use it as it is: [volumes.{key}] external = true, name = \"{name}\""
        ));
        return Ok(());
    }
    let differences = field("driver", &found.driver, spec.driver.as_deref(), "local");
    deed.report.volumes.push(ObjectAdoption { name: spec.name.clone(), differences });
    let mut labels = marks(&host.owner, &spec.project);
    labels.extend([
        (label::VOLUME.to_owned(), spec.key.clone()),
        (label::DEFINITION.to_owned(), volume_definition(spec)),
    ]);
    deed.register.released_volumes.remove(&spec.name);
    deed.register.volumes.insert(spec.name.clone(), labels);
    Ok(())
}

fn marks(owner: &str, project: &ProjectName) -> BTreeMap<String, String> {
    [(label::OWNER, owner), (label::PROJECT, project.as_str())]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn field(path: &str, runs: &str, wanted: Option<&str>, usual: &str) -> Vec<FieldDifference> {
    let wanted = wanted.unwrap_or(usual);
    if runs == wanted {
        return Vec::new();
    }
    vec![FieldDifference {
        path: path.to_owned(),
        old: Some(runs.to_owned()),
        new: Some(wanted.to_owned()),
        effect: Effect::None,
    }]
}
