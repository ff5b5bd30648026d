//! The HTTP door: the Smache API, and what operators and probes ask.
//!
//! [`Door::serve`] takes connections (`listener`) and gives each a `front`, through which every
//! request passes: it gets an id, finds its route in the table of `route`, is asked for a token if
//! there are any (`bearer`), is admitted or refused, and counted. A read of a key that lives here is
//! answered by `read` on the spot, in one copy under the writer's lock. All else goes to work: `many`
//! (several keys, and other nodes' keys), `write`, `part`
//! (by a path), `batch`, `locate`, the services of the types
//! (`service`), keys as paths (`bare`), `commands` of the Redis protocol, `handoff`, and the `pages`, which are an axum router. Whatever
//! goes wrong becomes a `failure`, which looks the same everywhere.
//!
//! The JSON of a value is never parsed on its way out: it is spliced into the answer as it lies in
//! the table.
//!
//! What bounds a client: connections and requests in work ([`Config::connections_max`],
//! [`Config::requests_max`]), the head's length and time, the body's length and the pauses in it,
//! the idle time, and the time in which it does not take its answer (`stream`).
//!
//! Every data type has a service of its own (`/counters`, `/cache`, `/flags`, `/kv`, `/sets`,
//! `/hashes`, `/lists`), whose keys are a namespace of the one keyspace. The catch-all `/{key}` comes
//! behind all fixed routes.
//!
//! On the same port a client may speak HTTP/2 (`preface`, `h2`): the same requests, and the calls of
//! the [gRPC door](crate::door::grpc).

mod accept;
mod bare;
mod batch;
mod body;
mod commands;
mod condition;
mod draft;
mod envelope;
mod failure;
mod form;
mod front;
#[cfg(feature = "grpc")]
mod h2;
mod handoff;
mod id;
mod idempotency;
mod lines;
mod listener;
mod locate;
mod many;
mod openapi;
mod pages;
mod part;
mod path;
mod pipeline;
#[cfg(feature = "grpc")]
mod preface;
mod query;
mod read;
mod route;
mod scrape;
mod service;
mod socket;
mod stream;
mod ttl;
#[cfg(feature = "grpc")]
mod unsent;
mod watch;
mod write;

use std::sync::Arc;

use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::time::Instant;

pub use self::body::{Body, Incoming};
pub use self::commands::words_of;
pub use self::openapi::document;

// What the gRPC door has in common with this one, whose port it shares.
#[cfg(feature = "grpc")]
pub(crate) use self::ttl::TTL_MS_MAX;
#[cfg(feature = "grpc")]
pub(in crate::door) use self::{
    body::{Pace, collect, next_piece},
    failure::Failure,
    front::{Exchange, Shared},
    idempotency::IdempotencyKey,
    stream::State as Connection,
};

use self::front::Front;
#[cfg(not(feature = "grpc"))]
use self::front::Shared;
use self::stream::State;
use super::hold::{self, Budget};
use super::tls::{Acceptor, Speaks, Tls};
use crate::access::Access;
use crate::clock::Clock;
use crate::command::{Command, OperationId};
use crate::config::Config;
#[cfg(feature = "grpc")]
use crate::door::grpc::Grpc;
use crate::node::status::{Readiness, Reporter};
use crate::router::{self, Answer, Router};

/// What the door is made with; cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    /// Answers the commands.
    pub router: Router,
    /// Knows the node's figures.
    pub reporter: Reporter,
    /// Whether the node serves.
    pub readiness: Readiness,
    /// The bounds.
    pub config: Arc<Config>,
    /// Who may do what.
    pub access: Access,
    /// The certificates, if the door takes TLS and nothing else.
    pub tls: Option<Tls>,
}

impl Context {
    /// Carries a command out within the configured time.
    async fn execute(&self, command: &Command) -> Result<Answer, router::Error> {
        let deadline = Instant::now() + self.config.request_timeout;
        self.router.execute(command, deadline).await
    }

    /// Carries out a write that its client may have named, and so may send again.
    async fn execute_once(
        &self,
        command: &Command,
        operation: Option<OperationId>,
    ) -> Result<Answer, router::Error> {
        let deadline = Instant::now() + self.config.request_timeout;
        self.router.execute_once(command, operation, deadline).await
    }
}

/// The door; cheap to clone. Clones share their counters.
#[derive(Clone, Debug)]
pub struct Door {
    shared: Arc<Shared>,
    pages: axum::Router,
    acceptor: Acceptor,
    #[cfg(feature = "grpc")]
    grpc: Grpc,
}

impl Door {
    /// A closed door.
    #[must_use]
    pub fn new(context: Context) -> Door {
        Door::with_clock(context, Clock::system())
    }

    /// A closed door at which a value's remaining time to live is told by `clock`: the one that the
    /// node's writers go by.
    #[must_use]
    pub fn with_clock(context: Context, clock: Clock) -> Door {
        let time = context.config.header_timeout;
        let acceptor = Acceptor::new(context.tls.clone(), Speaks::Http, time);
        let shared = Arc::new(Shared::new(context, clock));
        Door {
            acceptor,
            pages: pages::router(Arc::clone(&shared)),
            #[cfg(feature = "grpc")]
            grpc: Grpc::new(Arc::clone(&shared)),
            shared,
        }
    }

    /// Takes connections until `shutdown` completes, lets the requests in work finish, and returns
    /// when all connections are closed. How long that may take is the caller's decision: dropping
    /// this future closes what is still open.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        listener::serve(&self, listener, shutdown).await;
    }

    /// Answers one request without a connection, for programs that embed the node behind a server
    /// of their own.
    pub async fn respond<B: Incoming>(&self, request: Request<B>) -> Response<Body> {
        let state = Arc::new(State::default());
        let front = Front::new(&self.shared, self.pages.clone(), Arc::clone(&state));
        let answer = front.answer(request).await;
        // The other server's connection becomes a socket by itself.
        if let Some(socket) = state.take_next() {
            tokio::spawn(socket);
        }
        match answer {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Tells the figures of the Redis protocol's door too. Only the first one counts.
    pub(crate) fn tell_of(&self, resp: super::resp::Door) {
        // A second one would be a mistake without consequence.
        let _ = self.shared.resp.set(resp);
    }

    /// The memory that it shares with the other doors.
    pub(crate) fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.shared.budget)
    }

    /// What `GET /metrics` answers.
    #[must_use]
    pub fn metrics(&self) -> String {
        scrape::text(&self.shared)
    }
}
