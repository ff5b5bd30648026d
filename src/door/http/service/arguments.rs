//! What the query of a request says.
//!
//! A parameter that nobody knows is refused rather than ignored, and so is one that does not go with
//! the others: with a misspelt `ttl` a value would live for ever, with a misspelt `item` a whole set
//! would be deleted.

use bytes::Bytes;

use crate::command::counter;
use crate::command::json::{self, Type};

use super::super::failure::Failure;
use super::super::{query, ttl};

/// See the module.
#[derive(Debug)]
pub(super) struct Arguments(Vec<(String, String)>);

impl Arguments {
    /// Reads the query, in which these names may stand.
    pub(super) fn of(query: Option<&str>, allowed: &[&str]) -> Result<Arguments, Failure> {
        let mut pairs = Vec::new();
        for pair in query::pairs(query) {
            let (name, value) = pair?;
            if !allowed.contains(&&*name) {
                let known = match allowed {
                    [] => "there are none here".to_owned(),
                    _ => format!("allowed are {}", allowed.join(", ")),
                };
                let message = format!("unknown parameter {name:?}; {known}");
                return Err(Failure::bad("unknown_parameter", message));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Arguments(pairs))
    }

    /// Whether it is given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// All values of a name, in order.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| &value[..])
    }

    /// The value of a name that is given once, or not at all.
    pub(super) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Failure> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            let message = format!("{name} is given twice");
            return Err(Failure::bad("repeated_parameter", message));
        }
        Ok(first)
    }

    /// Whether something is wanted: `name`, `name=true`, or not.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.one(name)? {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => Err(invalid(name, "stands alone, or is true or false", other)),
        }
    }

    /// A whole number.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        let wanted = "is a whole number from -2^63 to 2^63 - 1, without plus or leading zeros";
        match counter::parse(text.as_bytes()) {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(name, wanted, text)),
        }
    }

    /// How many: a whole number above 0.
    pub(super) fn count(&self, name: &str) -> Result<Option<u64>, Failure> {
        let Some(number) = self.integer(name)? else {
            return Ok(None);
        };
        match u64::try_from(number) {
            Ok(count) if count > 0 => Ok(Some(count)),
            _ => Err(invalid(name, "is at least 1", &number.to_string())),
        }
    }

    /// The time to live, in milliseconds.
    pub(super) fn ttl_ms(&self) -> Result<Option<u64>, Failure> {
        self.one("ttl")?.map(ttl::from_text).transpose()
    }

    /// Refuses whatever does not go with what was chosen. `chosen` says what that is.
    pub(super) fn only(&self, chosen: &str, names: &[&str]) -> Result<(), Failure> {
        let other = |(name, _): &&(String, String)| !names.contains(&&name[..]);
        match self.0.iter().find(other) {
            None => Ok(()),
            Some((name, _)) => {
                let message = format!("{name} does not go with {chosen}");
                Err(Failure::bad("invalid_parameter", message))
            }
        }
    }
}

/// A parameter whose value is none of those that it may have.
pub(super) fn invalid(name: &str, wanted: &str, found: &str) -> Failure {
    let message = format!("{name} {wanted}; {found:?} is not that");
    Failure::bad("invalid_parameter", message)
}

/// A number that may have a fraction, as JSON writes it.
pub(super) fn fraction(name: &str, text: &str) -> Result<Bytes, Failure> {
    const BYTES_MAX: usize = 256;
    let json = Bytes::copy_from_slice(text.as_bytes());
    let is_number = json::compact(&json, 0).is_ok_and(|json| json::type_of(&json) == Type::Number)
        && text.len() <= BYTES_MAX
        && text.parse().is_ok_and(f64::is_finite);
    if is_number {
        Ok(json)
    } else {
        let found: String = text.chars().take(64).collect();
        let wanted = "is a number without plus or leading zeros";
        Err(invalid(name, wanted, &found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Arguments, Failure> {
        Arguments::of(Some(query), &["item", "count", "length", "ttl"])
    }

    #[test]
    fn what_is_given() {
        let arguments = read("item=a&item=%20b+&&length&count=3&ttl=1m").unwrap();
        assert_eq!(arguments.all("item").collect::<Vec<_>>(), ["a", " b "]);
        assert_eq!(arguments.flag("length"), Ok(true));
        assert_eq!(arguments.count("count"), Ok(Some(3)));
        assert_eq!(arguments.ttl_ms(), Ok(Some(60_000)));
        assert!(arguments.has("item") && !arguments.has("other"));
        let none = read("").unwrap();
        assert_eq!(none.flag("length"), Ok(false));
        assert_eq!(none.one("item"), Ok(None));
        assert_eq!(none.count("count"), Ok(None));
        let not = read("length=false").unwrap();
        assert_eq!(not.flag("length"), Ok(false));
        assert_eq!(read("count=-3").unwrap().integer("count"), Ok(Some(-3)));
    }

    #[test]
    fn what_is_refused() {
        let code = |result: Result<(), Failure>| result.unwrap_err().code;
        assert_eq!(code(read("itm=a").map(drop)), "unknown_parameter");
        assert_eq!(code(read("item=%ff").map(drop)), "invalid_utf8");
        assert_eq!(code(read("item=%f").map(drop)), "invalid_escape");
        let given = |query: &str| read(query).unwrap();
        let twice = given("item=a&item=a");
        assert_eq!(code(twice.one("item").map(drop)), "repeated_parameter");
        for text in [
            "0",
            "-1",
            "",
            "1.5",
            "+1",
            "01",
            "many",
            "9223372036854775808",
        ] {
            let given = given(&format!("count={text}"));
            let failure = given.count("count").unwrap_err();
            assert_eq!(failure.code, "invalid_parameter", "{text}");
        }
        let given = given("length=maybe&ttl=0&item=a");
        let failure = given.flag("length").unwrap_err();
        assert_eq!(
            failure.message,
            "length stands alone, or is true or false; \"maybe\" is not that"
        );
        assert_eq!(given.ttl_ms().unwrap_err().code, "invalid_ttl");
        let failure = given.only("item", &["item", "ttl"]).unwrap_err();
        assert_eq!(failure.message, "length does not go with item");
        assert_eq!(given.only("all", &["item", "ttl", "length"]), Ok(()));
        let failure = Arguments::of(Some("a"), &[]).unwrap_err();
        assert_eq!(
            failure.message,
            "unknown parameter \"a\"; there are none here"
        );
    }

    #[test]
    fn numbers_may_have_a_fraction() {
        for text in ["1.5", "-0.1", "1e3", "0.0", "9223372036854775808"] {
            assert_eq!(fraction("increment", text).unwrap(), text);
        }
        let long = "1".repeat(300);
        for text in [
            "", "+1", "01", ".5", "1.", "nan", "inf", "1e999", " 1", "true", &long,
        ] {
            assert_eq!(
                fraction("increment", text).unwrap_err().code,
                "invalid_parameter",
                "{text}"
            );
        }
    }
}
