//! What the door bears: messages that lie, clients that do not read, and many of everything.

use std::time::Duration;

use bytes::Bytes;
use h2::client::Builder;
use prost::Message as _;
use smache::config::Config;
use smache::door::grpc::v1;
use tonic::Code;

use crate::calls::{channel, good, is};
use crate::client::patient;
use crate::door::TestDoor;
use crate::raw::{Raw, framed, told};

const PUT: &str = "/smache.v1.Kv/Put";
const GET: &str = "/smache.v1.Kv/Get";

fn put(key: &str, value: Vec<u8>) -> v1::KvPutRequest {
    v1::KvPutRequest {
        key: key.to_owned(),
        value: Some(value.into()),
        ..Default::default()
    }
}

fn get(key: &str) -> v1::KvGetRequest {
    v1::KvGetRequest {
        key: key.to_owned(),
    }
}

/// Waits until a figure is as it should be.
async fn until(door: &TestDoor, figure: &str, wanted: impl Fn(f64) -> bool) {
    patient(figure, async {
        while !wanted(door.figure(figure).await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn messages_that_are_none() {
    let door = TestDoor::open().await;
    let mut raw = Raw::connect(door.address).await;
    let good = framed(&put("k", b"v".to_vec()));
    let cut = |length: usize| good.slice(..length);
    let truncated = is(Code::Internal, "body_truncated");
    // Nothing, a part of the prefix, a part of the message.
    for (message, wanted) in [
        (Bytes::new(), Code::Internal),
        (cut(3), Code::Internal),
        (cut(5), Code::Internal),
        (cut(good.len() - 1), Code::Internal),
        // Compressed, which nobody agreed on.
        ([&[1], &good[1..]].concat().into(), Code::Internal),
        ([&[7], &good[1..]].concat().into(), Code::Internal),
        // No protocol buffer; and a key that is not UTF-8.
        (
            Bytes::from_static(b"\0\0\0\0\x03\xff\xff\xff"),
            Code::Internal,
        ),
        (
            Bytes::from_static(b"\0\0\0\0\x03\x0a\x01\xff"),
            Code::Internal,
        ),
    ] {
        let told = raw.call(PUT, &[], &message).await;
        assert_eq!(told.status().0, wanted, "{message:?}: {told:?}");
    }
    assert_eq!(raw.call(PUT, &[], &cut(5)).await.status(), truncated);
    // What a message claims is not made room for.
    let huge = Bytes::from_static(b"\0\xff\xff\xff\xffx");
    let told = raw.call(PUT, &[], &huge).await;
    assert_eq!(told.status(), is(Code::ResourceExhausted, "body_too_large"));
    let told = raw.call(PUT, &[("grpc-encoding", "gzip")], &good).await;
    assert_eq!(told.status().0, Code::Unimplemented);
    assert_eq!(raw.call(PUT, &[], &good).await.status(), is(Code::Ok, ""));
    door.close().await;
}

#[tokio::test]
async fn a_message_of_many_small_items_takes_the_memory_that_it_takes() {
    let config = Config {
        door_bytes_max: Some(1_000_000),
        body_bytes_max: 200_000,
        value_bytes_max: 100_000,
        collection_bytes_max: 100_000,
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let mut raw = Raw::connect(door.address).await;
    let add = |count| {
        framed(&v1::SetAddRequest {
            key: "k".to_owned(),
            items: vec![Bytes::new(); count],
            ..Default::default()
        })
    };
    let path = "/smache.v1.Set/Add";
    let told = raw.call(path, &[], &add(1_000)).await;
    assert_eq!(told.status(), is(Code::Ok, ""));
    let told = raw.call(path, &[], &add(50_000)).await;
    assert_eq!(told.status(), is(Code::ResourceExhausted, "overloaded"));
    until(&door, "smache_http_held_bytes", |bytes| bytes == 0.0).await;
    door.close().await;
}

#[tokio::test]
async fn a_client_that_sends_too_slowly_is_given_up() {
    let config = Config {
        idle_timeout: Duration::from_millis(100),
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let mut raw = Raw::connect(door.address).await;
    let (response, mut body) = raw.begin(PUT, &[]).await;
    body.send_data(framed(&put("k", b"v".to_vec())).slice(..7), false)
        .unwrap();
    let told = told(patient("an answer", response).await.unwrap()).await;
    assert_eq!(told.status(), is(Code::DeadlineExceeded, "body_timeout"));
    door.close().await;
}

#[tokio::test]
async fn many_calls_at_a_time() {
    let config = Config {
        streams_max: 7,
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let kv = v1::kv_client::KvClient::new(channel(door.address));
    let calls = (0..500).map(|number| {
        let mut kv = kv.clone();
        tokio::spawn(async move {
            let key = format!("k-{number}");
            good(kv.put(put(&key, key.clone().into()))).await;
            assert_eq!(good(kv.get(get(&key))).await.value, key);
        })
    });
    for call in calls.collect::<Vec<_>>() {
        patient("a call", call).await.unwrap();
    }
    assert_eq!(door.figure("smache_http_connections_open").await, 2.0);
    door.close().await;
}

#[tokio::test]
async fn more_streams_than_are_allowed_are_refused() {
    let config = Config {
        streams_max: 3,
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    // A client that has not read the settings yet.
    let mut client = crate::client::Client::connect(door.address).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    for stream in [1, 3, 5, 7] {
        // POST / http, by their indices; the body does not come.
        client
            .send([0, 0, 3, 1, 4, 0, 0, 0, stream, 0x83, 0x84, 0x86])
            .await;
    }
    // RST_STREAM of the fourth: REFUSED_STREAM.
    patient(
        "a refusal",
        client.until(b"\0\0\x04\x03\0\0\0\0\x07\0\0\0\x07"),
    )
    .await;
    door.close().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let config = Config {
        write_timeout: Duration::from_secs(1),
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let value = vec![b'x'; 1_000_000];
    let mut raw = Raw::connect(door.address).await;
    let stored = raw.call(PUT, &[], &framed(&put("k", value))).await;
    assert_eq!(stored.status(), is(Code::Ok, ""));

    // It takes nothing of an answer; or a little, and then nothing.
    for window in [0, 100_000] {
        let mut builder = Builder::new();
        builder.initial_window_size(window);
        let mut raw = Raw::with(door.address, &builder).await;
        let (response, mut body) = raw.begin(GET, &[]).await;
        body.send_data(framed(&get("k")), true).unwrap();
        let response = patient("an answer", response).await.unwrap();
        raw.ended().await;
        drop(response);
    }
    let dropped = "smache_http_connections_dropped_total{reason=\"not_reading\"}";
    assert_eq!(door.figure(dropped).await, 2.0);
    until(&door, "smache_http_held_bytes", |bytes| bytes == 0.0).await;

    // One that reads slowly is waited for.
    let (response, mut body) = raw.begin(GET, &[]).await;
    body.send_data(framed(&get("k")), true).unwrap();
    let response = patient("an answer", response).await.unwrap();
    let mut stream = response.into_body();
    let (mut length, mut pauses) = (0, 0);
    while let Some(piece) = patient("a piece", stream.data()).await {
        let piece = piece.unwrap();
        length += piece.len();
        if length / 100_000 > pauses {
            pauses += 1;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        stream.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert!(length > 1_000_000, "{length}");
    door.close().await;
}

#[tokio::test]
async fn answers_have_their_share_of_the_memory() {
    let config = Config {
        door_bytes_max: Some(300_000),
        body_bytes_max: 200_000,
        value_bytes_max: 100_000,
        collection_bytes_max: 100_000,
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let mut raw = Raw::connect(door.address).await;
    let stored = raw
        .call(PUT, &[], &framed(&put("k", vec![b'x'; 90_000])))
        .await;
    assert_eq!(stored.status(), is(Code::Ok, ""));
    // Nobody takes the answers of this connection.
    let mut builder = Builder::new();
    builder.initial_window_size(0);
    let mut stuck = Raw::with(door.address, &builder).await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        let (response, mut body) = stuck.begin(GET, &[]).await;
        body.send_data(framed(&get("k")), true).unwrap();
        kept.push(patient("an answer", response).await.unwrap());
    }
    let told = raw.call(GET, &[], &framed(&get("k"))).await;
    assert_eq!(told.status(), is(Code::ResourceExhausted, "overloaded"));
    drop((kept, stuck));
    until(&door, "smache_http_held_bytes", |bytes| bytes == 0.0).await;
    let told = raw.call(GET, &[], &framed(&get("k"))).await;
    assert_eq!(told.status(), is(Code::Ok, ""));
    door.close().await;
}

#[tokio::test]
async fn calls_that_last_are_bounded() {
    let config = Config {
        connections_max: 3,
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel(door.address));
    let ask = tonic_health::pb::HealthCheckRequest::default();
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(good(health.watch(ask.clone())).await);
    }
    let open = "smache_grpc_streams_open";
    assert_eq!(door.figure(open).await, 3.0);
    let refused = crate::calls::failed(health.watch(ask.clone())).await;
    assert_eq!(refused, is(Code::ResourceExhausted, "overloaded"));
    drop(watches);
    until(&door, open, |open| open == 0.0).await;
    good(health.watch(ask)).await;
    door.close().await;
}

#[tokio::test]
async fn a_stream_of_many_short_messages_waits_its_turn() {
    let door = TestDoor::open().await;
    let mut raw = Raw::connect(door.address).await;
    let (response, mut body) = raw.begin("/smache.v1.Commands/Stream", &[]).await;
    let command = |line: &'static str| {
        let args = line.split(' ').map(Bytes::from).collect();
        framed(&v1::CommandRequest { args })
    };
    let ping = command("PING as-long-as-a-key");
    assert_eq!(ping.len(), 29);
    // There are no copies to wait for: it takes its time, and what is behind it waits.
    body.send_data(command("WAIT 9 1000"), false).unwrap();
    // As much as a client may send ahead, each message by itself, as most clients do it.
    let count = (64 << 10) / ping.len();
    for _ in 0..count {
        body.send_data(ping.clone(), false).unwrap();
    }
    body.send_data(Bytes::new(), true).unwrap();
    let told = told(patient("an answer", response).await.unwrap()).await;
    assert_eq!(told.status().0, Code::Ok);
    let mut rest = &told.body[..];
    let mut replies = Vec::new();
    while let Some(prefix) = rest.get(1..5) {
        let length = u32::from_be_bytes(prefix.try_into().unwrap()) as usize;
        let reply = v1::CommandReply::decode(&rest[5..5 + length]).unwrap();
        replies.push(reply.reply.unwrap());
        rest = &rest[5 + length..];
    }
    assert_eq!(replies.len(), 1 + count);
    assert_eq!(replies[0], v1::command_reply::Reply::Integer(0));
    let echoed = v1::command_reply::Reply::Bytes("as-long-as-a-key".into());
    assert!(replies[1..].iter().all(|reply| *reply == echoed));
    door.close().await;
}
