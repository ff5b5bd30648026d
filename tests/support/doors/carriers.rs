//! What carries commands of the Redis protocol: that protocol itself, `POST /command`, gRPC.

use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::{Value as Json, json};
use smache::door::grpc::v1;
use tonic::Code;
use tonic::transport::Channel;
use v1::command_reply::Reply as Grpced;
use v1::commands_client::CommandsClient;

use super::super::client::patient;
use super::super::resp::{RespClient, request};
use super::super::vocabulary::Text;
use super::words::{Carrier, Reply};
use super::{Link, Pending, fields, item, text};

/// A connection of the Redis protocol.
pub(super) struct Redis {
    client: RespClient,
    /// Whether commands are sent as lines, as people type them.
    as_lines: bool,
}

impl Redis {
    /// Commands are sent as arrays, and answered in this version of the protocol.
    pub(super) async fn arrays(resp: SocketAddr, version: u8) -> Redis {
        let mut client = RespClient::connect(resp).await;
        client.ask(&["HELLO", &version.to_string()]).await;
        let as_lines = false;
        Redis { client, as_lines }
    }

    pub(super) async fn lines(resp: SocketAddr) -> Redis {
        Redis {
            client: RespClient::connect(resp).await,
            as_lines: true,
        }
    }
}

impl Carrier for Redis {
    fn run<'a>(&'a mut self, words: &'a [Vec<u8>]) -> Pending<'a, Reply> {
        Box::pin(async move {
            let line = quoted(words) + "\r\n";
            // Longer ones are refused.
            let bytes = match self.as_lines && line.len() < 60_000 {
                true => line.into_bytes(),
                false => request(words),
            };
            self.client.send(bytes).await;
            let reply = patient("a reply", self.client.bytes()).await.unwrap();
            let mut rest = &reply[..];
            let reply = read(&mut rest);
            assert!(rest.is_empty());
            reply
        })
    }
}

/// Words with the quotes that `redis-cli` would put around them.
fn quoted(words: &[Vec<u8>]) -> String {
    let quote = |(place, word): (usize, &Vec<u8>)| {
        let byte = |byte: &u8| match byte {
            b'"' => "\\\"".to_owned(),
            b'\\' => "\\\\".to_owned(),
            b'\n' => "\\n".to_owned(),
            0x20..0x7f => char::from(*byte).to_string(),
            other => format!("\\x{other:02x}"),
        };
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".$:-{}".contains(byte);
        match !word.is_empty() && word.iter().all(is_plain) {
            true => word.iter().map(byte).collect(),
            // Either quotes do where neither is needed.
            false if place % 2 == 1 && word.iter().all(|b| is_plain(b) || *b == b' ') => {
                format!("'{}'", String::from_utf8_lossy(word))
            }
            false => format!("\"{}\"", word.iter().map(byte).collect::<String>()),
        }
    };
    let words: Vec<String> = words.iter().enumerate().map(quote).collect();
    words.join(" ")
}

fn read(rest: &mut &[u8]) -> Reply {
    let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
    let (line, after) = (&rest[..end], &rest[end + 2..]);
    *rest = after;
    let said = std::str::from_utf8(&line[1..]).unwrap();
    let count = || usize::try_from(said.parse::<i64>().unwrap()).ok();
    match line[0] {
        b'_' => Reply::Nothing,
        b':' => Reply::Integer(said.parse().unwrap()),
        b'+' | b',' | b'(' => Reply::Bytes(Text::from(said)),
        b'-' => Reply::Error(said.to_owned()),
        b'$' => match count() {
            None => Reply::Nothing,
            Some(length) => {
                let (bytes, after) = (&rest[..length], &rest[length + 2..]);
                *rest = after;
                Reply::Bytes(Text::from(bytes))
            }
        },
        b'*' | b'~' => match count() {
            None => Reply::Nothing,
            Some(count) => Reply::List((0..count).map(|_| read(rest)).collect()),
        },
        b'%' => {
            let pairs = (0..count().unwrap()).map(|_| (read(rest), read(rest)));
            Reply::Map(pairs.collect())
        }
        other => panic!("a reply begins with {}", char::from(other)),
    }
}

/// `POST /command`.
pub(super) struct Http {
    client: Link,
    as_text: bool,
}

impl Http {
    pub(super) async fn words(http: SocketAddr) -> Http {
        let client = Link::new(http).await;
        let as_text = false;
        Http { client, as_text }
    }

    pub(super) async fn text(http: SocketAddr) -> Http {
        let client = Link::new(http).await;
        let as_text = true;
        Http { client, as_text }
    }
}

impl Carrier for Http {
    fn run<'a>(&'a mut self, words: &'a [Vec<u8>]) -> Pending<'a, Reply> {
        Box::pin(async move {
            let command = match self.as_text {
                true => Json::from(quoted(words)),
                false => words
                    .iter()
                    .map(|word| item(&Text::from(&word[..])))
                    .collect(),
            };
            let body = json!({"command": command}).to_string();
            let headers = [("content-type", "application/json")];
            let response = self.client.ask("POST", "/command", &headers, &body).await;
            let reply = response.json();
            if response.status == 200 {
                return of_json(&reply);
            }
            let part = |name: &str| reply[name].as_str().unwrap().to_owned();
            let (code, message) = (part("error"), part("message"));
            let status = match &code[..] {
                "wrong_type" | "counter_overflow" => 409,
                "not_found" => 404,
                "key_too_long" | "invalid_command" => 400,
                _ => panic!("{response:?}"),
            };
            assert_eq!(response.status, status, "{response:?}");
            Reply::Error(message)
        })
    }
}

fn of_json(reply: &Json) -> Reply {
    match reply {
        Json::Null => Reply::Nothing,
        Json::Number(number) => match number.as_i64() {
            Some(number) => Reply::Integer(number),
            None => Reply::Bytes(Text::from(number.to_string())),
        },
        Json::Array(items) => Reply::List(items.iter().map(of_json).collect()),
        Json::Object(object) if !object.contains_key("base64") => {
            let pair = |(field, value)| (Reply::Bytes(field), Reply::Bytes(value));
            Reply::Map(fields(reply).into_iter().map(pair).collect())
        }
        other => Reply::Bytes(text(other)),
    }
}

/// `Commands` of gRPC.
pub(super) struct Grpc {
    commands: CommandsClient<Channel>,
}

impl Grpc {
    pub(super) fn new(http: SocketAddr) -> Grpc {
        let commands = CommandsClient::new(super::typed::channel(http));
        Grpc { commands }
    }
}

impl Carrier for Grpc {
    fn run<'a>(&'a mut self, words: &'a [Vec<u8>]) -> Pending<'a, Reply> {
        Box::pin(async move {
            let args = words.iter().map(|word| Bytes::copy_from_slice(word));
            let args = args.collect();
            let run = self.commands.run(v1::CommandRequest { args });
            let status = match patient("a reply", run).await {
                Ok(reply) => return of_message(reply.into_inner()),
                Err(status) => status,
            };
            let word = status.metadata().get("smache-error").unwrap();
            let word = word.to_str().unwrap();
            let code = match word {
                "WRONGTYPE" => Code::FailedPrecondition,
                _ if status.message().contains("no such key") => Code::NotFound,
                _ => Code::InvalidArgument,
            };
            assert_eq!(status.code(), code, "{status:?}");
            Reply::Error(format!("{word} {}", status.message()))
        })
    }
}

fn of_message(reply: v1::CommandReply) -> Reply {
    let list =
        |array: v1::CommandArray| Reply::List(array.items.into_iter().map(of_message).collect());
    match reply.reply.unwrap() {
        Grpced::Nil(_) => Reply::Nothing,
        Grpced::Status(word) => Reply::Bytes(Text::from(word)),
        Grpced::Integer(number) => Reply::Integer(number),
        Grpced::Bytes(bytes) => Reply::Bytes(Text::from(&bytes[..])),
        Grpced::Double(number) => Reply::Bytes(Text::from(number.to_string())),
        Grpced::BigNumber(digits) => Reply::Bytes(Text::from(digits)),
        Grpced::Text(text) => Reply::Bytes(Text::from(text)),
        Grpced::Boolean(flag) => Reply::Integer(flag.into()),
        Grpced::Array(array) | Grpced::Set(array) => list(array),
        Grpced::Map(map) => {
            let part = |part: Option<v1::CommandReply>| of_message(part.unwrap());
            let pair = |pair: v1::CommandPair| (part(pair.key), part(pair.value));
            Reply::Map(map.pairs.into_iter().map(pair).collect())
        }
        Grpced::Error(error) => Reply::Error(format!("{} {}", error.word, error.message)),
    }
}
