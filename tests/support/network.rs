//! Machines of a network that can be cut: a network namespace for each, on a bridge in another one.
//!
//! A cut is silent, as a pulled cable is: the sender is given a hardware address for the receiver
//! that nobody has, so that what it sends arrives nowhere. That needs no firewall, holds for each
//! direction by itself, and leaves the tests' own way to every node open. Everything is named after
//! this process, and removed when the [`Network`] goes out of scope.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::process::Start;

/// Locally administered, and of no device.
const NOBODY: &str = "02:00:00:00:00:01";
/// The tests' own address ends so, on every network.
const OURS: u8 = 254;

static OPENED: AtomicU32 = AtomicU32::new(0);

/// See the module.
pub(crate) struct Network {
    ip: &'static str,
    name: String,
    number: u32,
    machines: usize,
}

impl Network {
    /// A network of so many machines. `None`, said aloud, where that takes rights or a program that
    /// are missing; on a root's CI that is a failure.
    pub(crate) fn of(machines: usize) -> Option<Network> {
        let ip = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];
        let ip = ip.into_iter().find(|path| Path::new(path).exists());
        let opened = match ip {
            None => Err("the program ip (Debian package: iproute2) is missing".to_owned()),
            Some(_) if !is_root() => Err("only root can make network namespaces".to_owned()),
            Some(ip) => Network::open(ip, machines),
        };
        let must = is_root() && std::env::var("CI").is_ok_and(|ci| ci == "true");
        match opened {
            Ok(network) => Some(network),
            Err(why) if must => panic!("cuts between processes cannot be tested: {why}"),
            Err(why) => {
                eprintln!("NOT TESTED: cuts between real processes: {why}");
                None
            }
        }
    }

    fn open(ip: &'static str, machines: usize) -> Result<Network, String> {
        let pid = std::process::id();
        let opened = OPENED.fetch_add(1, Ordering::Relaxed);
        let network = Network {
            ip,
            name: format!("sm{pid}x{opened}"),
            // Networks of other processes on this machine are other ones.
            number: pid.wrapping_mul(8).wrapping_add(opened) % (128 * 256),
            machines,
        };
        network.build()?;
        Ok(network)
    }

    fn build(&self) -> Result<(), String> {
        let (hub, ours) = (self.hub(), self.ours());
        self.ip(&["netns", "add", &hub])?;
        self.ip(&["-n", &hub, "link", "add", "hub", "type", "bridge"])?;
        self.ip(&["-n", &hub, "link", "set", "hub", "up"])?;
        // The tests' own way in.
        self.plug("ours", &ours, None)?;
        self.ip(&["addr", "add", &self.address_and_length(OURS), "dev", &ours])?;
        self.ip(&["link", "set", &ours, "up"])?;
        for machine in 0..self.machines {
            let namespace = self.namespace(machine);
            self.ip(&["netns", "add", &namespace])?;
            self.plug(&format!("port{machine}"), "eth0", Some(&namespace))?;
            let address = self.address_and_length(machine as u8 + 1);
            let inside = ["-n", &namespace];
            self.ip(&[&inside[..], &["addr", "add", &address, "dev", "eth0"]].concat())?;
            self.ip(&[&inside[..], &["link", "set", "eth0", "up"]].concat())?;
            self.ip(&[&inside[..], &["link", "set", "lo", "up"]].concat())?;
        }
        Ok(())
    }

    /// A cable from a port of the hub to a device in a namespace, or here.
    fn plug(&self, port: &str, device: &str, namespace: Option<&str>) -> Result<(), String> {
        let hub = self.hub();
        let cable = ["-n", &hub, "link", "add", port, "type", "veth"];
        let here = std::process::id().to_string();
        let end = ["peer", "name", device, "netns", namespace.unwrap_or(&here)];
        self.ip(&[&cable[..], &end[..]].concat())?;
        self.ip(&["-n", &hub, "link", "set", port, "master", "hub"])?;
        self.ip(&["-n", &hub, "link", "set", port, "up"])
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn ours(&self) -> String {
        self.name.clone()
    }

    fn namespace(&self, machine: usize) -> String {
        format!("{}-{machine}", self.name)
    }

    fn host(&self, last: u8) -> Ipv4Addr {
        let [_, _, high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(10, 64 + high, low, last)
    }

    fn address_and_length(&self, last: u8) -> String {
        format!("{}/24", self.host(last))
    }

    /// Of a machine.
    pub(crate) fn address(&self, machine: usize) -> Ipv4Addr {
        self.host(machine as u8 + 1)
    }

    /// A node on a machine, reached at the machine's address.
    pub(crate) fn node(&self, machine: usize, name: &str) -> Start {
        let namespace = self.namespace(machine);
        let address = self.address(machine);
        let start = Start::node(name).by_way_of(&[self.ip, "netns", "exec", &namespace]);
        start
            .flag("bind", address)
            .flag("cluster-bind", address)
            .flag("cluster-trusted-network", true)
            .variable("COOKIE", "the cookie of machines that may be cut off")
    }

    /// Nothing that `from` sends reaches `to` any more.
    pub(crate) fn cut_one_way(&self, from: usize, to: usize) {
        let (namespace, to) = (self.namespace(from), self.address(to).to_string());
        let set = ["-n", &namespace, "neigh", "replace", &to, "dev", "eth0"];
        self.must(&[&set[..], &["lladdr", NOBODY, "nud", "permanent"]].concat());
    }

    /// What `from` sends reaches `to` again.
    pub(crate) fn heal_one_way(&self, from: usize, to: usize) {
        let (namespace, to) = (self.namespace(from), self.address(to).to_string());
        self.must(&["-n", &namespace, "neigh", "del", &to, "dev", "eth0"]);
    }

    /// Cuts every way between the machines of one side and those of the other.
    pub(crate) fn cut(&self, one: &[usize], other: &[usize]) {
        for (a, b) in pairs(one, other) {
            self.cut_one_way(a, b);
            self.cut_one_way(b, a);
        }
    }

    /// Heals what [`Network::cut`] cut.
    pub(crate) fn heal(&self, one: &[usize], other: &[usize]) {
        for (a, b) in pairs(one, other) {
            self.heal_one_way(a, b);
            self.heal_one_way(b, a);
        }
    }

    fn must(&self, args: &[&str]) {
        self.ip(args).unwrap_or_else(|error| panic!("{error}"));
    }

    fn ip(&self, args: &[&str]) -> Result<(), String> {
        let ran = Command::new(self.ip).args(args).output();
        let ran = ran.map_err(|error| format!("{}: {error}", self.ip))?;
        if ran.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ran.stderr);
        Err(format!("ip {}: {}", args.join(" "), said.trim()))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What was not made cannot be removed, when opening failed half-way.
        let _ = self.ip(&["link", "del", &self.ours()]);
        for machine in 0..self.machines {
            let _ = self.ip(&["netns", "del", &self.namespace(machine)]);
        }
        let _ = self.ip(&["netns", "del", &self.hub()]);
    }
}

fn pairs(one: &[usize], other: &[usize]) -> Vec<(usize, usize)> {
    let with_all = |a: &usize| other.iter().map(|b| (*a, *b)).collect::<Vec<_>>();
    one.iter().flat_map(with_all).collect()
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    // Real, effective, saved, of the file system.
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}
