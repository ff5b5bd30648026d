//! Random operations against the model, mostly over the Redis protocol, as `tests/model.rs` does them
//! without a node.
//!
//! `MODEL_SEED=7` repeats what a failing run has printed the seed of, `MODEL_STEPS=100000` goes on for
//! longer.

use smache::config::Config;

use crate::crossed::Bed;
use crate::doors::{Key, now_ms};
use crate::draw::{Draw, Random, Source, seed};
use crate::vocabulary::{Op, Value};

/// The doors that speak the Redis protocol come first.
const REDIS: u64 = 3;
const SERVICES: [&str; 7] = ["kv", "counters", "flags", "sets", "hashes", "lists", "json"];

async fn run(nodes: usize, steps: usize) {
    let seed = seed("MODEL_SEED");
    let named = std::env::var("MODEL_STEPS").ok();
    let steps = named.map_or(steps, |steps| steps.parse().unwrap());
    let config = Config {
        value_bytes_max: 100_000,
        collection_bytes_max: 100_000,
        body_bytes_max: 1_000_000,
        ..Config::default()
    };
    let mut bed = Bed::start(nodes, config).await;
    let mut random = Random(seed);
    let keys: Vec<(usize, Key)> = (0..14)
        .map(|n| {
            (
                n % 7,
                bed.key(SERVICES[n % 7], &format!("random-{n}"), n % nodes),
            )
        })
        .collect();
    for step in 0..steps {
        let (family, key) = &keys[random.below(keys.len() as u64) as usize];
        let mut draw = Draw {
            source: &mut random,
            long_bytes: 2_000,
            ttl_ms_min: 600_000,
        };
        let op = draw.op(*family as u64);
        let held = bed.model.get(&key.whole(), now_ms()).cloned();
        let is_text = held
            .as_ref()
            .is_some_and(|held| matches!(held.value, Value::Json(_) | Value::Flag(_)));
        let is_long = held
            .as_ref()
            .is_some_and(|held| held.value.stored_bytes() > 24);
        // `GET` shows documents and flags as well, and sums of so many digits are rounded.
        if is_text && op == Op::Read || is_long && matches!(op, Op::IncrementFloat(_)) {
            continue;
        }
        let first = random.below(REDIS) as usize;
        let others = (0..bed.answers.len()).filter(|door| *door != first);
        let place = format!("step {step}, MODEL_SEED={seed}: {op:?} on {held:?}");
        let turn = random.below(nodes as u64) as usize;
        for door in [first].into_iter().chain(others) {
            let now = now_ms();
            if let Some(told) = bed.ask(door, turn, key, &op).await {
                let (_, expected) = bed.model.carry_out(&key.whole(), &op, now);
                assert_eq!(told.answer, expected, "{place}");
                break;
            }
        }
        if random.below(10) == 0 {
            bed.look(turn, key, &place).await;
        }
    }
    for (turn, (_, key)) in keys.iter().enumerate() {
        bed.look(turn, key, &format!("the end, MODEL_SEED={seed}"))
            .await;
    }
    bed.stop().await;
}

#[tokio::test]
async fn one_node_does_what_the_model_does() {
    run(1, 3_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_do_what_the_model_does() {
    run(3, 1_500).await;
}
