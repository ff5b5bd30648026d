//! The HTTP door over real connections: what it answers, what it refuses, and what it bears.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "http/access.rs"]
mod access;
#[path = "http/api.rs"]
mod api;
#[path = "http/bad_input.rs"]
mod bad_input;
#[path = "http/bare.rs"]
mod bare;
#[path = "http/bulk.rs"]
mod bulk;
#[path = "support/client.rs"]
mod client;
#[path = "http/collections.rs"]
mod collections;
#[path = "http/commands.rs"]
mod commands;
#[path = "http/conditions.rs"]
mod conditions;
#[path = "http/counters.rs"]
mod counters;
#[path = "http/described.rs"]
mod described;
#[path = "support/door.rs"]
mod door;
#[path = "http/handoff.rs"]
mod handoff;
#[path = "http/hashes.rs"]
mod hashes;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/lists.rs"]
mod lists;
#[path = "http/memory.rs"]
mod memory;
#[path = "http/parts.rs"]
mod parts;
#[path = "http/services.rs"]
mod services;
#[path = "http/sets.rs"]
mod sets;
#[path = "http/tls.rs"]
mod tls;
