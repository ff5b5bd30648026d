//! Commands of every type, one after another, on the entries of a few keys: what they do is what a model
//! in plain maps and vectors does, and after each of them the entry is what it must be: its stored form
//! can be unpacked and is what the open form shows, its length is what is counted, its JSON is as long
//! as was said.
//!
//! An input is what chance is drawn from.

#![no_main]

#[path = "../../tests/support/draw.rs"]
mod draw;
#[path = "../../tests/support/model.rs"]
mod model;
#[path = "../../tests/support/pure.rs"]
mod pure;
#[path = "../../tests/support/vocabulary.rs"]
mod vocabulary;

use libfuzzer_sys::fuzz_target;
use smache::command::Limits;

use draw::{Draw, Source};
use model::{Held, Model};
use pure::{Pure, value};
use vocabulary::{Op, Text};

/// Small enough that values come to it, and large enough that collections are opened before.
const LIMITS: Limits = Limits {
    value_bytes_max: 2_000,
    collection_bytes_max: 2_000,
    json_depth_max: 128,
    work_max: usize::MAX,
};

/// Numbers from the bytes of the input; 0 when they have been used up.
struct Input<'a>(&'a [u8]);

impl Source for Input<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        let bytes = if bound > 256 { 2 } else { 1 };
        let mut number = 0;
        for _ in 0..bytes {
            let Some((first, rest)) = self.0.split_first() else {
                return 0;
            };
            number = number << 8 | u64::from(*first);
            self.0 = rest;
        }
        number % bound
    }
}

fuzz_target!(|input: &[u8]| {
    let mut input = Input(input);
    let mut pure = Pure::new(LIMITS);
    let mut model = Model::new(LIMITS.value_bytes_max);
    while !input.0.is_empty() {
        let mut draw = Draw {
            source: &mut input,
            long_bytes: 900,
            ttl_ms_min: 1,
        };
        let family = draw.below(7);
        let key = Text::from(format!("{family}"));
        let op = draw.op(family);
        pure.now_ms += draw.below(256);
        let now_ms = pure.now_ms;
        let held = model.get(&key, now_ms).cloned();
        // Sums of so many digits are rounded.
        let is_long = held.is_some_and(|held| held.value.stored_bytes() > 24);
        if is_long && matches!(op, Op::IncrementFloat(_)) {
            continue;
        }
        let Some(answer) = pure.carry_out(&key, &op) else {
            continue;
        };
        let (_, expected) = model.carry_out(&key, &op, now_ms);
        assert_eq!(answer, expected, "{op:?}");
        let found = pure.get(&key).map(|entry| Held {
            value: value(entry),
            expires_at: entry.expires_at.map(|at| at.0),
        });
        assert_eq!(found.as_ref(), model.get(&key, now_ms), "{op:?}");
    }
});
