//! A client that sends whatever it is told to, and keeps replies as they came.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::fmt;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::client::patient;

/// A command: its name and arguments.
pub(crate) type Words = Vec<Vec<u8>>;

/// A reply, with the mark that says what it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reply {
    /// A line: its mark, and the text.
    Line(u8, Vec<u8>),
    Bulk(Vec<u8>),
    /// That there is nothing: the whole of it.
    Null(&'static str),
    /// Several: the mark, and the parts; of a map fields and values in turn.
    Many(u8, Vec<Reply>),
}

impl Reply {
    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Reply::Line(b'-', _))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Reply::Line(_, text) | Reply::Bulk(text) => text,
            _ => panic!("{self:?} is no text"),
        }
    }

    pub(crate) fn parts(&self) -> &[Reply] {
        match self {
            Reply::Many(_, parts) => parts,
            _ => &[],
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Line(mark, text) => write!(f, "{}{}", char::from(*mark), text.escape_ascii()),
            Reply::Bulk(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Reply::Null(form) => write!(f, "{form}"),
            Reply::Many(mark, parts) => {
                write!(f, "{}", char::from(*mark))?;
                f.debug_list().entries(parts).finish()
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    pending: Vec<u8>,
    read: usize,
}

impl Wire {
    pub(crate) fn new(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Wire {
        Wire {
            stream: Box::new(stream),
            pending: Vec::new(),
            read: 0,
        }
    }

    /// Sends a command and waits for its reply.
    pub(crate) async fn ask(&mut self, words: &[Vec<u8>]) -> Reply {
        self.stream.write_all(&encoded(words)).await.unwrap();
        let what = format!("the reply to {}", shown(words));
        let reply = patient(&what, self.reply()).await;
        assert_eq!(self.read, self.pending.len(), "more than {what}");
        self.pending.clear();
        self.read = 0;
        reply
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// All that comes, up to the line behind this text.
    pub(crate) async fn until(&mut self, text: &str) -> Vec<u8> {
        let came = async {
            loop {
                let mut windows = self.pending.windows(text.len());
                if windows.any(|window| window == text.as_bytes()) && self.pending.ends_with(b"\n")
                {
                    return;
                }
                self.more().await;
            }
        };
        patient(&format!("{text:?}"), came).await;
        std::mem::take(&mut self.pending)
    }

    async fn reply(&mut self) -> Reply {
        let line = self.line().await;
        let (mark, text) = line.split_first().unwrap();
        let count = || -> i64 { std::str::from_utf8(text).unwrap().parse().unwrap() };
        match (*mark, text) {
            (b'_', b"") => Reply::Null("_"),
            (b'$', b"-1") => Reply::Null("$-1"),
            (b'*', b"-1") => Reply::Null("*-1"),
            (b'$', _) => {
                let length = usize::try_from(count()).unwrap();
                let mut bytes = self.take(length + 2).await;
                assert_eq!(bytes.split_off(length), b"\r\n");
                Reply::Bulk(bytes)
            }
            (b'*' | b'~' | b'%' | b'>', _) => {
                let count = usize::try_from(count()).unwrap();
                let count = if *mark == b'%' { count * 2 } else { count };
                let mut parts = Vec::new();
                for _ in 0..count {
                    parts.push(Box::pin(self.reply()).await);
                }
                Reply::Many(*mark, parts)
            }
            (b'+' | b'-' | b':' | b',' | b'#' | b'(', _) => Reply::Line(*mark, text.to_vec()),
            _ => panic!("{} is no reply", line.escape_ascii()),
        }
    }

    async fn line(&mut self) -> Vec<u8> {
        loop {
            let pending = &self.pending[self.read..];
            if let Some(end) = pending.windows(2).position(|two| two == b"\r\n") {
                let mut line = self.take(end + 2).await;
                line.truncate(end);
                return line;
            }
            self.more().await;
        }
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.pending.len() < self.read + count {
            self.more().await;
        }
        let bytes = self.pending[self.read..self.read + count].to_vec();
        self.read += count;
        bytes
    }

    async fn more(&mut self) {
        let count = self.stream.read_buf(&mut self.pending).await.unwrap();
        assert_ne!(count, 0, "the connection was closed");
    }
}

/// A command as it is sent.
pub(crate) fn encoded(words: &[Vec<u8>]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend(format!("${}\r\n", word.len()).bytes());
        request.extend(word);
        request.extend(b"\r\n");
    }
    request
}

/// A command as a person would type it.
pub(crate) fn shown(words: &[Vec<u8>]) -> String {
    let word = |word: &Vec<u8>| match word.escape_ascii().to_string() {
        word if word.is_empty() || word.contains(' ') => format!("\"{word}\""),
        word => word,
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}
