use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::version::NodeId;

#[derive(Debug)]
struct NoSessions;

impl Transport for NoSessions {
    fn dial(&self, _address: &str) {}
    fn send(&self, _session: SessionId, _frame: Vec<u8>) {}
    fn datagram(&self, _to: &str, _packet: Vec<u8>) {}
    fn close(&self, _session: SessionId, _reason: &str) {}
    fn shutdown(&self) {}
}

type Received = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

fn node(name: &str, cluster: &str) -> (Datagrams, SocketAddr, Received) {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let received = Received::default();
    let told = Arc::clone(&received);
    let sink: Sink = Arc::new(move |event| {
        if let Event::Datagram { from, packet } = event {
            told.lock().push((from, packet));
        }
    });
    let options = Options {
        identity: Identity {
            id: NodeId::of(name),
            name: name.into(),
            boot_epoch: 1,
        },
        socket,
        keys: Keys::derive("cookie", cluster),
        runtime: Handle::current(),
    };
    let datagrams = Datagrams::start(options, Arc::new(NoSessions), sink).unwrap();
    (datagrams, address, received)
}

async fn until(what: &str, met: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !met() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

#[tokio::test]
async fn datagrams_travel_between_nodes_of_one_cluster() {
    let (a, a_address, _) = node("a", "one");
    let (b, b_address, received) = node("b", "one");
    let (c, _, _) = node("c", "another");
    c.datagram(&b_address.to_string(), b"from elsewhere".to_vec());
    until("the foreign one is refused", || {
        b.counters.get().refused == 1
    })
    .await;
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(b"hello?", b_address).unwrap();
    until("the stranger is refused", || b.counters.get().refused == 2).await;
    a.datagram(&b_address.to_string(), b"ping".to_vec());
    until("it arrives", || !received.lock().is_empty()).await;
    assert_eq!(
        *received.lock(),
        [(a_address.to_string(), b"ping".to_vec())]
    );
    assert_eq!(a.counters.get().sent, 1);
    assert_eq!(b.counters.get().received, 1);
}

#[tokio::test]
async fn a_host_name_is_looked_up_and_a_bad_one_is_counted() {
    let (a, _, _) = node("a", "one");
    let (_b, b_address, received) = node("b", "one");
    let name = format!("localhost:{}", b_address.port());
    // Datagrams do not wait for the answer: the first ones are lost.
    let sent = async {
        while received.lock().is_empty() {
            a.datagram(&name, b"ping".to_vec());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let sent = tokio::time::timeout(Duration::from_secs(10), sent).await;
    // Where localhost means IPv6 only, nothing can arrive at the IPv4 socket.
    assert!(sent.is_ok() || a.counters.get().failed > 0);
    let failed = a.counters.get().failed;
    a.datagram("no port at all", b"ping".to_vec());
    until("it is counted", || a.counters.get().failed > failed).await;
}

#[tokio::test]
async fn a_flood_is_dropped_unopened() {
    let mut budget = Budget::new();
    let start = budget.since;
    assert!((0..PER_SECOND_MAX).all(|_| budget.take(start)));
    assert!(!budget.take(start + Duration::from_millis(999)));
    assert!(budget.take(start + Duration::from_millis(1_001)));
}

#[test]
fn ipv4_is_reached_from_an_ipv6_socket() {
    let address: SocketAddr = "10.0.0.1:4500".parse().unwrap();
    assert_eq!(reachable(address, false), address);
    assert_eq!(
        reachable(address, true).to_string(),
        "[::ffff:10.0.0.1]:4500"
    );
}
