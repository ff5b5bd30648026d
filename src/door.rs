//! The doors: how programs that are not Smache talk to it.
//!
//! A door turns bytes into a [`Command`](crate::command::Command), hands it to the
//! [`Router`](crate::router::Router) and turns the reply into bytes. It admits or refuses work, and
//! decides nothing else: what a command means is the same behind every door.

mod hold;
pub mod http;
mod patience;
pub mod resp;
