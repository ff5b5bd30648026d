//! What bounds a client on a socket.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use smache::config::Config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::client::patient;
use crate::nodes::{Tokens, alone, ask, config, small_door, stop, until};
use crate::phoenix::{Form, Phoenix, connect};

const ROOM: &str = "room:lobby";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_are_refused() {
    let node = alone(Config {
        watchers_max: 1,
        ..config()
    })
    .await;
    let foreign = [("origin", "http://evil.example")];
    let old = [("sec-websocket-version", "8")];
    for (query, headers, status, code) in [
        ("?vsn=3.0.0", &[][..], 400, "unknown_version"),
        ("", &foreign, 403, "cross_site"),
        ("", &old, 426, "upgrade_required"),
    ] {
        let (answered, text) = connect(&node, query, headers).await.unwrap_err();
        assert_eq!(answered, status, "{text}");
        assert!(text.contains(code), "{text}");
    }
    let plain = ask(&node, "GET", "/socket/websocket", "").await;
    assert_eq!(
        (plain.status, &plain.error()[..]),
        (426, "upgrade_required")
    );
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    let one = connect(&node, "?vsn=1.0.0", &[]).await.unwrap();
    let (status, text) = connect(&node, "", &[]).await.unwrap_err();
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("too_many_watchers"), "{text}");
    drop(one);
    let live = node.node().router().live();
    until("the first is gone", || live.counters().subscribers == 0).await;
    connect(&node, "", &[]).await.unwrap();
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_is_closed_with_a_reason() {
    let node = alone(Config {
        message_bytes_max: 3 << 10,
        ..config()
    })
    .await;
    let long = format!("[null,null,\"t\",\"e\",\"{}\"]", "x".repeat(4_000));
    for (message, code) in [
        (Message::text("hello"), CloseCode::Invalid),
        (Message::text("[]"), CloseCode::Invalid),
        (Message::text(long), CloseCode::Size),
        (Message::binary(vec![1, 2, 3]), CloseCode::Unsupported),
    ] {
        let mut client = Phoenix::connect(&node, Form::Array).await;
        client.socket.send(message).await.unwrap();
        let frame = client.closed().await.unwrap();
        assert_eq!(frame.code, code);
        assert!(!frame.reason.is_empty());
    }
    let client = Phoenix::connect(&node, Form::Array).await;
    let stopping = tokio::spawn(stop(vec![node]));
    assert_eq!(client.closed().await.unwrap().code, CloseCode::Away);
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_message_is_said_whatever_of_it_is_the_key() {
    const LENGTH_MAX: usize = 31 << 10;
    let node = alone(Config {
        message_bytes_max: 32 << 10,
        ..config()
    })
    .await;
    let mut client = Phoenix::connect(&node, Form::Array).await;
    client.join(ROOM).await;
    // Each as long as a key may be; one of them is six times as long in JSON.
    for key in ["k".repeat(4_096), "\u{1}".repeat(4_096)] {
        let message = |text: &str| {
            let body = json!({"key": key, "data": {"text": text}});
            json!([ROOM, "r", ROOM, "bus_pub", {"body": body}]).to_string()
        };
        let rest = LENGTH_MAX - message("").len();
        client.say(&message(&"x".repeat(rest))).await;
        let said = client.pushed().await.unwrap();
        assert_eq!(
            (&said.event[..], &said.payload["key"]),
            ("bus_sub", &json!(key))
        );
        let reply = client.pushed().await.unwrap();
        assert_eq!(reply.payload["status"], "ok", "{reply:?}");
    }
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_for_which_the_door_has_no_memory_is_missed() {
    let node = alone(small_door()).await;
    let mut client = Phoenix::connect(&node, Form::Array).await;
    client.join(ROOM).await;
    let live = node.node().router().live();
    let say = |text: &str| {
        let said = json!({"event": "said", "payload": {"text": text}});
        let channel = format!("phoenix:{ROOM}").into();
        live.publish(&channel, &said.to_string().into()).unwrap()
    };
    for length in [60_000, 70_000, 60_000, 1] {
        let text = "x".repeat(length);
        assert_eq!(say(&text), 1);
        let pushed = client.pushed().await.unwrap();
        let expected = match length {
            70_000 => ("missed", json!({"missed": 1})),
            _ => ("said", json!({"text": text})),
        };
        assert_eq!((&pushed.event[..], pushed.payload), expected);
    }
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_client_is_asked_and_then_let_go() {
    let node = alone(Config {
        socket_idle_timeout: Duration::from_millis(400),
        ..config()
    })
    .await;
    let live = || node.node().router().live().counters().subscribers;
    // One that reads answers pings by itself.
    let mut reading = Phoenix::connect(&node, Form::Array).await;
    let silent = Phoenix::connect(&node, Form::Array).await;
    assert_eq!(live(), 2);
    let mut is_gone = || live() == 1;
    let gone = until("the silent one is let go", &mut is_gone);
    let read = async {
        loop {
            let reply = reading.ask("phoenix", "heartbeat", json!({})).await;
            assert_eq!(reply.0, "ok");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = gone => {}
        () = read => {}
    }
    assert_eq!(silent.closed().await.unwrap().code, CloseCode::Away);
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_taken_back_ends_a_socket_on_which_nothing_happens() {
    let tokens = Tokens::new();
    let guarded = async |socket_idle_timeout| {
        alone(Config {
            tokens: Some(tokens.file()),
            socket_idle_timeout,
            ..config()
        })
        .await
    };
    let node = guarded(Duration::from_secs(4)).await;
    let patient_node = guarded(Duration::from_secs(3_600)).await;
    let bearer = [("authorization", "Bearer the-readers-token")];
    // One only answers pings, the other one sends its own, and is sent none.
    let mut quiet = Phoenix::connect_with(&node, Form::Array, &bearer).await;
    quiet.join(ROOM).await;
    let mut pinging = Phoenix::connect_with(&patient_node, Form::Array, &bearer).await;
    pinging.join(ROOM).await;
    tokens.take_back();
    assert_eq!(quiet.closed().await.unwrap().code, CloseCode::Policy);
    let closed = patient("the end", async {
        loop {
            let ping = Message::Ping(Bytes::new());
            pinging.socket.send(ping).await.unwrap();
            if let Message::Close(frame) = pinging.socket.next().await.unwrap().unwrap() {
                return frame.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(closed.code, CloseCode::Policy);
    stop(vec![node, patient_node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_listens_to_so_much_and_no_more() {
    let node = alone(Config {
        subscriptions_max: 3,
        ..config()
    })
    .await;
    let mut client = Phoenix::connect(&node, Form::Array).await;
    client.join(ROOM).await;
    let question = |key: &str| json!({"body": {"key": key}});
    for (key, status) in [("a", "ok"), ("b", "ok"), ("c", "error"), ("a", "ok")] {
        assert_eq!(
            client.ask(ROOM, "bus_sub", question(key)).await.0,
            status,
            "{key}"
        );
    }
    assert_eq!(
        client.ask("room:other", "phx_join", json!({})).await.0,
        "error"
    );
    client.ask(ROOM, "bus_unsub", question("a")).await;
    assert_eq!(client.ask(ROOM, "bus_sub", question("c")).await.0, "ok");
    stop(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_on_a_socket_is_told_what_it_missed() {
    let node = alone(Config {
        watch_events_max: 10,
        write_timeout: Duration::from_secs(20),
        ..config()
    })
    .await;
    let mut client = Phoenix::connect(&node, Form::Object).await;
    client.join(ROOM).await;
    client
        .ask(ROOM, "bus_sub", json!({"body": {"key": "k"}}))
        .await;
    let lost = || node.node().router().live().counters().lost;
    let long = "x".repeat(30_000);
    let mut last = 0;
    while lost() < 100 {
        last += 1;
        node.put("k", &json!({"n": last, "long": long}))
            .await
            .unwrap();
    }
    let mut missed = 0;
    loop {
        let pushed = client.pushed().await.unwrap();
        if pushed.event == "missed" {
            missed += pushed.payload["missed"].as_u64().unwrap();
        }
        let data = |how: &str| pushed.payload[how]["data"]["n"].clone();
        if data("pub") == last || data("sub") == last {
            break;
        }
    }
    assert!(missed > 0);
    stop(vec![node]).await;
}
