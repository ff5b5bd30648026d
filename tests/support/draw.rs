//! Operations drawn at random: mostly such as fit the type that a key usually has, with words so few
//! that they meet again.
//!
//! What is drawn follows from a [`Source`] alone, so that a seed, or a fuzzer's input, repeats it.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::vocabulary::{End, Op, Text, Value};

/// Where chance comes from.
pub(crate) trait Source {
    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64;
}

/// SplitMix64: a sequence that follows from its seed.
pub(crate) struct Random(pub(crate) u64);

impl Source for Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// The seed that the environment names, else another one each time; it is printed, so that a failure
/// can be repeated.
pub(crate) fn seed(variable: &str) -> u64 {
    let named = std::env::var(variable).ok();
    let seed = match named.map(|seed| seed.parse()) {
        Some(Ok(seed)) => seed,
        Some(Err(_)) => panic!("{variable} is not a number"),
        None => smache::clock::Clock::system().now().0,
    };
    println!("{variable}={seed} repeats this");
    seed
}

/// What words are drawn from.
pub(crate) struct Draw<'a, S> {
    pub(crate) source: &'a mut S,
    /// The longest word.
    pub(crate) long_bytes: u64,
    /// The shortest life of what expires.
    pub(crate) ttl_ms_min: u64,
}

impl<S: Source> Draw<'_, S> {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.source.below(bound)
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn text(&mut self) -> Text {
        const WORDS: [&[u8]; 12] = [
            b"a",
            b"b",
            b"c",
            b"d",
            b"",
            b"7",
            b"-3",
            b"0.5",
            b"007",
            b"9223372036854775807",
            b"\xff\x00\r\n",
            "\u{e9}\"\\ ".as_bytes(),
        ];
        match self.below(40) {
            0 => {
                let length = self.below(self.long_bytes.max(1)) as usize;
                Text(vec![b'x'; length])
            }
            1..6 => Text::from(format!("w{}", self.below(60))),
            _ => Text::from(WORDS[self.below(WORDS.len() as u64) as usize]),
        }
    }

    fn texts(&mut self) -> Vec<Text> {
        let count = match self.below(12) {
            0 => 1 + self.below(40),
            _ => 1 + self.below(3),
        };
        (0..count).map(|_| self.text()).collect()
    }

    fn pairs(&mut self) -> Vec<(Text, Text)> {
        let fields = self.texts();
        fields
            .into_iter()
            .map(|field| (field, self.text()))
            .collect()
    }

    fn place(&mut self) -> i64 {
        match self.below(12) {
            0 => 1_000,
            1 => -1_000,
            _ => self.below(11) as i64 - 5,
        }
    }

    fn number(&mut self) -> i64 {
        match self.below(12) {
            0 => i64::MAX,
            1 => i64::MIN,
            _ => self.below(21) as i64 - 10,
        }
    }

    fn end(&mut self) -> End {
        match self.below(2) {
            0 => End::Left,
            _ => End::Right,
        }
    }

    fn name(&mut self) -> &'static str {
        ["a", "b", "n", "list"][self.below(4) as usize]
    }

    fn json(&mut self, depth: u64) -> Json {
        match self.below(if depth == 0 { 5 } else { 8 }) {
            0 => json!(self.number()),
            1 => json!("text \u{e9}\"\n"),
            2 => json!(true),
            3 => Json::Null,
            4 => json!(self.below(9)),
            5 => {
                let count = self.below(3);
                (0..count).map(|_| self.json(depth - 1)).collect()
            }
            _ => self.object(depth - 1),
        }
    }

    fn object(&mut self, depth: u64) -> Json {
        let count = self.below(4);
        let member = |_| (self.name().to_owned(), self.json(depth));
        Json::Object((0..count).map(member).collect())
    }

    fn lifetime(&mut self) -> u64 {
        self.ttl_ms_min + self.below(2_000)
    }

    /// How long it lives, if not for ever.
    pub(crate) fn ttl_ms(&mut self) -> Option<u64> {
        match self.below(4) {
            0 => Some(self.lifetime()),
            _ => None,
        }
    }

    /// A whole value of the so manieth type of seven.
    pub(crate) fn value(&mut self, family: u64) -> Value {
        match family {
            0 => Value::Bytes(self.text()),
            1 => Value::Counter(self.number()),
            2 => Value::Flag(self.one_in(2)),
            3 => {
                let members = self.texts();
                Value::Set(BTreeSet::from_iter(members))
            }
            4 => {
                let pairs = self.pairs();
                Value::Hash(BTreeMap::from_iter(pairs))
            }
            5 => Value::List(self.texts()),
            _ => Value::Json(self.json(3)),
        }
    }

    /// An operation for a key that usually holds a value of this type.
    pub(crate) fn op(&mut self, family: u64) -> Op {
        let family = match self.one_in(12) {
            true => self.below(7),
            false => family,
        };
        match self.below(24) {
            0 => {
                let value = self.value(family);
                Op::Put(value, self.ttl_ms())
            }
            1 => Op::Create(self.value(family)),
            2 if self.one_in(2) => Op::Delete,
            3 => Op::Expire(self.lifetime()),
            4 => Op::Persist,
            _ => self.typed(family),
        }
    }

    fn typed(&mut self, family: u64) -> Op {
        match family {
            0 | 1 => self.string(),
            2 => match self.below(3) {
                0 => Op::Put(self.value(2), None),
                _ => Op::IsSet,
            },
            3 => match self.below(7) {
                0 => Op::Members,
                1 => Op::Contains(self.texts()),
                2 => Op::Size,
                3 | 4 => Op::RemoveMembers(self.texts()),
                _ => Op::AddMembers(self.texts()),
            },
            4 => self.hash(),
            5 => self.list(),
            _ => self.document(),
        }
    }

    fn string(&mut self) -> Op {
        match self.below(11) {
            0 => Op::Read,
            1 => Op::Length,
            2 => Op::Range(self.place(), self.place()),
            3 => Op::Append(self.text()),
            4 => Op::SetRange(self.below(6), self.text()),
            5 => Op::Exchange(self.text()),
            6 => Op::Take,
            7 => Op::Count,
            8 => Op::IncrementFloat(["0.5", "-1.25", "3"][self.below(3) as usize]),
            _ => Op::Increment(self.number()),
        }
    }

    fn hash(&mut self) -> Op {
        match self.below(10) {
            0 => Op::Fields,
            1 => Op::Field(self.text()),
            2 => Op::HasField(self.text()),
            3 => Op::FieldCount,
            4 => Op::SetNewField(self.text(), self.text()),
            5 | 6 => Op::RemoveFields(self.texts()),
            7 => Op::IncrementField(self.text(), self.number()),
            _ => Op::SetFields(self.pairs()),
        }
    }

    fn list(&mut self) -> Op {
        match self.below(14) {
            0 => Op::Elements(self.place(), self.place()),
            1 => Op::Element(self.place()),
            2 => Op::ListLength,
            3 => Op::PushMore(self.end(), self.texts()),
            4 | 5 => Op::Pop(self.end(), 1 + self.below(4)),
            6 => Op::SetElement(self.place(), self.text()),
            7 => Op::Insert(self.text(), self.text()),
            8 => Op::RemoveElements(self.below(7) as i64 - 3, self.text()),
            9 => Op::Trim(self.place(), self.place()),
            10 => Op::Rotate(self.end(), self.end()),
            _ => Op::Push(self.end(), self.texts()),
        }
    }

    fn document(&mut self) -> Op {
        match self.below(9) {
            0 => Op::Document,
            7 => Op::SetDocument(self.json(3)),
            1 => Op::Member(self.name()),
            2 => Op::Merge(self.object(2)),
            3 => Op::SetMember(self.name(), self.json(2)),
            4 => Op::RemoveMember(self.name()),
            5 => Op::IncrementMember(self.name(), self.number()),
            6 => Op::AppendMember("list", self.json(1)),
            _ => Op::SetMember("list", json!([])),
        }
    }
}
