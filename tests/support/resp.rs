//! A client of the Redis protocol over plain sockets, which sends whatever a test wants.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest that any test waits for one thing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What something comes to, if it does in time.
pub(crate) async fn patient<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, awaited)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A connection.
pub(crate) struct RespClient {
    tcp: TcpStream,
    pending: Vec<u8>,
}

/// A request as an array of bulk strings.
pub(crate) fn request<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
    out
}

impl RespClient {
    pub(crate) async fn connect(address: SocketAddr) -> RespClient {
        let tcp = patient("a connection", TcpStream::connect(address))
            .await
            .unwrap();
        tcp.set_nodelay(true).unwrap();
        RespClient {
            tcp,
            pending: Vec::new(),
        }
    }

    /// Its own address, by which the server knows it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.tcp.local_addr().unwrap()
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.tcp.write_all(bytes.as_ref());
        patient("sending", sent).await.unwrap();
    }

    /// Sends bytes, although the server may have closed already.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = self.tcp.write_all(bytes.as_ref());
        patient("sending", sent).await.is_ok()
    }

    /// Sends a line, and returns its reply as it was sent.
    pub(crate) async fn line(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.reply().await
    }

    /// Sends a request, and returns its reply as it was sent.
    pub(crate) async fn ask<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> String {
        self.send(request(arguments)).await;
        self.reply().await
    }

    /// One reply, as it was sent; what is not text in it is made so.
    pub(crate) async fn reply(&mut self) -> String {
        let reply = patient("a reply", self.read_reply()).await.unwrap();
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// One reply, byte by byte as it was sent; or what broke the connection.
    pub(crate) async fn bytes(&mut self) -> io::Result<Vec<u8>> {
        self.read_reply().await
    }

    /// Whether the server sends nothing for a moment.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        let moment = Duration::from_millis(100);
        self.pending.is_empty()
            && tokio::time::timeout(moment, self.tcp.readable())
                .await
                .is_err()
    }

    /// All that comes until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut all = std::mem::take(&mut self.pending);
        // A reset ends it as well.
        let _ = patient("the end", self.tcp.read_to_end(&mut all)).await;
        String::from_utf8_lossy(&all).into_owned()
    }

    async fn read_reply(&mut self) -> io::Result<Vec<u8>> {
        let mut reply = Vec::new();
        let mut left = 1_usize;
        while left > 0 {
            let line = self.read_line().await?;
            let count = || {
                let digits = std::str::from_utf8(&line[1..line.len() - 2]).unwrap();
                usize::try_from(digits.parse::<i64>().unwrap()).ok()
            };
            left -= 1;
            let mut bulk = None;
            match line[0] {
                b'*' | b'~' | b'>' => left += count().unwrap_or(0),
                b'%' => left += 2 * count().unwrap_or(0),
                b'$' | b'=' => bulk = count(),
                _ => {}
            }
            reply.extend_from_slice(&line);
            if let Some(bytes) = bulk {
                self.wait_for(bytes + 2).await?;
                reply.extend(self.pending.drain(..bytes + 2));
            }
        }
        Ok(reply)
    }

    async fn read_line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.pending.windows(2).position(|two| two == b"\r\n") {
                return Ok(self.pending.drain(..end + 2).collect());
            }
            self.more().await?;
        }
    }

    async fn wait_for(&mut self, bytes: usize) -> io::Result<()> {
        while self.pending.len() < bytes {
            self.more().await?;
        }
        Ok(())
    }

    async fn more(&mut self) -> io::Result<()> {
        self.pending.reserve(16 << 10);
        match self.tcp.read_buf(&mut self.pending).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
