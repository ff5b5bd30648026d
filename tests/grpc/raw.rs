//! Calls without a client that keeps to the rules: HTTP/2 and whatever a test sends over it.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use http::{HeaderMap, Request, Response};
use prost::Message;
use tokio::net::TcpStream;
use tonic::Code;

use crate::client::patient;

/// A connection.
pub(crate) struct Raw {
    send: SendRequest<Bytes>,
    driver: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) http: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Told {
    /// The status, and the code of the HTTP door for it.
    pub(crate) fn status(&self) -> (Code, String) {
        let text = |name| {
            let value = self.trailers.get(name).or(self.headers.get(name));
            value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
        };
        let code = Code::from_bytes(text("grpc-status").as_bytes());
        (code, text("smache-error"))
    }
}

/// A message as it is sent.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &body].concat().into()
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Raw {
        Raw::with(address, &Builder::new()).await
    }

    pub(crate) async fn with(address: SocketAddr, builder: &Builder) -> Raw {
        let tcp = patient("a connection", TcpStream::connect(address))
            .await
            .unwrap();
        let (send, connection) = patient("a handshake", builder.handshake(tcp))
            .await
            .unwrap();
        Raw {
            send,
            driver: tokio::spawn(connection),
        }
    }

    /// Begins a request.
    pub(crate) async fn begin(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let ready = patient("a stream", self.send.clone().ready()).await;
        self.send = ready.unwrap();
        self.send.send_request(request, false).unwrap()
    }

    /// Sends a message and reads all that comes back.
    pub(crate) async fn call(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        message: &[u8],
    ) -> Told {
        let (response, mut body) = self.begin(path, headers).await;
        body.send_data(Bytes::copy_from_slice(message), true)
            .unwrap();
        told(patient("an answer", response).await.unwrap()).await
    }

    /// Sends a request that is no call.
    pub(crate) async fn get(&mut self, path: &str) -> Told {
        let request = Request::get(format!("http://localhost{path}"));
        let request = request.body(()).unwrap();
        let (response, _) = self.send.send_request(request, true).unwrap();
        told(patient("an answer", response).await.unwrap()).await
    }

    /// Waits until the server has ended the connection.
    pub(crate) async fn ended(&mut self) {
        let _ = patient("the end", &mut self.driver).await.unwrap();
    }
}

/// Reads an answer to its end.
pub(crate) async fn told(response: Response<h2::RecvStream>) -> Told {
    let (head, mut stream) = response.into_parts();
    let mut body = BytesMut::new();
    while let Some(piece) = patient("a piece", stream.data()).await {
        let Ok(piece) = piece else { break };
        let _ = stream.flow_control().release_capacity(piece.len());
        body.extend_from_slice(&piece);
    }
    let trailers = patient("trailers", stream.trailers()).await;
    Told {
        http: head.status.as_u16(),
        headers: head.headers,
        body: body.freeze(),
        trailers: trailers.ok().flatten().unwrap_or_default(),
    }
}
