//! What a stopped node costs the memory of those that are written to meanwhile.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::crowd::Crowd;
use crate::drive::{Hammer, fill, rss_mb};
use crate::{Bar, Options, node};

/// Written over and over, so that what is held does not grow.
const KEYS: u64 = 20_000;
/// What may be under way to one other node, twice (commands and effects), and some for the clients.
const GROWTH_MB: f64 = 160.0;

pub(crate) async fn measure(options: &Options) {
    let (mut growth, mut rates, mut failures) = (vec![], vec![], vec![]);
    for _ in 0..options.runs(1) {
        let crowd = Crowd::of(3, node).await;
        let others = crowd.others(2);
        fill(&crowd.all(), KEYS).await;
        // What load alone takes has been taken before.
        let hammer = Hammer::start(&others, KEYS, 64, 1);
        sleep(Duration::from_secs(3)).await;
        let rss = || others.iter().map(|node| rss_mb(node)).fold(0.0, f64::max);
        let before = rss();
        let (acknowledged, failed) = hammer.finish().await;
        eprintln!("before the stop {acknowledged} writes in 3 s, {failed} failed; {before:.0} MB");

        crowd.nodes[2].signal("STOP");
        let (began, seconds) = (Instant::now(), options.seconds.unwrap_or(8.0));
        let hammer = Hammer::start(&others, KEYS, 64, 1);
        let mut peak: f64 = 0.0;
        while began.elapsed() < Duration::from_secs_f64(seconds) {
            peak = peak.max(rss());
            sleep(Duration::from_millis(50)).await;
        }
        let (acknowledged, failed) = hammer.finish().await;
        crowd.nodes[2].signal("CONT");
        growth.push(peak - before);
        rates.push(acknowledged as f64 / began.elapsed().as_secs_f64());
        failures.push(failed as f64);
        crowd.settled().await;
    }
    let what = "a node is stopped under writes: growth of the others' RSS";
    options.report(what, "MB at most", growth, Some(Bar::AtMost(GROWTH_MB)));
    options.report("writes acknowledged meanwhile", "per second", rates, None);
    options.report("writes that failed meanwhile", "writes", failures, None);
}
