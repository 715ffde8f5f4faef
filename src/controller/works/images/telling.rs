//! What is told of images to people and to the metrics.

use super::followers::{kind, shown};
use super::look::Standing;
use super::{Images, report, round};
use crate::controller::host::Host;
use crate::metrics::api::{ApiError, ApiErrorKind};
use crate::metrics::images::ImageRow;

impl Images {
    /// What there is to tell, by the records as they are now.
    pub(super) async fn rows(&self, host: &Host) -> Result<Vec<ImageRow>, ApiError> {
        let (groups, memory, unfit, unwritten) = {
            let inner = self.inner();
            let groups: Vec<_> = inner
                .groups
                .iter()
                .map(|(place, group)| {
                    (place.clone(), group.followers.clone(), group.timing.due(), group.looks)
                })
                .collect();
            (groups, inner.memory.clone(), inner.unfit.clone(), inner.unwritten.clone())
        };
        let now = host.clock.now();
        let answers = self.book.answers();
        let mut rows: Vec<ImageRow> = Vec::new();
        for (place, followers, due, count) in groups {
            let (seen, looks) = (memory.seen(&place), memory.looks(&place));
            for follower in followers {
                let unwritten = unwritten.get(&follower.asker).cloned();
                let standing = round::standing(&*host.records, &answers, &memory.followed, follower).await;
                let standing: Standing =
                    standing.map_err(|error| ApiError::new(ApiErrorKind::Unavailable, error.to_string()))?;
                rows.push(ImageRow {
                    next_ms: Some(due.since(now.mono)),
                    looks: count,
                    unwritten,
                    ..report::row(&standing, &seen, &looks, now.wall)
                });
            }
        }
        rows.extend(unfit.iter().map(|(asker, why)| ImageRow {
            service: shown(asker),
            kind: kind(asker).to_owned(),
            trouble: Some(why.clone()),
            ..ImageRow::default()
        }));
        rows.sort_by_key(ImageRow::key);
        Ok(rows)
    }

    pub(super) async fn count(&self, host: &Host) {
        if let Ok(rows) = self.rows(host).await {
            host.metrics.images_followed(&rows);
        }
    }
}
