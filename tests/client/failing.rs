//! Nodes that go, connections that break, answers that do not come.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use smache::client::{Cache as _, Client, End, Error};
use smache::config::Config;
use tokio::net::TcpListener;

use crate::client::patient;
use crate::cluster::Cluster;
use crate::proxy::Proxy;
use crate::{builder, node};

/// An address where nobody listens.
async fn nobody() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn answers_that_are_lost_change_nothing_twice() {
    let node = node().await;
    let proxy = Proxy::before(node.http_address().unwrap()).await;
    let cache = builder(&[proxy.address]).lazy().unwrap();
    assert_eq!(cache.increment("sum", 1).await, Ok(1));
    for round in 1..=20_i64 {
        proxy.lose.store(1, SeqCst);
        let sum = patient("a sum", cache.increment("sum", 1)).await;
        assert_eq!(sum, Ok(round + 1));
        proxy.lose.store(1, SeqCst);
        let pushed = patient("a push", cache.list_push("jobs", End::Right, ["job"])).await;
        assert_eq!(pushed, Ok(round.unsigned_abs()));
        proxy.lose.store(1, SeqCst);
        let added = patient("an addition", cache.hash_increment("hash", "f", 2)).await;
        assert_eq!(added, Ok(2 * round));
    }
    proxy.lose.store(1, SeqCst);
    let popped = patient("an element", cache.list_pop("jobs", End::Left)).await;
    assert_eq!(popped, Ok(Some("job".into())));
    assert_eq!(node.client().list_length("jobs").await, Ok(19));
    assert!(proxy.connections.load(SeqCst) > 60, "nothing was lost");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn raw_commands_are_sent_once() {
    let node = node().await;
    let proxy = Proxy::before(node.http_address().unwrap()).await;
    let cache = builder(&[proxy.address]).lazy().unwrap();
    for round in 1..=5 {
        proxy.lose.store(1, SeqCst);
        let ran = patient("an end", cache.run(["INCR", "sum"])).await;
        let error = ran.unwrap_err();
        assert!(matches!(error, Error::Lost(_)), "{error:?}");
        assert!(error.may_be_applied());
        let sum = node.client().counter("sum").await;
        assert_eq!(sum, Ok(Some(round)));
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_write_whose_answer_is_too_long_may_be_applied() {
    let node = node().await;
    let cache = builder(&[node.http_address().unwrap()]).answer_bytes_max(100);
    let cache = cache.lazy().unwrap();
    let job = "j".repeat(1_000);
    assert_eq!(cache.list_push("jobs", End::Right, [job]).await, Ok(1));
    let read = cache.list_range("jobs", 0, -1).await.unwrap_err();
    assert!(matches!(read, Error::InvalidArgument(_)), "{read:?}");
    let popped = cache.list_pop("jobs", End::Left).await.unwrap_err();
    assert!(matches!(popped, Error::Lost(_)), "{popped:?}");
    assert!(popped.may_be_applied());
    assert_eq!(node.client().list_length("jobs").await, Ok(0));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn what_no_node_took_is_sent_to_the_next() {
    let node = node().await;
    let address = node.http_address().unwrap();
    let cache = builder(&[nobody().await, nobody().await, address]);
    let cache = cache.lazy().unwrap();
    // Even what would never be sent twice.
    let ran = patient("a reply", cache.run(["INCR", "sum"])).await;
    assert_eq!(ran.unwrap().as_integer(), Some(1));
    assert_eq!(cache.address(), format!("http://{address}"));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_silent_node_is_left() {
    let node = node().await;
    // It takes connections, and says nothing on them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [silent.local_addr().unwrap(), node.http_address().unwrap()];
    let cache = builder(&addresses).lazy().unwrap();
    let sum = patient("a sum", cache.increment("sum", 1)).await;
    assert_eq!(sum, Ok(1));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let short = Duration::from_millis(300);
    let cache = builder(&[address]).timeout(short).lazy().unwrap();
    let late = patient("an end", cache.increment("sum", 1)).await;
    assert_eq!(late, Err(Error::Deadline));
    let refused = builder(&[nobody().await]).reach_within(short).lazy();
    let refused = refused.unwrap();
    let error = patient("an end", refused.increment("sum", 1)).await;
    let Err(Error::Unavailable(text)) = error else {
        panic!("{error:?}");
    };
    assert!(text.contains(refused.address()), "{text}");
    let connect = builder(&[nobody().await]).reach_within(short).connect();
    let error = patient("an end", connect).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_call_may_have_all_the_time_there_is() {
    let node = node().await;
    let builder = builder(&[node.http_address().unwrap()]);
    let network = builder.timeout(Duration::MAX).lazy().unwrap();
    let local = node.client().with_timeout(Duration::MAX);
    let sum = patient("a sum", network.increment("sum", 1)).await;
    assert_eq!(sum, Ok(1));
    let sum = patient("a sum", local.increment("sum", 1)).await;
    assert_eq!(sum, Ok(2));
    let reply = patient("a reply", local.run(["PING"])).await;
    assert!(reply.is_ok(), "{reply:?}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn whoever_will_not_wait_is_told_at_once() {
    let nodes = [nobody().await, nobody().await];
    let cache = builder(&nodes).reach_within(Duration::ZERO);
    let cache = cache.timeout(Duration::from_secs(3_600)).lazy().unwrap();
    let error = patient("an error", cache.get::<u32>("k"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_that_was_asked_goes() {
    let cluster = Cluster::start(3, &Config::default()).await;
    let addresses: Vec<_> = (0..3).map(|index| cluster.address(index)).collect();
    let cache = builder(&addresses).connect().await.unwrap();
    assert_eq!(cache.address(), format!("http://{}", addresses[0]));
    let adding = tokio::spawn({
        let cache = cache.clone();
        async move {
            for round in 1..=300 {
                assert_eq!(cache.increment("sum", 1).await, Ok(round));
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    });
    while cluster.node(1).client().counter("sum").await.unwrap() < Some(50) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cluster.node(0).stop().await.unwrap();
    patient("all additions", adding).await.unwrap();
    assert_ne!(cache.address(), format!("http://{}", addresses[0]));
    assert_eq!(cache.counter("sum").await, Ok(Some(300)));
    for index in [1, 2] {
        cluster.node(index).stop().await.unwrap();
    }
}

#[tokio::test]
async fn addresses_that_are_none() {
    for (address, wrong) in [
        ("127.0.0.1:4000", "http://"),
        ("ftp://there", "http://"),
        ("http://there/path", "path"),
        ("no address", "no URL"),
    ] {
        let error = Client::builder().address(address).lazy().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
        assert!(text.contains(wrong) && text.contains(address), "{text}");
    }
    let error = Client::builder().token("no token").lazy().unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
    let many = vec!["http://there:1"; 65].join(",");
    let error = patient("an error", Client::connect(&many))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
}
