//! The settings themselves, one after the other: what each means, how it is read and shown.

use std::path::PathBuf;

use super::show::{optional, plain, policies, port, quote, quoted, size, span};
use super::{Form, Setting, Shown};
use crate::config::policy::written;
use crate::config::validate::check_log;
use crate::config::value::{self, Raw, Reject};
use crate::config::{LogFormat, Port, Secret};

/// What most settings have in common, to be overridden.
const PLAIN: Setting = Setting {
    name: "",
    aliases: &[],
    variable: None,
    group: "",
    placeholder: "VALUE",
    form: Form::One,
    secret: false,
    help: "",
    read: |_, _| Ok(()),
    show: |_| Shown::Comment(String::new()),
};

const DOORS: &str = "Doors";
const CLUSTER: &str = "Cluster";
const REPLICATION: &str = "Copies";
const CAPACITY: &str = "Memory and threads";
const LIMITS: &str = "Limits";
const TIMES: &str = "Times";
const LOGGING: &str = "Logging";

/// All of them, in the order in which help and `--print-config` show them.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "bind",
        group: DOORS,
        placeholder: "ADDRESS",
        help: "Address that clients reach this node at; 0.0.0.0 or :: is every one of this machine",
        read: |d, raw| value::address(raw).map(|address| d.config.bind = address),
        show: |d| quoted(d.config.bind),
        ..PLAIN
    },
    Setting {
        name: "port",
        aliases: &["http-port"],
        variable: Some("PORT"),
        group: DOORS,
        placeholder: "PORT",
        help: "Port for HTTP. Given and taken, it stops the start; the default one gives way to \
               the next free one. 0 lets the system choose",
        read: |d, raw| value::port(raw).map(|port| d.config.http_port = Port::Exactly(port)),
        show: |d| port(d.config.http_port),
        ..PLAIN
    },
    Setting {
        name: "tokens",
        aliases: &["tokens-file"],
        group: DOORS,
        placeholder: "FILE",
        help: "File with the tokens that clients must show, a line each: `role name token`, the role \
               being read, write or admin, and the token itself or sha256: and its digest. Without \
               it everybody may do everything",
        read: |d, raw| path(raw).map(|path| d.config.tokens = path),
        show: |d| shown_path(d.config.tokens.as_ref()),
        ..PLAIN
    },
    Setting {
        name: "tls-cert",
        group: DOORS,
        placeholder: "FILE",
        help: "PEM file with the certificate that clients see. With it and tls-key, clients must \
               speak TLS; `smache certs --door` makes both",
        read: |d, raw| path(raw).map(|path| d.config.tls_cert = path),
        show: |d| shown_path(d.config.tls_cert.as_ref()),
        ..PLAIN
    },
    Setting {
        name: "tls-key",
        group: DOORS,
        placeholder: "FILE",
        help: "PEM file with the key of the certificate that clients see",
        read: |d, raw| path(raw).map(|path| d.config.tls_key = path),
        show: |d| shown_path(d.config.tls_key.as_ref()),
        ..PLAIN
    },
    Setting {
        name: "tls-client-ca",
        group: DOORS,
        placeholder: "FILE",
        help: "PEM file with the authority that signs the certificates of clients. With it, only \
               clients with such a certificate are let in, probes among them",
        read: |d, raw| path(raw).map(|path| d.config.tls_client_ca = path),
        show: |d| shown_path(d.config.tls_client_ca.as_ref()),
        ..PLAIN
    },
    Setting {
        name: "resp",
        group: DOORS,
        placeholder: "BOOL",
        form: Form::Switch,
        help: "Whether the Redis protocol is spoken",
        read: |d, raw| value::switch(raw).map(|on| d.config.resp = on),
        show: |d| plain(d.config.resp),
        ..PLAIN
    },
    Setting {
        name: "resp-bind",
        group: DOORS,
        placeholder: "ADDRESS",
        help: "Address that Redis clients reach this node at, if not that of all clients",
        read: |d, raw| {
            d.config.resp_bind = optional(raw, value::address)?;
            Ok(())
        },
        show: |d| match d.config.resp_bind {
            Some(address) => quoted(address),
            None => Shown::Comment("as bind".to_owned()),
        },
        ..PLAIN
    },
    Setting {
        name: "resp-port",
        group: DOORS,
        placeholder: "PORT",
        help: "Port for the Redis protocol; by default the HTTP port + 2379, or the next free one. \
               Given and taken, it stops the start",
        read: |d, raw| {
            d.config.resp_port = optional(raw, value::port)?.map(Port::Exactly);
            Ok(())
        },
        show: |d| match d.config.resp_port {
            Some(given) => port(given),
            None => Shown::Comment("the HTTP port + 2379, or the next free one".to_owned()),
        },
        ..PLAIN
    },
    Setting {
        name: "node-name",
        variable: Some("NODE_NAME"),
        group: CLUSTER,
        placeholder: "NAME@HOST",
        help: "Name of this node, unique in its cluster",
        read: |d, raw| {
            let name = value::text(raw)?;
            value::check_node_name(&name)?;
            d.config.node_name = name;
            Ok(())
        },
        show: |d| quoted(&d.config.node_name),
        ..PLAIN
    },
    Setting {
        name: "cluster-name",
        group: CLUSTER,
        placeholder: "NAME",
        help: "Name of the cluster, the same on every node of it. Nodes of clusters with different \
               names refuse each other",
        read: |d, raw| {
            let name = value::text(raw)?;
            value::check_cluster_name(&name)?;
            d.config.cluster_name = name;
            Ok(())
        },
        show: |d| quoted(&d.config.cluster_name),
        ..PLAIN
    },
    Setting {
        name: "cluster-bind",
        group: CLUSTER,
        placeholder: "ADDRESS",
        help: "Address that other nodes reach this one at. Beyond loopback it takes a cookie, and \
               certificates or cluster-trusted-network",
        read: |d, raw| value::address(raw).map(|address| d.config.cluster_bind = address),
        show: |d| quoted(d.config.cluster_bind),
        ..PLAIN
    },
    Setting {
        name: "cluster-port",
        group: CLUSTER,
        placeholder: "PORT",
        help: "Port for the other nodes, TCP and UDP; by default the HTTP port + 500",
        read: |d, raw| value::port(raw).map(|port| d.config.cluster_port = Port::Exactly(port)),
        show: |d| port(d.config.cluster_port),
        ..PLAIN
    },
    Setting {
        name: "cluster-advertise",
        group: CLUSTER,
        placeholder: "HOST[:PORT]",
        help: "Where other nodes reach this one's cluster port, if not at the address that they see \
               it come from",
        read: |d, raw| {
            d.config.cluster_advertise = optional(raw, |raw| {
                let host = value::text(raw)?;
                value::uplink(&host)?;
                Ok(host)
            })?;
            Ok(())
        },
        show: |d| match &d.config.cluster_advertise {
            Some(host) => quoted(host),
            None => Shown::Comment("the address that other nodes see".to_owned()),
        },
        ..PLAIN
    },
    Setting {
        name: "uplinks",
        aliases: &["uplink"],
        variable: Some("UPLINK_NODE"),
        group: CLUSTER,
        placeholder: "HOST[:PORT]",
        form: Form::Many,
        help: "Nodes to join the cluster through, at their cluster ports; all addresses of a name \
               are tried. None starts a cluster",
        read: |d, raw| value::uplinks(raw).map(|uplinks| d.config.uplinks = uplinks),
        show: |d| {
            let hosts = d
                .config
                .uplinks
                .iter()
                .map(|uplink| quote(&uplink.to_string()));
            Shown::Yaml(format!("[{}]", hosts.collect::<Vec<_>>().join(", ")))
        },
        ..PLAIN
    },
    Setting {
        name: "cookie",
        variable: Some("COOKIE"),
        group: CLUSTER,
        placeholder: "SECRET",
        secret: true,
        help: "Secret that the nodes of a cluster share. Every user of this machine can read a \
               flag: prefer the variable, or cookie-file",
        read: |d, raw| {
            d.config.cookie = optional(raw, value::text)?.map(Secret);
            d.cookie_file = None;
            Ok(())
        },
        show: |d| match d.config.cookie {
            Some(_) => Shown::Comment("***".to_owned()),
            None => Shown::Comment("none: the cluster listens on loopback only".to_owned()),
        },
        ..PLAIN
    },
    Setting {
        name: "cookie-file",
        group: CLUSTER,
        placeholder: "FILE",
        help: "File that holds the cookie; white space around it is ignored",
        read: |d, raw| {
            d.cookie_file = optional(raw, value::text)?.map(PathBuf::from);
            d.config.cookie = None;
            Ok(())
        },
        show: |d| shown_path(d.cookie_file.as_ref()),
        ..PLAIN
    },
    Setting {
        name: "cluster-ca",
        group: CLUSTER,
        placeholder: "FILE",
        help: "PEM file with the authority that signs the nodes' certificates. With it, cluster-cert \
               and cluster-key, nodes speak only TLS with each other; `smache certs` makes all three",
        read: |d, raw| path(raw).map(|path| d.config.cluster_ca = path),
        show: |d| shown_path(d.config.cluster_ca.as_ref()),
        ..PLAIN
    },
    Setting {
        name: "cluster-cert",
        group: CLUSTER,
        placeholder: "FILE",
        help: "PEM file with this node's certificate",
        read: |d, raw| path(raw).map(|path| d.config.cluster_cert = path),
        show: |d| shown_path(d.config.cluster_cert.as_ref()),
        ..PLAIN
    },
    Setting {
        name: "cluster-key",
        group: CLUSTER,
        placeholder: "FILE",
        help: "PEM file with the key of this node's certificate",
        read: |d, raw| path(raw).map(|path| d.config.cluster_key = path),
        show: |d| shown_path(d.config.cluster_key.as_ref()),
        ..PLAIN
    },
    Setting {
        name: "cluster-trusted-network",
        group: CLUSTER,
        placeholder: "BOOL",
        form: Form::Switch,
        help: "Says that nobody else reads or changes packets between the nodes, so that the \
               cluster may go beyond loopback without encryption",
        read: |d, raw| value::switch(raw).map(|on| d.config.cluster_trusted_network = on),
        show: |d| plain(d.config.cluster_trusted_network),
        ..PLAIN
    },
    Setting {
        name: "join-timeout",
        group: CLUSTER,
        placeholder: "TIME",
        help: "How long a node with uplinks waits to join before it starts alone",
        read: |d, raw| value::duration(raw).map(|span| d.config.join_timeout = span),
        show: |d| span(d.config.join_timeout),
        ..PLAIN
    },
    Setting {
        name: "min-members",
        group: CLUSTER,
        placeholder: "COUNT",
        help: "Fewest members alive, this node among them, with which writes are taken; 0 takes \
               them always",
        read: |d, raw| value::count(raw).map(|count| d.config.min_members = count),
        show: |d| plain(d.config.min_members),
        ..PLAIN
    },
    Setting {
        name: "backups",
        group: REPLICATION,
        placeholder: "COUNT",
        help: "Copies of a key on other nodes besides its owner's, from 0 to 3",
        read: |d, raw| written::backups(raw).map(|count| d.config.backups = count),
        show: |d| plain(d.config.backups),
        ..PLAIN
    },
    Setting {
        name: "acknowledge",
        group: REPLICATION,
        placeholder: "WHO",
        help: "What a write waits for before it is answered: owner, or backup, which is the owner \
               and every backup that is in sync",
        read: |d, raw| written::acknowledge(raw).map(|by| d.config.acknowledge = by),
        show: |d| plain(d.config.acknowledge),
        ..PLAIN
    },
    Setting {
        name: "policies",
        aliases: &["policy"],
        group: REPLICATION,
        placeholder: "NAMESPACE:backups=0,acknowledge=owner",
        form: Form::Many,
        help: "Backups and acknowledgement of the keys that begin with NAMESPACE and a colon; \
               white space or `;` between several",
        read: |d, raw| written::policies(raw).map(|policies| d.config.policies = policies),
        show: |d| policies(&d.config.policies),
        ..PLAIN
    },
    Setting {
        name: "handoff-rate",
        group: REPLICATION,
        placeholder: "SIZE",
        help: "Most bytes a second that come to this node to move and copy partitions; 0 is as \
               fast as it goes",
        read: |d, raw| value::size(raw).map(|bytes| d.config.handoff_rate = bytes),
        show: |d| size(d.config.handoff_rate),
        ..PLAIN
    },
    Setting {
        name: "tombstone-horizon",
        group: REPLICATION,
        placeholder: "TIME",
        help: "How long a deleted key is remembered, so that no node that missed it brings it back",
        read: |d, raw| value::duration(raw).map(|span| d.config.tombstone_horizon = span),
        show: |d| span(d.config.tombstone_horizon),
        ..PLAIN
    },
    Setting {
        name: "repair-interval",
        group: REPLICATION,
        placeholder: "TIME",
        help: "How often copies are compared with what their owners have; 0s is never",
        read: |d, raw| value::duration(raw).map(|span| d.config.repair_interval = span),
        show: |d| span(d.config.repair_interval),
        ..PLAIN
    },
    Setting {
        name: "max-memory",
        group: CAPACITY,
        placeholder: "SIZE",
        help: "Memory that the process keeps to",
        read: |d, raw| {
            d.config.max_memory = optional(raw, value::size)?;
            Ok(())
        },
        show: |d| match d.config.max_memory {
            Some(bytes) => size(bytes),
            None => Shown::Comment("half of the machine's or the container's memory".to_owned()),
        },
        ..PLAIN
    },
    Setting {
        name: "writers",
        group: CAPACITY,
        placeholder: "COUNT",
        help: "Writer actors, each with a table; 0 is four for every CPU",
        read: |d, raw| value::count(raw).map(|count| d.config.writers = count),
        show: |d| plain(d.config.writers),
        ..PLAIN
    },
    Setting {
        name: "threads",
        group: CAPACITY,
        placeholder: "COUNT",
        help: "Threads that serve clients; 0 is one for every CPU",
        read: |d, raw| value::count(raw).map(|count| d.config.threads = count),
        show: |d| plain(d.config.threads),
        ..PLAIN
    },
    Setting {
        name: "key-bytes-max",
        group: LIMITS,
        placeholder: "SIZE",
        help: "Longest key, at most 4096 bytes",
        read: |d, raw| value::length(raw).map(|bytes| d.config.key_bytes_max = bytes),
        show: |d| size(d.config.key_bytes_max as u64),
        ..PLAIN
    },
    Setting {
        name: "value-bytes-max",
        group: LIMITS,
        placeholder: "SIZE",
        help: "Longest value, at most 64MiB",
        read: |d, raw| value::length(raw).map(|bytes| d.config.value_bytes_max = bytes),
        show: |d| size(d.config.value_bytes_max as u64),
        ..PLAIN
    },
    Setting {
        name: "collection-bytes-max",
        group: LIMITS,
        placeholder: "SIZE",
        help: "Longest set, hash or list, in its stored form, at most 64MiB",
        read: |d, raw| value::length(raw).map(|bytes| d.config.collection_bytes_max = bytes),
        show: |d| size(d.config.collection_bytes_max as u64),
        ..PLAIN
    },
    Setting {
        name: "body-bytes-max",
        group: LIMITS,
        placeholder: "SIZE",
        help: "Longest body of a request, or line of a batch; by default 1MiB above the longest \
               value",
        read: |d, raw| value::length(raw).map(|bytes| d.config.body_bytes_max = bytes),
        show: |d| size(d.config.body_bytes_max as u64),
        ..PLAIN
    },
    Setting {
        name: "json-depth-max",
        group: LIMITS,
        placeholder: "COUNT",
        help: "Deepest nesting of a JSON document, at most 512",
        read: |d, raw| value::count(raw).map(|depth| d.config.json_depth_max = depth),
        show: |d| plain(d.config.json_depth_max),
        ..PLAIN
    },
    Setting {
        name: "request-keys-max",
        group: LIMITS,
        placeholder: "COUNT",
        help: "Most keys in one GET /api?key=…&key=…",
        read: |d, raw| value::count(raw).map(|count| d.config.request_keys_max = count),
        show: |d| plain(d.config.request_keys_max),
        ..PLAIN
    },
    Setting {
        name: "connections-max",
        group: LIMITS,
        placeholder: "COUNT",
        help: "Most open connections of clients; further ones are turned away at once",
        read: |d, raw| value::count(raw).map(|count| d.config.connections_max = count),
        show: |d| plain(d.config.connections_max),
        ..PLAIN
    },
    Setting {
        name: "streams-max",
        group: LIMITS,
        placeholder: "COUNT",
        help: "Most requests at a time on one connection of HTTP/2, as gRPC has them; further ones \
               wait at the client",
        read: |d, raw| value::count(raw).map(|count| d.config.streams_max = count),
        show: |d| plain(d.config.streams_max),
        ..PLAIN
    },
    Setting {
        name: "requests-max",
        group: LIMITS,
        placeholder: "COUNT",
        help: "Most requests in work at a time; further ones are answered 503",
        read: |d, raw| value::count(raw).map(|count| d.config.requests_max = count),
        show: |d| plain(d.config.requests_max),
        ..PLAIN
    },
    Setting {
        name: "door-bytes-max",
        group: LIMITS,
        placeholder: "SIZE",
        help: "Most bytes of bodies and large answers in memory at the doors; further requests are \
               answered 503",
        read: |d, raw| {
            d.config.door_bytes_max = optional(raw, value::length)?;
            Ok(())
        },
        show: |d| match d.config.door_bytes_max {
            Some(bytes) => size(bytes as u64),
            None => Shown::Comment("an eighth of max-memory, or the longest body".to_owned()),
        },
        ..PLAIN
    },
    Setting {
        name: "peer-bytes-max",
        group: LIMITS,
        placeholder: "SIZE",
        help: "Most bytes under way to one other node; by default 65MiB, or what the longest \
               value takes",
        read: |d, raw| value::length(raw).map(|bytes| d.config.peer_bytes_max = bytes),
        show: |d| size(d.config.peer_bytes_max as u64),
        ..PLAIN
    },
    Setting {
        name: "watchers-max",
        group: LIMITS,
        placeholder: "COUNT",
        help: "Most clients that listen at a time: streams of changes, sockets and subscribers",
        read: |d, raw| value::count(raw).map(|count| d.config.watchers_max = count),
        show: |d| plain(d.config.watchers_max),
        ..PLAIN
    },
    Setting {
        name: "subscriptions-max",
        group: LIMITS,
        placeholder: "COUNT",
        help: "Most channels, patterns, keys and prefixes that one client listens to",
        read: |d, raw| value::count(raw).map(|count| d.config.subscriptions_max = count),
        show: |d| plain(d.config.subscriptions_max),
        ..PLAIN
    },
    Setting {
        name: "watch-events-max",
        group: LIMITS,
        placeholder: "COUNT",
        help: "Most events that wait for one who listens; the oldest give way, and that is told",
        read: |d, raw| value::count(raw).map(|count| d.config.watch_events_max = count),
        show: |d| plain(d.config.watch_events_max),
        ..PLAIN
    },
    Setting {
        name: "watch-bytes-max",
        group: LIMITS,
        placeholder: "SIZE",
        help: "Most bytes of the events that wait for one who listens, but one event",
        read: |d, raw| value::length(raw).map(|bytes| d.config.watch_bytes_max = bytes),
        show: |d| size(d.config.watch_bytes_max as u64),
        ..PLAIN
    },
    Setting {
        name: "pubsub-bytes-max",
        group: LIMITS,
        placeholder: "SIZE",
        help: "Most bytes of messages that wait for a subscriber of the Redis protocol; it is closed then",
        read: |d, raw| value::length(raw).map(|bytes| d.config.pubsub_bytes_max = bytes),
        show: |d| size(d.config.pubsub_bytes_max as u64),
        ..PLAIN
    },
    Setting {
        name: "live-bytes-max",
        group: LIMITS,
        placeholder: "SIZE",
        help: "Most bytes of all events that wait for clients, and of the names that they listen to",
        read: |d, raw| value::length(raw).map(|bytes| d.config.live_bytes_max = bytes),
        show: |d| size(d.config.live_bytes_max as u64),
        ..PLAIN
    },
    Setting {
        name: "message-bytes-max",
        group: LIMITS,
        placeholder: "SIZE",
        help: "Longest message that is published, or sent over a socket, at most 16MiB",
        read: |d, raw| value::length(raw).map(|bytes| d.config.message_bytes_max = bytes),
        show: |d| size(d.config.message_bytes_max as u64),
        ..PLAIN
    },
    Setting {
        name: "header-timeout",
        group: TIMES,
        placeholder: "TIME",
        help: "Longest time for a client to send the head of its request",
        read: |d, raw| value::duration(raw).map(|span| d.config.header_timeout = span),
        show: |d| span(d.config.header_timeout),
        ..PLAIN
    },
    Setting {
        name: "idle-timeout",
        group: TIMES,
        placeholder: "TIME",
        help: "Longest silence on a connection that is kept alive, or in the middle of a body",
        read: |d, raw| value::duration(raw).map(|span| d.config.idle_timeout = span),
        show: |d| span(d.config.idle_timeout),
        ..PLAIN
    },
    Setting {
        name: "resp-idle-timeout",
        group: TIMES,
        placeholder: "TIME",
        help: "Longest silence between the requests of a Redis client; 0s is for ever",
        read: |d, raw| value::duration(raw).map(|span| d.config.resp_idle_timeout = span),
        show: |d| span(d.config.resp_idle_timeout),
        ..PLAIN
    },
    Setting {
        name: "write-timeout",
        group: TIMES,
        placeholder: "TIME",
        help: "Longest time for a client to take nothing of its answer",
        read: |d, raw| value::duration(raw).map(|span| d.config.write_timeout = span),
        show: |d| span(d.config.write_timeout),
        ..PLAIN
    },
    Setting {
        name: "request-timeout",
        group: TIMES,
        placeholder: "TIME",
        help: "Longest time for a request, retries between the nodes included",
        read: |d, raw| value::duration(raw).map(|span| d.config.request_timeout = span),
        show: |d| span(d.config.request_timeout),
        ..PLAIN
    },
    Setting {
        name: "watch-heartbeat",
        group: TIMES,
        placeholder: "TIME",
        help: "How often a stream of changes in which nothing happens says that it is still there",
        read: |d, raw| value::duration(raw).map(|span| d.config.watch_heartbeat = span),
        show: |d| span(d.config.watch_heartbeat),
        ..PLAIN
    },
    Setting {
        name: "socket-idle-timeout",
        group: TIMES,
        placeholder: "TIME",
        help: "Longest silence of a client on a WebSocket",
        read: |d, raw| value::duration(raw).map(|span| d.config.socket_idle_timeout = span),
        show: |d| span(d.config.socket_idle_timeout),
        ..PLAIN
    },
    Setting {
        name: "drain-delay",
        group: TIMES,
        placeholder: "TIME",
        help: "How long a stopping node serves on after it has said that it is not ready",
        read: |d, raw| value::duration(raw).map(|span| d.config.drain_delay = span),
        show: |d| span(d.config.drain_delay),
        ..PLAIN
    },
    Setting {
        name: "shutdown-timeout",
        group: TIMES,
        placeholder: "TIME",
        help: "Longest time from the first signal to the end, drain delay included",
        read: |d, raw| value::duration(raw).map(|span| d.config.shutdown_timeout = span),
        show: |d| span(d.config.shutdown_timeout),
        ..PLAIN
    },
    Setting {
        name: "log",
        group: LOGGING,
        placeholder: "FILTER",
        help: "What is logged: a level, and module=level for exceptions, as in \
               info,smache::node=debug",
        read: |d, raw| {
            // In YAML and TOML, neither `off` nor any level is anything but text.
            let filter = value::text(raw)?;
            check_log(&filter)?;
            d.config.log = filter;
            Ok(())
        },
        show: |d| quoted(&d.config.log),
        ..PLAIN
    },
    Setting {
        name: "log-format",
        group: LOGGING,
        placeholder: "FORM",
        help: "How it is logged: text for people, or json, one object a line",
        read: |d, raw| value::log_format(raw).map(|format| d.config.log_format = format),
        show: |d| {
            plain(match d.config.log_format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            })
        },
        ..PLAIN
    },
];

/// A file that is read later; empty means none.
fn path(raw: &Raw) -> Result<Option<PathBuf>, Reject> {
    Ok(optional(raw, value::text)?.map(PathBuf::from))
}

fn shown_path(path: Option<&PathBuf>) -> Shown {
    match path {
        Some(path) => quoted(path.display()),
        None => Shown::Comment("none".to_owned()),
    }
}
