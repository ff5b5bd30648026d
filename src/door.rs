//! The doors: how programs that are not Smache talk to it.
//!
//! A door turns bytes into a [`Command`](crate::command::Command), hands it to the
//! [`Router`](crate::router::Router) and turns the reply into bytes. It admits or refuses work, and
//! decides nothing else: what a command means is the same behind every door. Who may do what is the
//! same, too: all ask one [`Access`](crate::access::Access), and take connections through [`tls`].

mod bearer;
#[cfg(feature = "grpc")]
pub mod grpc;
mod hold;
pub mod http;
mod patience;
pub mod resp;
pub mod tls;

use std::sync::Arc;

use crate::clock::Clock;

/// The doors of a node, closed. They share their memory, and the one of HTTP tells the figures of
/// all.
#[must_use]
pub fn doors(context: http::Context, clock: Clock) -> (http::Door, resp::Door) {
    let http = http::Door::with_clock(context.clone(), clock.clone());
    let resp = beside(context, clock, http.budget());
    http.tell_of(resp.clone());
    (http, resp)
}

/// The Redis protocol's door, which shares this memory with one of HTTP.
fn beside(context: http::Context, clock: Clock, budget: Arc<hold::Budget>) -> resp::Door {
    resp::Door::new(resp::Context {
        router: context.router,
        reporter: context.reporter,
        readiness: context.readiness,
        config: context.config,
        access: context.access,
        tls: context.tls,
        clock,
        budget,
    })
}
