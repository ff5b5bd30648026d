//! Five nodes under load while they are killed, stopped, restarted, joined and left: whatever was
//! acknowledged is there afterwards, and no key that is there is ever missed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::crowd::{Crowd, known_to_be_down, restored};
use crate::process::{PARTITIONS, Start, settled, until};
use crate::workload::{Counts, Options, Workload};

/// One cluster of five at a time, which is as much as a small machine bears.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A node that leaves as a balancer needs it: not ready first, and gone a little later.
fn start(name: &str) -> Start {
    let start = Start::node(name).flag("drain-delay", "200ms");
    start.flag("log", "info,smache=debug")
}

fn count(of: &AtomicU64) -> u64 {
    of.load(Ordering::Relaxed)
}

/// Nodes that come and go in order are no reason to refuse much, nor to miss anything.
fn nothing_was_missed(counts: &Counts) {
    assert_eq!(count(&counts.misses), 0);
    assert_eq!(count(&counts.stale), 0);
    let (failed, acknowledged) = (count(&counts.failed), count(&counts.acknowledged));
    assert!(failed * 100 < acknowledged, "{counts:?}");
    let (failed, read) = (count(&counts.reads_failed), count(&counts.reads));
    assert!(failed * 100 < read, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_five_is_killed_in_turn() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut crowd = Crowd::of(5, start).await;
    let load = Workload::start(Options::default(), &crowd.all()).await;
    load.progress(1_500).await;
    for place in 0..5 {
        load.say(&format!("{} is killed", crowd.nodes[place].name));
        crowd.nodes[place].kill();
        if place % 2 == 0 {
            // The others restore its copies among themselves, before it comes back empty.
            let (name, others) = (crowd.nodes[place].name.clone(), crowd.others(place));
            known_to_be_down(&others, &name).await;
            load.say("the others know that");
            load.progress(300).await;
            settled(&others).await;
            restored(&others).await;
            load.say("the others have all copies again");
        }
        // Else it is back at once, perhaps before anybody has noticed.
        crowd.again(place).await;
        load.say("it is back");
        load.progress(300).await;
        crowd.settled().await;
        load.say("all is in its place");
    }
    let counts = load.finish(&crowd.all()).await;
    assert_eq!(count(&counts.misses), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_five_is_stopped_and_goes_on() {
    let _one = ONE_AT_A_TIME.lock().await;
    let crowd = Crowd::of(5, start).await;
    let load = Workload::start(Options::default(), &crowd.all()).await;
    load.progress(1_500).await;
    let stopped = &crowd.nodes[2];
    let others = crowd.others(2);
    load.leave(stopped);
    load.say("it is stopped");
    stopped.signal("STOP");
    let awake = sleep(Duration::from_secs(8));
    known_to_be_down(&others, &stopped.name).await;
    until("the others answer for all partitions", async || {
        let mut owned = 0;
        for node in &others {
            owned += node.status().await["partitions"]["owned"].as_u64().unwrap();
        }
        owned == PARTITIONS
    })
    .await;
    load.say("the others answer for everything");
    load.progress(1_000).await;
    awake.await;
    // It takes itself for the owner of what it owned, until it hears that it is not.
    load.say("it goes on");
    load.lenient(true);
    stopped.signal("CONT");
    load.enter(stopped);
    load.progress(500).await;
    crowd.settled().await;
    load.lenient(false);
    load.say("all is in its place");
    load.progress(500).await;
    let counts = load.finish(&crowd.all()).await;
    assert_eq!(count(&counts.misses), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_five_are_restarted_one_after_the_other() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut crowd = Crowd::of(5, start).await;
    let load = Workload::start(Options::default(), &crowd.all()).await;
    load.progress(1_500).await;
    for place in 0..5 {
        load.leave(&crowd.nodes[place]);
        crowd.nodes[place].terminate();
        let status = crowd.nodes[place].ended().await;
        assert_eq!(status.code(), Some(0), "{}", crowd.nodes[place].log());
        load.progress(100).await;
        crowd.again(place).await;
        load.enter(&crowd.nodes[place]);
        load.progress(100).await;
        // As deployments do it: the next one goes as soon as this one is ready, at least in the
        // second half.
        if place < 2 {
            crowd.settled().await;
        }
    }
    crowd.settled().await;
    let counts = load.finish(&crowd.all()).await;
    nothing_was_missed(&counts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_grows_to_five_and_shrinks_to_two() {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut crowd = Crowd::of(1, start).await;
    let load = Workload::start(Options::default(), &crowd.all()).await;
    load.progress(1_500).await;
    for size in 2..=5 {
        let node = crowd.grow().await;
        load.enter(node);
        load.progress(200).await;
        // Sometimes the next one joins while this one is still filled.
        if size % 2 == 0 {
            crowd.settled().await;
        }
    }
    crowd.settled().await;
    load.say("all five have their share");
    // The first three, through which the others joined; the last two of them at once.
    let gone = crowd.nodes.remove(0);
    load.leave(&gone);
    gone.stop().await;
    load.progress(200).await;
    let (one, other) = (crowd.nodes.remove(0), crowd.nodes.remove(0));
    for gone in [&one, &other] {
        load.leave(gone);
        gone.terminate();
    }
    one.stopped().await;
    other.stopped().await;
    load.progress(200).await;
    crowd.settled().await;
    let counts = load.finish(&crowd.all()).await;
    nothing_was_missed(&counts);
}
