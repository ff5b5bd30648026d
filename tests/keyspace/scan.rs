//! Scans of what does not move.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use smache::Smache;
use smache::cluster::transport::memory::Network;
use smache::command::{Command, Condition, Kind};
use smache::router::keyspace::{Error, Options, PATTERN_BYTES_MAX};
use smache::writer::Kinds;

use crate::bed::*;

async fn check_all(nodes: &[&Smache], count: usize) {
    let mut dice = dice();
    let keys = fill(nodes[0], "key:", count).await;
    for per_page in [1, 7, 100, 1_000_000] {
        assert_eq!(scan(nodes, &options(per_page), &mut dice).await, keys);
    }
    // Any page size, from page to page.
    let (mut found, mut cursor) = (BTreeSet::new(), 0);
    loop {
        let node = nodes[dice.random_range(0..nodes.len())];
        let count = dice.random_range(0..40);
        cursor = page(node, cursor, &options(count), &mut found).await;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(found, keys);
    for node in nodes {
        assert_eq!(crate::bed::count(node).await, keys.len() as u64);
        let all = keyspace(node).keys(b"*", 1 << 20, deadline()).await;
        let all = all.unwrap().into_iter();
        let all: BTreeSet<_> = all
            .map(|k| String::from_utf8(k.to_vec()).unwrap())
            .collect();
        assert_eq!(all, keys);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_finds_everything() {
    check_all(&[&alone().await], 700).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_find_everything() {
    let network = Network::new();
    let nodes = nodes(&network, &["a", "b", "c"]).await;
    check_all(&nodes.iter().collect::<Vec<_>>(), 700).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_keyspace_is_scanned_in_one_page() {
    let network = Network::new();
    for node in nodes(&network, &["a", "b"]).await {
        let page = keyspace(&node).scan(0, &options(10), deadline()).await;
        assert_eq!(page.unwrap(), Default::default());
        assert_eq!(count(&node).await, 0);
        let drawn = keyspace(&node).random_key(7, deadline()).await;
        assert_eq!(drawn, Ok(None));
    }
}

/// Lists are kept for a while, and must not be used by scans that began later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_before_a_scan_began_is_found() {
    let network = Network::new();
    let nodes = nodes(&network, &["a", "b", "c"]).await;
    let all: Vec<&Smache> = nodes.iter().collect();
    let mut dice = dice();
    let mut keys = BTreeSet::new();
    for n in 0..120 {
        let key = format!("new {n}");
        put(all[dice.random_range(0..3)], &key).await;
        keys.insert(key);
        if n % 3 == 0 {
            let gone = keys.iter().nth(dice.random_range(0..keys.len())).cloned();
            let gone = gone.unwrap();
            assert!(nodes[n % 3].delete(&gone).await.unwrap());
            keys.remove(&gone);
        }
        let count = dice.random_range(1..50);
        assert_eq!(scan(&all, &options(count), &mut dice).await, keys);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_walks_over_the_tables_seldom() {
    let node = alone().await;
    let mut dice = dice();
    let long = "x".repeat(300);
    for n in 0..12_000 {
        put(&node, &format!("{n}{long}")).await;
    }
    let walks = || keyspace(&node).walks();
    let before = walks();
    let mut found = BTreeSet::new();
    let mut cursor = 0;
    let mut pages = 0;
    loop {
        cursor = page(&node, cursor, &options(10), &mut found).await;
        pages += 1;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(found.len(), 12_000);
    assert!(pages >= 1_200);
    // They take nearly four megabytes, and lists half of that.
    let used = walks() - before;
    assert!((2..=6).contains(&used), "{used} walks");
    // Another scan uses the same lists, since no key has come.
    let before = walks();
    scan(&[&node], &options(1_000), &mut dice).await;
    assert_eq!(walks(), before);
    put(&node, &format!("7{long}")).await;
    scan(&[&node], &options(1_000), &mut dice).await;
    assert_eq!(walks(), before, "to overwrite a key is not to create one");
    put(&node, "new").await;
    let found = scan(&[&node], &options(1_000), &mut dice).await;
    assert!(found.contains("new") && walks() > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_scans_at_a_time_share_walks() {
    let node = alone().await;
    fill(&node, "key:", 2_000).await;
    let before = keyspace(&node).walks();
    let scans = (0..40).map(|_| {
        let node = node.clone();
        tokio::spawn(async move {
            let mut found = BTreeSet::new();
            let mut cursor = 0;
            loop {
                cursor = page(&node, cursor, &options(50), &mut found).await;
                if cursor == 0 {
                    return found.len();
                }
            }
        })
    });
    for scan in scans.collect::<Vec<_>>() {
        assert_eq!(scan.await.unwrap(), 2_000);
    }
    let used = keyspace(&node).walks() - before;
    assert!(used <= 3, "{used} walks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_fits_the_pattern_comes() {
    let network = Network::new();
    let nodes = nodes(&network, &["a", "b"]).await;
    let all: Vec<&Smache> = nodes.iter().collect();
    let mut dice = dice();
    let mut keys = fill(all[0], "bus:", 60).await;
    keys.extend(fill(all[0], "{berlin}:tram:", 60).await);
    keys.extend(fill(all[1], "session*", 20).await);
    type Fits = fn(&str) -> bool;
    let fits: [(&str, Fits); 9] = [
        ("*", |_| true),
        ("bus:*", |key| key.starts_with("bus:")),
        ("*:1?", |key| {
            key.len() > 3 && key[..key.len() - 1].ends_with(":1")
        }),
        ("{berlin}*[05]", |key| {
            key.starts_with('{') && key.ends_with(['0', '5'])
        }),
        ("{berlin}:tram:7", |key| key == "{berlin}:tram:7"),
        ("bus:42", |key| key == "bus:42"),
        (r"session\*3", |key| key == "session*3"),
        ("nothing", |_| false),
        ("", |_| false),
    ];
    for (pattern, fits) in fits {
        let expected: BTreeSet<_> = keys.iter().filter(|key| fits(key)).cloned().collect();
        for count in [1, 30, 10_000] {
            let found = scan(&all, &matching(pattern, count), &mut dice).await;
            assert_eq!(found, expected, "{pattern}, {count}");
        }
        let keyspace = keyspace(all[1]);
        let listed = keyspace.keys(pattern.as_bytes(), 1 << 20, deadline());
        assert_eq!(listed.await.unwrap().len(), expected.len(), "{pattern}");
    }
    // One key is looked up, and a tag leads to one partition.
    let walks = || nodes.iter().map(|node| keyspace(node).walks()).sum::<u64>();
    tokio::time::sleep(Duration::from_millis(1)).await;
    put(all[0], "one more").await;
    let before = walks();
    scan(&all, &matching("one more", 10), &mut dice).await;
    assert_eq!(walks(), before);
    let tagged = matching("{berlin}*", 100);
    let page = keyspace(all[0]).scan(0, &tagged, deadline()).await.unwrap();
    assert_eq!((page.next, page.keys.len()), (0, 60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_values_of_the_wanted_kinds_come() {
    let network = Network::new();
    let nodes = nodes(&network, &["a", "b"]).await;
    let all: Vec<&Smache> = nodes.iter().collect();
    let mut dice = dice();
    for n in 0..30 {
        write(all[0], &put_of(&format!("json {n}"), Kind::Json, "{}")).await;
        write(all[0], &put_of(&format!("bytes {n}"), Kind::Bytes, "b")).await;
        write(all[0], &put_of(&format!("flag {n}"), Kind::Flag, "true")).await;
        let add = Command::Increment {
            key: key(&format!("counter {n}")),
            by: 1,
            ttl_ms: None,
            condition: Condition::None,
        };
        write(all[0], &add).await;
    }
    let of = |kinds: &[Kind]| Options {
        kinds: kinds.iter().copied().collect::<Kinds>(),
        ..options(20)
    };
    for (kinds, stems) in [
        (&[Kind::Json][..], &["json"][..]),
        (&[Kind::Bytes, Kind::Counter], &["bytes", "counter"]),
        (&[Kind::Set], &[]),
        (&[], &[]),
    ] {
        let found = scan(&all, &of(kinds), &mut dice).await;
        assert_eq!(found.len(), 30 * stems.len(), "{kinds:?}");
        assert!(
            found
                .iter()
                .all(|key| stems.iter().any(|stem| key.starts_with(stem)))
        );
    }
    // What has become another type, is deleted, or expires is noticed although it is listed.
    let mut cursor = 0;
    let json = of(&[Kind::Json]);
    let mut found = BTreeSet::new();
    cursor = page(all[0], cursor, &json, &mut found).await;
    for n in 0..30 {
        write(all[1], &put_of(&format!("json {n}"), Kind::Bytes, "b")).await;
    }
    let before = found.len();
    while cursor != 0 {
        cursor = page(all[0], cursor, &json, &mut found).await;
    }
    assert_eq!(found.len(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_questions_and_too_much_at_once_are_refused() {
    let node = alone().await;
    fill(&node, "a key of some length ", 100).await;
    let keyspace = keyspace(&node);
    for cursor in [1 << 63, u64::MAX] {
        let page = keyspace.scan(cursor, &options(1), deadline()).await;
        assert_eq!(page, Err(Error::Cursor(cursor)));
    }
    // Any other number is a place somewhere, and harms nobody.
    for cursor in [1, 77, i64::MAX as u64] {
        keyspace
            .scan(cursor, &options(1), deadline())
            .await
            .unwrap();
    }
    let long = Options {
        pattern: Some(Bytes::from(vec![b'*'; PATTERN_BYTES_MAX + 1])),
        ..options(1)
    };
    let bytes = PATTERN_BYTES_MAX + 1;
    let page = keyspace.scan(0, &long, deadline()).await;
    assert_eq!(page, Err(Error::Pattern { bytes }));
    let keys = keyspace.keys(b"*", 1_000, deadline()).await;
    assert_eq!(keys, Err(Error::TooMany { bytes_max: 1_000 }));
    assert!(keys.unwrap_err().to_string().contains("scan"));
    assert_eq!(
        keyspace.keys(b"*9", 1_000, deadline()).await.unwrap().len(),
        10
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_can_be_drawn() {
    let network = Network::new();
    let nodes = nodes(&network, &["a", "b", "c"]).await;
    let mut dice = dice();
    let keys = fill(&nodes[0], "key:", 12).await;
    let mut drawn: HashMap<String, usize> = HashMap::new();
    for turn in 0..2_000 {
        let keyspace = keyspace(&nodes[turn % 3]);
        let key = keyspace.random_key(dice.random(), deadline()).await;
        let key = key.unwrap().expect("there are some");
        *drawn
            .entry(String::from_utf8(key.to_vec()).unwrap())
            .or_default() += 1;
        if drawn.len() == keys.len() && turn > 300 {
            break;
        }
    }
    assert_eq!(drawn.keys().cloned().collect::<BTreeSet<_>>(), keys);
    let most = drawn.values().max().unwrap();
    let all: usize = drawn.values().sum();
    assert!(*most * 2 < all, "{drawn:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_count_is_right_when_nothing_happens() {
    let network = Network::new();
    let nodes = nodes(&network, &["a", "b", "c"]).await;
    let mut dice = dice();
    let mut keys = fill(&nodes[0], "key:", 300).await;
    for n in 0..50 {
        let short = Command::Put {
            key: key(&format!("short {n}")),
            kind: Kind::Json,
            data: Bytes::from_static(b"1"),
            ttl_ms: Some(dice.random_range(1..300)),
            condition: Condition::None,
        };
        write(&nodes[1], &short).await;
    }
    for n in 0..100 {
        let key = format!("key:{}", n * 3);
        assert!(nodes[n % 3].delete(&key).await.unwrap());
        keys.remove(&key);
    }
    // What has expired counts until it is swept.
    let end = deadline();
    while count(&nodes[0]).await != keys.len() as u64 {
        assert!(
            tokio::time::Instant::now() < end,
            "{}",
            count(&nodes[0]).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for node in &nodes {
        assert_eq!(count(node).await, keys.len() as u64);
    }
}
