//! How policies, and the settings that they override, are written in every source.
//!
//! The settings read their values with these functions, as with those of [`value`](super::super::value).

use std::collections::BTreeMap;

use super::{Acknowledge, BACKUPS_MAX, Policy, check};
use crate::config::value::{Raw, Reject, digits};

/// How many backups a key has.
///
/// # Errors
/// When it is no number from 0 to [`BACKUPS_MAX`].
pub fn backups(raw: &Raw) -> Result<u8, Reject> {
    digits(raw)
        .filter(|count| *count <= BACKUPS_MAX)
        .ok_or_else(|| {
            let right = format!("from 0 to {BACKUPS_MAX}");
            Reject::not(raw, "a number of backups", &right)
        })
}

/// What a write waits for.
///
/// # Errors
/// When it is neither `owner` nor `backup`.
pub fn acknowledge(raw: &Raw) -> Result<Acknowledge, Reject> {
    match raw {
        Raw::Text(text) if text == "owner" => Ok(Acknowledge::Owner),
        Raw::Text(text) if text == "backup" => Ok(Acknowledge::Backup),
        _ => Err(Reject::not(
            raw,
            "who acknowledges a write",
            "owner or backup",
        )),
    }
}

/// Policies of namespaces: texts such as `sessions:backups=0,acknowledge=owner`, with white space
/// or `;` between several, or a table of tables in a file. Empty is none.
///
/// # Errors
/// When one of them is no policy, or a namespace has two.
pub fn policies(raw: &Raw) -> Result<BTreeMap<String, Policy>, Reject> {
    let mut policies = BTreeMap::new();
    let mut add = |name: &str, policy: Policy| {
        check(name, &policy)?;
        match policies.insert(name.to_owned(), policy) {
            None => Ok(()),
            Some(_) => Err(Reject {
                wrong: format!("there are two policies of `{name}`"),
                right: "one of them".to_owned(),
            }),
        }
    };
    let texts = match raw {
        Raw::Text(text) => std::slice::from_ref(text),
        Raw::List(texts) => texts,
        Raw::Table(tables) => {
            for (name, fields) in tables {
                let Raw::Table(fields) = fields else {
                    return Err(Reject::not(fields, "a policy", POLICY_RIGHT));
                };
                add(name, policy(fields.iter().map(|(k, v)| (&**k, v.clone())))?)?;
            }
            return Ok(policies);
        }
        _ => return Err(Reject::not(raw, "a list of policies", POLICY_RIGHT)),
    };
    let words = texts
        .iter()
        .flat_map(|text| text.split(|c: char| c == ';' || c.is_whitespace()))
        .filter(|word| !word.is_empty());
    for word in words {
        let reject = || Reject::not(&Raw::text(word), "a policy", POLICY_RIGHT);
        let (name, fields) = word.split_once(':').ok_or_else(reject)?;
        let fields: Option<Vec<(&str, Raw)>> = fields
            .split(',')
            .map(|field| field.split_once('=').map(|(k, v)| (k, Raw::text(v))))
            .collect();
        add(name, policy(fields.ok_or_else(reject)?.into_iter())?)?;
    }
    Ok(policies)
}

const POLICY_RIGHT: &str = "NAMESPACE:backups=0,acknowledge=owner with one or both of them, white \
     space or `;` between several; in a file, a table";

fn policy<'a>(fields: impl Iterator<Item = (&'a str, Raw)>) -> Result<Policy, Reject> {
    let mut policy = Policy::default();
    for (name, raw) in fields {
        let again = match name {
            "backups" => policy.backups.replace(backups(&raw)?).is_some(),
            "acknowledge" => policy.acknowledge.replace(acknowledge(&raw)?).is_some(),
            _ => {
                let what = "anything that a policy overrides";
                return Err(Reject::not(
                    &Raw::text(name),
                    what,
                    "backups or acknowledge",
                ));
            }
        };
        if again {
            return Err(Reject {
                wrong: format!("`{name}` is there twice in a policy"),
                right: "one of them".to_owned(),
            });
        }
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(text: &str) -> Raw {
        Raw::text(text)
    }

    #[test]
    fn policies_are_texts_or_tables() {
        let both = Policy {
            backups: Some(0),
            acknowledge: Some(Acknowledge::Owner),
        };
        let one = Policy {
            backups: Some(3),
            acknowledge: None,
        };
        let want = BTreeMap::from([("a".to_owned(), both), ("b".to_owned(), one)]);
        for written in [
            "a:backups=0,acknowledge=owner b:backups=3",
            " b:backups=3;;a:acknowledge=owner,backups=0 ;",
        ] {
            assert_eq!(policies(&t(written)).as_ref(), Ok(&want), "{written}");
        }
        let list = ["a:backups=0,acknowledge=owner", "b:backups=3"].map(str::to_owned);
        assert_eq!(policies(&Raw::List(list.to_vec())).as_ref(), Ok(&want));
        let number = |n: &str| ("backups".to_owned(), Raw::Number(n.to_owned()));
        let owner = ("acknowledge".to_owned(), t("owner"));
        let table = Raw::Table(vec![
            ("a".to_owned(), Raw::Table(vec![number("0"), owner])),
            ("b".to_owned(), Raw::Table(vec![number("3")])),
        ]);
        assert_eq!(policies(&table), Ok(want));
        assert_eq!(policies(&t("")), Ok(BTreeMap::new()));
        for wrong in [
            "a",
            "a:",
            ":backups=1",
            "a:backups",
            "a:backups=4",
            "a:backups=-1",
            "a:backups=300",
            "a:backups=1,",
            "a:backups=1,backups=1",
            "a:backup=1",
            "a:acknowledge=all",
            "a:b:backups=1",
            "a:backups=1;a:backups=1",
        ] {
            assert!(policies(&t(wrong)).is_err(), "{wrong}");
        }
        assert!(policies(&Raw::Number("1".to_owned())).is_err());
        for wrong in [
            Raw::Table(vec![("a".to_owned(), t("backups=0"))]),
            Raw::Table(vec![("a".to_owned(), Raw::Table(Vec::new()))]),
        ] {
            assert!(policies(&wrong).is_err(), "{wrong:?}");
        }
    }
}
