//! Replies of the Redis protocol as messages.
//!
//! What is read here was written by this node ([`resp`](crate::door::resp)), so it is well formed, and
//! nests no deeper than commands make it; what is not is a defect, and `None`.

use bytes::Bytes;
use tonic::{Code, Status};

use super::{status, v1};
use v1::command_reply::Reply;

/// Deeper replies are none of ours.
const DEPTH_MAX: usize = 32;

/// A reply, and how many there are in it.
pub(super) fn read(bytes: Vec<u8>) -> Option<(v1::CommandReply, usize)> {
    let mut reader = Reader {
        bytes: bytes.into(),
        count: 0,
    };
    let reply = reader.reply(DEPTH_MAX)?;
    reader.bytes.is_empty().then_some((reply, reader.count))
}

struct Reader {
    bytes: Bytes,
    count: usize,
}

impl Reader {
    fn line(&mut self) -> Option<Bytes> {
        let end = memchr::memchr(b'\r', &self.bytes)?;
        let line = self.bytes.split_to(end);
        self.take(2)?;
        Some(line)
    }

    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.bytes.len()).then(|| self.bytes.split_to(length))
    }

    fn text(&mut self) -> Option<String> {
        let line = self.line()?;
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// A number that is less than 0 where there is nothing.
    fn length(&mut self) -> Option<Option<usize>> {
        let length: i64 = self.text()?.parse().ok()?;
        Some(usize::try_from(length).ok())
    }

    fn bulk(&mut self) -> Option<Option<Bytes>> {
        let Some(length) = self.length()? else {
            return Some(None);
        };
        let bytes = self.take(length)?;
        self.take(2)?;
        Some(Some(bytes))
    }

    fn items(&mut self, count: usize, depth: usize) -> Option<Vec<v1::CommandReply>> {
        (0..count).map(|_| self.reply(depth)).collect()
    }

    fn reply(&mut self, depth: usize) -> Option<v1::CommandReply> {
        let depth = depth.checked_sub(1)?;
        self.count += 1;
        let array = |items| v1::CommandArray { items };
        let nil = Reply::Nil(v1::CommandNil {});
        let reply = match self.take(1)?[0] {
            b'+' => Reply::Status(self.text()?),
            b'-' => Reply::Error(error(&self.line()?)),
            b':' => Reply::Integer(self.text()?.parse().ok()?),
            b'_' => {
                self.line()?;
                nil
            }
            b'#' => Reply::Boolean(&self.line()?[..] == b"t"),
            b',' => Reply::Double(self.text()?.parse().ok()?),
            b'(' => Reply::BigNumber(self.text()?),
            b'$' => self.bulk()?.map_or(nil, Reply::Bytes),
            b'=' => {
                // Behind three letters and a colon.
                let text = self.bulk()??;
                Reply::Text(String::from_utf8_lossy(text.get(4..)?).into_owned())
            }
            b'*' => match self.length()? {
                Some(count) => Reply::Array(array(self.items(count, depth)?)),
                None => nil,
            },
            b'~' => {
                let count = self.length()??;
                Reply::Set(array(self.items(count, depth)?))
            }
            b'%' => {
                let count = self.length()??;
                let pair = |_| {
                    Some(v1::CommandPair {
                        key: Some(self.reply(depth)?),
                        value: Some(self.reply(depth)?),
                    })
                };
                let pairs = (0..count).map(pair).collect::<Option<_>>()?;
                Reply::Map(v1::CommandMap { pairs })
            }
            _ => return None,
        };
        Some(v1::CommandReply { reply: Some(reply) })
    }
}

fn error(line: &[u8]) -> v1::CommandError {
    let text = String::from_utf8_lossy(line);
    let (word, message) = text.split_once(' ').unwrap_or((&text, ""));
    v1::CommandError {
        code: code(word, message).into(),
        word: word.to_owned(),
        message: message.to_owned(),
    }
}

/// The status code of an error.
fn code(word: &str, message: &str) -> Code {
    match word {
        "WRONGTYPE" => Code::FailedPrecondition,
        "NOAUTH" => Code::Unauthenticated,
        "NOPERM" => Code::PermissionDenied,
        "BUSY" | "OOM" => Code::ResourceExhausted,
        "LOADING" | "CLUSTERDOWN" | "NOREPLICAS" => Code::Unavailable,
        "IOERR" => Code::Unknown,
        _ if message.starts_with("unknown command") => Code::Unimplemented,
        _ if message == "no such key" => Code::NotFound,
        _ if message == "the command failed inside the node" => Code::Internal,
        _ => Code::InvalidArgument,
    }
}

/// An error reply as the status of a call.
pub(super) fn status(error: v1::CommandError) -> Status {
    status::worded(Code::from(error.code), &error.word, error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &[u8]) -> Reply {
        let (reply, count) = read(text.to_vec()).unwrap();
        assert_eq!(count, 1);
        reply.reply.unwrap()
    }

    #[test]
    fn replies_of_every_form() {
        let nil = Reply::Nil(v1::CommandNil {});
        for (text, reply) in [
            (&b"+OK\r\n"[..], Reply::Status("OK".to_owned())),
            (b":-12\r\n", Reply::Integer(-12)),
            (
                b"$4\r\na\r\nb\r\n",
                Reply::Bytes(Bytes::from_static(b"a\r\nb")),
            ),
            (b"$0\r\n\r\n", Reply::Bytes(Bytes::new())),
            (b"$-1\r\n", nil.clone()),
            (b"*-1\r\n", nil.clone()),
            (b"_\r\n", nil),
            (b"#t\r\n", Reply::Boolean(true)),
            (b"#f\r\n", Reply::Boolean(false)),
            (b",1.5\r\n", Reply::Double(1.5)),
            (b",-inf\r\n", Reply::Double(f64::NEG_INFINITY)),
            (
                b"(123456789012345678901\r\n",
                Reply::BigNumber("123456789012345678901".to_owned()),
            ),
            (b"=8\r\ntxt:a: b\r\n", Reply::Text("a: b".to_owned())),
        ] {
            assert_eq!(one(text), reply);
        }
    }

    #[test]
    fn replies_in_replies() {
        let text = b"*2\r\n%1\r\n+a\r\n~1\r\n:1\r\n*0\r\n".to_vec();
        let (reply, count) = read(text).unwrap();
        assert_eq!(count, 6);
        let Some(Reply::Array(array)) = reply.reply else {
            panic!("{reply:?}");
        };
        let Some(Reply::Map(map)) = &array.items[0].reply else {
            panic!("{array:?}");
        };
        let value = map.pairs[0].value.clone().unwrap();
        assert!(matches!(value.reply, Some(Reply::Set(set)) if set.items.len() == 1));
    }

    #[test]
    fn what_is_no_reply() {
        for text in [
            &b""[..],
            b"+OK",
            b"$5\r\nab\r\n",
            b"*1\r\n",
            b"?\r\n",
            b":x\r\n",
            b"+a\r\n+b\r\n",
        ] {
            assert!(read(text.to_vec()).is_none(), "{text:?}");
        }
        let deep = b"*1\r\n".repeat(DEPTH_MAX + 1);
        assert!(read([&deep[..], b":1\r\n"].concat()).is_none());
    }

    #[test]
    fn errors_have_codes() {
        for (text, code) in [
            ("-WRONGTYPE Operation against", Code::FailedPrecondition),
            ("-ERR unknown command 'x', with", Code::Unimplemented),
            ("-ERR no such key", Code::NotFound),
            ("-ERR syntax error", Code::InvalidArgument),
            ("-LOADING soon", Code::Unavailable),
            ("-NOPERM no", Code::PermissionDenied),
            ("-BUSY", Code::ResourceExhausted),
        ] {
            let Reply::Error(error) = one(format!("{text}\r\n").as_bytes()) else {
                panic!("{text}");
            };
            assert_eq!(Code::from(error.code), code, "{text}");
            assert_eq!(super::status(error).code(), code);
        }
    }
}
