//! `Idempotency-Key`: by what name a client sends a write again.
//!
//! The name counts for one key of the cache: the same text with two keys is two operations, so that
//! clients which number their requests cannot get into each other's way unless they write the same
//! key. On a batch it counts for each line with the line's number, so that a batch is sent again as
//! it was. The number that nodes know the operation by is the first half of a SHA-256, the same on
//! each node: a client may send again through another one.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use super::failure::Failure;
use crate::command::OperationId;
use crate::key::Key;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest name, in bytes.
const BYTES_MAX: usize = 255;

/// A client's name for what it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::door) struct IdempotencyKey(Bytes);

impl IdempotencyKey {
    /// The name that a request has, if it has one.
    pub(in crate::door) fn of(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Failure> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let text = value.as_bytes();
        let is_sane = (1..=BYTES_MAX).contains(&text.len())
            && text.iter().all(u8::is_ascii_graphic)
            && values.next().is_none();
        if is_sane {
            Ok(Some(IdempotencyKey(Bytes::copy_from_slice(text))))
        } else {
            let message = format!(
                "Idempotency-Key is given once, and is 1 to {BYTES_MAX} visible ASCII characters"
            );
            Err(Failure::bad("invalid_idempotency_key", message))
        }
    }

    /// The operation that is the whole request, about `key`.
    pub(in crate::door) fn on(&self, key: &Key) -> OperationId {
        self.on_line(key, 0)
    }

    /// The operation on a line of a batch, counted from 1.
    pub(in crate::door) fn on_line(&self, key: &Key, line: u64) -> OperationId {
        // The lengths of all but the last part are fixed or told: no two triples read the same.
        let mut hash = Sha256::new();
        hash.update(line.to_le_bytes());
        hash.update((self.0.len() as u64).to_le_bytes());
        hash.update(&self.0);
        hash.update(key.as_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&hash.finalize()[..16]);
        OperationId(u128::from_le_bytes(half))
    }
}

/// The operation that a write of `key` with these headers is, if its client has named it.
pub(super) fn operation(headers: &HeaderMap, key: &Key) -> Result<Option<OperationId>, Failure> {
    Ok(IdempotencyKey::of(headers)?.map(|name| name.on(key)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use http::HeaderValue;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn key(text: &'static str) -> Key {
        Key::new(text, 99).unwrap()
    }

    #[test]
    fn what_may_be_a_name() {
        let longest = [b'x'; BYTES_MAX];
        for text in [&b"a"[..], b"\"8e03978e-40d5\"", b"!~", &longest] {
            assert!(IdempotencyKey::of(&headers(&[text])).unwrap().is_some());
        }
        assert_eq!(IdempotencyKey::of(&headers(&[])), Ok(None));
        let too_long = [b'x'; BYTES_MAX + 1];
        for values in [
            &[&b""[..]][..],
            &[b"a b"],
            &[b"a\tb"],
            &[b"\xc3\xa9"],
            &[&too_long],
            &[b"a", b"a"],
        ] {
            let failure = operation(&headers(values), &key("k")).unwrap_err();
            assert_eq!(failure.code, "invalid_idempotency_key", "{values:?}");
            assert_eq!(failure.status, 400);
        }
    }

    #[test]
    fn the_same_is_the_same_and_nothing_else_is() {
        let of = |name: &[u8], on| operation(&headers(&[name]), &key(on)).unwrap().unwrap();
        assert_eq!(of(b"a", "k"), of(b"a", "k"));
        let ab = IdempotencyKey::of(&headers(&[b"ab"])).unwrap().unwrap();
        let different = [
            of(b"a", "k"),
            of(b"b", "k"),
            of(b"a", "l"),
            of(b"ak", "k"),
            of(b"a", "kk"),
            of(b"ab", "k"),
            ab.on_line(&key("k"), 1),
            ab.on_line(&key("k"), 2),
        ];
        assert_eq!(HashSet::from(different).len(), different.len());
    }

    /// Nodes of different versions must agree, so the number may never change.
    #[test]
    fn a_number_that_was_given_out() {
        let id = operation(&headers(&[b"abc"]), &key("counters:visits"));
        assert_eq!(id, Ok(Some(OperationId(PINNED))));
    }

    const PINNED: u128 = 0x1f21_fbc0_2644_4d1f_d2ff_ea81_b95c_acde;
}
