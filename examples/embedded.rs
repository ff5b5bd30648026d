//! Two nodes in one process, with no network between them or around them.
//!
//! Run it with `cargo run --example embedded`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smache::Smache;
use smache::cluster::transport::memory::Network;
use smache::command::Condition;
use smache::embed::{Error, PutOptions};

/// What is cached: any type that serde can turn into a JSON object and back.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Position {
    lat: f64,
    lon: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A switchboard that the nodes of this process meet on. The addresses on it are just names.
    let network = Network::new();
    let one = node(&network, "one", None).await?;
    let two = node(&network, "two", Some("one")).await?;

    typed_values(&one, &two).await?;
    time_to_live(&one, &two).await?;
    compare_and_set(&one, &two).await?;

    // A node that leaves hands its entries over first; one that just dies takes them with it.
    one.stop().await?;
    let left = two.get::<Position>("bus:1").await?;
    println!("bus:1, after the first node has left: {left:?}");
    assert!(left.is_some());
    two.stop().await?;
    Ok(())
}

async fn node(
    network: &Network,
    name: &str,
    join: Option<&str>,
) -> Result<Smache, smache::node::Error> {
    Smache::builder()
        .name(format!("{name}@example"))
        .max_memory(128_000_000)
        .in_memory(network, name, join)
        .start()
        .await
}

/// What goes in through one node comes out of the other, whichever of them owns the key.
async fn typed_values(one: &Smache, two: &Smache) -> Result<(), Error> {
    for bus in 1..=3 {
        let position = Position {
            lat: 52.52,
            lon: 13.4 + f64::from(bus) / 100.0,
        };
        one.put(format!("bus:{bus}"), &position).await?;
    }
    for bus in 1..=3 {
        let key = format!("bus:{bus}");
        if let Some(found) = two.get_versioned::<Position>(&key).await? {
            println!("{key} is at {:?}, owned by {}", found.value, found.owner);
        }
    }
    assert!(two.delete("bus:3").await?);
    assert_eq!(one.get::<Position>("bus:3").await?, None);
    Ok(())
}

/// A value that expires is gone on every node at the same moment.
async fn time_to_live(one: &Smache, two: &Smache) -> Result<(), Error> {
    let options = PutOptions {
        ttl: Some(Duration::from_millis(200)),
        ..PutOptions::default()
    };
    one.put_with("session:7", &"Ada", options).await?;
    println!("session:7 is {:?}", two.get::<String>("session:7").await?);
    tokio::time::sleep(Duration::from_millis(250)).await;
    let expired = two.get::<String>("session:7").await?;
    println!("session:7 is {expired:?}, a quarter of a second later");
    assert_eq!(expired, None);
    Ok(())
}

/// Of two programs that change the same value, the one that comes second is told so.
async fn compare_and_set(one: &Smache, two: &Smache) -> Result<(), Error> {
    let only_new = PutOptions {
        condition: Condition::Absent,
        ..PutOptions::default()
    };
    let first = one.put_with("leader", &"one", only_new.clone()).await?;
    match two.put_with("leader", &"two", only_new).await {
        Err(Error::Condition(present)) => println!("leader is taken already, at {present:?}"),
        other => println!("this should not happen: {other:?}"),
    }
    let unchanged = PutOptions {
        condition: Condition::VersionIn(vec![first]),
        ..PutOptions::default()
    };
    two.put_with("leader", &"two", unchanged).await?;
    assert_eq!(one.get::<String>("leader").await?, Some("two".to_owned()));
    Ok(())
}
