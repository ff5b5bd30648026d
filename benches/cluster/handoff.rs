//! How fast a node that joins is given its share, and what readers feel of it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::crowd::{Crowd, restored};
use crate::drive::{Readers, VALUE_BYTES, fill, p99_ms};
use crate::process::settled;
use crate::{Bar, Options, node};

pub(crate) async fn measure(options: &Options) {
    let values = options.mb * 1_000_000 / VALUE_BYTES;
    let (mut rates, mut before, mut during, mut after) = (vec![], vec![], vec![], vec![]);
    let (mut ratios, mut misses) = (vec![], vec![]);
    for _ in 0..options.runs(3) {
        let mut crowd = Crowd::of(1, node).await;
        fill(&crowd.all(), values).await;
        let readers = Readers::start(crowd.nodes[0].http, values);
        // Connections and caches first.
        sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        sleep(Duration::from_secs(3)).await;
        let joining = Instant::now();
        crowd.grow().await;
        settled(&crowd.all()).await;
        restored(&crowd.all()).await;
        let joined = Instant::now();
        sleep(Duration::from_secs(3)).await;
        let reads = readers.finish().await;

        let held = crowd.nodes[1].status().await["memory"]["data_bytes"].as_f64();
        let took = (joined - joining).as_secs_f64();
        rates.push(held.unwrap() / 1e6 / took);
        before.push(p99_ms(&reads, began, joining));
        during.push(p99_ms(&reads, joining, joined));
        after.push(p99_ms(&reads, joined, Instant::now()));
        ratios.push(during[during.len() - 1] / before[before.len() - 1]);
        misses.push(reads.iter().filter(|read| !read.is_hit).count() as f64);
    }
    let what = "a node joins: data that it got, from its start on";
    options.report(what, "MB/s", rates, Some(Bar::AtLeast(100.0)));
    options.report("p99 of reads before", "ms", before, None);
    options.report("p99 of reads during", "ms", during, None);
    options.report("p99 of reads after", "ms", after, None);
    let what = "p99 of reads, during to before";
    options.report(what, "times", ratios, Some(Bar::AtMost(2.0)));
    let what = "reads that found nothing or failed";
    options.report(what, "reads", misses, Some(Bar::AtMost(0.0)));
}
