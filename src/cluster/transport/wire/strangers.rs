//! Places for connections that have not authenticated yet: so many in all, and so many for one host,
//! so that a host which takes all that it can get leaves some for the others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// Most places.
const STRANGERS_MAX: usize = 64;
/// Most places of one host.
const HOST_STRANGERS_MAX: usize = 32;

/// See the module; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Strangers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    strangers: Strangers,
    host: IpAddr,
}

impl Strangers {
    /// A place for a connection from this address, if there is one.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Place> {
        let host = host(address);
        let mut taken = self.0.lock();
        let of_host = taken.get(&host).copied().unwrap_or_default();
        let of_all: usize = taken.values().sum();
        if of_host >= HOST_STRANGERS_MAX || of_all >= STRANGERS_MAX {
            return None;
        }
        taken.insert(host, of_host + 1);
        drop(taken);
        let strangers = self.clone();
        Some(Place { strangers, host })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.strangers.0.lock();
        let left = taken.get(&self.host).map_or(0, |count| count - 1);
        match left {
            0 => drop(taken.remove(&self.host)),
            left => drop(taken.insert(self.host, left)),
        }
    }
}

/// What one host has to itself: of IPv6 that is 64 bits and more.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = v6.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_leaves_places_for_others() {
        let strangers = Strangers::default();
        let admit = |address: &str| strangers.admit(address.parse().unwrap());
        let places: Vec<Place> = (0..1_000).map_while(|_| admit("10.0.0.1")).collect();
        assert_eq!(places.len(), HOST_STRANGERS_MAX);
        assert!(admit("::ffff:10.0.0.1").is_none());
        let others: Vec<Place> = (0..100)
            .filter_map(|n| admit(&format!("10.0.1.{n}")))
            .collect();
        assert_eq!(others.len(), STRANGERS_MAX - HOST_STRANGERS_MAX);
        drop(places);
        let more: Vec<Place> = (0..100)
            .filter_map(|n| admit(&format!("fd00::{n}")))
            .collect();
        assert_eq!(more.len(), HOST_STRANGERS_MAX);
        drop((others, more));
        assert!(strangers.0.lock().is_empty());
    }
}
