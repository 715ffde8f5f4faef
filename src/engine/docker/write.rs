//! Writing: each method sends its request in a task of its own and judges the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::ContainerUpdateBody;
use bollard::query_parameters::{
    RemoveContainerOptions, RemoveImageOptions, RenameContainerOptions, StartContainerOptions,
    StopContainerOptions, TagImageOptions,
};

use super::fault::{Call, Look, engine_error};
use super::wire::WireError;
use super::{Docker, is_absence, is_attached, path_segment, to_its_end};
use crate::desired::probe::{Exec, ProbeCheck};
use crate::desired::spec::{Endpoint, NetworkSpec, Resources, RestartPolicy, VolumeSpec};
use crate::engine::convert::{answers, network, observed, resources};
use crate::engine::{
    Engine, EngineError, ExecEnd, Observe, ProbeAnswer, PullProgress, Result, WRITE_DEADLINE,
};
use crate::state::observed::{ContainerId, ContainerStatus, ExecId, ImageFacts, ImageId, label};
use crate::state::plan::{Creation, Failure};

/// Beyond the grace period: the engine kills, and takes the container down.
const STOP_MARGIN: Duration = Duration::from_secs(30);
/// The engine's grace period where nobody gave one.
const DEFAULT_GRACE: u32 = 10;

#[async_trait]
impl Engine for Docker {
    async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> Result<ImageFacts> {
        self.pull_image(image, platform, progress).await
    }

    async fn tag(&self, image: &ImageId, repository: &str, tag: &str) -> Result<()> {
        path_segment("tag", &image.0)?;
        let (engine, image) = (self.clone(), image.clone());
        let options = TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
        to_its_end("tag", &image.0.clone(), async move {
            let sent = engine.send(WRITE_DEADLINE, engine.client.tag_image(&image.0, Some(options))).await;
            sent.map_err(|error| engine_error("tag", image.short(), Call::Write, &error, Look::Blind))
        })
        .await
    }

    async fn untag(&self, reference: &str) -> Result<()> {
        path_segment("untag", reference)?;
        let (engine, name) = (self.clone(), reference.to_owned());
        to_its_end("untag", reference, async move {
            let options = RemoveImageOptions { force: false, noprune: false, platforms: None };
            let call = engine.client.remove_image(&name, Some(options), None);
            match engine.send(WRITE_DEADLINE, call).await {
                Ok(_) => Ok(()),
                Err(error) if says_absent(&error) => Ok(()),
                // What was removed is listed in an answer whose every word we can do without.
                Err(WireError::Garbled(_)) if engine.raw_image("untag", &name).await?.is_none() => Ok(()),
                Err(error) => Err(engine_error("untag", name, Call::Write, &error, Look::Blind)),
            }
        })
        .await
    }

    async fn create(&self, creation: &Creation) -> Result<ContainerId> {
        path_segment("create", &creation.name)?;
        let (engine, creation) = (self.clone(), creation.clone());
        let name = creation.name.clone();
        to_its_end("create", &name, async move { engine.create_container(&creation).await }).await
    }

    async fn start(&self, id: &ContainerId) -> Result<()> {
        path_segment("start", &id.0)?;
        let (engine, id) = (self.clone(), id.clone());
        to_its_end("start", &id.0.clone(), async move {
            engine.files_for_start(&id).await?;
            let call = engine.client.start_container(&id.0, None::<StartContainerOptions>);
            match engine.send(WRITE_DEADLINE, call).await {
                Ok(()) => Ok(()),
                Err(error) => Err(engine.judged("start", &id, Call::Start, &error).await.0),
            }
        })
        .await
    }

    async fn stop(&self, id: &ContainerId, grace: Option<u32>) -> Result<()> {
        path_segment("stop", &id.0)?;
        let (engine, id) = (self.clone(), id.clone());
        to_its_end("stop", &id.0.clone(), async move {
            let own = match grace {
                Some(grace) => grace,
                None => engine.own_grace(&id).await?,
            };
            let deadline = Duration::from_secs(u64::from(own)) + STOP_MARGIN;
            let options = StopContainerOptions {
                t: grace.map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX)),
                ..StopContainerOptions::default()
            };
            match engine.send(deadline, engine.client.stop_container(&id.0, Some(options))).await {
                Ok(()) => Ok(()),
                Err(error) => Err(engine.judged("stop", &id, Call::Write, &error).await.0),
            }
        })
        .await
    }

    async fn create_exec(&self, id: &ContainerId, exec: &Exec) -> Result<ExecId> {
        let (engine, id, exec) = (self.clone(), id.clone(), exec.clone());
        to_its_end("make a command in", &id.0.clone(), async move { engine.make_exec(&id, &exec).await })
            .await
    }

    async fn start_exec(&self, exec: &ExecId, limit: Duration) -> Result<ExecEnd> {
        let (engine, exec) = (self.clone(), exec.clone());
        to_its_end("start command", &exec.0.clone(), async move { engine.follow_exec(&exec, limit).await })
            .await
    }

    async fn probe(&self, id: &ContainerId, check: &ProbeCheck, timeout: Duration) -> Result<ProbeAnswer> {
        self.try_container(id, check, timeout).await
    }

    async fn set_restart(&self, id: &ContainerId, policy: RestartPolicy) -> Result<()> {
        let body = ContainerUpdateBody {
            restart_policy: Some(resources::restart(policy)),
            ..ContainerUpdateBody::default()
        };
        self.update(id, "set the restart policy of", body).await
    }

    async fn set_resources(&self, id: &ContainerId, wanted: &Resources) -> Result<()> {
        let op = "set the limits of";
        let Some(seen) = self.raw_container(op, &id.0).await? else {
            return Err(EngineError::new(op, id.short(), Failure::NotFound, "it does not exist"));
        };
        let current = resources::observed(&seen.host_config);
        if current == *wanted {
            return Ok(());
        }
        let info: answers::Info = self.read(op, id.short(), "/info").await?;
        self.update(id, op, resources::update(wanted, &current, info.cpus)).await
    }

    async fn deliver(
        &self,
        id: &ContainerId,
        files: &BTreeMap<String, String>,
        signal: Option<&str>,
    ) -> Result<()> {
        let (engine, files) = (self.clone(), files.clone());
        let (id, signal) = (id.clone(), signal.map(str::to_owned));
        to_its_end("deliver", &id.0.clone(), async move {
            engine.deliver_files(&id, &files, signal.as_deref()).await
        })
        .await
    }

    async fn rename(&self, id: &ContainerId, name: &str) -> Result<()> {
        path_segment("rename", &id.0)?;
        path_segment("rename", name)?;
        let (engine, id, name) = (self.clone(), id.clone(), name.to_owned());
        to_its_end("rename", &id.0.clone(), async move {
            let call = engine.client.rename_container(&id.0, RenameContainerOptions { name: name.clone() });
            let Err(error) = engine.send(WRITE_DEADLINE, call).await else { return Ok(()) };
            match engine.judged("rename", &id, Call::Write, &error).await {
                // A rename to the name it has is an error to the engine.
                (_, Some(seen)) if seen.name.trim_start_matches('/') == name => Ok(()),
                (error, _) => Err(error),
            }
        })
        .await
    }

    async fn remove(&self, id: &ContainerId, force: bool) -> Result<()> {
        path_segment("remove", &id.0)?;
        let (engine, id) = (self.clone(), id.clone());
        to_its_end("remove", &id.0.clone(), async move {
            // Force kills what runs. So it is used only on what the engine itself calls dead, now.
            let force = force && engine.is_dead(&id).await?;
            engine.remove_container(&id, force).await
        })
        .await
    }

    async fn connect(
        &self,
        network_id: &str,
        id: &ContainerId,
        endpoint: &Endpoint,
        aliases: &BTreeSet<String>,
    ) -> Result<()> {
        path_segment("connect", network_id)?;
        let request = network::connect(id, network::endpoint(network_id, endpoint, aliases));
        let (engine, id, network_id) = (self.clone(), id.clone(), network_id.to_owned());
        to_its_end("connect", &id.0.clone(), async move {
            let call = engine.client.connect_network(&network_id, request);
            let Err(error) = engine.send(WRITE_DEADLINE, call).await else { return Ok(()) };
            match engine.judged("connect", &id, Call::Join, &error).await {
                (_, Some(seen)) if is_attached(&seen, &network_id) => Ok(()),
                (error, _) => Err(error),
            }
        })
        .await
    }

    async fn disconnect(&self, network_id: &str, id: &ContainerId) -> Result<()> {
        path_segment("disconnect", network_id)?;
        let (engine, id, network_id) = (self.clone(), id.clone(), network_id.to_owned());
        to_its_end("disconnect", &id.0.clone(), async move {
            let call = engine.client.disconnect_network(&network_id, network::disconnect(&id));
            let Err(error) = engine.send(WRITE_DEADLINE, call).await else { return Ok(()) };
            match engine.judged("disconnect", &id, Call::Join, &error).await {
                (_, Some(seen)) if !is_attached(&seen, &network_id) => Ok(()),
                (error, _) => Err(error),
            }
        })
        .await
    }

    async fn create_network(&self, spec: &NetworkSpec, owner: &str) -> Result<String> {
        if spec.external {
            let why = "it is external: it must be made by whoever owns it";
            return Err(EngineError::new("create network", &spec.name, Failure::Invalid, why));
        }
        let (engine, spec, owner) = (self.clone(), spec.clone(), owner.to_owned());
        let name = spec.name.clone();
        to_its_end("create network", &name, async move { engine.make_network(&spec, &owner).await }).await
    }

    async fn remove_network(&self, id: &str) -> Result<()> {
        path_segment("remove network", id)?;
        let (engine, id) = (self.clone(), id.to_owned());
        to_its_end("remove network", &id.clone(), async move {
            match engine.send(WRITE_DEADLINE, engine.client.remove_network(&id)).await {
                Ok(()) => Ok(()),
                Err(error) if says_absent(&error) => Ok(()),
                Err(error) => Err(engine_error("remove network", id, Call::Write, &error, Look::Blind)),
            }
        })
        .await
    }

    async fn create_volume(&self, spec: &VolumeSpec, owner: &str) -> Result<()> {
        let op = "create volume";
        if spec.external {
            let why = "it is external: it must be made by whoever owns it";
            return Err(EngineError::new(op, &spec.name, Failure::Invalid, why));
        }
        let (engine, spec, owner) = (self.clone(), spec.clone(), owner.to_owned());
        let name = spec.name.clone();
        to_its_end(op, &name, async move {
            // The engine would answer a request for a volume that exists with that volume, whoever made it.
            match engine.volume(&spec.name).await? {
                Some(found) if found.labels.get(label::OWNER) == Some(&owner) => return Ok(()),
                Some(_) => {
                    let why = "a volume of this name exists and is not ours; set `external = true` to use it";
                    return Err(EngineError::new(op, spec.name, Failure::Conflict, why));
                }
                None => {}
            }
            let call = engine.client.create_volume(network::create_volume(&spec, &owner));
            match engine.send(WRITE_DEADLINE, call).await {
                Ok(_) => Ok(()),
                Err(error) => Err(engine_error(op, spec.name, Call::Write, &error, Look::Blind)),
            }
        })
        .await
    }
}

impl Docker {
    async fn update(&self, id: &ContainerId, op: &'static str, body: ContainerUpdateBody) -> Result<()> {
        path_segment(op, &id.0)?;
        let (engine, id) = (self.clone(), id.clone());
        to_its_end(op, &id.0.clone(), async move {
            match engine.send(WRITE_DEADLINE, engine.client.update_container(&id.0, body)).await {
                Ok(()) => Ok(()),
                Err(error) => Err(engine.judged(op, &id, Call::Write, &error).await.0),
            }
        })
        .await
    }

    /// The grace period that the engine will use when none is given: the container's own.
    async fn own_grace(&self, id: &ContainerId) -> Result<u32> {
        let seen = self.raw_container("stop", &id.0).await?;
        let own = seen.and_then(|seen| seen.config.stop_timeout);
        Ok(own.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(DEFAULT_GRACE))
    }

    async fn is_dead(&self, id: &ContainerId) -> Result<bool> {
        let seen = self.raw_container("remove", &id.0).await?;
        Ok(seen.is_some_and(|seen| observed::status(&seen.state) == ContainerStatus::Dead))
    }

    pub(super) async fn remove_container(&self, id: &ContainerId, force: bool) -> Result<()> {
        let options = RemoveContainerOptions { v: false, force, link: false };
        let call = self.client.remove_container(&id.0, Some(options));
        let Err(error) = self.send(WRITE_DEADLINE, call).await else { return Ok(()) };
        if says_absent(&error) {
            return Ok(());
        }
        match self.judged("remove", id, Call::Write, &error).await {
            // "Removal in progress", and a moment later it is gone; unless the look failed, which shows nothing.
            (judged, None) if error.status() == Some(409) => match self.raw_container("remove", &id.0).await?
            {
                None => Ok(()),
                Some(_) => Err(judged),
            },
            (judged, _) => Err(judged),
        }
    }

    /// One at a time, after a look at what is there, and with a look afterwards for what another program made meanwhile.
    async fn make_network(&self, spec: &NetworkSpec, owner: &str) -> Result<String> {
        let op = "create network";
        let _one_at_a_time = self.networks.lock().await;
        let taken = || {
            let why = "a network of this name exists and is not ours; set `external = true` to use it, or remove it";
            EngineError::new(op, &spec.name, Failure::Conflict, why)
        };
        let found = self.networks_named(&spec.name).await?;
        if let Some(ours) =
            found.iter().find(|found| found.labels.get(label::OWNER).is_some_and(|o| o == owner))
        {
            return Ok(ours.id.clone());
        }
        if !found.is_empty() {
            return Err(taken());
        }
        let call = self.client.create_network(network::create(spec, owner));
        let id = match self.send(WRITE_DEADLINE, call).await {
            Ok(answer) => answer.id,
            Err(error) => return Err(engine_error(op, &spec.name, Call::Write, &error, Look::Blind)),
        };
        if self.networks_named(&spec.name).await?.iter().any(|found| found.id != id) {
            self.remove_network(&id).await?;
            return Err(taken());
        }
        Ok(id)
    }
}

/// The engine itself says that what should go is not there; a 404 of anything else (a proxy) shows nothing.
pub(super) fn says_absent(error: &WireError) -> bool {
    matches!(error, WireError::Refused { status: 404, message } if is_absence(message))
}
