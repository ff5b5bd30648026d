//! Real processes: nodes that are started in any order, stopped, killed and started again.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]
#![allow(clippy::disallowed_methods, reason = "processes run on real time")]

#[path = "support/client.rs"]
mod client;
#[path = "process/data.rs"]
mod data;
#[path = "process/joining.rs"]
mod joining;
#[path = "process/liveness.rs"]
mod liveness;
#[path = "process/memory.rs"]
mod memory;
#[path = "process/moving.rs"]
mod moving;
#[path = "process/ports.rs"]
mod ports;
#[path = "support/process.rs"]
mod process;
#[path = "process/restart.rs"]
mod restart;
#[path = "process/stopping.rs"]
mod stopping;
