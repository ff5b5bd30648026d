//! Real processes: nodes that are started in any order, stopped, killed and started again.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]
#![allow(clippy::disallowed_methods, reason = "processes run on real time")]

#[path = "process/access.rs"]
mod access;
#[path = "process/address.rs"]
mod address;
#[path = "support/caller.rs"]
mod caller;
#[path = "support/client.rs"]
mod client;
#[path = "process/cluster_load.rs"]
mod cluster_load;
#[path = "support/crowd.rs"]
mod crowd;
#[path = "process/data.rs"]
mod data;
#[path = "support/expected.rs"]
mod expected;
#[path = "process/joining.rs"]
mod joining;
#[path = "process/liveness.rs"]
mod liveness;
#[path = "process/memory.rs"]
mod memory;
#[path = "process/moving.rs"]
mod moving;
#[path = "support/network.rs"]
mod network;
#[path = "process/overload.rs"]
mod overload;
#[path = "process/partition.rs"]
mod partition;
#[path = "process/pausing.rs"]
mod pausing;
#[path = "process/ports.rs"]
mod ports;
#[path = "support/process.rs"]
mod process;
#[path = "process/restart.rs"]
mod restart;
#[path = "process/security.rs"]
mod security;
#[path = "process/stopping.rs"]
mod stopping;
#[path = "support/workload.rs"]
mod workload;
#[path = "support/writer.rs"]
mod writer;
