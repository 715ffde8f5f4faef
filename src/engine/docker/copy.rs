//! Containers that are made for a moment: to copy out of, or to run a command once.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::{RemoveContainerOptions, StartContainerOptions, WaitContainerOptions};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::fault::{Call, Look, engine_error};
use super::wire::WireError;
use super::write::says_absent;
use super::{Docker, path_segment, to_its_end};
use crate::engine::convert::answers;
use crate::engine::copy::{Copy, Once};
use crate::engine::{
    ContainerFilter, EngineError, ExecEnd, LogOptions, Observe, READ_DEADLINE, Result, WRITE_DEADLINE,
};
use crate::state::observed::{ContainerId, ImageId, label};
use crate::state::plan::Failure;

/// An archive that stops coming is one that ended badly.
const IDLE_DEADLINE: Duration = Duration::from_secs(120);
/// Lines of a command's output that are kept.
const LINES: usize = 40;

#[async_trait]
impl Copy for Docker {
    async fn hold(&self, image: &ImageId, whose: &str) -> Result<ContainerId> {
        path_segment("copy out of", &image.0)?;
        // It is never started; an image without a command is refused all the same.
        let body = json!({
            "Image": image.0, "Entrypoint": ["/evenkeel-copies-files"], "Cmd": [], "NetworkDisabled": true,
            "Labels": self.copy_labels(whose), "HostConfig": { "NetworkMode": "none" },
        });
        self.make_for_a_moment(body, whose).await
    }

    async fn archive(&self, id: &ContainerId, path: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
        let op = "copy out of";
        let short = id.short().to_owned();
        let query = utf8_percent_encode(path, NON_ALPHANUMERIC);
        let request = format!("/containers/{}/archive?path={query}", path_segment(op, &id.0)?);
        let shown = path.to_owned();
        let fail = move |error: WireError| engine_error(op, &*short, Call::Read, &error, Look::Blind);
        let body = match self.wire.open(&request, READ_DEADLINE).await {
            Ok(body) => body,
            Err(error) if says_absent(&error) || matches!(&error, WireError::Refused { status: 404, .. }) => {
                let why = format!("there is no `{shown}` in the image");
                return Err(EngineError::new(op, id.short(), Failure::NotFound, why));
            }
            Err(error) => return Err(fail(error)),
        };
        let stream = futures_util::stream::unfold(Some(body), |body| async {
            let mut body = body?;
            match tokio::time::timeout(IDLE_DEADLINE, body.next()).await {
                Ok(Some(item)) => Some((item, Some(body))),
                Ok(None) => None,
                Err(_) => Some((Err(WireError::Late(IDLE_DEADLINE)), None)),
            }
        });
        Ok(stream.map(move |item| item.map_err(&fail)).boxed())
    }

    async fn release(&self, id: &ContainerId) -> Result<()> {
        let op = "remove";
        path_segment(op, &id.0)?;
        let (engine, id) = (self.clone(), id.clone());
        to_its_end(op, &id.0.clone(), async move {
            // By force, so it is looked at once more whose it is.
            let Some(seen) = engine.raw_container(op, &id.0).await? else { return Ok(()) };
            let labels = &seen.config.labels;
            if labels.get(label::OWNER).map(String::as_str) != Some(&*engine.owner)
                || !labels.contains_key(label::COPY)
            {
                let why = "it was not made to copy files out of, so it is left alone";
                return Err(EngineError::new(op, id.short(), Failure::Conflict, why));
            }
            // With the volumes that its image made it have: nothing was ever in them but what the image has.
            let options = RemoveContainerOptions { v: true, force: true, link: false };
            match engine.send(WRITE_DEADLINE, engine.client.remove_container(&id.0, Some(options))).await {
                Ok(()) => Ok(()),
                Err(error) if says_absent(&error) => Ok(()),
                Err(error) => Err(engine.judged(op, &id, Call::Write, &error).await.0),
            }
        })
        .await
    }

    async fn leftovers(&self) -> Result<Vec<ContainerId>> {
        let labels = BTreeMap::from([(label::OWNER.to_owned(), self.owner.to_string())]);
        let rows = self.list_containers(&ContainerFilter { labels, ..ContainerFilter::default() }).await?;
        Ok(rows.into_iter().filter(|row| row.labels.contains_key(label::COPY)).map(|row| row.id).collect())
    }

    async fn once(&self, once: &Once, whose: &str, limit: Duration) -> Result<ExecEnd> {
        let variable = |(name, value): (&String, &Option<crate::desired::secret::Sensitive>)| match value {
            Some(value) => format!("{name}={}", value.expose()),
            None => name.clone(),
        };
        let env: Vec<String> = once.environment.iter().map(variable).collect();
        let body = json!({
            "Image": once.image.0, "Entrypoint": once.command, "Cmd": [], "Env": env,
            "User": once.user.clone().unwrap_or_default(),
            "WorkingDir": once.working_dir.clone().unwrap_or_default(),
            "Labels": self.copy_labels(whose),
            "HostConfig": { "Mounts": [{ "Type": "bind", "Source": once.sees, "Target": once.sees, "ReadOnly": true }] },
        });
        let id = self.make_for_a_moment(body, whose).await?;
        let ended = self.run_to_its_end(&id, limit).await;
        let released = self.release(&id).await;
        let ended = ended?;
        released.map(|()| ended)
    }
}

impl Docker {
    fn copy_labels(&self, whose: &str) -> BTreeMap<&'static str, String> {
        BTreeMap::from([(label::OWNER, self.owner.to_string()), (label::COPY, whose.to_owned())])
    }

    async fn make_for_a_moment(&self, body: serde_json::Value, whose: &str) -> Result<ContainerId> {
        let (engine, whose) = (self.clone(), whose.to_owned());
        to_its_end("create", &whose.clone(), async move {
            let made: std::result::Result<answers::Created, _> =
                engine.wire.post("/containers/create", body.to_string(), WRITE_DEADLINE).await;
            made.map(|made| ContainerId(made.id))
                .map_err(|error| engine_error("create", whose, Call::Write, &error, Look::Blind))
        })
        .await
    }

    async fn run_to_its_end(&self, id: &ContainerId, limit: Duration) -> Result<ExecEnd> {
        let start = self.client.start_container(&id.0, None::<StartContainerOptions>);
        if let Err(error) = self.send(WRITE_DEADLINE, start).await {
            return Err(self.judged("start", id, Call::Start, &error).await.0);
        }
        let mut ends = self.client.wait_container(&id.0, None::<WaitContainerOptions>).boxed();
        // Its code is asked for afterwards: an end other than 0 is an error in this stream.
        let in_time = tokio::time::timeout(limit, ends.next()).await.is_ok();
        let seen = self.raw_container("look at", &id.0).await?;
        let down = seen.as_ref().filter(|seen| !seen.state.running);
        let code = down.filter(|_| in_time).map(|seen| seen.state.exit_code);
        let options = LogOptions { tail: Some(LINES), ..LogOptions::default() };
        let mut output = Vec::new();
        let mut chunks = self.logs(id, &options).await?;
        while let Some(Ok(chunk)) = chunks.next().await {
            output.extend_from_slice(&chunk.bytes);
        }
        Ok(ExecEnd { code, output })
    }
}
