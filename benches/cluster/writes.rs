//! What a write costs with a backup, beside one without.

use std::time::Duration;

use tokio::time::sleep;

use crate::crowd::Crowd;
use crate::drive::{Hammer, cpu, fill};
use crate::process::Start;
use crate::{Bar, Options, has_setting, node, not_measured};

const KEYS: u64 = 10_000;
const CONNECTIONS: usize = 32;

pub(crate) async fn measure(options: &Options) {
    if !has_setting("backups").await {
        return not_measured("writes with and without a backup", "there is no --backups");
    }
    let without = Crowd::of(2, without_backup).await;
    let with = Crowd::of(2, with_backup).await;
    let seconds = options.seconds.unwrap_or(2.0);
    let (mut alone, mut doubled, mut ratios) = (vec![], vec![], vec![]);
    for crowd in [&without, &with] {
        fill(&crowd.all(), KEYS).await;
        rate(crowd, seconds / 2.0).await;
    }
    for pair in 0..options.runs(5) {
        // What disturbs the one disturbs the other.
        let (one, two) = if pair % 2 == 0 {
            let one = rate(&without, seconds).await;
            (one, rate(&with, seconds).await)
        } else {
            let two = rate(&with, seconds).await;
            (rate(&without, seconds).await, two)
        };
        ratios.push(two / one);
        alone.push(one / 1e3);
        doubled.push(two / 1e3);
    }
    let unit = "k writes per CPU-second of both nodes";
    options.report("writes of 1 KB, no backup", unit, alone, None);
    options.report("writes of 1 KB, one backup", unit, doubled, None);
    let what = "writes with a backup to writes without";
    options.report(what, "times", ratios, Some(Bar::AtLeast(0.4)));
}

fn without_backup(name: &str) -> Start {
    node(name).flag("backups", 0)
}

fn with_backup(name: &str) -> Start {
    node(name).flag("backups", 1)
}

/// Writes per CPU-second of both nodes.
async fn rate(crowd: &Crowd, seconds: f64) -> f64 {
    let spent = || -> Duration { crowd.nodes.iter().map(cpu).sum() };
    let before = spent();
    let hammer = Hammer::start(&crowd.all(), KEYS, CONNECTIONS, 1);
    sleep(Duration::from_secs_f64(seconds)).await;
    let (acknowledged, failed) = hammer.finish().await;
    assert_eq!(failed, 0, "writes failed");
    acknowledged as f64 / (spent() - before).as_secs_f64()
}
