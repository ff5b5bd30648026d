//! How a node meets others: not at all, over the in-memory network, or over the real one.
//!
//! Called once by [`Node::start`](super::Node::start), with a configuration that was validated: a
//! cluster listener without a cookie is on loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::security::Security;
use super::{Error, Meeting, ports};
use crate::clock::Clock;
use crate::cluster::actor::{self as cluster_actor, Mailbox, Uplinks};
use crate::cluster::machine::Machine;
use crate::cluster::membership;
use crate::cluster::peer::{self, Peers};
use crate::cluster::transport::datagram::{self, Datagrams, Keys};
use crate::cluster::transport::wire::{self, WireTransport};
use crate::cluster::transport::{Identity, Transport};
use crate::config::Config;
use crate::config::policy::Policies;
use crate::replication::Lanes;
use crate::router::Router;

/// The cookie of a cluster that has none: it listens on loopback only.
const NO_COOKIE: &str = "no cookie: loopback only";

/// The parts of the cluster that depend on how a node meets others.
pub(super) struct Connected {
    pub(super) peers: Peers,
    pub(super) transport: Option<Arc<dyn Transport>>,
    /// What was counted of its datagrams.
    pub(super) datagrams: Arc<datagram::Counters>,
    pub(super) address: Option<SocketAddr>,
    pub(super) advertised: String,
    pub(super) security: Option<Security>,
}

/// Makes the links, and the transport beneath them.
pub(super) async fn connect(
    config: &Config,
    meeting: &Meeting,
    identity: &Identity,
    router: &Router,
    lanes: &Lanes,
    mailbox: Mailbox,
) -> Result<Connected, Error> {
    let here = tokio::runtime::Handle::current();
    let peers = |links_runtime| {
        Peers::new(peer::Options {
            router: router.clone(),
            lanes: lanes.clone(),
            links_runtime,
            requests_runtime: here.clone(),
            bytes_max: config.peer_bytes_max,
            news: Box::new(move |news| mailbox.cast(cluster_actor::Message::News(news))),
        })
    };
    match meeting {
        Meeting::Alone => Ok(Connected {
            peers: peers(here.clone()),
            transport: None,
            datagrams: Arc::default(),
            address: None,
            advertised: String::new(),
            security: None,
        }),
        Meeting::Memory { network, address } => {
            let peers = peers(here.clone());
            let transport: Arc<dyn Transport> =
                Arc::new(network.attach(address, identity.clone(), peers.sink()));
            peers.attach(Arc::clone(&transport));
            let transport = Some(transport);
            Ok(Connected {
                peers,
                transport,
                datagrams: Arc::default(),
                address: None,
                advertised: address.clone(),
                security: None,
            })
        }
        Meeting::Network => {
            let security = Security::load(config)?;
            let listened =
                ports::listen_both("the cluster", config.cluster_bind, config.cluster_port);
            let (listener, socket) = listened.await?;
            let listener = listener.into_std().map_err(wire::Error::Io)?;
            let cookie = config
                .cookie
                .as_ref()
                .map_or(NO_COOKIE, |cookie| cookie.0.as_str());
            let options = wire::Options {
                identity: identity.clone(),
                listener,
                cookie: cookie.to_owned(),
                tls: security.tls.clone(),
                counters: Arc::clone(&security.counters),
            };
            let thread = wire::Thread::start().map_err(wire::Error::Io)?;
            let datagrams = datagram::Options {
                identity: identity.clone(),
                socket,
                keys: Keys::derive(cookie, &config.cluster_name),
                runtime: thread.runtime(),
            };
            let peers = peers(thread.runtime());
            let sessions = WireTransport::start(thread, options, peers.sink()).await?;
            let address = sessions.address();
            let transport = Datagrams::start(datagrams, Arc::new(sessions), peers.sink())
                .map_err(wire::Error::Io)?;
            let datagrams = transport.counters();
            let transport: Arc<dyn Transport> = Arc::new(transport);
            peers.attach(Arc::clone(&transport));
            let advertised = match &config.cluster_advertise {
                None => format!(":{}", address.port()),
                Some(host) if has_port(host) => host.clone(),
                Some(host) => format!("{host}:{}", address.port()),
            };
            Ok(Connected {
                peers,
                transport: Some(transport),
                datagrams,
                address: Some(address),
                advertised,
                security: Some(security),
            })
        }
    }
}

/// On an in-memory network an uplink's host is an address; elsewhere it is a name to look up.
pub(super) fn uplinks(config: &Config, address: Option<SocketAddr>) -> Uplinks {
    let uplinks = config.uplinks.clone();
    match address {
        Some(address) if !uplinks.is_empty() => Uplinks::Names {
            uplinks,
            own_port: address.port(),
        },
        _ => Uplinks::Fixed(uplinks.into_iter().map(|uplink| uplink.host).collect()),
    }
}

/// Whether `host` ends with a port: `host:1`, `[::1]:1`, but not `::1`.
fn has_port(host: &str) -> bool {
    match host.rsplit_once(':') {
        Some((before, port)) => {
            port.parse::<u16>().is_ok() && (!before.contains(':') || before.ends_with(']'))
        }
        None => false,
    }
}

/// The cluster's decisions, at the node's start.
pub(super) fn machine(
    config: &Config,
    identity: &Identity,
    connected: &Connected,
    clock: &Clock,
) -> Arc<Mutex<Machine>> {
    let timing = membership::Timing {
        join_timeout: config.join_timeout,
        ..membership::Timing::default()
    };
    let options = membership::Options {
        identity: identity.clone(),
        cluster: config.cluster_name.clone(),
        address: connected.advertised.clone(),
        has_uplinks: !config.uplinks.is_empty(),
        timing,
        seed: rand::random(),
    };
    let backups = usize::from(Policies::new(config).backups_max());
    Arc::new(Mutex::new(Machine::new(options, backups, clock.now())))
}
