//! `INFO`: figures of the node, under the names that Redis's tools look for.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use super::Shared;
use super::call::{Answered, Call, Flow};
use super::request::Arguments;
use super::server;
use super::session::REDIS_VERSION;
use super::table::{Flags, Spec};
use crate::router::MemberState;

pub(super) const COMMANDS: &[Spec] = &[Spec::new("info", -1, info)
    .flags(Flags::EARLY)
    .flags(Flags::DANGEROUS)
    .about("1.0.0", "O(1)", "Returns figures of the node, by section.")];

/// Figures that only grow, of which [`reset`] makes a beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Begin {
    connections: u64,
    commands: u64,
    rejected: u64,
    errors: u64,
    hits: u64,
    misses: u64,
    evictions: u64,
    expirations: u64,
}

impl Begin {
    fn now(shared: &Shared) -> Begin {
        let table = shared.context.reporter.table();
        Begin {
            connections: shared.clients.taken(),
            commands: shared.calls.iter().map(|calls| calls.load(Relaxed)).sum(),
            rejected: shared.turned_away.load(Relaxed),
            errors: shared.errors.load(Relaxed),
            hits: table.hits,
            misses: table.misses,
            evictions: table.evictions,
            expirations: table.expirations,
        }
    }

    fn since(self, begin: Begin) -> Begin {
        Begin {
            connections: self.connections.saturating_sub(begin.connections),
            commands: self.commands.saturating_sub(begin.commands),
            rejected: self.rejected.saturating_sub(begin.rejected),
            errors: self.errors.saturating_sub(begin.errors),
            hits: self.hits.saturating_sub(begin.hits),
            misses: self.misses.saturating_sub(begin.misses),
            evictions: self.evictions.saturating_sub(begin.evictions),
            expirations: self.expirations.saturating_sub(begin.expirations),
        }
    }
}

/// `CONFIG RESETSTAT`: the figures of this door begin anew. What `/metrics` tells does not.
pub(super) fn reset(shared: &Shared) {
    *shared.begin.lock() = Begin::now(shared);
}

type Write = fn(&Shared, &mut Section);

/// The sections, in Redis's order.
const SECTIONS: &[(&str, Write)] = &[
    ("Server", server_section),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
];

/// Lines of a section.
struct Section(String);

impl Section {
    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

fn info(call: Call<'_>, arguments: Arguments<'_>) -> Answered {
    let is = |wanted: &[u8], name: &str| wanted.eq_ignore_ascii_case(name.as_bytes());
    let all = ["all", "default", "everything"];
    let wants = |name: &str| {
        arguments.len() == 1
            || arguments
                .from(1)
                .any(|wanted| is(wanted, name) || all.iter().any(|all| is(wanted, all)))
    };
    let mut text = String::new();
    for (name, write) in SECTIONS {
        if !wants(name) {
            continue;
        }
        let mut section = Section(String::new());
        write(call.shared, &mut section);
        let between = if text.is_empty() { "" } else { "\r\n" };
        let _ = write!(text, "{between}# {name}\r\n{}", section.0);
    }
    call.out.verbatim("txt", &text);
    Ok(Flow::Done)
}

fn server_section(shared: &Shared, out: &mut Section) {
    let seconds = shared.context.reporter.uptime_ms() / 1_000;
    out.line("redis_version", REDIS_VERSION);
    out.line("smache_version", env!("CARGO_PKG_VERSION"));
    out.line("redis_mode", "standalone");
    out.line("os", std::env::consts::OS);
    out.line("arch_bits", usize::BITS);
    out.line("multiplexing_api", "epoll");
    out.line("process_id", std::process::id());
    out.line("run_id", &shared.run_id);
    out.line("tcp_port", shared.port());
    out.line("server_time_usec", shared.context.clock.now().0 * 1_000);
    out.line("uptime_in_seconds", seconds);
    out.line("uptime_in_days", seconds / 86_400);
    out.line("node_name", shared.context.router.name());
}

fn clients(shared: &Shared, out: &mut Section) {
    let open = shared.clients.open();
    let listening = open.iter().filter(|client| client.listens()).count();
    out.line("connected_clients", open.len());
    out.line("maxclients", shared.connections_max.load(Relaxed));
    out.line("blocked_clients", shared.blocked.load(Relaxed));
    out.line("pubsub_clients", listening);
    out.line("requests_in_work", shared.in_work.load(Relaxed));
}

/// A number of bytes for people.
fn human(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    match units.iter().find(|(shift, _)| bytes >= 1 << shift) {
        Some((shift, unit)) => {
            let hundredths = (u128::from(bytes) * 100) >> shift;
            format!("{}.{:02}{unit}", hundredths / 100, hundredths % 100)
        }
        None => format!("{bytes}B"),
    }
}

fn memory(shared: &Shared, out: &mut Section) {
    let reporter = &shared.context.reporter;
    let table = reporter.table();
    let (used, rss, most) = (
        table.committed_bytes,
        reporter.rss_bytes(),
        reporter.memory_limit_bytes(),
    );
    out.line("used_memory", used);
    out.line("used_memory_human", human(used));
    out.line("used_memory_rss", rss);
    out.line("used_memory_rss_human", human(rss));
    out.line("used_memory_dataset", table.data_bytes);
    out.line(
        "used_memory_overhead",
        used.saturating_sub(table.data_bytes),
    );
    out.line("used_memory_doors", shared.context.budget.used());
    out.line("maxmemory", most);
    out.line("maxmemory_human", human(most));
    out.line("maxmemory_policy", "allkeys-lfu");
    out.line("mem_allocator", "mimalloc");
}

/// Nothing is kept beyond the process. Clients look here whether they may begin.
fn persistence(shared: &Shared, out: &mut Section) {
    let loading = !shared.context.readiness.serves();
    out.line("loading", u8::from(loading));
    out.line("rdb_changes_since_last_save", 0);
    out.line("rdb_bgsave_in_progress", 0);
    out.line("aof_enabled", 0);
    out.line("aof_rewrite_in_progress", 0);
}

fn stats(shared: &Shared, out: &mut Section) {
    let figures = Begin::now(shared).since(*shared.begin.lock());
    out.line("total_connections_received", figures.connections);
    out.line("total_commands_processed", figures.commands);
    out.line("rejected_connections", figures.rejected);
    out.line("expired_keys", figures.expirations);
    out.line("evicted_keys", figures.evictions);
    out.line("keyspace_hits", figures.hits);
    out.line("keyspace_misses", figures.misses);
    let hub = shared.context.router.live();
    out.line("pubsub_channels", hub.channel_count());
    out.line("pubsub_patterns", hub.patterns());
    out.line("pubsubshard_channels", 0);
    out.line("total_error_replies", figures.errors);
}

/// Every node orders the writes of the keys that it owns; what Redis calls replicas there are none.
fn replication(shared: &Shared, out: &mut Section) {
    let config = &shared.context.config;
    let copies = shared.context.reporter.replication();
    out.line("role", "master");
    out.line("connected_slaves", 0);
    out.line("backups_per_key", config.backups);
    out.line("acknowledge", config.acknowledge);
    out.line("missing_copies", copies.missing_copies);
    out.line("backlog_bytes", copies.backlog_bytes);
}

fn cluster(shared: &Shared, out: &mut Section) {
    let map = shared.context.router.map();
    let members = map.members();
    let up = |member: &&&crate::router::Member| matches!(member.state, MemberState::Up);
    // In Redis's sense, in which clients must know who has which key.
    out.line("cluster_enabled", 0);
    out.line("cluster_nodes", members.len());
    out.line("cluster_nodes_up", members.iter().filter(up).count());
    out.line(
        "partitions_owned",
        map.owned_by(shared.context.router.node()),
    );
    out.line("partitions_unowned", map.unowned());
}

fn keyspace(shared: &Shared, out: &mut Section) {
    let (keys, expires) = server::keys(&shared.context.router);
    if keys > 0 {
        let average = average_ttl_ms(shared);
        out.line(
            "db0",
            format_args!("keys={keys},expires={expires},avg_ttl={average}"),
        );
    }
}

/// How long the values on this node that expire have yet to live, on average; 0 if there are none.
fn average_ttl_ms(shared: &Shared) -> u64 {
    let table = shared.context.reporter.table();
    let sum = table.expire_at_sum_ms;
    let mean = sum.checked_div(u128::from(table.expiring)).unwrap_or(0);
    let mean = u64::try_from(mean).unwrap_or(u64::MAX);
    mean.saturating_sub(shared.context.clock.now().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in [
            (0, "0B"),
            (1_023, "1023B"),
            (1_024, "1.00K"),
            (1_536, "1.50K"),
            (5 << 30, "5.00G"),
            (u64::MAX, "16777215.99T"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
