//! The figures of copies: how many there are, what goes to them, what comes, and what was lost.

use crate::door::http::front::Shared;
use crate::metrics::Sheet;
use crate::node::status::ReplicationStatus;
use crate::writer::Writer;

pub(super) fn write(shared: &Shared, sheet: &mut Sheet) {
    let status = shared.context.reporter.replication();
    copies(&status, sheet);
    effects(shared, &status, sheet);
    handoff(&status, sheet);
    sides(&status, sheet);
}

fn copies(status: &ReplicationStatus, sheet: &mut Sheet) {
    let state = |name: &str| vec![("state", name.to_owned())];
    sheet.gauges(
        "smache_copies",
        "Copies of partitions: held here for others and in sync, missing of those that this node's \
         partitions should have, being made of them elsewhere",
        [
            (state("held"), status.backed_up as f64),
            (state("missing"), status.missing_copies as f64),
            (state("departing"), status.departing as f64),
        ],
    );
    sheet.counter(
        "smache_promotions",
        "Partitions that this node took over from dead owners, with its copies of them",
        status.promotions,
    );
    sheet.counter(
        "smache_partitions_taken_empty",
        "Partitions that this node took over without a copy, since none was left: what was in them \
         is lost",
        status.taken_empty,
    );
}

fn effects(shared: &Shared, status: &ReplicationStatus, sheet: &mut Sheet) {
    let context = &shared.context;
    let lanes = context.reporter.lanes().map(|lanes| lanes.counters());
    sheet.gauge(
        "smache_replication_backlog_bytes",
        "Bytes of changes that are kept because copies have not acknowledged them, now",
        status.backlog_bytes as f64,
    );
    sheet.counter(
        "smache_effects_refused",
        "Changes that copies did not take: they follow another owner, or this node's clock is ahead",
        lanes.unwrap_or_default().refused,
    );
    sheet.counter(
        "smache_effects_from_the_future",
        "Changes of other nodes that this node refused because their clocks are more than ten \
         seconds ahead of its own",
        context.router.peer_counters().from_the_future,
    );
    sheet.counter(
        "smache_effects_missed",
        "Changes taken by copies here that lacked the one before: made up for at once, since each \
         carries the whole entry",
        context.router.writers().iter().map(Writer::missed).sum(),
    );
    sheet.gauge(
        "smache_tombstones",
        "Deleted keys that are still remembered, in the tables of this node",
        context.reporter.table().tombstones as f64,
    );
}

fn handoff(status: &ReplicationStatus, sheet: &mut Sheet) {
    let progress = &status.handoff;
    sheet.gauge(
        "smache_handoff_paused",
        "1 while handoffs to this node are paused, else 0",
        f64::from(u8::from(progress.paused)),
    );
    sheet.gauge(
        "smache_handoffs",
        "Pulls of entries from other nodes that are under way now",
        progress.under_way as f64,
    );
    sheet.counter(
        "smache_handoff_entries",
        "Entries that came in handoffs: for new copies, after cuts, and for repairs",
        progress.entries,
    );
    sheet.counter(
        "smache_handoff_bytes",
        "Bytes of the keys and values that came in handoffs",
        progress.bytes,
    );
    sheet.counter(
        "smache_copies_repaired",
        "Copies of partitions here that differed from their owner's at three looks and were repaired",
        progress.repaired,
    );
}

fn sides(status: &ReplicationStatus, sheet: &mut Sheet) {
    sheet.gauge(
        "smache_partitions_merging",
        "Partitions of this node into which those of the other side of a cut are being taken over",
        status.merging as f64,
    );
    sheet.gauge(
        "smache_partitions_conceded",
        "Partitions given up after a cut, whose owner has not yet taken over what it lacks",
        status.conceded as f64,
    );
    sheet.counter(
        "smache_discarded_writes",
        "Writes that had been acknowledged and lost against later ones of the other side of a cut; \
         the log names them",
        status.handoff.discarded_writes,
    );
}
