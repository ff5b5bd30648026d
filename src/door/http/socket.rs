//! `/socket/websocket`: a WebSocket (RFC 6455) that speaks Phoenix channels.
//!
//! The handshake is an HTTP request like others: it is admitted, counted, and refused if a browser
//! sends it for another site. What comes after it runs in the connection's own task ([`client`]):
//! the connection keeps its place among those that are open, and ends with them when the node stops.
//! [`frame`] reads and writes what is sent over it, [`rooms`] knows what it means.
//!
//! What bounds a client: the length of its messages ([`Config::message_bytes_max`]), its silence
//! ([`Config::socket_idle_timeout`]), how much it listens to, and the door's memory. One that does
//! not take what it is told is closed as any other (`stream`).
//!
//! [`Config::message_bytes_max`]: crate::config::Config::message_bytes_max
//! [`Config::socket_idle_timeout`]: crate::config::Config::socket_idle_timeout

mod client;
mod frame;
mod metered;
mod rooms;

use std::sync::Arc;

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use self::frame::Version;
use super::body::Body;
use super::failure::Failure;
use super::front::{Call, Exchange};
use super::query;
use crate::door::bearer;

/// What Phoenix's clients call what they speak.
const PROTOCOL: &str = "phoenix";

/// Answers the handshake, and has the connection go on as a socket.
pub(super) fn answer(call: &mut Call, exchange: Exchange) -> Result<Response<Body>, Failure> {
    let accept = accept(&call.parts.headers)?;
    let version = version(&call.parts)?;
    let Some(upgrade) = call.parts.extensions.remove::<OnUpgrade>() else {
        let message = "this connection cannot become a WebSocket";
        return Err(Failure::upgrade_required(message));
    };
    let pass = bearer::admit(&call.context().access, &call.parts.headers)?;
    let subscription = call.context().router.live().subscribe()?;
    let shared = Arc::clone(&call.shared);
    exchange.then(async move {
        // It fails only if the connection broke before the answer was out.
        if let Ok(upgraded) = upgrade.await {
            client::serve(upgraded, shared, subscription, pass, version).await;
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    // Who offers protocols waits for one of them.
    if has_word(&call.parts.headers, SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    Ok(response)
}

/// What proves to the client that its handshake was understood.
fn accept(headers: &HeaderMap) -> Result<HeaderValue, Failure> {
    if !has_word(headers, UPGRADE, "websocket") || !has_word(headers, CONNECTION, "upgrade") {
        let message = "this is for WebSockets: ask with Connection: Upgrade, Upgrade: websocket";
        return Err(Failure::upgrade_required(message));
    }
    if !has_word(headers, SEC_WEBSOCKET_VERSION, "13") {
        let message = "Sec-WebSocket-Version must be 13";
        return Err(Failure::upgrade_required(message));
    }
    // Any 16 bytes in base64.
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| key.len() == 24 && key.ends_with(b"=="));
    let accept = key.map(derive_accept_key);
    accept
        .and_then(|accept| HeaderValue::try_from(accept).ok())
        .ok_or_else(|| {
            let message = "Sec-WebSocket-Key must be 16 bytes in base64";
            Failure::bad("invalid_handshake", message)
        })
}

fn has_word(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let words = value.to_str().unwrap_or_default().split(',');
        words
            .map(str::trim)
            .any(|word| word.eq_ignore_ascii_case(wanted))
    })
}

/// Which form frames have: what `vsn` asks for.
fn version(parts: &Parts) -> Result<Version, Failure> {
    for pair in query::pairs(parts.uri.query()) {
        let (name, value) = pair?;
        if name == "vsn" {
            return Version::of(&value).ok_or_else(|| {
                let message = format!("vsn {value:?} is not understood; 1.0.0 and 2.0.0 are");
                Failure::bad("unknown_version", message)
            });
        }
    }
    Ok(Version::One)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_handshake_of_the_rfc() {
        let mut asked = headers(&[
            (UPGRADE, "WebSocket"),
            (CONNECTION, "keep-alive, Upgrade"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ]);
        assert_eq!(accept(&asked).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for (name, value, status) in [
            (SEC_WEBSOCKET_KEY, "short", 400),
            (SEC_WEBSOCKET_VERSION, "8", 426),
            (CONNECTION, "close", 426),
            (UPGRADE, "h2c", 426),
        ] {
            let value = HeaderValue::from_static(value);
            let right = asked.insert(name.clone(), value).unwrap();
            assert_eq!(accept(&asked).unwrap_err().status.as_u16(), status);
            asked.insert(name, right);
        }
    }
}
