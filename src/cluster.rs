//! The cluster: membership, ownership, and what travels between nodes.

pub mod peer;
