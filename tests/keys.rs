//! The keys of the real data: each is itself, and they spread over the partitions.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;
use smache::command::json;
use smache::key::{Key, PARTITION_COUNT, PartitionId, integer, partition};

/// The first column of the airports.
fn airports() -> Vec<String> {
    include_str!("data/airports.csv")
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').next())
        .map(|iata| iata.trim_matches('"').to_owned())
        .collect()
}

/// The earthquakes as they are written in the file, which is compact.
fn earthquakes() -> Vec<String> {
    let text = include_str!("data/earthquakes.json");
    let collection: HashMap<&str, &RawValue> = serde_json::from_str(text).unwrap();
    let features: Vec<&RawValue> = serde_json::from_str(collection["features"].get()).unwrap();
    let written = |feature: &&RawValue| feature.get().to_owned();
    features.iter().map(written).collect()
}

fn earthquake_ids() -> Vec<String> {
    let id = |feature: &String| {
        let feature: Value = serde_json::from_str(feature).unwrap();
        feature["id"].as_str().unwrap().to_owned()
    };
    earthquakes().iter().map(id).collect()
}

/// How far counts are from even, in the measure of Pearson's chi-square test.
fn chi_square(counts: &[u32]) -> f64 {
    let even = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    let squares = counts
        .iter()
        .map(|count| (f64::from(*count) - even).powi(2));
    squares.sum::<f64>() / even
}

/// Checks that keys are spread as evenly as dice would: over all partitions, and over 16 ranges of
/// them. The bounds are five standard deviations from what chi-square is on average.
fn assert_even(keys: &[String]) {
    let mut counts = vec![0; usize::from(PARTITION_COUNT)];
    for key in keys {
        counts[partition(key.as_bytes()).index()] += 1;
    }
    let ranges: Vec<u32> = counts.chunks(256).map(|range| range.iter().sum()).collect();
    for counts in [&counts, &ranges] {
        let freedom = counts.len() as f64 - 1.0;
        let deviations = (chi_square(counts) - freedom) / (2.0 * freedom).sqrt();
        assert!(deviations.abs() < 5.0, "{deviations} over {}", counts.len());
    }
}

#[test]
fn every_key_of_the_real_data_is_itself() {
    for (keys, count) in [(airports(), 3_376), (earthquake_ids(), 1_707)] {
        assert_eq!(keys.len(), count);
        let distinct: HashSet<Key> = keys
            .iter()
            .map(|key| Key::new(key.clone(), 4096).unwrap())
            .collect();
        assert_eq!(distinct.len(), count);
        for key in &keys {
            assert!(partition(key.as_bytes()).0 < PARTITION_COUNT);
        }
    }
}

#[test]
fn airports_that_look_like_numbers_are_text() {
    let keys = airports();
    assert_eq!(integer(b"00M").0, 0x0030_304d);
    // Up to seven bytes encode exactly, so that distinct airports have distinct integers.
    let integers: HashSet<_> = keys.iter().map(|key| integer(key.as_bytes())).collect();
    assert_eq!(integers.len(), keys.len());
}

#[test]
fn real_keys_spread_evenly() {
    assert_even(&airports());
    assert_even(&earthquake_ids());
    assert_even(&[airports(), earthquake_ids()].concat());
}

#[test]
fn keys_that_count_spread_evenly() {
    let count = |format: fn(u32) -> String| (0..100_000).map(format).collect::<Vec<_>>();
    assert_even(&count(|n| n.to_string()));
    assert_even(&count(|n| format!("vehicle:{n}")));
    assert_even(&count(|n| format!("{n:08x}-e29b-41d4-a716-446655440000")));
    let all: HashSet<PartitionId> = PartitionId::all().collect();
    assert_eq!(all.len(), usize::from(PARTITION_COUNT));
}

#[test]
fn every_earthquake_is_kept_as_it_is() {
    for feature in earthquakes().into_iter().map(Bytes::from) {
        assert_eq!(json::compact(&feature, 128).unwrap(), feature);
        let value: Value = serde_json::from_slice(&feature).unwrap();
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        let compact = json::compact(&pretty.into(), 128).unwrap();
        assert_eq!(compact, serde_json::to_vec(&value).unwrap());
    }
}
