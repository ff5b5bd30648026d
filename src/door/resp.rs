//! The Redis protocol door, in RESP2 and RESP3: what Redis's clients, tools and habits find here.
//!
//! [`Door::serve`] takes connections (`listener`). Each is a task (`connection`), which reads requests
//! (`request`, `inline`), finds their commands in the one `table`, and calls their functions. These
//! are in files by group: `session`, `client`, `server`, `info`, `config` and `command` are about
//! connections and the node; the others are about keys: they make [`Command`]s of arguments, and
//! replies (`reply`) of what comes of them. `call` is what they have in common, `queue` keeps the
//! replies of a pipeline in order while several of its commands are under way, and whatever goes wrong
//! is worded in `failure`.
//!
//! A read of a key that lives here is answered from the table, in one copy and without an allocation;
//! a write here takes effect before the next request is looked at.
//!
//! [`Command`]: crate::command::Command

mod answer;
mod call;
mod carry;
mod client;
mod clients;
mod command;
mod config;
mod connection;
mod expire;
mod failure;
mod hashes;
mod help;
mod info;
mod inline;
mod json;
mod keys;
mod lifetime;
mod listener;
mod lists;
mod number;
mod object;
mod pause;
mod pretty;
mod pubsub;
mod queue;
mod read;
mod reply;
pub mod request;
mod run;
mod scan;
mod scrape;
mod server;
mod session;
mod sets;
mod strings;
mod table;
mod transaction;
mod typed;

pub(in crate::door) use self::read::{Reader, Token};
pub(crate) use self::run::Ran;
pub use self::run::words;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::net::TcpListener;

use self::clients::Clients;
use self::config::Settings;
use self::connection::Dropped;
use self::info::Begin;
use self::pause::Pause;
use self::request::Limits;
use self::table::TABLE;
use super::hold::Budget;
use super::tls::{Acceptor, Speaks, Tls};
use crate::accept::Seldom;
use crate::access::Access;
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Sheet;
use crate::node::status::{Readiness, Reporter};
use crate::router::Router;

/// The most arguments of a request.
const ARGUMENTS_MAX: usize = 1 << 20;
/// A request may be so many times as long as its longest argument.
const REQUEST_PARTS: usize = 4;

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
    /// The one that the node's writers go by.
    pub clock: Clock,
    /// Who may do what.
    pub access: Access,
    /// The certificates, if clients must speak TLS.
    pub tls: Option<Tls>,
    /// The memory that all doors share.
    pub(crate) budget: Arc<Budget>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    context: Context,
    limits: Limits,
    acceptor: Acceptor,
    address: OnceLock<SocketAddr>,
    /// Changes at each start.
    run_id: String,
    clients: Arc<Clients>,
    pause: Pause,
    settings: Settings,
    /// What `CONFIG SET` may change.
    connections_max: AtomicUsize,
    idle_ms: AtomicU64,
    /// Connections turned away because there were too many.
    turned_away: AtomicU64,
    /// Commands that wait for another node, or for copies.
    in_work: AtomicUsize,
    /// Connections that wait for the end of a pause, or in `WAIT`.
    blocked: AtomicUsize,
    /// Those refused because there were too many.
    refused: AtomicU64,
    /// How often each command of the table was carried out.
    calls: Box<[AtomicU64]>,
    /// Error replies.
    errors: AtomicU64,
    /// What was no request.
    misunderstood: AtomicU64,
    dropped: Dropped,
    http_told: Mutex<Seldom>,
    overrun_told: Mutex<Seldom>,
    begin: Mutex<Begin>,
}

impl Shared {
    fn new(context: Context) -> Shared {
        let config = &context.config;
        let bulk_bytes_max = config.body_bytes_max;
        let limits = Limits {
            arguments_max: ARGUMENTS_MAX,
            bulk_bytes_max,
            request_bytes_max: bulk_bytes_max.saturating_mul(REQUEST_PARTS),
            stranger: false,
        };
        let idle_ms = config.resp_idle_timeout.as_millis();
        let acceptor = Acceptor::new(context.tls.clone(), Speaks::Redis, config.header_timeout);
        Shared {
            limits,
            acceptor,
            address: OnceLock::new(),
            run_id: format!("{:040x}", rand::random::<u128>()),
            clients: Arc::default(),
            pause: Pause::default(),
            settings: Settings::default(),
            connections_max: AtomicUsize::new(config.connections_max),
            idle_ms: AtomicU64::new(u64::try_from(idle_ms).unwrap_or(u64::MAX)),
            turned_away: AtomicU64::new(0),
            in_work: AtomicUsize::new(0),
            blocked: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            calls: TABLE.entries().iter().map(|_| AtomicU64::new(0)).collect(),
            errors: AtomicU64::new(0),
            misunderstood: AtomicU64::new(0),
            dropped: Dropped::default(),
            http_told: Mutex::default(),
            overrun_told: Mutex::default(),
            begin: Mutex::default(),
            context,
        }
    }

    /// Where the door listens; what it was told to, before it does.
    fn bind(&self) -> IpAddr {
        let config = &self.context.config;
        let told = config.resp_bind.unwrap_or(config.bind);
        self.address.get().map_or(told, SocketAddr::ip)
    }

    fn port(&self) -> u16 {
        self.address.get().map_or(0, SocketAddr::port)
    }

    /// A browser, made to by somebody, or a program at the wrong port.
    fn tell_of_http(&self, client: SocketAddr) {
        if let Some(times) = self.http_told.lock().happened() {
            tracing::warn!(
                %client,
                times,
                "a connection to the Redis port speaks HTTP, and was closed: somebody may be making \
                 browsers send requests here"
            );
        }
    }

    /// A client that listens to more than it takes.
    fn tell_of_overrun(&self, client: SocketAddr) {
        if let Some(times) = self.overrun_told.lock().happened() {
            tracing::warn!(
                %client,
                times,
                bytes = self.context.config.pubsub_bytes_max,
                "a client did not take the messages that it listens to, and was closed: more waited \
                 for it than may (pubsub-bytes-max, or live-bytes-max of all together)"
            );
        }
    }
}

/// The door; cheap to clone. Clones share their counters.
#[derive(Clone, Debug)]
pub struct Door {
    shared: Arc<Shared>,
}

impl Door {
    /// A closed door.
    #[must_use]
    pub fn new(context: Context) -> Door {
        Door {
            shared: Arc::new(Shared::new(context)),
        }
    }

    /// Takes connections until `shutdown` completes, lets the commands in work finish, and returns
    /// when all connections are closed. How long that may take is the caller's decision: dropping
    /// this future closes what is still open.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        if let Ok(address) = listener.local_addr() {
            // It is set once: a door is opened once.
            let _ = self.shared.address.set(address);
        }
        listener::serve(&self.shared, listener, shutdown).await;
    }

    /// Puts the door's figures on a sheet.
    pub(crate) fn tell(&self, sheet: &mut Sheet) {
        scrape::write(&self.shared, sheet);
    }
}
