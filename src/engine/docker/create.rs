//! Creating a container: the one call that names what it makes, and so the one that can find its name taken.

use bollard::query_parameters::CreateContainerOptions;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Docker;
use super::fault::{Call, Look, engine_error};
use super::is_attached;
use super::wire::WireError;
use crate::engine::convert::{answers, create, labels, network, observed};
use crate::engine::{EngineError, Result, WRITE_DEADLINE};
use crate::state::observed::{ContainerId, ContainerStatus};
use crate::state::plan::{Creation, Failure};

impl Docker {
    pub(super) async fn create_container(&self, creation: &Creation) -> Result<ContainerId> {
        let name = &creation.name;
        let fail = |kind, message: String| EngineError::new("create", name, kind, message);
        let entrypoint = if create::needs_entrypoint(&creation.spec) {
            let image = self.raw_image("create", &creation.image.id.0).await?;
            let image = image.ok_or_else(|| fail(Failure::NotFound, "its image is gone".to_owned()))?;
            Some(image.config.entrypoint)
        } else {
            None
        };
        self.files_for_creation(creation).await?;
        let judged = |error: WireError| engine_error("create", name, Call::Write, &error, Look::Blind);
        let api = self.wire.api().await.map_err(judged)?;
        let request =
            create::request(creation, api, entrypoint).map_err(|text| fail(Failure::Conflict, text))?;
        let id = match self.post_container(creation, &request).await {
            Ok(id) => id,
            Err(WireError::Refused { status: 409, message }) => {
                return self.taken_name(creation, &request.then_connect, message).await;
            }
            Err(error) => return Err(judged(error)),
        };
        self.join(name, &id, &request.then_connect).await?;
        Ok(id)
    }

    async fn post_container(
        &self,
        creation: &Creation,
        request: &create::CreateRequest,
    ) -> std::result::Result<ContainerId, WireError> {
        let name = creation.name.clone();
        let platform = creation.spec.platform.clone().unwrap_or_default();
        if request.mac_address.is_none() {
            let options = CreateContainerOptions { name: Some(name), platform };
            let call = self.client.create_container(Some(options), request.body.clone());
            return Ok(ContainerId(self.send(WRITE_DEADLINE, call).await?.id));
        }
        let path = format!(
            "/containers/create?name={}&platform={}",
            utf8_percent_encode(&name, NON_ALPHANUMERIC),
            utf8_percent_encode(&platform, NON_ALPHANUMERIC)
        );
        let body =
            serde_json::to_string(request).map_err(|error| WireError::Unsendable(error.to_string()))?;
        let created: answers::Created = self.wire.post(&path, body, WRITE_DEADLINE).await?;
        Ok(ContainerId(created.id))
    }

    /// Joins the further networks of a container that nobody has started. If that fails, the container goes again: one
    /// that lacks a network must not be taken for a finished one later.
    async fn join(&self, name: &str, id: &ContainerId, networks: &[create::Joined]) -> Result<()> {
        for joined in networks {
            let request = network::connect(id, joined.settings.clone());
            let call = self.client.connect_network(&joined.network_id, request);
            if let Err(error) = self.send(WRITE_DEADLINE, call).await {
                let what = format!("{name} (joining network {})", joined.network);
                let failed = engine_error("create", what, Call::Join, &error, Look::Blind);
                return Err(match self.remove_container(id, false).await {
                    Ok(()) => failed,
                    Err(left) => {
                        let message =
                            format!("{}; and what was made could not be removed: {left}", failed.message);
                        EngineError { message, ..failed }
                    }
                });
            }
        }
        Ok(())
    }

    /// The name is taken: by the very container that was asked for (the answer to an earlier call was lost), or not.
    async fn taken_name(
        &self,
        creation: &Creation,
        networks: &[create::Joined],
        refusal: String,
    ) -> Result<ContainerId> {
        let fail = |kind, message: String| Err(EngineError::new("create", &creation.name, kind, message));
        let Some(holder) = self.raw_container("create", &creation.name).await? else {
            // Freed while we looked: the next try finds it free.
            return fail(Failure::InProgress, refusal);
        };
        let status = observed::status(&holder.state);
        if status == ContainerStatus::Removing {
            return fail(
                Failure::InProgress,
                format!("the container that holds this name is being removed: {refusal}"),
            );
        }
        if !is_the_same(&holder, creation, &self.owner) || status == ContainerStatus::Dead {
            let short: String = holder.id.chars().take(12).collect();
            return fail(
                Failure::Conflict,
                format!("the name is held by container {short}, which is not this one"),
            );
        }
        let id = ContainerId(holder.id.clone());
        let missing: Vec<create::Joined> =
            networks.iter().filter(|joined| !is_attached(&holder, &joined.network_id)).cloned().collect();
        if status == ContainerStatus::Created {
            self.join(&creation.name, &id, &missing).await?;
        }
        Ok(id)
    }
}

fn is_the_same(holder: &answers::Container, creation: &Creation, owner: &str) -> bool {
    let wanted = &creation.labels;
    labels::decode(&holder.config.labels, owner).is_ok_and(|found| {
        found.owner == wanted.owner
            && found.service == wanted.service
            && found.slot == wanted.slot
            && found.revision == wanted.revision
            && found.hook == wanted.hook
            && found.job == wanted.job
    })
}
