//! Faults that are planted in the part of a node that the simulation supplies, to show that the
//! checker sees them.

/// What one planted fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Copies do not take deletes.
    SkipTombstones,
    /// Copies do not take that everything was deleted.
    SkipFlushes,
    /// The owner drops its entries as soon as it offers a copy to the node that will own them.
    DropEarly,
    /// Writes are acknowledged before their backups have them.
    AcknowledgeEarly,
    /// A node answers for a partition as soon as its copy of it is in sync.
    AcceptBeforeGrant,
    /// Operations lose their ids.
    ForgetOperations,
}
