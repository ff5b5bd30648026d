//! Smache: a self-sharding, actor-based JSON cache.

pub mod clock;
pub mod command;
pub mod config;
pub mod key;
pub mod table;
pub mod version;
