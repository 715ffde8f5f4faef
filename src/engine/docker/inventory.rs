//! Everything that there is.

use async_trait::async_trait;
use serde_json::json;

use super::Docker;
use crate::engine::convert::{answers, observed};
use crate::engine::{CountUp, Inventory, Result};
use crate::state::observed::ImageId;

#[async_trait]
impl CountUp for Docker {
    async fn inventory(&self) -> Result<Inventory> {
        let images: Vec<answers::ListedImage> = self.read("list", "images", "/images/json").await?;
        let networks = self.networks("all", &json!({})).await?;
        let networks = self.with_containers(networks.into_iter()).await?;
        let volumes: answers::ListedVolumes = self.read("list", "volumes", "/volumes").await?;
        Ok(Inventory {
            images: images.into_iter().map(|image| ImageId(image.id)).collect(),
            networks,
            volumes: volumes.volumes.into_iter().map(observed::volume).collect(),
        })
    }
}
