//! Which HTTP a client speaks: told by its first bytes, before anything else looks at them.
//!
//! A client of HTTP/2 that knows whom it talks to begins with a preface of 24 bytes (RFC 9113,
//! section 3.4), which is no request of HTTP/1. Mostly the first byte decides. What was read is put
//! back, so that the requests on a connection cost no more for it.

use std::io;

use bytes::Bytes;
use tokio::io::AsyncReadExt;

use super::stream::Stream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How much is read at a time: as a rule all of the first request.
const READ_BYTES: usize = 512;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1, or nothing that is known.
    One,
    /// HTTP/2.
    Two,
}

/// What a client that began like this speaks; `None` while it may still be either.
fn protocol(first: &[u8]) -> Option<Protocol> {
    let length = first.len().min(PREFACE.len());
    if first[..length] != PREFACE[..length] {
        Some(Protocol::One)
    } else if length == PREFACE.len() {
        Some(Protocol::Two)
    } else {
        None
    }
}

/// Reads until it is clear what the client speaks; the stream then begins as it did before. `None`
/// if the client closed before.
pub(super) async fn recognise(stream: &mut Stream) -> io::Result<Option<Protocol>> {
    let mut first = [0; READ_BYTES];
    let mut length = 0;
    loop {
        let read = stream.read(&mut first[length..]).await?;
        length += read;
        // The preface is shorter than what there is room for, so a read of nothing is the end.
        let known = protocol(&first[..length]).or((read == 0).then_some(Protocol::One));
        if let Some(protocol) = known {
            stream.put_back(Bytes::copy_from_slice(&first[..length]));
            return Ok((length > 0).then_some(protocol));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        for first in [
            "GET / HTTP/1.1\r\n",
            "PUT /",
            "PR ",
            "PRI * HTTP/1.1",
            "\r\n",
            "\0",
        ] {
            assert_eq!(protocol(first.as_bytes()), Some(Protocol::One), "{first}");
        }
        for length in 0..PREFACE.len() {
            assert_eq!(protocol(&PREFACE[..length]), None);
        }
        assert_eq!(protocol(PREFACE), Some(Protocol::Two));
        let more = [PREFACE, b"frames"].concat();
        assert_eq!(protocol(&more), Some(Protocol::Two));
    }
}
