//! Commands of the Redis protocol, as calls.

use bytes::Bytes;
use smache::config::Config;
use smache::door::grpc::v1;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request};
use v1::command_reply::Reply;

use crate::calls::{channel, failed, good, is, status};
use crate::client::patient;
use crate::door::TestDoor;
use crate::raw::{Raw, framed};

fn command(words: &[&[u8]]) -> v1::CommandRequest {
    v1::CommandRequest {
        args: words
            .iter()
            .map(|word| Bytes::copy_from_slice(word))
            .collect(),
    }
}

fn line(text: &str) -> v1::CommandRequest {
    let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
    command(&words)
}

fn bytes(text: &str) -> Reply {
    Reply::Bytes(Bytes::copy_from_slice(text.as_bytes()))
}

fn ok() -> Reply {
    Reply::Status("OK".to_owned())
}

fn nil() -> Reply {
    Reply::Nil(v1::CommandNil {})
}

fn array(items: Vec<Reply>) -> Reply {
    let items = items
        .into_iter()
        .map(|reply| v1::CommandReply { reply: Some(reply) });
    Reply::Array(v1::CommandArray {
        items: items.collect(),
    })
}

pub(crate) async fn all(channel: &Channel, stem: &str) {
    let mut commands = v1::commands_client::CommandsClient::new(channel.clone());
    let key = |name: &str| format!("{{{stem}}}:{name}");
    for (text, reply) in [
        (format!("get {}", key("s")), nil()),
        (format!("SET {} v PX 60000", key("s")), ok()),
        (format!("Get {}", key("s")), bytes("v")),
        (format!("INCRBY {} 5", key("n")), Reply::Integer(5)),
        (
            format!("MGET {} {} {}", key("s"), key("none"), key("n")),
            array(vec![bytes("v"), nil(), bytes("5")]),
        ),
        (format!("HSET {} f v", key("h")), Reply::Integer(1)),
        (format!("RPUSH {} a b", key("l")), Reply::Integer(2)),
        (
            format!("LRANGE {} 0 -1", key("l")),
            array(vec![bytes("a"), bytes("b")]),
        ),
        (format!("DEL {} {}", key("s"), key("n")), Reply::Integer(2)),
        ("PING".to_owned(), Reply::Status("PONG".to_owned())),
        ("ECHO hello".to_owned(), bytes("hello")),
    ] {
        assert_eq!(
            good(commands.run(line(&text))).await.reply,
            Some(reply),
            "{text}"
        );
    }
    let all = good(commands.run(line(&format!("HGETALL {}", key("h")))))
        .await
        .reply;
    let Some(Reply::Map(map)) = all else {
        panic!("{all:?}");
    };
    let pair = map.pairs[0].clone();
    assert_eq!(pair.key.unwrap().reply, Some(bytes("f")));
    assert_eq!(pair.value.unwrap().reply, Some(bytes("v")));
    // Any bytes, in keys as well.
    let odd = [stem.as_bytes(), b"\xff\r\n\0"].concat();
    good(commands.run(command(&[b"SET", &odd, b"\0\r\n"]))).await;
    let got = good(commands.run(command(&[b"GET", &odd]))).await.reply;
    assert_eq!(got, Some(Reply::Bytes(Bytes::from_static(b"\0\r\n"))));

    // One that fails does not end a stream, and replies keep their order.
    let lines = [
        format!("SET {} 1", key("stream")),
        format!("INCR {}", key("stream")),
        format!("LPUSH {} x", key("stream")),
        "NOSUCHCOMMAND a".to_owned(),
        format!("INCR {}", key("stream")),
        format!("GET {}", key("stream")),
    ];
    let asked = futures_util::stream::iter(lines.map(|text| line(&text)));
    let mut told = good(commands.stream(asked)).await;
    let mut replies = Vec::new();
    while let Some(reply) = patient("a reply", told.message()).await.unwrap() {
        replies.push(reply.reply.unwrap());
    }
    let errors: Vec<_> = replies
        .iter()
        .filter_map(|reply| match reply {
            Reply::Error(error) => Some((&error.word[..], Code::from(error.code))),
            _ => None,
        })
        .collect();
    let wanted = [
        ("WRONGTYPE", Code::FailedPrecondition),
        ("ERR", Code::Unimplemented),
    ];
    assert_eq!(errors, wanted);
    replies.retain(|reply| !matches!(reply, Reply::Error(_)));
    let wanted = [ok(), Reply::Integer(2), Reply::Integer(3), bytes("3")];
    assert_eq!(replies, wanted);
}

#[tokio::test]
async fn errors_are_statuses() {
    let door = TestDoor::open().await;
    let mut commands = v1::commands_client::CommandsClient::new(channel(door.address));
    good(commands.run(line("RPUSH list a"))).await;
    for (text, code, word) in [
        ("GET list", Code::FailedPrecondition, "WRONGTYPE"),
        ("NOSUCHCOMMAND", Code::Unimplemented, "ERR"),
        ("GET", Code::InvalidArgument, "ERR"),
        ("SET k v EX 0", Code::InvalidArgument, "ERR"),
        ("RENAME none other", Code::NotFound, "ERR"),
        // What is about a connection.
        ("HELLO 3", Code::InvalidArgument, "ERR"),
        ("CLIENT ID", Code::InvalidArgument, "ERR"),
        ("AUTH secret", Code::InvalidArgument, "ERR"),
        ("QUIT", Code::InvalidArgument, "ERR"),
    ] {
        assert_eq!(
            failed(commands.run(line(text))).await,
            is(code, word),
            "{text}"
        );
    }
    let told = status(commands.run(line("HELLO 3"))).await;
    assert!(
        told.message().contains("connection of the Redis protocol"),
        "{told:?}"
    );
    let empty = v1::CommandRequest::default();
    let told = status(commands.run(empty)).await;
    assert_eq!(
        (told.code(), told.message()),
        (Code::InvalidArgument, "no command is given")
    );
    let mut named = Request::new(line("INCR n"));
    let name = MetadataValue::from_static("one");
    named.metadata_mut().insert("idempotency-key", name);
    let refused = failed(commands.run(named)).await;
    assert_eq!(
        refused,
        is(Code::InvalidArgument, "invalid_idempotency_key")
    );
    door.close().await;
}

#[tokio::test]
async fn replies_have_their_share_of_the_memory() {
    let config = Config {
        door_bytes_max: Some(300_000),
        body_bytes_max: 200_000,
        value_bytes_max: 100_000,
        collection_bytes_max: 100_000,
        ..Config::default()
    };
    let door = TestDoor::with(config).await;
    let mut commands = v1::commands_client::CommandsClient::new(channel(door.address));
    let value = vec![b'x'; 90_000];
    good(commands.run(command(&[b"SET", b"k", &value]))).await;
    let get = |times: usize| {
        let mut words = vec![&b"MGET"[..]];
        words.extend(std::iter::repeat_n(&b"k"[..], times));
        command(&words)
    };
    good(commands.run(get(2))).await;
    let refused = failed(commands.run(get(5))).await;
    assert_eq!(refused.0, Code::ResourceExhausted, "{refused:?}");
    // In a stream it is a reply, and the stream goes on.
    let asked = futures_util::stream::iter([get(5), line("PING")]);
    let mut told = good(commands.stream(asked)).await;
    let first = patient("a reply", told.message()).await.unwrap().unwrap();
    assert!(
        matches!(&first.reply, Some(Reply::Error(error)) if error.word == "BUSY"),
        "{first:?}"
    );
    let second = patient("a reply", told.message()).await.unwrap().unwrap();
    assert_eq!(second.reply, Some(Reply::Status("PONG".to_owned())));
    drop(told);
    patient("the memory to come back", async {
        while door.figure("smache_http_held_bytes").await > 0.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    door.close().await;
}

#[tokio::test]
async fn a_stream_that_waits_holds_no_memory() {
    let door = TestDoor::open().await;
    let mut raw = Raw::connect(door.address).await;
    let (response, mut body) = raw.begin("/smache.v1.Commands/Stream", &[]).await;
    let long = framed(&command(&[b"SET", b"k", &vec![b'x'; 60_000]]));
    // With the beginning of the next one.
    let both = [&long[..], &framed(&line("PING"))[..3]].concat();
    body.send_data(both.into(), false).unwrap();
    let response = patient("an answer", response).await.unwrap();
    let mut told = response.into_body();
    let reply = patient("a reply", told.data()).await.unwrap().unwrap();
    assert!(reply.ends_with(b"OK"), "{reply:?}");
    patient("the memory to come back", async {
        while door.figure("smache_http_held_bytes").await > 100.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop((body, told));
    door.close().await;
}

#[tokio::test]
async fn a_stream_ends_with_what_cannot_be_read_and_when_the_node_stops() {
    let config = Config {
        body_bytes_max: 200_000,
        value_bytes_max: 100_000,
        collection_bytes_max: 100_000,
        ..Config::default()
    };
    let mut door = TestDoor::with(config).await;
    let path = "/smache.v1.Commands/Stream";
    let mut raw = Raw::connect(door.address).await;
    let ping = framed(&line("PING"));
    let long = framed(&command(&[b"SET", b"k", &vec![b'x'; 300_000]]));
    for (bad, code) in [
        (&b"\0\0\0\0\x02\xff\xff"[..], Code::Internal),
        (b"\0\xff\xff\xff\xff", Code::ResourceExhausted),
        (&long, Code::ResourceExhausted),
        (&ping[..ping.len() - 1], Code::Internal),
    ] {
        let told = raw.call(path, &[], &[&ping, bad].concat()).await;
        assert_eq!(told.status().0, code, "{bad:?}");
        // What came before was answered.
        assert!(told.body.ends_with(b"PONG"), "{told:?}");
    }
    // Messages may come in any pieces, with any pauses between them.
    let (response, mut body) = raw.begin(path, &[]).await;
    for piece in [
        &ping[..3],
        &ping[3..7],
        &[&ping[7..], &ping, &ping[..2]].concat(),
    ] {
        body.send_data(Bytes::copy_from_slice(piece), false)
            .unwrap();
        tokio::task::yield_now().await;
    }
    body.send_data(ping.slice(2..), true).unwrap();
    let told = crate::raw::told(patient("an answer", response).await.unwrap()).await;
    assert_eq!(told.status().0, Code::Ok);
    assert_eq!(
        told.body.len(),
        3 * framed(&v1::CommandReply {
            reply: Some(Reply::Status("PONG".to_owned())),
        })
        .len()
    );

    let (response, mut body) = raw.begin(path, &[]).await;
    body.send_data(ping, false).unwrap();
    let response = patient("an answer", response).await.unwrap();
    door.begin_to_close();
    let told = crate::raw::told(response).await;
    assert_eq!(told.status(), is(Code::Unavailable, "stopping"));
    door.closed().await;
}
