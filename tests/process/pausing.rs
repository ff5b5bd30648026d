//! Handoffs that an operator has wait: what `smache handoff` and `smache status` show of it.

use crate::crowd::Crowd;
use crate::process::{Process, Start, put, run, until, value};

fn start(name: &str) -> Start {
    Start::node(name)
}

/// Copies that a node's partitions lack, by `/status` and by `/metrics`, which must agree.
async fn missing(node: &Process) -> f64 {
    let told = node.status().await["replication"]["missing_copies"].clone();
    let figure = node.figure("smache_copies{state=\"missing\"}").await;
    let same = told.as_f64() == Some(figure);
    // Between the two it may have changed.
    if same { figure } else { -1.0 }
}

#[tokio::test]
async fn lost_copies_are_made_anew_once_handoffs_go_on() {
    let mut crowd = Crowd::of(3, start).await;
    let mut client = crowd.nodes[0].connect().await;
    for n in 0..200 {
        put(&mut client, &format!("key-{n}"), &format!("{{\"n\":{n}}}")).await;
    }
    let url = crowd.nodes[1].url();
    let handoff = async |action: &str| {
        let ran = run(&["handoff", action, "--node", &url]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out
    };
    assert!(handoff("status").await.contains("not paused, 0 under way"));
    assert!(handoff("pause").await.contains("PAUSED"));
    let shown = run(&["status", "--node", &url]).await.out;
    assert!(shown.contains("handoffs    PAUSED"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours for a program");

    crowd.nodes[2].kill();
    let [one, two] = [&crowd.nodes[0], &crowd.nodes[1]];
    // What is copied to the first one is copied; what should go to the second waits.
    until("a pull to the second waits", async || {
        let under_way = two.figure("smache_handoffs ").await;
        under_way >= 1.0 && missing(two).await == 0.0 && missing(one).await > 0.0
    })
    .await;
    let shown = run(&["status", "--node", &one.url()]).await.out;
    assert!(!shown.contains(" 0 missing"), "{shown}");
    // Keys are read and written as ever.
    for node in [one, two] {
        let mut client = node.connect().await;
        put(&mut client, "meanwhile", "{\"n\":1}").await;
        for n in 0..200 {
            let found = value(&mut client, &format!("key-{n}")).await;
            assert_eq!(found["n"], n, "key-{n} through {}", node.name);
        }
    }
    assert!(missing(one).await > 0.0);
    assert!(two.figure("smache_promotions_total ").await > 0.0);
    assert_eq!(
        two.figure("smache_partitions_taken_empty_total ").await,
        0.0
    );

    assert!(handoff("resume").await.contains("not paused"));
    until("no copy is missing", async || {
        missing(one).await == 0.0 && missing(two).await == 0.0
    })
    .await;
    let shown = run(&["handoff", "--json", "--node", &url]).await.out;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["paused"], false, "{shown}");
}
