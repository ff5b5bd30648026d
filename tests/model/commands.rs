//! Every type's commands against plain maps, sets and vectors, with a clock that the test turns.
//!
//! Many short runs, each from a seed of its own; `MODEL_SEED=7 cargo test --test model` begins with
//! the seven that a failing run has printed.

use smache::command::Limits;

use crate::draw::{Draw, Random, seed};
use crate::model::{After, Held, Model};
use crate::pure::{Pure, value};
use crate::vocabulary::{Op, Text};

const VARIABLE: &str = "MODEL_SEED";

/// One run: so many operations on a few keys.
struct Run {
    pure: Pure,
    model: Model,
    random: Random,
    long_bytes: u64,
}

impl Run {
    fn new(seed: u64, value_bytes_max: usize, long_bytes: u64) -> Run {
        let limits = Limits {
            value_bytes_max,
            collection_bytes_max: value_bytes_max,
            json_depth_max: 128,
            ..Limits::default()
        };
        Run {
            pure: Pure::new(limits),
            model: Model::new(value_bytes_max),
            random: Random(seed),
            long_bytes,
        }
    }

    fn step(&mut self) {
        let mut draw = Draw {
            source: &mut self.random,
            long_bytes: self.long_bytes,
            ttl_ms_min: 1,
        };
        let number = draw.below(7);
        let key = Text::from(format!("key:{number}"));
        let op = draw.op(number);
        if draw.below(6) == 0 {
            self.pure.now_ms += draw.below(700);
        }
        let now_ms = self.pure.now_ms;
        let before = self.pure.get(&key).cloned();
        let held = self.model.get(&key, now_ms).cloned();
        // Beyond so many digits sums are rounded.
        let is_long = before.as_ref().is_some_and(|entry| entry.data.len() > 24);
        if is_long && matches!(op, Op::IncrementFloat(_)) {
            return;
        }
        let Some(answer) = self.pure.carry_out(&key, &op) else {
            // Nothing may have changed.
            assert_eq!(self.pure.get(&key), before.as_ref(), "{op:?}");
            return;
        };
        let (after, expected) = self.model.carry_out(&key, &op, now_ms);
        assert_eq!(answer, expected, "{key:?} {op:?} on {held:?}");
        let entry = self.pure.get(&key).cloned();
        let found = entry.as_ref().map(|entry| Held {
            value: value(entry),
            expires_at: entry.expires_at.map(|at| at.0),
        });
        assert_eq!(
            found.as_ref(),
            self.model.get(&key, now_ms),
            "{key:?} {op:?} on {held:?}"
        );
        // The version is a new one if, and only if, there is a new value.
        let etag = |entry: &Option<smache::command::Entry>| entry.as_ref().map(|e| e.etag());
        match after {
            After::Same | After::Lives(_) => assert_eq!(etag(&entry), etag(&before), "{op:?}"),
            After::Changed(_) | After::Written(..) => {
                assert!(etag(&entry) > etag(&before), "{op:?} on {held:?}");
            }
            After::Gone => assert_eq!(entry, None, "{op:?}"),
        }
    }
}

fn run(seeds: std::ops::Range<u64>, steps: usize, value_bytes_max: usize, long_bytes: u64) {
    for seed in seeds {
        let mut run = Run::new(seed, value_bytes_max, long_bytes);
        let mut done = 0;
        let steps = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while done < steps {
                run.step();
                done += 1;
            }
        }));
        if let Err(panic) = steps {
            println!("{VARIABLE}={seed} fails after {done} steps");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn commands_do_what_the_model_does() {
    let first = seed(VARIABLE);
    run(first..first + 60, 400, 16 << 20, 300);
}

#[test]
fn commands_keep_to_the_limit_of_a_value() {
    let first = seed(VARIABLE);
    run(first..first + 40, 400, 1_500, 900);
}
