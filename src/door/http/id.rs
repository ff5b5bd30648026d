//! Request ids: the client's own, or one that costs no more than writing a few digits.

use http::{HeaderMap, HeaderValue};

use super::draft::X_REQUEST_ID;

/// The longest id that is taken over from a client, in bytes.
const THEIRS_BYTES_MAX: usize = 128;

/// What a request is called.
#[derive(Clone, Debug)]
pub(super) enum RequestId {
    /// As the client calls it.
    Theirs(HeaderValue),
    /// Drawn at the door's start, number of the connection, number of the request on it.
    Ours {
        door: u32,
        connection: u32,
        request: u64,
    },
}

impl RequestId {
    /// The client's id if it sent one that is fit to be sent back, else ours.
    pub(super) fn of(headers: &HeaderMap, door: u32, connection: u32, request: u64) -> RequestId {
        match headers.get(X_REQUEST_ID) {
            Some(id) if is_sane(id) => RequestId::Theirs(id.clone()),
            _ => RequestId::Ours {
                door,
                connection,
                request,
            },
        }
    }

    /// Writes our id, or hands out theirs.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Option<HeaderValue> {
        match self {
            RequestId::Theirs(id) => return Some(id.clone()),
            RequestId::Ours {
                door,
                connection,
                request,
            } => {
                hex(*door, out);
                out.push(b'-');
                hex(*connection, out);
                out.push(b'-');
                out.extend_from_slice(itoa::Buffer::new().format(*request).as_bytes());
            }
        }
        None
    }

    /// As a header of its own.
    pub(super) fn into_header(self) -> Option<HeaderValue> {
        let mut text = Vec::with_capacity(40);
        match self.write(&mut text) {
            Some(theirs) => Some(theirs),
            None => HeaderValue::try_from(text).ok(),
        }
    }
}

fn is_sane(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=THEIRS_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

fn hex(value: u32, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |place: u32| DIGITS[(value >> (place * 4) & 0xf) as usize];
    out.extend((0..8).rev().map(digit));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_ids_come_back() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::try_from(text).unwrap());
            RequestId::of(&headers, 0xab, 7, 42).into_header().unwrap()
        };
        assert_eq!(of("their-id"), "their-id");
        assert_eq!(of(""), "000000ab-00000007-42");
        assert_eq!(of("two words"), "000000ab-00000007-42");
        assert_eq!(of(&"x".repeat(129)), "000000ab-00000007-42");
        assert_eq!(of(&"x".repeat(128)), "x".repeat(128));
    }
}
