//! Scans while partitions move, nodes come and go, and other keys do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use smache::Smache;
use smache::cluster::transport::memory::Network;

use crate::bed::*;

/// Has other keys come and go until it is told to stop.
struct Churn {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<u64>,
}

impl Churn {
    fn start(node: &Smache, seed: u64) -> Churn {
        let stop = Arc::new(AtomicBool::new(false));
        let (node, stopped) = (node.clone(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut dice = SmallRng::seed_from_u64(seed);
            let mut writes = 0;
            while !stopped.load(Ordering::Relaxed) {
                let key = format!("other {}", dice.random_range(0..2_000));
                if dice.random_range(0..3) == 0 {
                    node.delete(&key).await.unwrap();
                } else {
                    put(&node, &key).await;
                }
                writes += 1;
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            writes
        });
        Churn { stop, task }
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// Scans again and again while `change` is under way, and once behind it: how often.
async fn scan_during(
    nodes: &[&Smache],
    permanent: &BTreeSet<String>,
    dice: &mut SmallRng,
    change: impl Future<Output = ()>,
) -> usize {
    let mut change = std::pin::pin!(change);
    let mut scans = 0;
    let mut is_over = false;
    while !is_over {
        let scanned = async {
            let count = [4, 20, 100, 1_000][dice.random_range(0..4)];
            let mut found = BTreeSet::new();
            let mut cursor = 0;
            loop {
                let node = nodes[dice.random_range(0..nodes.len())];
                let before = found.len();
                cursor = page(node, cursor, &options(count), &mut found).await;
                // Now and then a client takes its time.
                if found.len() / 300 > before / 300 {
                    tokio::time::sleep(Duration::from_millis(dice.random_range(0..30))).await;
                }
                if cursor == 0 {
                    return found;
                }
            }
        };
        let mut scanned = std::pin::pin!(scanned);
        let found = loop {
            tokio::select! {
                () = &mut change, if !is_over => is_over = true,
                found = &mut scanned => break found,
            }
        };
        let missing: Vec<_> = permanent.difference(&found).collect();
        assert!(
            missing.is_empty(),
            "{} are missing: {missing:?}",
            missing.len()
        );
        scans += 1;
    }
    scans
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scans_find_everything_while_nodes_join_and_leave() {
    let network = Network::new();
    let mut dice = dice();
    let a = node(&network, "a", None).await;
    let permanent = fill(&a, "permanent ", 1_500).await;
    let churn = Churn::start(&a, dice.random());
    let one = [&a];
    let scans = scan_during(&one, &permanent, &mut dice, async {
        node(&network, "b", Some("a")).await.stop().await.unwrap();
    });
    eprintln!("{} scans while a node comes and goes", scans.await);
    let b = node(&network, "b", Some("a")).await;
    let both = [&a, &b];
    let scans = scan_during(&both, &permanent, &mut dice, settled(&both));
    eprintln!("{} scans while the second node settles", scans.await);
    let c = node(&network, "c", Some("b")).await;
    let all = [&a, &b, &c];
    let scans = scan_during(&all, &permanent, &mut dice, settled(&all));
    eprintln!("{} scans while the third node settles", scans.await);
    let left = [&a, &c];
    let scans = scan_during(&left, &permanent, &mut dice, async {
        b.stop().await.unwrap();
        settled(&[&a, &c]).await;
    });
    eprintln!("{} scans while one of three leaves", scans.await);
    let writes = churn.stop().await;
    let found = scan(&[&a, &c], &options(100), &mut dice).await;
    assert!(
        writes > 0 && found.len() > permanent.len(),
        "others came as well"
    );
    assert_eq!(count(&a).await, found.len() as u64);
}

/// One scan that goes on through everything that happens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_outlives_the_nodes_that_gave_it_out() {
    let network = Network::new();
    let mut dice = dice();
    let a = node(&network, "a", None).await;
    let permanent = fill(&a, "permanent ", 900).await;
    let mut found = BTreeSet::new();
    let mut cursor = 0;
    let mut some = async |node: &Smache, cursor: &mut u64| {
        for _ in 0..10 {
            *cursor = page(node, *cursor, &options(15), &mut found).await;
            assert_ne!(*cursor, 0, "it has not come so far");
        }
    };
    some(&a, &mut cursor).await;
    let b = node(&network, "b", Some("a")).await;
    some(&b, &mut cursor).await;
    settled(&[&a, &b]).await;
    some(&b, &mut cursor).await;
    a.stop().await.unwrap();
    some(&b, &mut cursor).await;
    let c = node(&network, "c", Some("b")).await;
    settled(&[&b, &c]).await;
    some(&c, &mut cursor).await;
    while cursor != 0 {
        let nodes = [&b, &c];
        let node = nodes[dice.random_range(0..2)];
        cursor = page(node, cursor, &options(15), &mut found).await;
    }
    assert_eq!(found, permanent);
}

/// An owner that is not there any more all at once: its copies answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_goes_on_when_an_owner_is_lost() {
    let network = Network::new();
    let mut dice = dice();
    let nodes = nodes(&network, &["a", "b", "c"]).await;
    let permanent = fill(&nodes[0], "permanent ", 600).await;
    let mut found = BTreeSet::new();
    let mut cursor = 0;
    for _ in 0..10 {
        cursor = page(&nodes[0], cursor, &options(20), &mut found).await;
    }
    network.cut("a", "c", true);
    network.cut("b", "c", true);
    while cursor != 0 {
        let node = &nodes[dice.random_range(0..2)];
        let page = keyspace(node).scan(cursor, &options(20), deadline()).await;
        let Ok(page) = page else { continue };
        for key in page.keys {
            let key = String::from_utf8(key.to_vec()).unwrap();
            assert!(found.insert(key.clone()), "{key} has come twice");
        }
        cursor = page.next;
    }
    assert_eq!(found, permanent);
    assert_eq!(count(&nodes[1]).await, 600);
}
