//! Discovery: from the uplinks in the settings to addresses to dial.
//!
//! A DNS name may stand for many nodes (a headless service does): all its addresses are dialled,
//! and it is looked up again and again, because they change.

use std::collections::BTreeSet;

use crate::config::{CLUSTER_PORT_OFFSET, HTTP_PORT, Uplink};

/// All addresses of all uplinks, as `ip:port`. `own_port` is this node's cluster port: an uplink
/// without a port is looked for there as well as on the default one.
pub async fn resolve(uplinks: &[Uplink], own_port: u16) -> BTreeSet<String> {
    let mut addresses = BTreeSet::new();
    for uplink in uplinks {
        let default = HTTP_PORT + CLUSTER_PORT_OFFSET;
        let ports = uplink
            .port
            .map_or_else(|| vec![default, own_port], |port| vec![port]);
        for port in ports {
            match tokio::net::lookup_host((uplink.host.as_str(), port)).await {
                Ok(found) => addresses.extend(found.map(|address| canonical(address).to_string())),
                Err(error) => {
                    tracing::debug!(host = uplink.host, %error, "cannot resolve an uplink");
                }
            }
        }
    }
    addresses
}

/// IPv4 addresses mapped into IPv6 are the IPv4 addresses that they are.
fn canonical(address: std::net::SocketAddr) -> std::net::SocketAddr {
    std::net::SocketAddr::new(address.ip().to_canonical(), address.port())
}
