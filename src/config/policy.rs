//! How many copies a key has, and what a write to it waits for: per node, and per namespace.
//!
//! The namespace of a key is what stands before its first `:`; a key without one has none. A
//! namespace may have a [`Policy`] of its own, which overrides the node's settings `backups` and
//! `acknowledge`, each or both. [`Policies`] has them resolved, for whoever carries out commands.
//!
//! Invariant: every number of backups in a validated [`Config`] is at most [`BACKUPS_MAX`], and
//! every namespace passes [`check_namespace`], so that it can be written in every source.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Config;
use super::value::Reject;
use crate::key::KEY_BYTES_MAX;

pub mod written;

/// The most backups of a key besides its owner.
pub const BACKUPS_MAX: u8 = 3;

/// What a write waits for before it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// The owner has applied it.
    Owner,
    /// Its backups, as many as are in sync, have it too.
    #[default]
    Backup,
}

impl fmt::Display for Acknowledge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Acknowledge::Owner => "owner",
            Acknowledge::Backup => "backup",
        })
    }
}

/// What a namespace has otherwise than its node. Nothing given is nothing overridden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Copies besides the owner's.
    pub backups: Option<u8>,
    /// What its writes wait for.
    pub acknowledge: Option<Acknowledge>,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backups = self.backups.map(|count| format!("backups={count}"));
        let acknowledge = self.acknowledge.map(|by| format!("acknowledge={by}"));
        let parts: Vec<String> = backups.into_iter().chain(acknowledge).collect();
        f.write_str(&parts.join(","))
    }
}

/// What holds for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Copies besides the owner's.
    pub backups: u8,
    /// What its writes wait for.
    pub acknowledge: Acknowledge,
}

/// All policies of a node, resolved; cheap to clone.
#[derive(Clone, Debug)]
pub struct Policies {
    default: Resolved,
    /// In the order of the namespaces.
    namespaces: Arc<[(Box<[u8]>, Resolved)]>,
}

impl Policies {
    /// Those of a node with these settings.
    #[must_use]
    pub fn new(config: &Config) -> Policies {
        let default = Resolved {
            backups: config.backups,
            acknowledge: config.acknowledge,
        };
        let resolve = |policy: &Policy| Resolved {
            backups: policy.backups.unwrap_or(default.backups),
            acknowledge: policy.acknowledge.unwrap_or(default.acknowledge),
        };
        // The map is in the order of its names, which is the order of their bytes.
        let namespaces = config
            .policies
            .iter()
            .map(|(name, policy)| (name.as_bytes().into(), resolve(policy)))
            .collect();
        Policies {
            default,
            namespaces,
        }
    }

    /// What holds for a key. Without policies of namespaces the key is not looked at.
    #[must_use]
    pub fn of(&self, key: &[u8]) -> Resolved {
        if self.namespaces.is_empty() {
            return self.default;
        }
        let Some(end) = memchr::memchr(b':', key) else {
            return self.default;
        };
        let namespace = &key[..end];
        self.namespaces
            .binary_search_by(|(name, _)| (**name).cmp(namespace))
            .map_or(self.default, |at| self.namespaces[at].1)
    }

    /// The most backups that any key of this node asks for: so many copies a partition needs.
    #[must_use]
    pub fn backups_max(&self) -> u8 {
        self.namespaces
            .iter()
            .map(|(_, resolved)| resolved.backups)
            .fold(self.default.backups, u8::max)
    }
}

/// Whether some text can be a namespace with a policy.
///
/// # Errors
/// When it is empty, longer than a key, or has a character that some source takes for an end.
pub fn check_namespace(name: &str) -> Result<(), Reject> {
    let reject = |wrong: String| {
        Err(Reject {
            wrong,
            right: "what stands before the first `:` of its keys, without white space and `;`"
                .to_owned(),
        })
    };
    let odd = |c: char| c == ':' || c == ';' || c.is_whitespace() || c.is_control();
    match name {
        "" => reject("a namespace is empty".to_owned()),
        name if name.len() >= KEY_BYTES_MAX => {
            reject(format!("a namespace is {} bytes long", name.len()))
        }
        name if name.contains(odd) => reject(format!("{name:?} is not a namespace")),
        _ => Ok(()),
    }
}

/// Checks one policy under its namespace.
///
/// # Errors
/// When the namespace is none, nothing is overridden, or there are too many backups.
pub fn check(name: &str, policy: &Policy) -> Result<(), Reject> {
    check_namespace(name)?;
    if *policy == Policy::default() {
        return Err(Reject {
            wrong: format!("the policy of `{name}` overrides nothing"),
            right: "backups, acknowledge or both".to_owned(),
        });
    }
    match policy.backups {
        Some(count) if count > BACKUPS_MAX => Err(Reject {
            wrong: format!("{count} backups of `{name}` are too many"),
            right: format!("from 0 to {BACKUPS_MAX}"),
        }),
        _ => Ok(()),
    }
}

/// Checks all of them.
///
/// # Errors
/// The first that cannot stand.
pub fn check_all(policies: &BTreeMap<String, Policy>) -> Result<(), Reject> {
    policies
        .iter()
        .try_for_each(|(name, policy)| check(name, policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(overrides: &[(&str, Option<u8>, Option<Acknowledge>)]) -> Policies {
        let policies = overrides.iter().map(|&(name, backups, acknowledge)| {
            let policy = Policy {
                backups,
                acknowledge,
            };
            (name.to_owned(), policy)
        });
        Policies::new(&Config {
            policies: policies.collect(),
            ..Config::default()
        })
    }

    const DEFAULT: Resolved = Resolved {
        backups: 1,
        acknowledge: Acknowledge::Backup,
    };

    #[test]
    fn a_key_has_the_policy_of_its_namespace() {
        let policies = policies(&[
            ("sessions", Some(0), Some(Acknowledge::Owner)),
            ("orders", Some(2), None),
            ("or", None, Some(Acknowledge::Owner)),
        ]);
        let of = |key: &str| {
            let Resolved {
                backups,
                acknowledge,
            } = policies.of(key.as_bytes());
            (backups, acknowledge)
        };
        assert_eq!(of("sessions:1"), (0, Acknowledge::Owner));
        assert_eq!(of("sessions:1:2"), (0, Acknowledge::Owner));
        assert_eq!(of("sessions:"), (0, Acknowledge::Owner));
        assert_eq!(of("orders:7"), (2, Acknowledge::Backup));
        assert_eq!(of("or:7"), (1, Acknowledge::Owner));
        for other in [
            "sessions",
            "session:1",
            "sessionsx:1",
            ":sessions:1",
            ":",
            "",
            "z:1",
        ] {
            assert_eq!(policies.of(other.as_bytes()), DEFAULT, "{other}");
        }
        assert_eq!(policies.backups_max(), 2);
    }

    #[test]
    fn without_overrides_all_keys_are_alike() {
        let plain = policies(&[]);
        for key in [&b"a:b"[..], b"a", b"\xff:\x00"] {
            assert_eq!(plain.of(key), DEFAULT);
        }
        assert_eq!(plain.backups_max(), 1);
        assert_eq!(policies(&[("a", Some(0), None)]).backups_max(), 1);
    }

    #[test]
    fn what_is_no_policy() {
        let none = Policy {
            backups: Some(0),
            acknowledge: None,
        };
        for right in ["a", "a.b", "a=b,c", "ü", "{tag}"] {
            assert_eq!(check(right, &none), Ok(()), "{right}");
        }
        for wrong in ["", "a:b", "a b", "a;b", "a\n"] {
            assert!(check(wrong, &none).is_err(), "{wrong:?}");
        }
        assert!(check(&"x".repeat(KEY_BYTES_MAX), &none).is_err());
        assert!(check("a", &Policy::default()).is_err());
        let many = Policy {
            backups: Some(BACKUPS_MAX + 1),
            acknowledge: None,
        };
        assert!(check("a", &many).is_err());
    }
}
