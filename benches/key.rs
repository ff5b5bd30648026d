//! From a key to its partition: what every request pays before anything else.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use smache::key::{integer, partition};

fn key(criterion: &mut Criterion) {
    let keys = [
        ("3 B", "SFO"),
        ("7 B decimal", "1234567"),
        ("10 B", "ci37868143"),
        ("16 B", "vehicles:bus4711"),
        ("20 B decimal", "12345678901234567890"),
        ("36 B", "550e8400-e29b-41d4-a716-446655440000"),
        ("36 B tagged", "cart:{user:4711}:items:2026-11-20:01"),
    ];
    let mut group = criterion.benchmark_group("key");
    for (name, key) in keys {
        group.bench_function(format!("partition {name}"), |bencher| {
            bencher.iter(|| partition(black_box(key.as_bytes())));
        });
        group.bench_function(format!("integer {name}"), |bencher| {
            bencher.iter(|| integer(black_box(key.as_bytes())));
        });
    }
    group.finish();
}

criterion_group!(benches, key);
criterion_main!(benches);
