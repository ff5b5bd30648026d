//! How soon lost copies are made anew.

use tokio::time::Instant;

use crate::crowd::{Crowd, known_to_be_down, restored};
use crate::drive::{VALUE_BYTES, fill};
use crate::{Bar, Options, node, not_measured};

pub(crate) async fn measure(options: &Options) {
    let values = options.mb * 1_000_000 / VALUE_BYTES;
    let (mut took, mut per_gb) = (vec![], vec![]);
    for _ in 0..options.runs(3) {
        let mut crowd = Crowd::of(3, node).await;
        let status = crowd.nodes[0].status().await;
        if status["replication"]["missing_copies"].is_null() {
            return not_measured(
                "restoring lost copies",
                "the status tells nothing of copies",
            );
        }
        fill(&crowd.all(), values).await;
        crowd.settled().await;
        let held = crowd.nodes[1].status().await["memory"]["data_bytes"].as_f64();
        let name = crowd.nodes[1].name.clone();
        let began = Instant::now();
        crowd.nodes[1].kill();
        let others = crowd.others(1);
        known_to_be_down(&others, &name).await;
        restored(&others).await;
        let seconds = began.elapsed().as_secs_f64();
        took.push(seconds);
        per_gb.push(seconds / (held.unwrap() / 1e9));
    }
    options.report("kill -9: no copy is missing any more", "s", took, None);
    let what = "kill -9: the same, for 1 GB that the node held";
    options.report(what, "s", per_gb, Some(Bar::AtMost(30.0)));
}
