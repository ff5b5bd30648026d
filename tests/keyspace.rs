//! What spans all keys, on one node and on several: scanning, counting, drawing, deleting.
//!
//! What is random is drawn from a seed that is printed; `SEED=7` draws it again.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "support/in_process.rs"]
mod in_process;

#[path = "keyspace/bed.rs"]
mod bed;
#[path = "keyspace/flush.rs"]
mod flush;
#[path = "keyspace/moving.rs"]
mod moving;
#[path = "keyspace/scan.rs"]
mod scan;
