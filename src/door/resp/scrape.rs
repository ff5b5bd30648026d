//! The door's figures, for `GET /metrics`.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::Shared;
use super::table::TABLE;
use crate::metrics::Sheet;

pub(super) fn write(shared: &Shared, sheet: &mut Sheet) {
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    let named = |name: &str| vec![("command", name.to_owned())];
    let calls = TABLE.entries().iter().zip(&shared.calls);
    let called = calls
        .map(|(entry, calls)| (named(&entry.name), count(calls)))
        .filter(|(_, calls)| *calls > 0);
    sheet.counters(
        "smache_resp_commands",
        "Commands carried out over the Redis protocol, by their names",
        called,
    );
    sheet.counter(
        "smache_resp_errors",
        "Commands answered with an error over the Redis protocol, unknown ones among them",
        count(&shared.errors),
    );
    sheet.gauge(
        "smache_resp_commands_in_work",
        "Commands over the Redis protocol that wait for another node or for copies now",
        shared.in_work.load(Relaxed) as f64,
    );
    sheet.counter(
        "smache_resp_commands_refused",
        "Commands answered BUSY because too many were in work",
        count(&shared.refused),
    );
    sheet.gauge(
        "smache_resp_connections_open",
        "Connections that speak the Redis protocol open now",
        shared.clients.count() as f64,
    );
    sheet.counter(
        "smache_resp_connections_accepted",
        "Connections taken at the port of the Redis protocol",
        shared.clients.taken(),
    );
    sheet.counter(
        "smache_resp_connections_rejected",
        "Connections turned away there because too many were open, or no file descriptor was left",
        count(&shared.turned_away),
    );
    let dropped = &shared.dropped;
    let reason = |name: &str| vec![("reason", name.to_owned())];
    sheet.counters(
        "smache_resp_connections_dropped",
        "Connections closed there by this node: nothing was asked for, the rest of a request did not \
         come, replies were not taken, requests could not be read or kept, HTTP was spoken, another \
         connection wanted it, messages of channels were not taken, or the token of a listener was \
         taken back",
        [
            (reason("idle"), count(&dropped.idle)),
            (reason("slow"), count(&dropped.slow)),
            (reason("not_reading"), count(&dropped.not_reading)),
            (reason("refused"), count(&dropped.refused)),
            (reason("http"), count(&dropped.http)),
            (reason("killed"), count(&dropped.killed)),
            (reason("overrun"), count(&dropped.overrun)),
            (reason("revoked"), count(&dropped.revoked)),
        ],
    );
}
