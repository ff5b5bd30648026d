//! The settings of a node: one validated struct, whatever they were read from.
//!
//! [`Config`] is what a node is started with; every field has a default that is right for one node
//! on a laptop. The command line reads flags, the environment and a file into it, in that order
//! of precedence, and refuses what it does not understand ([`load()`]); a program that embeds a node
//! fills it in directly. Either way [`Config::validate`] has the last word, so that no room below
//! has to doubt a setting.
//!
//! * [`settings`]: the one list of settings, from which flags, variables, file keys, help and
//!   `--print-config` all follow.
//! * [`value`]: how one value is written: sizes, durations, ports, hosts.
//! * [`policy`]: copies and acknowledgement of keys, per namespace.
//! * [`mod@file`]: YAML and TOML.
//! * [`load`](mod@load): the sources in their order, and messages that name what is wrong, where.
//! * [`mod@print`]: the settings in effect, as a file that can be read back.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::key::KEY_BYTES_MAX;
use crate::live;

pub mod file;
pub mod load;
pub mod policy;
pub mod print;
pub mod settings;
pub mod validate;
pub mod value;

pub use load::{Loaded, load};
pub use policy::{Acknowledge, Policies, Policy, Resolved};
pub use validate::Invalid;

/// A secret: printed as `***`, so that no log or `--print-config` gives it away.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A TCP port, and whether somebody asked for just this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// A default: if another program holds it the next free one is taken and announced.
    Preferred(u16),
    /// Asked for: if it is taken the start fails. 0 lets the system choose.
    Exactly(u16),
}

impl Port {
    /// The number.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Port::Preferred(n) | Port::Exactly(n) => n,
        }
    }
}

/// A host to join the cluster through: a name or an address, and its cluster port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// DNS name or IP address. All addresses of a name are joined.
    pub host: String,
    /// Its cluster port; `None` tries the default one and this node's own.
    pub port: Option<u16>,
}

impl fmt::Display for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (true, None) => write!(f, "[{}]", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (false, None) => f.write_str(&self.host),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The default HTTP port.
pub const HTTP_PORT: u16 = 4000;
/// The Redis protocol's port lies this much above the HTTP port: 6379 above 4000.
pub const RESP_PORT_OFFSET: u16 = 2379;
/// The cluster port lies this much above the HTTP port.
pub const CLUSTER_PORT_OFFSET: u16 = 500;

/// Everything that can be set. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `name@host`, unique in its cluster.
    pub node_name: String,
    /// The cluster's name: nodes of clusters with different names refuse each other.
    pub cluster_name: String,
    /// Address that the doors listen on; loopback unless asked otherwise.
    pub bind: IpAddr,
    /// HTTP door.
    pub http_port: Port,
    /// Tokens and their roles, for all doors; without them everybody may do everything.
    pub tokens: Option<PathBuf>,
    /// The doors' certificate (PEM), and what leads from it to an authority. With it, and its key,
    /// the doors take TLS, and only TLS.
    pub tls_cert: Option<PathBuf>,
    /// The key of the doors' certificate (PEM).
    pub tls_key: Option<PathBuf>,
    /// Certificates of the authorities (PEM) one of which must have signed those of clients; without
    /// it clients need none.
    pub tls_client_ca: Option<PathBuf>,
    /// Whether the Redis protocol is spoken.
    pub resp: bool,
    /// Address that the Redis protocol's door listens on; `None` is that of the others.
    pub resp_bind: Option<IpAddr>,
    /// The Redis protocol's door; `None` prefers the HTTP port + 2379.
    pub resp_port: Option<Port>,
    /// Address that the cluster listens on.
    pub cluster_bind: IpAddr,
    /// Cluster listener (TCP and UDP); by default the HTTP port + 500.
    pub cluster_port: Port,
    /// Host (or `host:port`) that other nodes reach this one's cluster port at; by default the
    /// address that they see it come from.
    pub cluster_advertise: Option<String>,
    /// Nodes to join through; empty starts a cluster.
    pub uplinks: Vec<Uplink>,
    /// Shared secret of the cluster; without one the cluster listens on loopback only.
    pub cookie: Option<Secret>,
    /// Certificates of the authorities (PEM) that sign the nodes of this cluster. With it, and the
    /// two below, nodes speak TLS with each other, and only TLS.
    pub cluster_ca: Option<PathBuf>,
    /// This node's certificate (PEM), and what leads from it to an authority.
    pub cluster_cert: Option<PathBuf>,
    /// The key of this node's certificate (PEM).
    pub cluster_key: Option<PathBuf>,
    /// Says that the network between the nodes is trusted, so that a cluster listener beyond
    /// loopback may do without TLS.
    pub cluster_trusted_network: bool,
    /// How long a node with uplinks waits to join before it starts alone.
    pub join_timeout: Duration,
    /// Fewest members alive, this node among them, with which writes are taken; 0 and 1 take them
    /// always.
    pub min_members: usize,

    /// Copies of a key besides its owner's, at most [`policy::BACKUPS_MAX`].
    pub backups: u8,
    /// What a write waits for before it is answered.
    pub acknowledge: Acknowledge,
    /// What namespaces have otherwise, by their names.
    pub policies: BTreeMap<String, Policy>,
    /// Bytes a second that this node sends to move partitions; 0 is as fast as it goes.
    pub handoff_rate: u64,
    /// How long a deleted key is remembered, so that no copy that missed it brings it back.
    pub tombstone_horizon: Duration,
    /// How often copies are compared with what their owners have; zero is never.
    pub repair_interval: Duration,

    /// Memory that the process may hold resident, in bytes; `None` is half of the machine's or
    /// the container's.
    pub max_memory: Option<u64>,
    /// Writer actors, each with a table; 0 is four for every CPU.
    pub writers: usize,
    /// Threads of the doors; 0 is one for every CPU.
    pub threads: usize,

    /// Longest key in bytes, at most 4,096.
    pub key_bytes_max: usize,
    /// Longest value in bytes, at most 64 MiB: what the links between nodes can carry.
    pub value_bytes_max: usize,
    /// Longest set, hash or list in bytes, in its stored form, at most 64 MiB as well.
    pub collection_bytes_max: usize,
    /// Longest request body in bytes (of a batch: longest line).
    pub body_bytes_max: usize,
    /// Deepest nesting of a JSON document.
    pub json_depth_max: usize,
    /// Most keys in one `GET /api?key=…&key=…`.
    pub request_keys_max: usize,
    /// Most open client connections; further ones are turned away at once.
    pub connections_max: usize,
    /// Most requests at a time on one connection that carries many (HTTP/2, gRPC); further ones wait
    /// at the client.
    pub streams_max: usize,
    /// Most requests in work at a time; further ones are answered 503.
    pub requests_max: usize,
    /// Bytes of request bodies and large answers in memory at the doors; further requests are
    /// answered 503. `None` is an eighth of the memory, but room for one of the longest bodies.
    pub door_bytes_max: Option<usize>,
    /// Longest time for a client to send its request's head.
    pub header_timeout: Duration,
    /// Longest silence on a kept-alive connection, or in the middle of a body.
    pub idle_timeout: Duration,
    /// Longest silence between requests of a connection that speaks the Redis protocol; zero is for
    /// ever.
    pub resp_idle_timeout: Duration,
    /// Longest time for a client to take nothing of its answer.
    pub write_timeout: Duration,
    /// Longest time for a request, retries between nodes included.
    pub request_timeout: Duration,
    /// Bytes under way to one other node before further requests for it are refused.
    pub peer_bytes_max: usize,

    /// Most clients that listen at a time: streams of changes, sockets, subscribers.
    pub watchers_max: usize,
    /// Most channels, patterns, keys and prefixes that one of them listens to.
    pub subscriptions_max: usize,
    /// Most events that wait for one of them; the oldest give way.
    pub watch_events_max: usize,
    /// Most bytes of these events.
    pub watch_bytes_max: usize,
    /// Most bytes of the messages that wait for a subscriber of the Redis protocol; it is closed
    /// rather than that it misses any.
    pub pubsub_bytes_max: usize,
    /// Bytes of all that is listened to, and of all events that wait, on this node.
    pub live_bytes_max: usize,
    /// Longest message that is published, and longest one that comes in over a socket.
    pub message_bytes_max: usize,
    /// How often a stream of changes in which nothing happens says that it is still there.
    pub watch_heartbeat: Duration,
    /// Longest silence of a client on a socket.
    pub socket_idle_timeout: Duration,

    /// How long a stopping node goes on serving after it has said that it is not ready.
    pub drain_delay: Duration,
    /// Longest time from the first signal to the end.
    pub shutdown_timeout: Duration,

    /// What is logged, in the syntax of `RUST_LOG`.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
}

impl Config {
    /// The port of the Redis protocol's door: what is set, or what goes with the HTTP port.
    #[must_use]
    pub fn wanted_resp_port(&self) -> Option<Port> {
        let follows = || match self.http_port {
            Port::Exactly(0) => Some(Port::Exactly(0)),
            http => http
                .number()
                .checked_add(RESP_PORT_OFFSET)
                .map(Port::Preferred),
        };
        self.resp_port.or_else(follows)
    }

    /// What bounds those who listen.
    #[must_use]
    pub fn live_limits(&self) -> live::Limits {
        live::Limits {
            subscribers_max: self.watchers_max,
            topics_max: self.subscriptions_max,
            events_max: self.watch_events_max,
            event_bytes_max: self.watch_bytes_max,
            bytes_max: self.live_bytes_max,
            message_bytes_max: self.message_bytes_max,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let live = live::Limits::default();
        Config {
            node_name: "smache@localhost".to_owned(),
            cluster_name: "smache".to_owned(),
            bind: loopback,
            http_port: Port::Preferred(HTTP_PORT),
            tokens: None,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            resp: true,
            resp_bind: None,
            resp_port: None,
            cluster_bind: loopback,
            cluster_port: Port::Preferred(HTTP_PORT + CLUSTER_PORT_OFFSET),
            cluster_advertise: None,
            uplinks: Vec::new(),
            cookie: None,
            cluster_ca: None,
            cluster_cert: None,
            cluster_key: None,
            cluster_trusted_network: false,
            join_timeout: Duration::from_secs(10),
            min_members: 0,
            backups: 1,
            acknowledge: Acknowledge::Backup,
            policies: BTreeMap::new(),
            handoff_rate: 0,
            tombstone_horizon: Duration::from_secs(600),
            repair_interval: Duration::from_secs(60),
            max_memory: None,
            writers: 0,
            threads: 0,
            key_bytes_max: KEY_BYTES_MAX,
            value_bytes_max: 16 << 20,
            collection_bytes_max: validate::VALUE_BYTES_LIMIT,
            body_bytes_max: 17 << 20,
            json_depth_max: 128,
            request_keys_max: 1_000,
            connections_max: 10_000,
            streams_max: 128,
            requests_max: 20_000,
            door_bytes_max: None,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            resp_idle_timeout: Duration::ZERO,
            write_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(2),
            peer_bytes_max: 65 << 20,
            watchers_max: live.subscribers_max,
            subscriptions_max: live.topics_max,
            watch_events_max: live.events_max,
            watch_bytes_max: live.event_bytes_max,
            pubsub_bytes_max: 8 << 20,
            live_bytes_max: live.bytes_max,
            message_bytes_max: live.message_bytes_max,
            watch_heartbeat: Duration::from_secs(15),
            socket_idle_timeout: Duration::from_secs(60),
            drain_delay: Duration::from_secs(2),
            shutdown_timeout: Duration::from_secs(30),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}
