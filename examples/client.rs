//! One program, two ways to its data: a node in the same process, and a cluster over the network.
//!
//! `cargo run --example client` embeds a node; `cargo run --example client -- http://127.0.0.1:4000`
//! talks to one that runs already, and to the next of several (with commas between) if it goes.

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use smache::Smache;
use smache::client::{Cache, Client, Condition, End, Error, PutOptions, Versioned};

#[derive(Debug, Serialize, Deserialize)]
struct Bus {
    line: u32,
    riders: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1) {
        Some(addresses) => {
            let cache = Client::connect(&addresses).await?;
            println!("asking {}", cache.address());
            drive(&cache).await?;
        }
        None => {
            let node = Smache::builder().max_memory(64_000_000).start().await?;
            drive(&node.client()).await?;
            node.stop().await?;
        }
    }
    Ok(())
}

/// Knows nothing of where its cache is.
async fn drive(cache: &impl Cache) -> Result<(), Error> {
    cache.put("bus:42", &Bus { line: 4, riders: 0 }).await?;
    board(cache, "bus:42", 3).await?;
    let bus: Option<Bus> = cache.get("bus:42").await?;
    println!("{bus:?}, and {:?}", cache.get::<Bus>("bus:43").await?);

    cache
        .list_push("stops:4", End::Right, ["Ost", "Mitte", "West"])
        .await?;
    let next = cache.list_pop("stops:4", End::Left).await?;
    println!("next stop: {next:?}");
    println!("driven: {}", cache.increment("counters:driven", 1).await?);

    let keys: Vec<_> = cache.keys("bus:*").try_collect().await?;
    println!("buses: {keys:?}");
    cache.delete("stops:4").await?;
    Ok(())
}

/// Changes a value by what it was: again, if somebody else was faster.
async fn board(cache: &impl Cache, key: &str, riders: u32) -> Result<(), Error> {
    loop {
        let Some(Versioned { value, version, .. }) = cache.get_versioned::<Bus>(key).await? else {
            return Ok(());
        };
        let fuller = Bus {
            riders: value.riders + riders,
            ..value
        };
        let unchanged = PutOptions {
            condition: Condition::VersionIn(vec![version]),
            ..PutOptions::default()
        };
        match cache.put_with(key, &fuller, unchanged).await {
            Err(Error::Condition(_)) => continue,
            result => return result.map(|_| ()),
        }
    }
}
