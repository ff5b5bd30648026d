//! The cluster: membership, ownership, and what travels between nodes.

pub mod actor;
pub mod codec;
pub mod discovery;
pub mod handoff;
mod link;
pub mod machine;
pub mod membership;
pub mod ownership;
pub mod peer;
pub mod rendezvous;
pub mod transport;
