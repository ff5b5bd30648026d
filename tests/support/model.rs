//! What every operation means, in plain maps, sets and vectors: the model that doors, commands and
//! whole clusters are compared with.
//!
//! [`step`] is pure: a value, an operation and the present moment in, what becomes of the value and
//! an answer out. [`Model`] keeps many keys, with how long they live.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

#[path = "model/types.rs"]
mod types;

use std::collections::BTreeMap;

use super::vocabulary::{Answer, NEVER, Op, Refused, Text, Value};

/// What becomes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing; it keeps its version.
    Same,
    /// It is this, and lives as long as before.
    Changed(Value),
    /// It is this, and lives so long, or for ever.
    Written(Value, Option<u64>),
    /// It is as it was, version included, and lives so long, or for ever.
    Lives(Option<u64>),
    Gone,
}

/// A value, and when it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) value: Value,
    pub(crate) expires_at: Option<u64>,
}

/// What all keys hold.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    held: BTreeMap<Text, Held>,
    /// The longest value in its stored form.
    value_bytes_max: usize,
}

impl Model {
    pub(crate) fn new(value_bytes_max: usize) -> Model {
        let held = BTreeMap::new();
        Model {
            held,
            value_bytes_max,
        }
    }

    /// What a key holds at the moment.
    pub(crate) fn get(&mut self, key: &Text, now_ms: u64) -> Option<&Held> {
        if self.held.get(key).is_some_and(|held| held.is_over(now_ms)) {
            self.held.remove(key);
        }
        self.held.get(key)
    }

    /// Carries an operation out. A value that it makes too large is not kept.
    pub(crate) fn carry_out(&mut self, key: &Text, op: &Op, now_ms: u64) -> (After, Answer) {
        let max = self.value_bytes_max;
        if let Op::Put(value, _) | Op::Create(value) | Op::Replace(value, _) = op
            && value.stored_bytes() > max
        {
            // Said also where it would not be written.
            return (After::Same, Answer::Refused(Refused::TooLarge));
        }
        let held = self.get(key, now_ms).cloned();
        let (after, answer) = step(held.as_ref().map(|held| &held.value), op);
        let lives = |ttl_ms: Option<u64>| ttl_ms.map(|ttl_ms| now_ms + ttl_ms);
        let before = held.as_ref().and_then(|held| held.expires_at);
        let (value, expires_at) = match &after {
            // As if it had always been so.
            After::Lives(None) if before.is_none() => return (After::Same, Answer::Integer(0)),
            After::Same => return (after, answer),
            After::Changed(value) => (value.clone(), before),
            After::Written(value, ttl_ms) => (value.clone(), lives(*ttl_ms)),
            After::Lives(ttl_ms) => match held {
                Some(held) => (held.value, lives(*ttl_ms)),
                None => return (After::Same, answer),
            },
            After::Gone => {
                self.held.remove(key);
                return (after, answer);
            }
        };
        if value.stored_bytes() > max {
            return (After::Same, Answer::Refused(Refused::TooLarge));
        }
        self.held.insert(key.clone(), Held { value, expires_at });
        (after, answer)
    }
}

impl Held {
    fn is_over(&self, now_ms: u64) -> bool {
        self.expires_at.is_some_and(|at| at <= now_ms)
    }
}

impl Value {
    /// How long its stored form is.
    pub(crate) fn stored_bytes(&self) -> usize {
        let item = |item: &Text| number_bytes(item.0.len()) + item.0.len();
        match self {
            Value::Json(document) => document.to_string().len(),
            Value::Counter(number) => number.to_string().len(),
            Value::Bytes(bytes) => bytes.0.len(),
            Value::Flag(flag) => flag.to_string().len(),
            Value::Set(set) => number_bytes(set.len()) + set.iter().map(item).sum::<usize>(),
            Value::Hash(hash) => {
                let pairs = hash.iter().map(|(field, value)| item(field) + item(value));
                number_bytes(hash.len()) + pairs.sum::<usize>()
            }
            Value::List(list) => number_bytes(list.len()) + list.iter().map(item).sum::<usize>(),
        }
    }
}

/// Bytes of a number in LEB128.
fn number_bytes(number: usize) -> usize {
    let bits = (usize::BITS - number.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

/// What an operation makes of a value, and answers.
pub(crate) fn step(value: Option<&Value>, op: &Op) -> (After, Answer) {
    let done = match op {
        Op::Put(new, ttl_ms) => Ok((After::Written(new.clone(), *ttl_ms), Answer::Done)),
        Op::Create(_) if value.is_some() => Err(Refused::Condition),
        Op::Create(new) => Ok((After::Written(new.clone(), None), Answer::Done)),
        // Versions are not the model's: it takes it that any but this one is the present one.
        Op::Replace(_, version) if value.is_none() || version == NEVER => Err(Refused::Condition),
        Op::Replace(new, _) => Ok((After::Written(new.clone(), None), Answer::Done)),
        Op::Delete => Ok(match value {
            Some(_) => (After::Gone, Answer::Integer(1)),
            None => (After::Same, Answer::Integer(0)),
        }),
        Op::Expire(ttl_ms) => Ok(lives(value, Some(*ttl_ms))),
        Op::Persist => Ok(lives(value, None)),
        op => types::of_type(value, op),
    };
    done.unwrap_or_else(|refused| (After::Same, Answer::Refused(refused)))
}

fn lives(value: Option<&Value>, ttl_ms: Option<u64>) -> (After, Answer) {
    match value {
        Some(_) => (After::Lives(ttl_ms), Answer::Integer(1)),
        None => (After::Same, Answer::Integer(0)),
    }
}
