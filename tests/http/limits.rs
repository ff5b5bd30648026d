//! What the door bears: clients that are slow, greedy, gone, or too many.

use std::time::Duration;

use smache::config::Config;

use crate::client::{Client, patient, request};
use crate::door::TestDoor;

const JSON: (&str, &str) = ("content-type", "application/json");

fn quick() -> Config {
    Config {
        header_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(300),
        ..Default::default()
    }
}

fn small() -> Config {
    Config {
        body_bytes_max: 10_000,
        value_bytes_max: 1_000,
        collection_bytes_max: 1_000,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_slow_head_is_answered_408() {
    let config = Config {
        header_timeout: Duration::from_millis(100),
        ..Default::default()
    };
    let door = TestDoor::with(config).await;
    let mut client = Client::connect(door.address).await;
    client.send("GET /api?key=k HTTP/1.1\r\nhost: ").await;
    let answer = client.closed().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"error\":\"header_timeout\""), "{answer}");

    // Also behind a request that was answered, and although its pieces keep coming.
    let mut client = Client::connect(door.address).await;
    assert_eq!(client.ask("GET", "/", &[], "").await.status, 200);
    let dripping = async {
        for byte in "GET / HTTP/1.1\r\nhost: localhost\r\nx-long: "
            .bytes()
            .chain([b'x'; 1000])
        {
            if !client.try_send([byte]).await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        client.closed().await
    };
    let answer = patient("the end", dripping).await;
    assert!(!answer.contains("HTTP/1.1 200"), "{answer}");
    door.close().await;
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let door = TestDoor::with(quick()).await;
    let silent = Client::connect(door.address).await;
    assert_eq!(silent.closed().await, "");
    let mut idle = Client::connect(door.address).await;
    for _ in 0..3 {
        assert_eq!(idle.ask("GET", "/", &[], "").await.status, 200);
    }
    assert_eq!(idle.closed().await, "");
    door.close().await;
}

#[tokio::test]
async fn a_connection_in_use_is_not_closed() {
    let config = Config {
        idle_timeout: Duration::from_secs(2),
        ..Default::default()
    };
    let door = TestDoor::with(config).await;
    let mut client = Client::connect(door.address).await;
    // Longer than the idle time, in steps that are far shorter.
    for _ in 0..30 {
        assert_eq!(client.ask("GET", "/api?key=k", &[], "").await.status, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    door.close().await;
}

#[tokio::test]
async fn a_body_that_pauses_is_answered_408() {
    let door = TestDoor::with(quick()).await;
    let mut client = Client::connect(door.address).await;
    let whole = request("POST", "/api", &[JSON], "{\"key\":\"k\",\"data\":{}}");
    client.send(&whole[..whole.len() - 3]).await;
    let response = client.response().await;
    assert_eq!(
        (response.status, &response.error()[..]),
        (408, "body_timeout")
    );
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(client.closed().await, "");
    door.close().await;
}

#[tokio::test]
async fn a_body_is_bounded_by_what_it_says() {
    let door = TestDoor::with(small()).await;
    let mut client = Client::connect(door.address).await;
    let head = format!(
        "POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        1u64 << 60
    );
    client.send(head).await;
    let response = client.response().await;
    assert_eq!(
        (response.status, &response.error()[..]),
        (413, "body_too_large")
    );
    assert!(response.body.contains("10000 bytes"), "{}", response.body);
    door.close().await;
}

#[tokio::test]
async fn a_body_is_bounded_by_what_it_sends() {
    let door = TestDoor::with(small()).await;
    let mut client = Client::connect(door.address).await;
    let head = "POST /api HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    client.send(head).await;
    // The answer gets through although the client goes on sending before it reads.
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    for _ in 0..1_000 {
        if !client.try_send(&chunk).await {
            break;
        }
    }
    let response = client.response().await;
    assert_eq!(
        (response.status, &response.error()[..]),
        (413, "body_too_large")
    );
    door.close().await;
}

#[tokio::test]
async fn a_large_body_that_is_not_wanted_does_not_lose_its_answer() {
    let door = TestDoor::open().await;
    let mut client = Client::connect(door.address).await;
    // More than the sockets hold between them: the client is still sending when it is answered.
    let body = "x".repeat(7_500_000);
    let headers = [("content-type", "text/plain")];
    let response = client.ask("POST", "/api", &headers, &body).await;
    assert_eq!(response.status, 415);
    door.close().await;
}

#[tokio::test]
async fn values_have_their_own_bound() {
    let door = TestDoor::with(small()).await;
    let body = |length| {
        format!(
            "{{\"key\":\"k\",\"data\":{{\"s\":\"{}\"}}}}",
            "x".repeat(length)
        )
    };
    assert_eq!(door.send("POST", "/api", &body(900)).await.status, 200);
    let response = door.send("POST", "/api", &body(1_000)).await;
    assert_eq!(
        (response.status, &response.error()[..]),
        (413, "value_too_large")
    );
    door.close().await;
}

#[tokio::test]
async fn a_truncated_body_changes_nothing() {
    let door = TestDoor::open().await;
    let heads = ["content-length: 100", "transfer-encoding: chunked"];
    for head in heads {
        let mut client = Client::connect(door.address).await;
        let chunk = if head.starts_with('t') { "15\r\n" } else { "" };
        client
            .send(format!(
                "POST /api HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n\
                 {chunk}{{\"key\":\"k\",\"data\":{{}}}}"
            ))
            .await;
        drop(client);
    }
    // A chunk that is none is told so.
    let mut client = Client::connect(door.address).await;
    client
        .send("POST /api HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
        .await;
    let response = client.response().await;
    assert_eq!(
        (response.status, &response.error()[..]),
        (400, "body_truncated")
    );
    assert_eq!(door.get("/api?key=k").await.header("x-cache"), Some("MISS"));
    door.close().await;
}

#[tokio::test]
async fn long_heads_are_taken_and_endless_ones_refused() {
    let door = TestDoor::open().await;
    let long = "x".repeat(10_000);
    let response = door
        .ask("GET", "/api?key=k", &[("x-long", &long)], "")
        .await;
    assert_eq!(response.status, 200);
    let key = "%41".repeat(4_096);
    assert_eq!(door.get(&format!("/api?key={key}")).await.status, 200);
    let mut client = Client::connect(door.address).await;
    let endless = request("GET", "/", &[("x-long", &"x".repeat(200_000))], "");
    client.try_send(endless).await;
    assert!(client.closed().await.starts_with("HTTP/1.1 431 "));
    let mut client = Client::connect(door.address).await;
    let many: Vec<(&str, &str)> = vec![("x-h", "v"); 200];
    client.try_send(request("GET", "/", &many, "")).await;
    assert!(client.closed().await.starts_with("HTTP/1.1 431 "));
    door.close().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_to_come_back() {
    let config = Config {
        connections_max: 2,
        ..Default::default()
    };
    let door = TestDoor::with(config).await;
    let mut first = Client::connect(door.address).await;
    let mut second = Client::connect(door.address).await;
    assert_eq!(first.ask("GET", "/", &[], "").await.status, 200);
    assert_eq!(second.ask("GET", "/", &[], "").await.status, 200);
    let mut third = Client::connect(door.address).await;
    third.send(request("GET", "/", &[], "")).await;
    let response = third.response().await;
    assert_eq!(
        (response.status, &response.error()[..]),
        (503, "too_many_connections")
    );
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(third.closed().await, "");
    let page = second.ask("GET", "/metrics", &[], "").await.body;
    assert!(
        page.contains("smache_http_connections_rejected_total 1\n"),
        "{page}"
    );
    assert!(
        page.contains("smache_http_connections_open 2.0\n"),
        "{page}"
    );
    drop(first);
    patient("a place to be free", async {
        loop {
            let mut client = Client::connect(door.address).await;
            if client.ask("GET", "/", &[], "").await.status == 200 {
                break;
            }
        }
    })
    .await;
    door.close().await;
}

#[tokio::test]
async fn requests_beyond_the_limit_are_told_to_come_back() {
    let config = Config {
        requests_max: 1,
        ..Default::default()
    };
    let door = TestDoor::with(config).await;
    let mut busy = Client::connect(door.address).await;
    let head = "POST /api/batch HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    busy.send(head).await;
    assert_eq!(busy.head().await.status, 200);
    let response = door.send("POST", "/api", "{\"key\":1,\"data\":{}}").await;
    assert_eq!(
        (response.status, &response.error()[..]),
        (503, "overloaded")
    );
    assert_eq!(response.header("retry-after"), Some("1"));
    // Reads of this node's keys wait for nothing and go on.
    assert_eq!(door.get("/api?key=1").await.status, 200);
    busy.send("0\r\n\r\n").await;
    assert_eq!(busy.chunk().await, None);
    let response = door.send("POST", "/api", "{\"key\":1,\"data\":{}}").await;
    assert_eq!(response.status, 200);
    door.close().await;
}

#[tokio::test]
async fn a_body_that_drips_is_answered_408() {
    let door = TestDoor::with(quick()).await;
    let whole = request("POST", "/api", &[JSON], &format!("{:>9000}", "{}"));
    let (head, body) = whole.split_at(whole.find("\r\n\r\n").unwrap() + 4);
    let mut client = Client::connect(door.address).await;
    client.send(head).await;
    let mut sent = 0;
    let answer = patient("the end", async {
        for byte in body.bytes() {
            if !client.try_send([byte]).await {
                break;
            }
            sent += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        client.closed().await
    })
    .await;
    assert!(sent < 9_000, "all of it was taken");
    if !answer.is_empty() {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    door.close().await;
}

#[tokio::test]
async fn a_closing_door_finishes_what_is_in_work() {
    let mut door = TestDoor::open().await;
    let mut idle = Client::connect(door.address).await;
    assert_eq!(idle.ask("GET", "/", &[], "").await.status, 200);
    let mut busy = Client::connect(door.address).await;
    let whole = request("POST", "/api", &[JSON], "{\"key\":\"k\",\"data\":{}}");
    let (before, after) = whole.split_at(whole.len() - 5);
    busy.send(before).await;
    patient("the request to be in work", async {
        while door.figure("smache_http_requests_in_work").await < 2.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    door.begin_to_close();
    assert_eq!(idle.closed().await, "");
    busy.send(after).await;
    let response = busy.response().await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(busy.closed().await, "");
    door.closed().await;
}

#[tokio::test]
async fn a_client_that_expects_to_be_asked_is_asked() {
    let door = TestDoor::open().await;
    let mut client = Client::connect(door.address).await;
    let whole = request(
        "POST",
        "/api",
        &[JSON, ("expect", "100-continue")],
        "{\"key\":1,\"data\":{}}",
    );
    let (head, body) = whole.split_at(whole.find("\r\n\r\n").unwrap() + 4);
    client.send(head).await;
    assert_eq!(client.head().await.status, 100);
    client.send(body).await;
    assert_eq!(client.response().await.status, 200);
    door.close().await;
}
