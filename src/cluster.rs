//! The cluster: membership, ownership, and what travels between nodes.

pub mod codec;
pub mod machine;
pub mod membership;
pub mod ownership;
pub mod peer;
pub mod transport;
