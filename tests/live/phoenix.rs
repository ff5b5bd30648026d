//! A client of channels, in both forms of frames.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use smache::Smache;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::client::patient;

/// Which form frames have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Object,
    Array,
}

/// What was pushed to the client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pushed {
    pub(crate) topic: String,
    pub(crate) event: String,
    pub(crate) payload: Value,
    pub(crate) reference: Value,
    pub(crate) join: Value,
}

/// A socket.
pub(crate) struct Phoenix {
    pub(crate) socket: WebSocketStream<TcpStream>,
    form: Form,
    next: u64,
    pushed: VecDeque<Pushed>,
}

impl Phoenix {
    pub(crate) async fn connect(node: &Smache, form: Form) -> Phoenix {
        Phoenix::connect_with(node, form, &[]).await
    }

    pub(crate) async fn connect_with(
        node: &Smache,
        form: Form,
        headers: &[(&'static str, &'static str)],
    ) -> Phoenix {
        let query = match form {
            Form::Object => "",
            Form::Array => "?vsn=2.0.0",
        };
        let socket = connect(node, query, headers).await.unwrap();
        Phoenix {
            socket,
            form,
            next: 1,
            pushed: VecDeque::new(),
        }
    }

    /// Sends an event; the reference that its reply will name. A topic is joined by its own name.
    pub(crate) async fn send(&mut self, topic: &str, event: &str, payload: Value) -> String {
        let reference = self.next.to_string();
        self.next += 1;
        let join = topic.starts_with("room:").then_some(topic);
        let text = match self.form {
            Form::Object => json!({
                "topic": topic, "event": event, "payload": payload, "ref": reference,
            }),
            Form::Array => json!([join, reference, topic, event, payload]),
        };
        self.say(&text.to_string()).await;
        reference
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends an event, and waits for its reply: its status and response. What else comes is kept.
    pub(crate) async fn ask(
        &mut self,
        topic: &str,
        event: &str,
        payload: Value,
    ) -> (String, Value) {
        let reference = self.send(topic, event, payload).await;
        loop {
            let pushed = self.receive().await.expect("a reply");
            if pushed.event == "phx_reply" && pushed.reference == reference {
                assert_eq!(pushed.topic, topic);
                let status = pushed.payload["status"].as_str().unwrap().to_owned();
                return (status, pushed.payload["response"].clone());
            }
            self.pushed.push_back(pushed);
        }
    }

    pub(crate) async fn join(&mut self, topic: &str) {
        let joined = self.ask(topic, "phx_join", json!({})).await;
        assert_eq!(joined, ("ok".to_owned(), json!({})));
    }

    /// What is pushed next; `None` at the end.
    pub(crate) async fn pushed(&mut self) -> Option<Pushed> {
        match self.pushed.pop_front() {
            Some(pushed) => Some(pushed),
            None => self.receive().await,
        }
    }

    /// The event and payload of what is pushed next about keys.
    pub(crate) async fn told(&mut self) -> (String, Value) {
        loop {
            let pushed = self.pushed().await.expect("an event");
            if pushed.event != "missed" {
                return (pushed.event, pushed.payload);
            }
        }
    }

    /// Whether nothing more comes before the reply to a heartbeat: what is behind it would have come
    /// with it.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        self.ask("phoenix", "heartbeat", json!({})).await;
        self.pushed.is_empty()
    }

    async fn receive(&mut self) -> Option<Pushed> {
        loop {
            let message = patient("a frame", self.socket.next()).await?;
            match message.unwrap() {
                Message::Text(text) => return Some(self.read(&text)),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    fn read(&self, text: &str) -> Pushed {
        let value: Value = serde_json::from_str(text).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        match self.form {
            Form::Object => Pushed {
                topic: text(&value["topic"]),
                event: text(&value["event"]),
                payload: value["payload"].clone(),
                reference: value["ref"].clone(),
                join: Value::Null,
            },
            Form::Array => Pushed {
                join: value[0].clone(),
                reference: value[1].clone(),
                topic: text(&value[2]),
                event: text(&value[3]),
                payload: value[4].clone(),
            },
        }
    }

    /// How the server closes the connection.
    pub(crate) async fn closed(mut self) -> Option<CloseFrame> {
        loop {
            match patient("the end", self.socket.next()).await? {
                Ok(Message::Close(frame)) => return frame,
                Ok(_) => {}
                Err(error) => panic!("closed without a word: {error}"),
            }
        }
    }
}

/// The handshake, or what the server says instead.
pub(crate) async fn connect(
    node: &Smache,
    query: &str,
    headers: &[(&'static str, &'static str)],
) -> Result<WebSocketStream<TcpStream>, (u16, String)> {
    let address = node.http_address().unwrap();
    let mut request = format!("ws://{address}/socket/websocket{query}")
        .into_client_request()
        .unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(*name, value);
    }
    let tcp = TcpStream::connect(address).await.unwrap();
    match patient("the handshake", client_async(request, tcp)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            let text = String::from_utf8(body).unwrap();
            Err((response.status().as_u16(), text))
        }
        Err(error) => panic!("{error}"),
    }
}
