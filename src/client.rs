//! The client library: typed values in and out, of a cluster over the network or of a node in this
//! very process.
//!
//! ```no_run
//! use smache::client::{Cache as _, Client};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), smache::client::Error> {
//! let cache = Client::connect("http://127.0.0.1:4000").await?;
//! cache.put("bus:42", &serde_json::json!({"line": 4})).await?;
//! let bus: Option<serde_json::Value> = cache.get("bus:42").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # One trait
//!
//! [`Cache`] is what both kinds of client have in common: [`Client`] speaks gRPC to any node of a
//! cluster, [`Local`] asks the node that a program has embedded
//! ([`Smache::client`](crate::Smache::client)). Whoever is written against `impl Cache` runs with
//! either. The trait has two methods that a client must have, [`Cache::call`] and [`Cache::watch`];
//! all others follow from these, and are the same for every client. So it has trait objects too: an
//! `Arc<dyn Cache>` is a `Cache` with every method; and a decorator, or a fake for a test, is a few
//! lines:
//!
//! ```
//! use std::sync::Arc;
//! use futures_util::future::BoxFuture;
//! use smache::client::{Cache, Changes, Error, Request, Response, Watch};
//!
//! /// A cache that has nothing.
//! struct Empty;
//!
//! impl Cache for Empty {
//!     fn call(&self, _: Request) -> BoxFuture<'_, Result<Response, Error>> {
//!         Box::pin(async { Ok(Response::Nothing) })
//!     }
//!
//!     fn watch(&self, _: Watch) -> Changes {
//!         Box::pin(futures_util::stream::empty())
//!     }
//! }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let cache: Arc<dyn Cache> = Arc::new(Empty);
//! assert_eq!(cache.get::<String>("greeting").await, Ok(None));
//! # });
//! ```
//!
//! # What to expect
//!
//! - *A miss is `None`*, never an error; a set, hash or list that is not there is empty.
//! - *Keys are whole*: `counters:visits` is what HTTP calls `/counters/visits`. They are text here;
//!   [`Cache::run`] takes any bytes.
//! - *Deadlines*: every call has an end ([`Builder::timeout`]; 5 seconds if not told otherwise),
//!   connecting, failing over and trying again included.
//! - *What is tried again* is what can do no harm: all that certainly was not carried out; reads; and
//!   writes of one key, because each of them carries a name of its own by which the cluster knows
//!   whether it was applied. What has no name is sent once, unless no node took it: a raw command
//!   ([`Cache::run`]), a message ([`Cache::publish`]) and a lifetime ([`Cache::set_lifetime`]).
//! - *Failover*: a client that knows several addresses goes to the next one when the node that it
//!   talks to cannot be reached or does not serve, and stays there.
//! - *Connections*: one to each address that is used, with all calls on it at the same time. It is
//!   made when it is needed and made anew when it broke. Clients are cheap to clone; clones share
//!   their connections.
//! - *Errors* are few, and say what a program can do about them: [`Error`].
//!
//! # Its parts
//!
//! `cache` is the trait, `request` what is asked and answered, `network` the way over gRPC (`network::wire` to and
//! from messages, `network::retry` what is tried again, `network::events` following keys), `local`
//! the way to a node in this process. Used by programs, and by the command line (`run`, `keys`,
//! `watch`).

mod cache;
mod change;
mod error;
mod local;
mod network;
mod reply;
mod request;

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;

pub use self::cache::Cache;
pub use self::change::{Change, Changes, Event, Value, Watch, What};
pub use self::error::Error;
pub use self::local::Local;
pub use self::network::{Builder, Client};
pub use self::reply::Reply;
pub use self::request::{Request, Response, Stored};
pub use crate::command::Condition;
pub use crate::command::list::End;
pub use crate::embed::PutOptions;
pub use crate::version::Version;

/// The longest time for a call: what is added to the present must stay a time that clocks know.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

/// A value with its version, for a conditional put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Its version; see [`Condition::VersionIn`].
    pub version: Version,
    /// What is left of its life; `None` is for ever.
    pub ttl: Option<Duration>,
}

/// How long a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is deleted or evicted.
    Forever,
    /// So long from now on.
    For(Duration),
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| Error::type_of(&error))
}

/// The words of a command line, as `redis-cli` and the node itself take them: in double quotes `\n`,
/// `\xff` and the like mean what they do in C, in single quotes only `\'`. `None` if the quotes do not
/// match.
///
/// ```
/// use smache::client::words;
///
/// assert_eq!(words(br#"SET k "two words""#).unwrap(), ["SET", "k", "two words"]);
/// assert_eq!(words(b"SET k \"v"), None);
/// ```
#[must_use]
pub fn words(line: &[u8]) -> Option<Vec<Bytes>> {
    crate::door::resp::words(line)
}
