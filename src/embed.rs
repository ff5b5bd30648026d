//! A node inside your own program.
//!
//! [`Smache`] is a handle on a running node: typed values in and out, no network unless asked for.
//! Several handles, or several nodes, can live in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::access::Access;
use crate::clock::Clock;
use crate::cluster::transport::memory::Network;
use crate::command::{Command, Condition, Entry, Kind, Reply, counter, json, show};
use crate::config::policy::Acknowledge;
use crate::config::{Config, Secret, Uplink};
use crate::key::{self, Key};
use crate::node::status::Status;
use crate::node::{self, Meeting, Node};
use crate::router::{self, Answer};
use crate::version::Version;

/// Why a call on a handle failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key is empty or too long.
    #[error(transparent)]
    Key(#[from] key::Error),
    /// The value does not become JSON, or the stored JSON does not become the wanted type.
    #[error("the value does not fit its type: {0}")]
    Type(#[from] serde_json::Error),
    /// The value is JSON that is not accepted: too deep, most likely.
    #[error(transparent)]
    Json(#[from] json::Error),
    /// The time to live is none; nothing changed.
    #[error("a time to live is at least 1 ms; without one a value lives for ever")]
    Ttl,
    /// The condition of the call did not hold; nothing changed.
    #[error("the condition does not hold: the present version is {}", present(.0))]
    Condition(Option<Version>),
    /// The command got no reply; see there whether it may have been applied.
    #[error(transparent)]
    Router(#[from] router::Error),
}

fn present(version: &Option<Version>) -> String {
    version.map_or_else(|| "none".to_owned(), |version| version.to_string())
}

/// How a value is to be put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// How long it lives; for ever by default.
    pub ttl: Option<Duration>,
    /// When it may be put; always by default.
    pub condition: Condition,
}

/// A typed value, with its version and the rest of its life.
#[derive(Clone, Debug, PartialEq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Its version, for a conditional put.
    pub version: Version,
    /// The name of the node that owns it.
    pub owner: Arc<str>,
}

/// A handle on a running node; cheap to clone.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use smache::Smache;
///
/// let cache = Smache::builder().start().await?;
/// cache.put("bus:42", &serde_json::json!({"lat": 48.1, "lon": 11.6})).await?;
/// let position: Option<serde_json::Value> = cache.get("bus:42").await?;
/// assert_eq!(position.unwrap()["lat"], 48.1);
/// assert!(cache.delete("bus:42").await?);
/// cache.stop().await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Smache {
    node: Node,
}

impl Smache {
    /// Begins with the defaults: a node of its own, without doors.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The value of a key, as JSON whatever its type; `None` if there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get<T: DeserializeOwned>(
        &self,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<T>, Error> {
        Ok(self.get_versioned(key).await?.map(|found| found.value))
    }

    /// The value of a key with its version, for a conditional put.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_versioned<T: DeserializeOwned>(
        &self,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<Versioned<T>>, Error> {
        let (entry, owner) = self.find(key).await?;
        let Some(entry) = entry else {
            return Ok(None);
        };
        let mut json = Vec::with_capacity(entry.data.len());
        show::write(entry.as_ref(), &mut json);
        Ok(Some(Versioned {
            value: serde_json::from_slice(&json)?,
            version: entry.etag(),
            owner,
        }))
    }

    /// The stored form of a key's value, as it was written.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_raw(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>, Error> {
        Ok(self.find(key).await?.0)
    }

    /// The value of a key, and who owns it.
    async fn find(&self, key: impl AsRef<[u8]>) -> Result<(Option<Entry>, Arc<str>), Error> {
        let key = self.key(key)?;
        let answer = self.execute(&Command::Get { key }).await?;
        match answer.reply {
            Reply::Value(entry) => Ok((entry, answer.owner)),
            _ => Err(router::Error::Internal.into()),
        }
    }

    /// Puts a value, whatever was there; it lives until it is deleted or evicted.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put<T: Serialize + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
    ) -> Result<Version, Error> {
        self.put_with(key, value, PutOptions::default()).await
    }

    /// Puts a value for a time, or under a condition. Returns its version.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use smache::Smache;
    /// use smache::command::Condition;
    /// use smache::embed::{Error, PutOptions};
    ///
    /// let cache = Smache::builder().start().await?;
    /// let seen = cache.put("visits", &1).await?;
    /// // Only if nobody has changed it meanwhile:
    /// let unchanged = PutOptions {
    ///     condition: Condition::VersionIn(vec![seen]),
    ///     ..PutOptions::default()
    /// };
    /// cache.put_with("visits", &2, unchanged.clone()).await?;
    /// let late = cache.put_with("visits", &2, unchanged).await;
    /// assert!(matches!(late, Err(Error::Condition(Some(_)))));
    /// # cache.stop().await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put_with<T: Serialize + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        options: PutOptions,
    ) -> Result<Version, Error> {
        let text = Bytes::from(serde_json::to_vec(value)?);
        let data = json::compact(&text, self.node.config().json_depth_max)?;
        let ttl_ms = match options.ttl.map(|ttl| ttl.as_millis()) {
            Some(0) => return Err(Error::Ttl),
            ttl_ms => ttl_ms.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
        };
        let (key, condition) = (self.key(key)?, options.condition);
        let command = Command::Put {
            key,
            kind: Kind::Json,
            data,
            ttl_ms,
            condition,
        };
        match self.execute(&command).await?.reply {
            Reply::Stored { entry, .. } => Ok(entry.etag()),
            Reply::ConditionFailed { current } => Err(Error::Condition(current)),
            Reply::Value(_) | Reply::Deleted(_) | Reply::Answer { .. } => {
                Err(router::Error::Internal.into())
            }
        }
    }

    /// Deletes a key; whether it had a value.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        let command = Command::Delete {
            key: self.key(key)?,
            condition: Condition::None,
        };
        Ok(self.execute(&command).await?.reply == Reply::Deleted(true))
    }

    /// Adds to a counter; what it stands at then. One that is not there is made, counted from 0, and
    /// lives until it is deleted or evicted. An addition whose connection breaks is sent again
    /// until the request timeout, and is applied once.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use smache::Smache;
    ///
    /// let cache = Smache::builder().start().await?;
    /// assert_eq!(cache.increment("counters:visits", 5).await?, 5);
    /// assert_eq!(cache.increment("counters:visits", -2).await?, 3);
    /// # cache.stop().await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// See [`Error`]: also when the key holds something else than a counter, or the sum is beyond
    /// 64 bits. Then the value stays as it is.
    pub async fn increment(&self, key: impl AsRef<[u8]>, by: i64) -> Result<i64, Error> {
        let command = Command::Increment {
            key: self.key(key)?,
            by,
            ttl_ms: None,
            condition: Condition::None,
        };
        match self.execute(&command).await?.reply {
            Reply::Stored { entry, .. } => {
                Ok(counter::value(Some(entry.as_ref())).map_err(router::Error::from)?)
            }
            Reply::ConditionFailed { .. }
            | Reply::Value(_)
            | Reply::Deleted(_)
            | Reply::Answer { .. } => Err(router::Error::Internal.into()),
        }
    }

    /// Carries any command out, within the configured request timeout.
    ///
    /// # Errors
    /// As the router's.
    pub async fn execute(&self, command: &Command) -> Result<Answer, router::Error> {
        let deadline = Instant::now() + self.node.config().request_timeout;
        self.node.router().execute(command, deadline).await
    }

    fn key(&self, key: impl AsRef<[u8]>) -> Result<Key, key::Error> {
        let bytes = Bytes::copy_from_slice(key.as_ref());
        Key::new(bytes, self.node.config().key_bytes_max)
    }

    /// A client of this node, with all data types; what is written against
    /// [`Cache`](crate::client::Cache) runs with it as with one over the network.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use smache::Smache;
    /// use smache::client::Cache;
    ///
    /// async fn greet(cache: &impl Cache) -> Result<i64, smache::client::Error> {
    ///     cache.hash_increment("greetings", "hello", 1).await
    /// }
    ///
    /// let node = Smache::builder().start().await?;
    /// assert_eq!(greet(&node.client()).await?, 1);
    /// # node.stop().await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    #[cfg(feature = "client")]
    #[must_use]
    pub fn client(&self) -> crate::client::Local {
        crate::client::Local::new(self.node.clone())
    }

    /// Where the HTTP door listens, if it is open.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.node.http_address()
    }

    /// Where the Redis protocol's door listens, if it is open.
    #[must_use]
    pub fn resp_address(&self) -> Option<SocketAddr> {
        self.node.resp_address()
    }

    /// Where other nodes connect to, if this one meets others over the network.
    #[must_use]
    pub fn cluster_address(&self) -> Option<SocketAddr> {
        self.node.cluster_address()
    }

    /// What the node says of itself.
    #[must_use]
    pub fn status(&self) -> Status {
        self.node.status()
    }

    /// The node itself.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Hands everything over to the other nodes, if there are any, and ends the node.
    ///
    /// # Errors
    /// [`node::Error::Slow`] when it took longer than the configured time.
    pub async fn stop(&self) -> Result<(), node::Error> {
        self.node.stop().await
    }
}

/// What a node is started with; see [`Smache::builder`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    options: node::Options,
}

impl Builder {
    /// All settings at once; later calls change single ones.
    #[must_use]
    pub fn config(mut self, config: Config) -> Builder {
        self.options.config = config;
        self
    }

    /// The node's name, `name@host`; unique in its cluster.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.options.config.node_name = name.into();
        self
    }

    /// Memory that the process may hold resident, in bytes.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Builder {
        self.options.config.max_memory = Some(bytes);
        self
    }

    /// Copies of a key on other nodes, besides its owner's: 0 to 3; 1 by default. With fewer nodes
    /// there are fewer copies, and [`Smache::status`] tells how many are missing. All nodes of a
    /// cluster should have the same number.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use smache::Smache;
    /// use smache::config::policy::Acknowledge;
    ///
    /// let cache = Smache::builder()
    ///     .backups(2)
    ///     .acknowledge(Acknowledge::Backup)
    ///     .start()
    ///     .await?;
    /// // One node alone: each of its partitions lacks both.
    /// assert_eq!(cache.status().replication.missing_copies, 2 * 4096);
    /// # cache.stop().await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    #[must_use]
    pub fn backups(mut self, copies: u8) -> Builder {
        self.options.config.backups = copies;
        self
    }

    /// What a write waits for: its owner, or, by default, every copy that is in sync as well.
    #[must_use]
    pub fn acknowledge(mut self, by: Acknowledge) -> Builder {
        self.options.config.acknowledge = by;
        self
    }

    /// Fewest nodes alive, this one among them, with which writes are taken; with fewer they fail
    /// with [`router::Error::TooFewMembers`]. 0, the default, takes them always. With more than half
    /// of the nodes the smaller side of a cut takes none.
    #[must_use]
    pub fn min_members(mut self, nodes: usize) -> Builder {
        self.options.config.min_members = nodes;
        self
    }

    /// Meets the other nodes of this process that are given the same network. `join` names the
    /// address of one of them, or is `None` for the first.
    #[must_use]
    pub fn in_memory(mut self, network: &Network, address: &str, join: Option<&str>) -> Builder {
        let (network, address) = (network.clone(), address.to_owned());
        self.options.meeting = Meeting::Memory { network, address };
        let uplink = |host: &str| Uplink {
            host: host.to_owned(),
            port: None,
        };
        self.options.config.uplinks = join.map(uplink).into_iter().collect();
        self
    }

    /// Meets other nodes over the network, by the settings of the configuration. One node of a
    /// process can do so.
    #[must_use]
    pub fn clustered(mut self, cookie: Option<&str>) -> Builder {
        self.options.config.cookie = cookie.map(|cookie| Secret(cookie.to_owned()));
        self.options.meeting = Meeting::Network;
        self
    }

    /// Opens the doors, by the settings of the configuration.
    #[must_use]
    pub fn serve(mut self) -> Builder {
        self.options.doors = true;
        self
    }

    /// Has the doors ask for the tokens of this file; see [`Tokens::parse`](crate::access::Tokens::parse).
    /// Calls on the handle need none.
    #[must_use]
    pub fn tokens(mut self, file: impl Into<PathBuf>) -> Builder {
        self.options.config.tokens = Some(file.into());
        self
    }

    /// Has the doors ask for these tokens, wherever the program has them from; they win over a file.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use smache::Smache;
    /// use smache::access::{Access, Tokens};
    /// use smache::config::{Config, Port};
    ///
    /// let tokens = Tokens::parse(b"read dashboard 3kUEcO2b0f1WvYyVQ9qkq8Yw")?;
    /// let config = Config { http_port: Port::Exactly(0), ..Config::default() };
    /// let builder = Smache::builder().config(config).access(Access::of(tokens));
    /// let cache = builder.serve().start().await?;
    /// // The handle is the program's own: nobody asks it.
    /// cache.put("bus:42", &serde_json::json!({"line": 4})).await?;
    /// cache.stop().await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    #[must_use]
    pub fn access(mut self, access: Access) -> Builder {
        self.options.access = Some(access);
        self
    }

    /// Has the doors take TLS and nothing else, with this certificate and its key: PEM files, which
    /// are read again when they change.
    #[must_use]
    pub fn tls(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Builder {
        self.options.config.tls_cert = Some(cert.into());
        self.options.config.tls_key = Some(key.into());
        self
    }

    /// Where time comes from; the machine's clock by default.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Builder {
        self.options.clock = clock;
        self
    }

    /// Starts the node and waits until it serves.
    ///
    /// # Errors
    /// See [`node::Error`].
    pub async fn start(self) -> Result<Smache, node::Error> {
        let node = Node::start(self.options).await?;
        node.ready().await?;
        Ok(Smache { node })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Expiry, Operation, lifetime, set};

    async fn operate(cache: &Smache, key: &str, operation: Operation) {
        let command = Command::Typed {
            key: cache.key(key).unwrap(),
            operation: Box::new(operation),
            condition: Condition::None,
        };
        cache.execute(&command).await.unwrap();
    }

    #[tokio::test]
    async fn values_of_other_types_are_json_as_well() {
        let cache = Smache::builder().start().await.unwrap();
        let add = set::Operation::Add(vec!["a".into()]);
        operate(&cache, "set", Operation::Set(add)).await;
        let members: Option<Vec<String>> = cache.get("set").await.unwrap();
        assert_eq!(members, Some(vec!["a".to_owned()]));
        cache.increment("sum", 5).await.unwrap();
        assert_eq!(cache.get::<i64>("sum").await.unwrap(), Some(5));
        cache.stop().await.unwrap();
    }

    #[tokio::test]
    async fn another_life_is_no_other_version() {
        let cache = Smache::builder().start().await.unwrap();
        cache.put("k", &1).await.unwrap();
        let hour = lifetime::Operation::Expire(Expiry::In(3_600_000), Default::default());
        operate(&cache, "k", Operation::Lifetime(hour)).await;
        let found = cache.get_versioned::<i32>("k").await.unwrap().unwrap();
        let unchanged = PutOptions {
            condition: Condition::VersionIn(vec![found.version]),
            ..PutOptions::default()
        };
        cache.put_with("k", &2, unchanged).await.unwrap();
        let never = PutOptions {
            ttl: Some(Duration::from_micros(999)),
            ..PutOptions::default()
        };
        let refused = cache.put_with("k", &3, never).await;
        assert!(matches!(refused, Err(Error::Ttl)), "{refused:?}");
        cache.stop().await.unwrap();
    }
}
