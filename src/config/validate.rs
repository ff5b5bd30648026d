//! What must hold between and about the settings, whoever filled them in.
//!
//! Checked once, before a node starts: by the loader, which adds where the value came from, and by
//! a program that embeds a node. The first violation is reported with the setting's name.

use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::value::{Reject, check_cluster_name, check_node_name, uplink};
use super::{Config, RESP_PORT_OFFSET, Secret, policy};
use crate::key::{KEY_BYTES_MAX, PARTITION_COUNT};
use crate::live::MESSAGE_BYTES_LIMIT;

/// Fewest bytes of a cookie that guards a cluster beyond loopback.
pub const COOKIE_BYTES_MIN: usize = 16;
/// Least memory that a node can be told to keep to: it needs some before it holds a single value.
pub const MAX_MEMORY_MIN: u64 = 32_000_000;
/// Deepest nesting that can be allowed.
pub const JSON_DEPTH_LIMIT: usize = 512;
/// Longest value that can be allowed: with its key it must fit a message between nodes.
pub const VALUE_BYTES_LIMIT: usize = 64 << 20;
/// Most members that writes can be made to depend on.
pub const MIN_MEMBERS_LIMIT: usize = 1_024;
/// Most requests at a time that a connection can be allowed to carry.
pub const STREAMS_LIMIT: usize = 65_536;
/// Slowest that partitions may be made to move, if there is a bound at all, in bytes a second.
pub const HANDOFF_RATE_MIN: u64 = 1_000;
/// What a request body and a frame to a peer hold besides key and value.
pub const ENVELOPE_BYTES: usize = 64 << 10;

/// A setting whose value cannot stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {wrong}; right: {right}")]
pub struct Invalid {
    /// Its name, as in the file.
    pub setting: &'static str,
    /// What is wrong with it.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

fn invalid(
    setting: &'static str,
    wrong: impl Into<String>,
    right: impl Into<String>,
) -> Result<(), Invalid> {
    Err(Invalid {
        setting,
        wrong: wrong.into(),
        right: right.into(),
    })
}

fn within(
    setting: &'static str,
    value: usize,
    range: std::ops::RangeInclusive<usize>,
) -> Result<(), Invalid> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    let right = match most {
        usize::MAX => format!("at least {least}"),
        _ => format!("from {least} to {most}"),
    };
    invalid(setting, format!("{value} is out of range"), right)
}

impl Config {
    /// Checks every setting, alone and against the others.
    ///
    /// # Errors
    /// The first that cannot stand.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.validate_names()?;
        self.validate_doors()?;
        self.validate_resp_port()?;
        self.validate_certificates()?;
        self.validate_cluster()?;
        self.validate_replication()?;
        self.validate_capacity()?;
        self.validate_limits()?;
        self.validate_times()?;
        check_log(&self.log).map_err(named("log"))
    }

    fn validate_names(&self) -> Result<(), Invalid> {
        check_node_name(&self.node_name).map_err(named("node-name"))?;
        check_cluster_name(&self.cluster_name).map_err(named("cluster-name"))?;
        let Some(advertise) = &self.cluster_advertise else {
            return Ok(());
        };
        uplink(advertise).map_err(named("cluster-advertise"))?;
        Ok(())
    }

    /// As below, of the doors.
    fn validate_doors(&self) -> Result<(), Invalid> {
        let right = "tls-cert and tls-key together, or neither";
        let missing = |while_set: &str| format!("it is missing while {while_set} is set");
        match (&self.tls_cert, &self.tls_key, &self.tls_client_ca) {
            (Some(_), None, _) => invalid("tls-key", missing("tls-cert"), right),
            (None, Some(_), _) => invalid("tls-cert", missing("tls-key"), right),
            (None, None, Some(_)) => invalid(
                "tls-client-ca",
                "it means nothing while the doors do not speak TLS",
                "tls-cert and tls-key as well",
            ),
            _ => Ok(()),
        }
    }

    /// As below, of the Redis protocol's port.
    fn validate_resp_port(&self) -> Result<(), Invalid> {
        match self.wanted_resp_port() {
            None if self.resp => invalid(
                "resp-port",
                format!(
                    "{} + {RESP_PORT_OFFSET} is no port",
                    self.http_port.number()
                ),
                "a resp-port of its own beside so high a port",
            ),
            _ => Ok(()),
        }
    }

    /// Certificates are there as a whole or not at all: half of them would look like TLS.
    fn validate_certificates(&self) -> Result<(), Invalid> {
        let files = [
            ("cluster-ca", &self.cluster_ca),
            ("cluster-cert", &self.cluster_cert),
            ("cluster-key", &self.cluster_key),
        ];
        let set = |(_, file): &&(&'static str, &Option<PathBuf>)| file.is_some();
        let missing = files.iter().find(|file| !set(file));
        match (files.iter().find(set), missing) {
            (Some((given, _)), Some((missing, _))) => invalid(
                missing,
                format!("it is missing while {given} is set"),
                "cluster-ca, cluster-cert and cluster-key together, or none of them",
            ),
            _ => Ok(()),
        }
    }

    /// No door listens beyond loopback by accident, and nobody joins there without the secret.
    fn validate_cluster(&self) -> Result<(), Invalid> {
        let cookie_bytes = self.cookie.as_ref().map(|Secret(cookie)| cookie.len());
        if self.cluster_bind.is_loopback() {
            return match cookie_bytes {
                Some(0) => invalid("cookie", "it is empty", "some text, or no cookie at all"),
                _ => Ok(()),
            };
        }
        let beyond = format!("{} is beyond loopback", self.cluster_bind);
        match cookie_bytes {
            None => invalid(
                "cluster-bind",
                format!("{beyond}, and there is no cookie to keep strangers out"),
                format!(
                    "the same cookie of at least {COOKIE_BYTES_MIN} bytes on every node \
                     (COOKIE, or cookie-file), or a loopback address"
                ),
            ),
            Some(bytes) if bytes < COOKIE_BYTES_MIN => invalid(
                "cookie",
                format!("{bytes} bytes are too few while cluster-bind {beyond}"),
                format!("at least {COOKIE_BYTES_MIN} bytes, hard to guess"),
            ),
            Some(_) if !self.cluster_trusted_network && self.cluster_cert.is_none() => invalid(
                "cluster-bind",
                format!("{beyond}, and what passes between the nodes there is not encrypted"),
                "cluster-ca, cluster-cert and cluster-key on every node (`smache certs` makes \
                 them), or cluster-trusted-network if nobody else can read or change packets on \
                 that network, or a loopback address",
            ),
            Some(_) => Ok(()),
        }
    }

    fn validate_replication(&self) -> Result<(), Invalid> {
        within("min-members", self.min_members, 0..=MIN_MEMBERS_LIMIT)?;
        let backups = usize::from(self.backups);
        within("backups", backups, 0..=usize::from(policy::BACKUPS_MAX))?;
        policy::check_all(&self.policies).map_err(named("policies"))?;
        if (1..HANDOFF_RATE_MIN).contains(&self.handoff_rate) {
            return invalid(
                "handoff-rate",
                format!("{} bytes a second never come to an end", self.handoff_rate),
                format!("at least {HANDOFF_RATE_MIN}, or 0 for no bound"),
            );
        }
        if self.tombstone_horizon < self.request_timeout {
            let least = humantime::format_duration(self.request_timeout);
            return invalid(
                "tombstone-horizon",
                "a delete would be forgotten while requests from before it are in work",
                format!("at least the request-timeout of {least}"),
            );
        }
        Ok(())
    }

    fn validate_capacity(&self) -> Result<(), Invalid> {
        if let Some(bytes) = self.max_memory.filter(|bytes| *bytes < MAX_MEMORY_MIN) {
            return invalid(
                "max-memory",
                format!("{bytes} bytes are too few for a node to work in"),
                format!("at least {}MB", MAX_MEMORY_MIN / 1_000_000),
            );
        }
        within("writers", self.writers, 0..=usize::from(PARTITION_COUNT))?;
        within("threads", self.threads, 0..=1_024)
    }

    fn validate_limits(&self) -> Result<(), Invalid> {
        within("key-bytes-max", self.key_bytes_max, 1..=KEY_BYTES_MAX)?;
        for (setting, bytes) in [
            ("value-bytes-max", self.value_bytes_max),
            ("collection-bytes-max", self.collection_bytes_max),
        ] {
            if bytes > VALUE_BYTES_LIMIT {
                let most = VALUE_BYTES_LIMIT >> 20;
                return invalid(
                    setting,
                    format!("{bytes} bytes are more than a message between nodes can carry"),
                    format!("at most {most}MiB"),
                );
            }
            within(setting, bytes, 2..=usize::MAX)?;
        }
        within("json-depth-max", self.json_depth_max, 1..=JSON_DEPTH_LIMIT)?;
        let longest = self.value_bytes_max.max(self.collection_bytes_max);
        for (setting, bytes, longest, of) in [
            (
                "body-bytes-max",
                self.body_bytes_max,
                self.value_bytes_max,
                "value-bytes-max",
            ),
            (
                "peer-bytes-max",
                self.peer_bytes_max,
                longest,
                "value-bytes-max and collection-bytes-max",
            ),
        ] {
            let whole = longest + self.key_bytes_max;
            if bytes < whole {
                return invalid(
                    setting,
                    format!("{bytes} bytes do not hold the longest key and value"),
                    format!("at least {whole}, or a smaller {of}"),
                );
            }
        }
        if let Some(bytes) = self.door_bytes_max.filter(|b| *b < self.body_bytes_max) {
            return invalid(
                "door-bytes-max",
                format!("{bytes} bytes do not hold the longest body"),
                format!(
                    "at least {}, or a smaller body-bytes-max",
                    self.body_bytes_max
                ),
            );
        }
        within("request-keys-max", self.request_keys_max, 1..=usize::MAX)?;
        within("connections-max", self.connections_max, 1..=usize::MAX)?;
        within("streams-max", self.streams_max, 1..=STREAMS_LIMIT)?;
        within("requests-max", self.requests_max, 1..=usize::MAX)?;
        self.validate_live()
    }

    /// No watchers at all are allowed: then nobody can watch.
    fn validate_live(&self) -> Result<(), Invalid> {
        let any = 1..=usize::MAX;
        within("subscriptions-max", self.subscriptions_max, any.clone())?;
        within("watch-events-max", self.watch_events_max, any.clone())?;
        within("watch-bytes-max", self.watch_bytes_max, any.clone())?;
        within("pubsub-bytes-max", self.pubsub_bytes_max, any.clone())?;
        within("live-bytes-max", self.live_bytes_max, any)?;
        let messages = 2 << 10..=MESSAGE_BYTES_LIMIT;
        within("message-bytes-max", self.message_bytes_max, messages)
    }

    fn validate_times(&self) -> Result<(), Invalid> {
        for (setting, span) in [
            ("header-timeout", self.header_timeout),
            ("idle-timeout", self.idle_timeout),
            ("write-timeout", self.write_timeout),
            ("request-timeout", self.request_timeout),
            ("shutdown-timeout", self.shutdown_timeout),
            ("watch-heartbeat", self.watch_heartbeat),
            ("socket-idle-timeout", self.socket_idle_timeout),
        ] {
            if span == Duration::ZERO {
                return invalid(setting, "no time at all", "more than zero, as in 2s");
            }
        }
        if self.shutdown_timeout <= self.drain_delay {
            let delay = humantime::format_duration(self.drain_delay);
            return invalid(
                "shutdown-timeout",
                format!("it ends before the drain delay of {delay} is over"),
                format!("longer than {delay}, or a shorter drain-delay"),
            );
        }
        Ok(())
    }
}

fn named(setting: &'static str) -> impl Fn(Reject) -> Invalid {
    move |Reject { wrong, right }| Invalid {
        setting,
        wrong,
        right,
    }
}

/// Whether some text is a log filter.
///
/// A bare word that is no level would be read as the name of a module, and silence all others:
/// `inof` for `info`. Only this program's own modules may be named so.
///
/// # Errors
/// When it is none.
pub fn check_log(filter: &str) -> Result<(), Reject> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let reject = |wrong: String| Reject {
        wrong,
        right: "a level (off, error, warn, info, debug, trace) or module=level, with commas \
                between several, as in info,smache::node=debug"
            .to_owned(),
    };
    let known = |word: &str| {
        LEVELS.contains(&word.to_ascii_lowercase().as_str())
            || word == "smache"
            || word.starts_with("smache::")
            || word.contains(['=', '['])
    };
    if filter.trim().is_empty() {
        return Err(reject("it is empty".to_owned()));
    }
    match filter.split(',').map(str::trim).find(|word| !known(word)) {
        Some(word) if !filter.contains('[') => Err(reject(format!("`{word}` is no level"))),
        _ => EnvFilter::try_new(filter)
            .map(drop)
            .map_err(|error| reject(format!("`{filter}` is no filter: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::config::Port;

    fn refused(change: impl FnOnce(&mut Config)) -> Invalid {
        let mut config = Config::default();
        change(&mut config);
        config.validate().unwrap_err()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn beyond_loopback_takes_a_cookie_and_a_word() {
        let any: IpAddr = [0, 0, 0, 0].into();
        let mut config = Config {
            cluster_bind: any,
            ..Config::default()
        };
        let missing = config.validate().unwrap_err();
        assert_eq!(missing.setting, "cluster-bind");
        assert!(missing.wrong.contains("no cookie"), "{missing}");
        config.cookie = Some(Secret("short".to_owned()));
        assert_eq!(config.validate().unwrap_err().setting, "cookie");
        config.cookie = Some(Secret("c".repeat(COOKIE_BYTES_MIN)));
        let plain = config.validate().unwrap_err();
        assert!(plain.right.contains("cluster-trusted-network"), "{plain}");
        assert!(plain.right.contains("cluster-ca"), "{plain}");
        let trusted = Config {
            cluster_trusted_network: true,
            ..config.clone()
        };
        assert_eq!(trusted.validate(), Ok(()));
        // Certificates do as well, but not without the cookie.
        let file = Some(PathBuf::from("a.pem"));
        config.cluster_ca.clone_from(&file);
        config.cluster_cert.clone_from(&file);
        config.cluster_key = file;
        assert_eq!(config.validate(), Ok(()));
        config.cookie = None;
        assert_eq!(config.validate().unwrap_err().setting, "cluster-bind");
    }

    #[test]
    fn certificates_are_all_there_or_none() {
        type Field = fn(&mut Config) -> &mut Option<PathBuf>;
        let fields: [(&str, Field); 3] = [
            ("cluster-ca", |c| &mut c.cluster_ca),
            ("cluster-cert", |c| &mut c.cluster_cert),
            ("cluster-key", |c| &mut c.cluster_key),
        ];
        for (at, (_, alone)) in fields.iter().enumerate() {
            let said = refused(|config| *alone(config) = Some("a.pem".into()));
            let first_missing = fields[usize::from(at == 0)].0;
            assert_eq!(said.setting, first_missing, "{said}");
        }
    }

    #[test]
    fn a_doors_certificate_has_its_key() {
        let file = || Some(PathBuf::from("a.pem"));
        assert_eq!(refused(|c| c.tls_cert = file()).setting, "tls-key");
        assert_eq!(refused(|c| c.tls_key = file()).setting, "tls-cert");
        let said = refused(|c| c.tls_client_ca = file());
        assert_eq!(said.setting, "tls-client-ca");
        let all = Config {
            tls_cert: file(),
            tls_key: file(),
            tls_client_ca: file(),
            ..Config::default()
        };
        assert_eq!(all.validate(), Ok(()));
    }

    #[test]
    fn every_limit_is_named() {
        type Change = fn(&mut Config);
        let changes: [(&str, Change); 33] = [
            ("resp-port", |c| c.http_port = Port::Exactly(65_000)),
            ("min-members", |c| c.min_members = 1_025),
            ("backups", |c| c.backups = 4),
            ("policies", |c| {
                c.policies
                    .insert("a:b".to_owned(), policy::Policy::default());
            }),
            ("policies", |c| {
                let policy = policy::Policy {
                    backups: Some(4),
                    acknowledge: None,
                };
                c.policies.insert("a".to_owned(), policy);
            }),
            ("handoff-rate", |c| c.handoff_rate = 999),
            ("tombstone-horizon", |c| {
                c.tombstone_horizon = Duration::from_secs(1)
            }),
            ("node-name", |c| c.node_name = "nobody".to_owned()),
            ("cluster-advertise", |c| {
                c.cluster_advertise = Some("a b".to_owned())
            }),
            ("max-memory", |c| c.max_memory = Some(0)),
            ("writers", |c| c.writers = 4_097),
            ("threads", |c| c.threads = 2_000),
            ("key-bytes-max", |c| c.key_bytes_max = 0),
            ("key-bytes-max", |c| c.key_bytes_max = 4_097),
            ("value-bytes-max", |c| c.value_bytes_max = 0),
            ("value-bytes-max", |c| {
                c.value_bytes_max = (64 << 20) + 1;
                c.body_bytes_max = 1 << 30;
                c.peer_bytes_max = 1 << 30;
            }),
            ("collection-bytes-max", |c| c.collection_bytes_max = 1),
            ("collection-bytes-max", |c| {
                c.collection_bytes_max = (64 << 20) + 1;
                c.peer_bytes_max = 1 << 30;
            }),
            ("json-depth-max", |c| c.json_depth_max = 0),
            ("json-depth-max", |c| c.json_depth_max = 513),
            ("body-bytes-max", |c| c.body_bytes_max = c.value_bytes_max),
            ("peer-bytes-max", |c| c.peer_bytes_max = 1),
            ("request-keys-max", |c| c.request_keys_max = 0),
            ("connections-max", |c| c.connections_max = 0),
            ("streams-max", |c| c.streams_max = 0),
            ("streams-max", |c| c.streams_max = STREAMS_LIMIT + 1),
            ("requests-max", |c| c.requests_max = 0),
            ("door-bytes-max", |c| {
                c.door_bytes_max = Some(c.body_bytes_max - 1)
            }),
            ("write-timeout", |c| c.write_timeout = Duration::ZERO),
            ("header-timeout", |c| c.header_timeout = Duration::ZERO),
            ("request-timeout", |c| c.request_timeout = Duration::ZERO),
            ("shutdown-timeout", |c| {
                c.drain_delay = Duration::from_secs(30)
            }),
            ("log", |c| c.log = "inof".to_owned()),
        ];
        for (setting, change) in changes {
            assert_eq!(refused(change).setting, setting);
        }
    }

    #[test]
    fn zero_is_a_value_where_it_means_something() {
        let config = Config {
            writers: 0,
            threads: 0,
            min_members: 0,
            backups: 0,
            handoff_rate: 0,
            drain_delay: Duration::ZERO,
            join_timeout: Duration::ZERO,
            ..Config::default()
        };
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn log_filters() {
        for right in [
            "info",
            "OFF",
            "warn,smache=debug",
            "smache::node",
            "hyper=info",
        ] {
            assert_eq!(check_log(right), Ok(()), "{right}");
        }
        for wrong in ["", "inof", "info,verbose", "smache=loud"] {
            assert!(check_log(wrong).is_err(), "{wrong}");
        }
    }
}
