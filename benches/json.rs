//! Validation and compaction beside serde_json, which validates (`RawValue`) or reads and writes
//! anew (`Value`); envelopes and merge patches.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot start should stop"
)]

use std::collections::HashMap;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;
use serde_json::value::RawValue;
use smache::command::json;

const SMALL: &str = r#"{"vehicle":"bus 4711","line":"M41","position":[13.4132,52.5219],"speed":11.5,"delayed":true,"n":null}"#;

/// The features of the earthquakes as they were published.
fn features() -> Vec<String> {
    let text = include_str!("../tests/data/earthquakes.json");
    let collection: HashMap<&str, &RawValue> = serde_json::from_str(text).unwrap();
    let features: Vec<&RawValue> = serde_json::from_str(collection["features"].get()).unwrap();
    features
        .iter()
        .map(|feature| feature.get().to_owned())
        .collect()
}

fn documents() -> Vec<(&'static str, String)> {
    let features = features();
    let typical = features
        .iter()
        .find(|feature| feature.len() >= 780)
        .unwrap();
    let megabyte = format!("[{}]", features[..features.len().min(1_330)].join(","));
    let pretty = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        serde_json::to_string_pretty(&value).unwrap()
    };
    vec![
        ("100 B", SMALL.to_owned()),
        ("100 B pretty", pretty(SMALL)),
        ("800 B", typical.clone()),
        ("800 B pretty", pretty(typical)),
        ("1 MB pretty", pretty(&megabyte)),
        ("1 MB", megabyte),
    ]
}

fn compact(criterion: &mut Criterion) {
    for (name, text) in documents() {
        let mut group = criterion.benchmark_group(format!("json {name}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        let text = Bytes::from(text);
        group.bench_function("compact", |bencher| {
            bencher.iter(|| json::compact(black_box(&text), 128).unwrap());
        });
        group.bench_function("serde_json RawValue", |bencher| {
            bencher.iter(|| {
                let raw: &RawValue = serde_json::from_slice(black_box(&text)).unwrap();
                raw.get().len()
            });
        });
        // What it takes to keep the value, as compact does.
        group.bench_function("serde_json RawValue, shared", |bencher| {
            bencher.iter(|| {
                let raw: &RawValue = serde_json::from_slice(black_box(&text)).unwrap();
                text.slice_ref(raw.get().as_bytes())
            });
        });
        group.bench_function("serde_json Value and back", |bencher| {
            bencher.iter(|| {
                let value: Value = serde_json::from_slice(black_box(&text)).unwrap();
                serde_json::to_vec(&value).unwrap()
            });
        });
        group.finish();
    }
}

fn envelope(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json envelope");
    for (name, data) in documents() {
        let text = Bytes::from(format!(
            r#"{{"key":"vehicles:4711","data":{data},"ttl":60}}"#
        ));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let object = json::Object::parse(black_box(&text), 128).unwrap();
                let key = json::string(object.get("key").unwrap()).unwrap().len();
                (
                    key,
                    object.share("data"),
                    object.get("ttl").map(<[u8]>::len),
                )
            });
        });
    }
    group.finish();
}

fn merge_patch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json merge patch");
    let patch = br#"{"properties":{"mag":2.5,"alert":null,"seen":true}}"#;
    for (name, text) in documents()
        .into_iter()
        .filter(|(name, _)| name.starts_with("800"))
    {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| json::merge_patch(black_box(text.as_bytes()), patch, 128).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, compact, envelope, merge_patch);
criterion_main!(benches);
