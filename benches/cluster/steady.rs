//! How often nodes are taken for dead that are only busy.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::crowd::Crowd;
use crate::drive::{Hammer, fill};
use crate::{Bar, Options, node};

const KEYS: u64 = 20_000;

pub(crate) async fn measure(options: &Options) {
    let crowd = Crowd::of(3, node).await;
    fill(&crowd.all(), KEYS).await;
    // A third writes, more connections than the machine has time for.
    let hammer = Hammer::start(&crowd.all(), KEYS, 96, 3);
    let end = Instant::now() + Duration::from_secs_f64(options.minutes * 60.0);
    let (mut seen, mut deaths) = (HashMap::new(), 0);
    while Instant::now() < end {
        for node in &crowd.nodes {
            let status = node.status().await;
            for member in status["members"].as_array().unwrap() {
                let (name, state) = (member["name"].to_string(), member["state"].to_string());
                let before = seen.insert((node.name.clone(), name), state.clone());
                if state == "\"down\"" && before.as_ref() != Some(&state) {
                    deaths += 1;
                }
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    let (answered, failed) = hammer.finish().await;
    let minutes = options.minutes;
    let what = format!("{minutes} min of full load: nodes taken for dead");
    options.report(
        &what,
        "deaths",
        vec![f64::from(deaths)],
        Some(Bar::AtMost(0.0)),
    );
    let rate = answered as f64 / (minutes * 60.0);
    options.report(
        "requests answered meanwhile",
        "per second",
        vec![rate],
        None,
    );
    let what = "requests that failed meanwhile";
    options.report(what, "requests", vec![failed as f64], None);
}
