//! Smache: a self-sharding, actor-based JSON cache.

pub mod clock;
pub mod cluster;
pub mod command;
pub mod config;
pub mod door;
pub mod embed;
pub mod key;
pub mod metrics;
pub mod node;
pub mod router;
pub mod table;
pub mod version;
pub mod writer;

pub use embed::Smache;
