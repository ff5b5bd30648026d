//! The memory of a door: what clients that do not read, or stop sending, keep of it, and for how long.

use std::time::Duration;

use smache::config::Config;

use crate::client::{Client, patient, request};
use crate::door::TestDoor;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let door = tight(Duration::from_millis(300)).await;
    let mut client = Client::connect(door.address).await;
    client
        .send(request("GET", "/api?key=large", &[], "").repeat(50))
        .await;
    patient("the connection to be closed", async {
        while door.figure("smache_http_connections_open").await > 1.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    dropped_for_not_reading(&door, 1.0).await;
    drop(client);
    door.close().await;
}

async fn dropped_for_not_reading(door: &TestDoor, count: f64) {
    let figure = "smache_http_connections_dropped_total{reason=\"not_reading\"}";
    patient("the connections to be dropped", async {
        while door.figure(figure).await < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    patient("the memory to be back", async {
        while door.figure("smache_http_held_bytes").await > 0.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// A door with a budget of a megabyte, and a value of which it holds three.
async fn tight(write_timeout: Duration) -> TestDoor {
    let config = Config {
        value_bytes_max: 400_000,
        collection_bytes_max: 400_000,
        body_bytes_max: 500_000,
        door_bytes_max: Some(1_000_000),
        idle_timeout: Duration::from_millis(500),
        write_timeout,
        ..Default::default()
    };
    let door = TestDoor::with(config).await;
    let text = "x".repeat(300_000);
    door.put("large", &format!("{{\"s\":\"{text}\"}}")).await;
    door.put("small", "{}").await;
    door
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn streamed_answers_that_nobody_reads_are_dropped() {
    let door = tight(Duration::from_millis(300)).await;
    let many = format!("/api?key=small{}", "&key=large".repeat(100));
    let mut reads = Client::connect(door.address).await;
    reads.send(request("GET", &many, &[], "")).await;
    dropped_for_not_reading(&door, 1.0).await;
    // More answers than the sockets hold between them, and lines that go on arriving.
    let mut batch = Client::connect(door.address).await;
    let head = "POST /api/batch HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    batch.send(head).await;
    let line = "{\"key\":\"large\"}\n".repeat(100);
    batch.send(format!("{:x}\r\n{line}\r\n", line.len())).await;
    dropped_for_not_reading(&door, 2.0).await;
    drop((reads, batch));
    door.close().await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_served() {
    let door = tight(Duration::from_millis(500)).await;
    let mut client = Client::connect(door.address).await;
    client
        .send(request("GET", "/api?key=large", &[], "").repeat(30))
        .await;
    // Longer than the write timeout, but never nothing for so long.
    for _ in 0..30 {
        assert_eq!(client.response().await.status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    door.close().await;
}

#[tokio::test]
async fn pipelined_requests_of_a_client_that_never_reads_take_no_more_memory() {
    let door = tight(LONG).await;
    let mut client = Client::connect(door.address).await;
    let requests = request("GET", "/api?key=large", &[], "").repeat(1_000);
    client.send(&requests).await;
    patient("answers to wait", async {
        while door.figure("smache_http_held_bytes").await == 0.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    for _ in 0..50 {
        let held = door.figure("smache_http_held_bytes").await;
        assert!(held <= 700_000.0, "{held}: one in writing, one ready");
    }
    drop(client);
    patient("the memory to be back", async {
        while door.figure("smache_http_held_bytes").await > 0.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    door.close().await;
}

#[tokio::test]
async fn memory_that_is_used_up_is_answered_503_and_comes_back() {
    let door = tight(LONG).await;
    // Each of these has an answer that waits for it.
    let mut slow = Vec::new();
    let many = request("GET", "/api?key=large", &[], "").repeat(40);
    patient("the memory to be used up", async {
        while door.get("/api?key=large").await.status == 200 {
            let mut client = Client::connect(door.address).await;
            client.send(&many).await;
            slow.push(client);
        }
    })
    .await;
    let refused = door.get("/api?key=large").await;
    assert_eq!((refused.status, &refused.error()[..]), (503, "overloaded"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(door.figure("smache_http_held_bytes").await <= 1_000_000.0);
    assert!(door.figure("smache_http_held_refused_total").await >= 2.0);
    // Small values are served as ever; large bodies are refused before they are sent.
    assert_eq!(door.get("/api?key=small").await.status, 200);
    let head = request("POST", "/api", &[JSON, ("content-length", "450000")], "");
    let mut writer = Client::connect(door.address).await;
    writer.send(&head).await;
    let response = writer.response().await;
    assert_eq!(
        (response.status, &response.error()[..]),
        (503, "overloaded")
    );
    assert_eq!(response.header("retry-after"), Some("1"));
    // One line of a batch harms no other.
    let lines = "{\"key\":\"large\"}\n{\"key\":\"small\"}\n";
    let lines_type = [("content-type", "application/x-ndjson")];
    let batch = door.ask("POST", "/api/batch", &lines_type, lines).await;
    let answers: Vec<&str> = batch.body.lines().collect();
    assert!(
        answers[0].contains("\"error\":\"overloaded\""),
        "{answers:?}"
    );
    assert!(answers[1].contains("\"status\":200"), "{answers:?}");
    let both = door.get("/api?key=large&key=small").await.body;
    assert!(both.contains("overloaded") && both.contains("{}"), "{both}");
    drop(slow);
    patient("the memory to be back", async {
        while door.figure("smache_http_held_bytes").await > 0.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(door.get("/api?key=large").await.status, 200);
    door.close().await;
}

#[tokio::test]
async fn bodies_give_their_memory_back_on_every_way_out() {
    let door = tight(LONG).await;
    let text = "x".repeat(300_000);
    let whole = format!("{{\"key\":\"k\",\"data\":{{\"s\":\"{text}\"}}}}");
    let broken = &whole[..whole.len() - 1];
    let too_large = format!("{{\"key\":\"k\",\"data\":{{\"s\":\"{text}{text}\"}}}}");
    for (body, status) in [(&whole[..], 200), (broken, 400), (&too_large, 413)] {
        assert_eq!(door.send("POST", "/api", body).await.status, status);
    }
    // A client that goes away, and one that stops, in the middle of a body, and of a line.
    let lines = [("content-type", "application/x-ndjson")];
    for (path, headers) in [("/api", [JSON]), ("/api/batch", lines)] {
        for leaves in [true, false] {
            let mut client = Client::connect(door.address).await;
            let text = request("POST", path, &headers, &whole);
            client.send(&text[..text.len() - 10]).await;
            patient("the body to be held", async {
                while door.figure("smache_http_held_bytes").await < 200_000.0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            if !leaves {
                assert!(client.closed().await.contains("body_timeout"));
            }
            patient("the memory to be back", async {
                while door.figure("smache_http_held_bytes").await > 0.0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
        }
    }
    door.close().await;
}
