//! Following keys, over the network and in this process.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures_util::StreamExt as _;
use smache::client::{Cache, Change, Changes, Error, Event, PutOptions, Watch, What};
use smache::live::{self, Topic};

use crate::client::patient;
use crate::proxy::Proxy;
use crate::{builder, node};

async fn next(changes: &mut Changes) -> Event {
    let event = patient("an event", changes.next()).await;
    event.unwrap().unwrap()
}

/// The next change, with its value as JSON.
async fn change(changes: &mut Changes) -> (String, What, Option<String>) {
    let event = next(changes).await;
    let Event::Changed(Change { key, what, value }) = event else {
        panic!("{event:?}");
    };
    let key = String::from_utf8(key.into()).unwrap();
    (key, what, value.map(|value| value.json))
}

fn is(key: &str, what: What, json: Option<&str>) -> (String, What, Option<String>) {
    (key.to_owned(), what, json.map(str::to_owned))
}

/// Changes keys, and hears of it.
async fn follow(cache: &impl Cache, stem: &str) {
    let single = format!("{stem}:a key");
    let many = format!("{stem}:many:");
    let watch = Watch::key(&single).and_prefix(&many);
    let mut changes = cache.watch(watch);
    let first = is(&single, What::Snapshot, None);
    assert_eq!(change(&mut changes).await, first);
    cache.put(&single, &[1, 2]).await.unwrap();
    let put = is(&single, What::Put, Some("[1,2]"));
    assert_eq!(change(&mut changes).await, put);
    cache.delete(&single).await.unwrap();
    let deleted = is(&single, What::Deleted, None);
    assert_eq!(change(&mut changes).await, deleted);
    let soon = PutOptions {
        ttl: Some(Duration::from_millis(50)),
        ..PutOptions::default()
    };
    let one = format!("{many}1");
    let version = cache.put_with(&one, "x", soon).await.unwrap();
    let event = next(&mut changes).await;
    let Event::Changed(Change {
        value: Some(value), ..
    }) = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(value.version, version);
    assert_eq!(value.parse::<String>().unwrap(), "x");
    assert!(value.ttl.unwrap() <= Duration::from_millis(50));
    let expired = is(&one, What::Expired, None);
    assert_eq!(change(&mut changes).await, expired);
}

#[tokio::test]
async fn keys_are_followed() {
    let node = node().await;
    let address = node.http_address().unwrap();
    follow(&node.client(), "local").await;
    follow(&builder(&[address]).lazy().unwrap(), "network").await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn messages_are_published() {
    let node = node().await;
    let client = builder(&[node.http_address().unwrap()]).lazy().unwrap();
    let all: [&dyn Cache; 2] = [&node.client(), &client];
    let mut subscription = node.node().router().live().subscribe().unwrap();
    for cache in &all {
        assert_eq!(cache.publish("nowhere", "nobody").await, Ok(0));
        subscription.add(Topic::Channel("news".into())).unwrap();
        let sent = patient("an answer", cache.publish("news", "hello")).await;
        assert_eq!(sent, Ok(1));
        let event = patient("a message", subscription.next()).await;
        let Some(live::Event::Message(message)) = event else {
            panic!("{event:?}");
        };
        assert_eq!(&message.payload[..], b"hello");
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_watch_names_something() {
    let node = node().await;
    let address = node.http_address().unwrap();
    let client = builder(&[address]).lazy().unwrap();
    for mut changes in [
        node.client().watch(Watch::default()),
        client.watch(Watch::default()),
    ] {
        let event = patient("an end", changes.next()).await;
        let error = event.unwrap().unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
        assert!(patient("the end", changes.next()).await.is_none());
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_broken_stream_goes_on() {
    let node = node().await;
    let proxy = Proxy::before(node.http_address().unwrap()).await;
    let cache = builder(&[proxy.address]).lazy().unwrap();
    let here = node.client();
    here.put("key", &1).await.unwrap();
    let mut changes = cache.watch(Watch::key("key").and_prefix("other:"));
    let first = is("key", What::Snapshot, Some("1"));
    assert_eq!(change(&mut changes).await, first);
    proxy.lose.store(1, SeqCst);
    here.put("key", &2).await.unwrap();
    // Nobody knows what became of the others; the key is told as it is.
    assert_eq!(next(&mut changes).await, Event::Missed(0));
    let again = is("key", What::Snapshot, Some("2"));
    assert_eq!(change(&mut changes).await, again);
    here.put("other:1", &3).await.unwrap();
    let other = is("other:1", What::Put, Some("3"));
    assert_eq!(change(&mut changes).await, other);
    node.stop().await.unwrap();
    // It would wait for another node for ever.
    drop(changes);
}
