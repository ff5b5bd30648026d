//! `GET /metrics`: every figure of the node, each with what it means.

mod access;
mod live;
mod replication;

use std::sync::atomic::{AtomicU64, Ordering};

use super::front::Shared;
use crate::metrics::Sheet;
use crate::node::status::State;
use crate::router::MemberState;
use crate::writer;

/// The figures, as Prometheus reads them.
pub(super) fn text(shared: &Shared) -> String {
    let mut sheet = Sheet::new();
    node(shared, &mut sheet);
    table(shared, &mut sheet);
    cluster(shared, &mut sheet);
    gossip(shared, &mut sheet);
    replication::write(shared, &mut sheet);
    peers(shared, &mut sheet);
    security(shared, &mut sheet);
    let context = &shared.context;
    access::write(&context.access, context.tls.as_ref(), &mut sheet);
    writers(shared, &mut sheet);
    door(shared, &mut sheet);
    if let Some(resp) = shared.resp.get() {
        resp.tell(&mut sheet);
    }
    #[cfg(feature = "grpc")]
    calls(shared, &mut sheet);
    live::write(shared, &mut sheet);
    sheet.into_text()
}

fn node(shared: &Shared, sheet: &mut Sheet) {
    let context = &shared.context;
    sheet.gauges(
        "smache_build_info",
        "Always 1; the labels say which program and node this is",
        [(
            vec![
                ("version", env!("CARGO_PKG_VERSION").to_owned()),
                ("node", context.router.name().to_string()),
            ],
            1.0,
        )],
    );
    sheet.gauge(
        "smache_uptime_seconds",
        "Time since the node was started",
        context.reporter.uptime_ms() as f64 / 1_000.0,
    );
    sheet.gauge(
        "smache_ready",
        "1 while the node has joined and is not about to stop, else 0",
        f64::from(u8::from(context.readiness.state() == State::Ready)),
    );
    sheet.counter(
        "smache_actor_restarts",
        "Actors started again because they had failed; more than ten in ten seconds end the node",
        context.reporter.restarts(),
    );
}

fn table(shared: &Shared, sheet: &mut Sheet) {
    let reporter = &shared.context.reporter;
    let table = reporter.table();
    let result = |name: &str| vec![("result", name.to_owned())];
    sheet.counters(
        "smache_reads",
        "Reads of keys that this node owns, by whether they found a value",
        [(result("hit"), table.hits), (result("miss"), table.misses)],
    );
    sheet.counter(
        "smache_evictions",
        "Entries removed before their time to make room under the memory limit",
        table.evictions,
    );
    sheet.counter(
        "smache_expirations",
        "Entries removed because their time to live had passed",
        table.expirations,
    );
    sheet.gauge(
        "smache_entries",
        "Entries held; expired ones count until they are swept, within about a second",
        table.entries as f64,
    );
    sheet.gauge(
        "smache_data_bytes",
        "Bytes of the keys and values held",
        table.data_bytes as f64,
    );
    sheet.gauge(
        "smache_committed_bytes",
        "Bytes that the tables take from the system: data, index, timers and free room",
        table.committed_bytes as f64,
    );
    sheet.gauge(
        "smache_resident_bytes",
        "Bytes of memory that the whole process holds resident",
        reporter.rss_bytes() as f64,
    );
    sheet.gauge(
        "smache_memory_limit_bytes",
        "Bytes that the process may hold resident; entries are evicted to stay below",
        reporter.memory_limit_bytes() as f64,
    );
}

fn gossip(shared: &Shared, sheet: &mut Sheet) {
    let gossip = shared.context.reporter.gossip();
    sheet.counter(
        "smache_gossip_suspicions",
        "Members that this node began to suspect of being down",
        gossip.suspicions,
    );
    sheet.counter(
        "smache_gossip_refutations",
        "Suspicions of this node by others that it refuted",
        gossip.refutations,
    );
    sheet.counter(
        "smache_gossip_downs",
        "Members that went down, by the word of this node or of others",
        gossip.downs,
    );
    let what = |name: &str| vec![("what", name.to_owned())];
    sheet.counters(
        "smache_datagrams",
        "Gossip datagrams: sent, received, refused (foreign, broken, seen before or too many), and \
         failed for want of the system or of room in a queue",
        [
            (what("sent"), gossip.datagrams_out),
            (what("received"), gossip.datagrams_in),
            (what("refused"), gossip.datagrams_refused),
            (what("failed"), gossip.datagrams_failed),
        ],
    );
}

fn cluster(shared: &Shared, sheet: &mut Sheet) {
    let router = &shared.context.router;
    let map = router.map();
    let partitions = |name: &str| vec![("state", name.to_owned())];
    sheet.gauges(
        "smache_partitions",
        "Partitions: owned by this node, copies being made here, owned by nobody",
        [
            (partitions("owned"), map.owned_by(router.node()) as f64),
            (
                partitions("arriving"),
                router.map().figures().arriving as f64,
            ),
            (partitions("unowned"), map.unowned() as f64),
        ],
    );
    let members = map.members();
    let count = |state| {
        members
            .iter()
            .filter(|member| member.state == state)
            .count() as f64
    };
    sheet.gauges(
        "smache_members",
        "Nodes of the cluster that this one knows, itself among them, by their state",
        [
            (partitions("up"), count(MemberState::Up)),
            (partitions("leaving"), count(MemberState::Leaving)),
            (partitions("down"), count(MemberState::Down)),
        ],
    );
    let counters = router.counters();
    let answered = |name: &str| vec![("by", name.to_owned())];
    sheet.counters(
        "smache_commands",
        "Commands carried out here or sent to the node that owns their key",
        [
            (answered("here"), counters.local),
            (answered("peer"), counters.forwarded),
        ],
    );
    sheet.counter(
        "smache_retries",
        "Attempts after the first one, because a key had moved or its node was not there",
        counters.retries,
    );
    sheet.counter(
        "smache_commands_resent",
        "Retries of commands that were under way when their link broke or their owner was \
         superseded; what was applied before is not applied twice",
        counters.resent,
    );
    sheet.counter(
        "smache_deadlines",
        "Commands that were not answered within the request timeout",
        counters.deadlines,
    );
}

fn peers(shared: &Shared, sheet: &mut Sheet) {
    let counters = shared.context.router.peer_counters();
    sheet.counter(
        "smache_peer_frames_received",
        "Frames received from other nodes; each carries one or more messages",
        counters.frames_in,
    );
    sheet.counter(
        "smache_peer_requests_received",
        "Requests of other nodes: commands for keys of this node, and parts of handoffs",
        counters.requests_in,
    );
    sheet.counter(
        "smache_peer_frames_malformed",
        "Frames of other nodes that did not decode; each ended its session",
        counters.malformed,
    );
    sheet.gauge(
        "smache_peer_backlog_bytes",
        "Bytes queued for other nodes, or sent and not yet acknowledged, now",
        counters.backlog_bytes as f64,
    );
}

/// Only of a node that meets others over the network.
fn security(shared: &Shared, sheet: &mut Sheet) {
    let Some(security) = shared.context.reporter.security() else {
        return;
    };
    let counters = &security.counters;
    sheet.counter(
        "smache_peer_connections_turned_away",
        "Connections closed at once because too many others had not authenticated yet",
        counters.turned_away.load(Ordering::Relaxed),
    );
    sheet.counter(
        "smache_peer_handshakes_failed",
        "Handshakes with other nodes, or strangers, that failed: certificate, name, cookie, or time",
        counters.handshakes_failed.load(Ordering::Relaxed),
    );
    let Some(figures) = security.tls.as_ref().map(|tls| tls.figures()) else {
        return;
    };
    sheet.counter(
        "smache_certificate_reloads",
        "Times that changed certificate files were put to use",
        figures.reloads,
    );
    sheet.counter(
        "smache_certificate_reload_failures",
        "Times that changed certificate files were no good, and the old ones stayed in use",
        figures.reload_failures,
    );
    if let Some(end) = figures.not_after_s {
        sheet.gauge(
            "smache_certificate_not_after_timestamp_seconds",
            "When the certificate in use ends, in seconds since 1970",
            end as f64,
        );
    }
}

fn writers(shared: &Shared, sheet: &mut Sheet) {
    let mut sum = writer::Counters::default();
    for one in shared.context.router.writers() {
        let one = one.counters();
        sum.inline += one.inline;
        sum.queued += one.queued;
        sum.panics += one.panics;
        sum.waiting += one.waiting;
    }
    let path = |name: &str| vec![("path", name.to_owned())];
    sheet.counters(
        "smache_writes",
        "Writes by how they were applied: by their caller at once, or by the writer from its queue",
        [(path("inline"), sum.inline), (path("queued"), sum.queued)],
    );
    sheet.counter(
        "smache_writer_panics",
        "Commands that failed inside a writer; each was logged and never tried again",
        sum.panics,
    );
    sheet.gauge(
        "smache_writer_waiting",
        "Writes in the queues of the writers now",
        sum.waiting as f64,
    );
}

fn door(shared: &Shared, sheet: &mut Sheet) {
    sheet.counters(
        "smache_http_requests",
        "Requests answered over HTTP by route, method and class of status",
        shared.counts.samples(),
    );
    sheet.gauge(
        "smache_http_requests_in_work",
        "Requests in work now; reads of this node's own keys are answered at once and not counted",
        shared.in_work.load(Ordering::Relaxed) as f64,
    );
    sheet.counter(
        "smache_http_requests_refused",
        "Requests answered 503 because too many were in work",
        shared.refused.load(Ordering::Relaxed),
    );
    sheet.gauge(
        "smache_http_connections_open",
        "Client connections open now",
        shared.open.load(Ordering::Relaxed) as f64,
    );
    sheet.counter(
        "smache_http_connections_accepted",
        "Client connections taken",
        u64::from(shared.taken.load(Ordering::Relaxed)),
    );
    sheet.counter(
        "smache_http_connections_rejected",
        "Client connections turned away because too many were open, or no file descriptor was left",
        shared.turned_away.load(Ordering::Relaxed),
    );
    let dropped = &shared.dropped;
    let reason = |name: &str| vec![("reason", name.to_owned())];
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    sheet.counters(
        "smache_http_connections_dropped",
        "Client connections closed by their timeouts: nothing was asked for, the head of a request \
         did not arrive, an answer was not taken",
        [
            (reason("idle"), count(&dropped.idle)),
            (reason("head"), count(&dropped.head)),
            (reason("not_reading"), count(&dropped.reading)),
        ],
    );
    sheet.gauge(
        "smache_http_held_bytes",
        "Bytes of request bodies and large answers in memory at the door now",
        shared.budget.used() as f64,
    );
    sheet.counter(
        "smache_http_held_refused",
        "Requests and lines of batches answered 503 because that memory was used up",
        shared.budget.refused(),
    );
}

#[cfg(feature = "grpc")]
fn calls(shared: &Shared, sheet: &mut Sheet) {
    sheet.counters(
        "smache_grpc_calls",
        "Calls answered over gRPC by method and status",
        shared.calls.samples(),
    );
    sheet.gauge(
        "smache_grpc_streams_open",
        "Calls open now that last for as long as their clients like",
        shared.calls.lasting() as f64,
    );
}
