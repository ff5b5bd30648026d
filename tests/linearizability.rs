//! What clients see of a key, through whichever doors and nodes, is as if its operations had been
//! carried out one after another, each at a moment between its request and its answer.
//!
//! Clients do random operations on few keys of a stable cluster of three nodes, and the history of
//! each key is searched for such an order. `LINEAR_SEED=7` repeats the operations that a failing run
//! has printed the seed of (their interleaving is chance's), `LINEAR_SECONDS=600` goes on for longer.

#![cfg(feature = "grpc")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "linearizability/checker.rs"]
mod checker;
#[path = "support/client.rs"]
mod client;
#[path = "linearizability/clients.rs"]
mod clients;
#[allow(dead_code, reason = "each of the tests uses a part of it")]
#[path = "conformance/cluster.rs"]
mod cluster;
#[path = "support/doors.rs"]
mod doors;
#[path = "support/draw.rs"]
mod draw;
#[path = "linearizability/histories.rs"]
mod histories;
#[path = "support/in_process.rs"]
mod in_process;
#[path = "support/model.rs"]
mod model;
#[path = "support/resp.rs"]
mod resp;
#[path = "support/vocabulary.rs"]
mod vocabulary;
