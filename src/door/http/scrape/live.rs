//! Figures of those who listen.

use super::Shared;
use crate::metrics::Sheet;

pub(super) fn write(shared: &Shared, sheet: &mut Sheet) {
    let live = shared.context.router.live().counters();
    sheet.gauge(
        "smache_live_subscribers",
        "Clients that listen now: streams of changes, sockets and subscribers",
        live.subscribers as f64,
    );
    sheet.gauge(
        "smache_live_topics",
        "Channels, patterns, keys and prefixes that they listen to, each counted for itself",
        live.topics as f64,
    );
    sheet.gauge(
        "smache_live_bytes",
        "Bytes of events that wait for them, and of what they listen to",
        live.bytes as f64,
    );
    sheet.counter(
        "smache_live_published",
        "Messages published to channels through this node",
        live.published,
    );
    sheet.counter(
        "smache_live_events",
        "Events given to those who listen, each counted for every one of them",
        live.delivered,
    );
    sheet.counter(
        "smache_live_events_lost",
        "Events that those who listen were told that they missed, since they or the node were slow",
        live.lost,
    );
    sheet.counter(
        "smache_live_events_relayed",
        "Events sent to other nodes, where somebody listens",
        live.relayed,
    );
    sheet.counter(
        "smache_live_events_unrelayed",
        "Events for which there was no room on the way to another node; it is told so",
        live.relay_lost,
    );
}
