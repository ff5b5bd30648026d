//! Keys in paths: `/counters/visits` names the key `counters:visits`.
//!
//! What stands behind the route's name is percent-decoded once, and is then the rest of the key,
//! slashes included. Unlike in a query a plus sign is a plus sign. One trailing slash of the path is
//! forgiven, so that a key which ends with one is written with `%2F` at its end.

use super::failure::Failure;
use super::query;
use crate::key::Key;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// As the client calls it.
    pub(super) name: String,
    /// What it is in the one keyspace.
    pub(super) key: Key,
}

/// The key that `escaped` names in a namespace.
pub(super) fn named(escaped: &str, namespace: &str, bytes_max: usize) -> Result<Named, Failure> {
    let name = query::decode_path(escaped)?.into_owned();
    if name.is_empty() {
        return Err(Failure::key_required());
    }
    let key = Key::new(format!("{namespace}:{name}"), bytes_max)?;
    Ok(Named { name, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_once_and_nothing_is_guessed() {
        for (escaped, name) in [
            ("a", "a"),
            ("a/b", "a/b"),
            ("a%2Fb%2f", "a/b/"),
            ("a+b%2B", "a+b+"),
            ("%2520", "%20"),
            ("%C3%A9:%20", "é: "),
            ("null", "null"),
            ("..", ".."),
        ] {
            let named = named(escaped, "ns", 64).unwrap();
            assert_eq!(named.name, name);
            assert_eq!(named.key.as_bytes(), format!("ns:{name}").as_bytes());
        }
        for (escaped, code) in [
            ("", "key_required"),
            ("%", "invalid_escape"),
            ("%4", "invalid_escape"),
            ("%zz", "invalid_escape"),
            ("%ff", "invalid_utf8"),
            ("abcdef", "key_too_long"),
        ] {
            let failure = named(escaped, "ns", 8).unwrap_err();
            assert_eq!(failure.code, code, "{escaped}");
        }
    }
}
