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

/// What a pull has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Entries that were new here.
    pub entries: usize,
    /// Partitions that are here as a whole.
    pub complete: Vec<PartitionId>,
    /// Partitions that this node lost, and maybe got back, while their entries came: some may have
    /// been turned away.
    pub broken: Vec<PartitionId>,
}

/// Pulls all entries of `partitions` that `from` holds.
///
/// # Errors
/// When `from` does not answer any more.
pub async fn pull(
    router: &Router,
    peers: &Peers,
    from: NodeId,
    partitions: &[PartitionId],
) -> Result<Pulled, Error> {
    let turn = |partition: PartitionId| router.writer(partition).turn(partition);
    let turns: Vec<u32> = partitions
        .iter()
        .map(|partition| turn(*partition))
        .collect();
    let set: PartitionSet = partitions.iter().copied().collect();
    let mut at = Some((0, 0));
    let mut pulled = Pulled::default();
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
            let writer = router.writer(moved.partition);
            pulled.entries += writer.absorb(std::slice::from_ref(moved));
        }
        at = next;
        // Others get a turn between two stretches.
        tokio::task::yield_now().await;
    }
    for (&partition, &before) in partitions.iter().zip(&turns) {
        if turn(partition) == before {
            pulled.complete.push(partition);
        } else {
            pulled.broken.push(partition);
        }
    }
    Ok(pulled)
}
