//! Settings files: YAML (`.yaml`, `.yml`) and TOML (`.toml`), told apart by their extension.
//!
//! A file is one mapping from names of settings to values, of which few are mappings themselves
//! ([`Raw::Table`]). This room only takes it apart;
//! what the names and values mean is the loader's to judge, so that messages are the same for both
//! languages.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::value::Raw;

/// Why a file cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// Neither of the known extensions.
    #[error("has none of the extensions .yaml, .yml and .toml, by which its language is known")]
    Extension,
    /// Not what its extension says, or not a mapping of names to values.
    #[error("{0}")]
    Syntax(String),
}

/// Longest file that is read: a wrong path should not fill the memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a file into names and values.
///
/// # Errors
/// When it cannot be read or taken apart.
pub fn read(path: &Path) -> Result<Vec<(String, Raw)>, Error> {
    let parse = match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => yaml,
        Some("toml") => toml,
        _ => return Err(Error::Extension),
    };
    let length = std::fs::metadata(path)?.len();
    if length > FILE_BYTES_MAX {
        return Err(Error::Syntax(format!(
            "is {length} bytes long; a file of settings has at most {FILE_BYTES_MAX}"
        )));
    }
    parse(&std::fs::read_to_string(path)?)
}

/// Takes YAML apart. Only `true` and `false` are switches: `no`, `on` and `off` are text.
///
/// # Errors
/// When it is none, or no mapping of names to values.
pub fn yaml(text: &str) -> Result<Vec<(String, Raw)>, Error> {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options::<Entries>(text, options)
        .map(|entries| entries.0)
        .map_err(|error| Error::Syntax(error.to_string()))
}

/// Takes TOML apart.
///
/// # Errors
/// When it is none, or holds what no setting can be.
pub fn toml(text: &str) -> Result<Vec<(String, Raw)>, Error> {
    toml::from_str::<Entries>(text)
        .map(|entries| entries.0)
        .map_err(|error| Error::Syntax(error.to_string()))
}

/// The mapping. Both parsers refuse a name that occurs twice.
struct Entries(Vec<(String, Raw)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
        struct Mapping;
        impl<'de> Visitor<'de> for Mapping {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("lines of `name: value`")
            }

            fn visit_unit<E>(self) -> Result<Entries, E> {
                Ok(Entries(Vec::new()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Mapping)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        struct Scalar;
        impl<'de> Visitor<'de> for Scalar {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true, false, a list of texts or a table")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
                Ok(Raw::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
                Ok(Raw::Number(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
                Ok(Raw::Number(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
                Ok(Raw::Number(value.to_string()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
                Ok(Raw::text(value))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<String>()? {
                    items.push(item);
                }
                Ok(Raw::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Raw::Table(entries))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, raw: Raw) -> (String, Raw) {
        (name.to_owned(), raw)
    }

    #[test]
    fn both_languages_give_the_same() {
        let want = vec![
            entry("port", Raw::Number("0".to_owned())),
            entry("max-memory", Raw::text("64MiB")),
            entry("cluster-trusted-network", Raw::Bool(true)),
            entry("uplinks", Raw::List(vec!["a".to_owned(), "b:1".to_owned()])),
        ];
        let from_yaml = yaml(
            "# a comment\nport: 0\nmax-memory: 64MiB\ncluster-trusted-network: true\n\
             uplinks: [a, \"b:1\"]\n",
        );
        assert_eq!(from_yaml.unwrap(), want);
        let from_toml = toml(
            "port = 0\nmax-memory = '64MiB'\ncluster-trusted-network = true\n\
             uplinks = ['a', 'b:1']\n",
        );
        // This parser sorts by name.
        let sorted = |mut entries: Vec<(String, Raw)>| {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries
        };
        assert_eq!(sorted(from_toml.unwrap()), sorted(want));
    }

    #[test]
    fn an_empty_file_sets_nothing() {
        for text in ["", "# nothing\n", "---\n"] {
            assert_eq!(yaml(text).unwrap(), Vec::new(), "{text:?}");
        }
        assert_eq!(toml("# nothing").unwrap(), Vec::new());
    }

    #[test]
    fn off_is_text() {
        assert_eq!(yaml("log: off").unwrap(), [entry("log", Raw::text("off"))]);
    }

    #[test]
    fn tables_are_the_same_in_both_languages() {
        let want = |mode: &str| {
            let inner = Raw::Table(vec![
                entry("acknowledge", Raw::text("owner")),
                entry("backups", Raw::Number("0".to_owned())),
            ]);
            vec![entry("policies", Raw::Table(vec![entry(mode, inner)]))]
        };
        for text in [
            "policies:\n  a:\n    acknowledge: owner\n    backups: 0\n",
            "policies: {\"a\": {acknowledge: owner, backups: 0}}\n",
        ] {
            assert_eq!(yaml(text).unwrap(), want("a"), "{text}");
        }
        let text = "[policies.a]\nacknowledge = 'owner'\nbackups = 0\n";
        assert_eq!(toml(text).unwrap(), want("a"));
        assert_eq!(
            toml("[policies.'a.b']\nacknowledge = 'owner'\nbackups = 0\n").unwrap(),
            want("a.b")
        );
        for text in [
            "policies: {a: {backups: 0}, a: {backups: 1}}",
            "policies: {a: {backups: 0, backups: 1}}",
        ] {
            assert!(yaml(text).is_err(), "{text}");
        }
        assert!(toml("[policies.a]\n[policies.a]\n").is_err());
    }

    #[test]
    fn what_is_no_mapping_is_refused() {
        for text in ["- a\n- b\n", "port: [[1]]\n", "port: 1: 2\n", "just text"] {
            assert!(yaml(text).is_err(), "{text:?}");
        }
        for text in ["port = [[1]]\n", "port = \n", "port = 1\nport = 2\n"] {
            assert!(toml(text).is_err(), "{text:?}");
        }
        assert!(yaml("port: 1\nport: 2\n").is_err());
        assert!(yaml("port:\n").is_err(), "a name without a value");
    }
}
