//! A small HTTP client over plain sockets, which sends whatever a test wants, right or wrong.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest that any test waits for one thing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// The body as it came; what is no text is not in `body`.
    pub(crate) bytes: Vec<u8>,
}

impl Response {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| &value[..])
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of an error body, whose status must be the answer's.
    pub(crate) fn error(&self) -> String {
        let json = self.json();
        assert_eq!(json["status"], self.status, "{self:?}");
        json["error"].as_str().unwrap().to_owned()
    }
}

/// A connection.
pub(crate) struct Client {
    tcp: TcpStream,
    pending: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).await.unwrap()
    }

    /// Connects to a server that may be gone.
    pub(crate) async fn try_connect(address: SocketAddr) -> io::Result<Client> {
        let tcp = patient("a connection", TcpStream::connect(address)).await?;
        tcp.set_nodelay(true)?;
        Ok(Client {
            tcp,
            pending: Vec::new(),
        })
    }

    /// Where it leads.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.tcp.peer_addr().unwrap()
    }

    /// Whether the server has closed the connection, as far as is known here.
    pub(crate) fn is_closed(&self) -> bool {
        match self.tcp.try_read(&mut [0; 1]) {
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            // Its end, or something that nobody asked for.
            Ok(_) => true,
        }
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

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        self.send(request(method, target, headers, body)).await;
        if method == "HEAD" {
            self.head().await
        } else {
            self.response().await
        }
    }

    /// Sends a request to a server that may go away, and reads its answer.
    pub(crate) async fn try_ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Response> {
        let text = request(method, target, headers, body);
        patient("sending", self.tcp.write_all(text.as_bytes())).await?;
        self.try_response().await
    }

    /// Reads an answer's head, and takes it that it has no body.
    pub(crate) async fn head(&mut self) -> Response {
        self.try_head().await.unwrap()
    }

    async fn try_head(&mut self) -> io::Result<Response> {
        let head = loop {
            if let Some(end) = find(&self.pending, b"\r\n\r\n") {
                break self.pending.drain(..end + 4).collect::<Vec<_>>();
            }
            self.more("a head").await?;
        };
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.trim().to_owned())
        };
        Ok(Response {
            status: status.unwrap().parse().unwrap(),
            headers: lines.map(header).collect(),
            ..Response::default()
        })
    }

    /// Reads an answer.
    pub(crate) async fn response(&mut self) -> Response {
        self.try_response().await.unwrap()
    }

    async fn try_response(&mut self) -> io::Result<Response> {
        let mut response = self.try_head().await?;
        if response.status == 100 {
            response = self.try_head().await?;
        }
        let body = if response.header("transfer-encoding") == Some("chunked") {
            let mut body = Vec::new();
            while let Some(chunk) = self.try_chunk().await? {
                body.extend(chunk);
            }
            body
        } else {
            let length = response.header("content-length").unwrap_or("0");
            let length = length.parse().unwrap();
            self.take(length).await?
        };
        response.body = String::from_utf8(body.clone()).unwrap_or_default();
        response.bytes = body;
        Ok(response)
    }

    /// Reads an answer, but not a body whose length is not known: it may not end.
    pub(crate) async fn beginning(&mut self) -> Response {
        let mut response = self.head().await;
        if let Some(length) = response.header("content-length") {
            let length = length.parse().unwrap();
            let body = self.take(length).await.unwrap();
            response.body = String::from_utf8(body).unwrap();
        }
        response
    }

    /// Reads a chunk of a chunked body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        self.try_chunk().await.unwrap()
    }

    async fn try_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let end = loop {
            if let Some(end) = find(&self.pending, b"\r\n") {
                break end;
            }
            self.more("a chunk").await?;
        };
        let length: Vec<u8> = self.pending.drain(..end + 2).collect();
        let length = std::str::from_utf8(&length).unwrap().trim();
        let length = usize::from_str_radix(length, 16).unwrap();
        let mut chunk = self.take(length + 2).await?;
        chunk.truncate(length);
        Ok((length > 0).then_some(chunk))
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.pending.len() < length {
            self.more("a body").await?;
        }
        Ok(self.pending.drain(..length).collect())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }

    /// Waits for more bytes; there must be some, since `what` is not complete.
    async fn more(&mut self, what: &str) -> io::Result<()> {
        let read = self.tcp.read_buf(&mut self.pending);
        if patient("receiving", read).await? > 0 {
            return Ok(());
        }
        let message = format!("closed within {what}: {:?}", self.text());
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))
    }

    /// Reads until this has come.
    pub(crate) async fn until(&mut self, wanted: &[u8]) {
        while find(&self.pending, wanted).is_none() {
            self.more("what is waited for").await.unwrap();
        }
    }

    /// Waits until the server has closed the connection, and returns what it sent before.
    pub(crate) async fn closed(mut self) -> String {
        loop {
            match patient("the end", self.tcp.read_buf(&mut self.pending)).await {
                Ok(0) | Err(_) => return self.text(),
                Ok(_) => {}
            }
        }
    }
}

/// A request with a body that need not be text.
pub(crate) fn request_with(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let length = body.len().to_string();
    let mut headers = headers.to_vec();
    headers.push(("content-length", &length));
    [request(method, target, &headers, "").as_bytes(), body].concat()
}

/// A request with the headers that it must have.
pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("content-length: {}\r\n", body.len());
    }
    text + "\r\n" + body
}

/// Waits for something, but not for ever.
pub(crate) async fn patient<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}
