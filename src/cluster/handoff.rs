//! Handoff: the entries of partitions come from the node that held them before.
//!
//! The new owner pulls, a stretch at a time, so it sets the pace, knows how far it is, and can go
//! on after a broken session. Until all has come, single keys are fetched as they are asked for.

use std::time::Duration;

use tokio::time::Instant;

use super::codec::{PartitionSet, Pull};
use super::peer::{Error, Peers};
use crate::key::PartitionId;
use crate::router::Router;
use crate::version::NodeId;

/// About so many bytes of entries come at a time.
const CHUNK_BYTES: u32 = 128 * 1024;
/// Longest wait for one stretch.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);

/// Pulls all entries of `partitions` that `from` holds; returns how many were new here.
///
/// # Errors
/// When `from` does not answer any more.
pub async fn pull(
    router: &Router,
    peers: &Peers,
    from: NodeId,
    partitions: &[PartitionId],
) -> Result<usize, Error> {
    let set: PartitionSet = partitions.iter().copied().collect();
    let mut at = Some((0, 0));
    let mut taken = 0;
    while let Some((writer, cursor)) = at {
        let pull = Pull {
            partitions: set.clone(),
            writer,
            cursor,
            bytes_max: CHUNK_BYTES,
        };
        let deadline = Instant::now() + CHUNK_TIMEOUT;
        let (entries, next) = peers.pull(from, pull, deadline).await?;
        for moved in &entries {
            taken += router
                .writer(moved.partition)
                .absorb(std::slice::from_ref(moved));
        }
        at = next;
        // Others get a turn between two stretches.
        tokio::task::yield_now().await;
    }
    Ok(taken)
}
