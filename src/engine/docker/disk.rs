//! What is on the disk.

use async_trait::async_trait;
use bollard::query_parameters::RemoveVolumeOptions;

use super::fault::{Call, Look, engine_error};
use super::write::says_absent;
use super::{Docker, path_segment, to_its_end};
use crate::engine::convert::{answers, observed};
use crate::engine::disk::Disk;
use crate::engine::{Result, WRITE_DEADLINE};
use crate::state::prune::Stock;

#[async_trait]
impl Disk for Docker {
    async fn stock(&self) -> Result<Stock> {
        // Images first: what a container is made of from here on is in the list of containers.
        let images: Vec<answers::ListedImage> = self.read("list", "images", "/images/json").await?;
        let containers: Vec<answers::ListedContainer> =
            self.read("list", "containers", "/containers/json?all=1").await?;
        Ok(Stock {
            images: images.into_iter().map(observed::stored_image).collect(),
            containers: containers.into_iter().map(observed::stored_container).collect(),
        })
    }

    async fn remove_volume(&self, name: &str) -> Result<()> {
        let op = "remove volume";
        path_segment(op, name)?;
        let (engine, name) = (self.clone(), name.to_owned());
        to_its_end(op, &name.clone(), async move {
            let call = engine.client.remove_volume(&name, Some(RemoveVolumeOptions { force: false }));
            match engine.send(WRITE_DEADLINE, call).await {
                Ok(()) => Ok(()),
                Err(error) if says_absent(&error) => Ok(()),
                Err(error) => Err(engine_error(op, name, Call::Write, &error, Look::Blind)),
            }
        })
        .await
    }
}
