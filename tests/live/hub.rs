//! Channels across nodes, as doors use them.

use std::time::Duration;

use bytes::Bytes;
use smache::Smache;
use smache::cluster::transport::memory::Network;
use smache::live::{Event, Hub, Message, Subscription, Topic};
use tokio::time::Instant;

use crate::client::patient;
use crate::nodes::{cluster, stop};

fn hub(node: &Smache) -> &Hub {
    node.node().router().live()
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn listen(node: &Smache, topics: impl IntoIterator<Item = Topic>) -> Subscription {
    let mut subscription = hub(node).subscribe().unwrap();
    for topic in topics {
        subscription.add(topic).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    assert!(subscription.known(deadline).await);
    subscription
}

async fn message(subscription: &mut Subscription) -> Message {
    match patient("a message", subscription.next()).await {
        Some(Event::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_reaches_who_listens_on_every_node() {
    let network = Network::new();
    let nodes = cluster(&network, 3).await;
    let mut listeners = Vec::new();
    for node in &nodes {
        let topics = [
            Topic::Channel(text("news")),
            Topic::Pattern(text("n?w[s]")),
            Topic::Channel(text("other")),
        ];
        listeners.push(listen(node, topics).await);
    }
    // Once a subscription is known, nothing is missed: not even what follows at once.
    for (place, node) in nodes.iter().enumerate() {
        for n in 0..50 {
            let payload = text(&format!("{place}:{n}"));
            let received = hub(node).publish(&text("news"), &payload);
            assert_eq!(received, Ok(2), "those of this node, each way");
        }
    }
    for listener in &mut listeners {
        let mut told = vec![[0; 2]; nodes.len()];
        for _ in 0..nodes.len() * 50 * 2 {
            let message = message(listener).await;
            assert_eq!(message.channel, "news");
            let way = usize::from(message.pattern.is_some());
            let payload = std::str::from_utf8(&message.payload).unwrap();
            let (place, n) = payload.split_once(':').unwrap();
            let next = &mut told[place.parse::<usize>().unwrap()][way];
            assert_eq!(n.parse(), Ok(*next), "each node's messages in order");
            *next += 1;
        }
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_messages_travel_whole_and_in_order() {
    let network = Network::new();
    let nodes = cluster(&network, 2).await;
    let mut listener = listen(&nodes[1], [Topic::Pattern(text("*"))]).await;
    let lengths = [0, 10, 1 << 20, 1, 300_000, 65_536, 65_537, 2];
    for length in lengths {
        let payload = Bytes::from(vec![b'm'; length]);
        assert_eq!(hub(&nodes[0]).publish(&text("c"), &payload), Ok(0));
        assert_eq!(message(&mut listener).await.payload, payload, "{length}");
    }
    for length in &lengths[3..] {
        let payload = Bytes::from(vec![b'm'; *length]);
        hub(&nodes[0]).publish(&text("c"), &payload).unwrap();
    }
    for length in &lengths[3..] {
        assert_eq!(message(&mut listener).await.payload.len(), *length);
    }
    stop(nodes).await;
}
