//! Those who listen: to changes of keys and to channels, through every node and several doors.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "support/client.rs"]
mod client;
#[path = "live/events.rs"]
mod events;
#[path = "live/hub.rs"]
mod hub;
#[path = "support/in_process.rs"]
mod in_process;
#[path = "live/limits.rs"]
mod limits;
#[path = "live/nodes.rs"]
mod nodes;
#[path = "live/phoenix.rs"]
mod phoenix;
#[path = "live/sockets.rs"]
mod sockets;
#[path = "live/streams.rs"]
mod streams;
