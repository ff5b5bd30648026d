//! How long a table takes for one get, put, eviction and expiry.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use smache::clock::UnixMs;
use smache::command::{EntryRef, Kind};
use smache::key::PartitionId;
use smache::table::{Budget, Table};
use smache::version::Version;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: UnixMs = UnixMs(1_800_000_000_000);
const KEYS: u64 = 200_000;

fn key(n: u64) -> [u8; 16] {
    let mut key = *b"key:....:bench:k";
    key[4..8].copy_from_slice(&(n as u32).to_be_bytes());
    key
}

fn put(table: &mut Table, n: u64, expires_at: Option<UnixMs>) {
    let entry = EntryRef {
        open: None,
        tag: None,
        kind: Kind::Json,
        data: &[b'v'; 100],
        version: Version::default(),
        expires_at,
    };
    let stored = table.put(PartitionId((n % 4096) as u16), &key(n), entry, NOW);
    stored.expect("there is room");
}

fn filled(limit_bytes: u64, expires_at: Option<UnixMs>) -> Table {
    let mut table = Table::new(Budget::new(limit_bytes));
    for n in 0..KEYS {
        put(&mut table, n, expires_at);
    }
    table
}

fn scattered(n: &mut u64) -> u64 {
    *n = (*n + 7_919_993) % KEYS;
    *n
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("table");
    group.throughput(Throughput::Elements(1));
    let (mut table, mut n) = (filled(1 << 30, None), 0);
    group.bench_function("get", |b| {
        b.iter(|| black_box(table.get(&key(scattered(&mut n)), NOW)).is_some());
    });
    group.bench_function("get, missing", |b| {
        b.iter(|| black_box(table.get(&key(KEYS + scattered(&mut n)), NOW)).is_none());
    });
    group.bench_function("put over", |b| {
        b.iter(|| put(&mut table, scattered(&mut n), None));
    });
    // Room for half of the keys: each new one costs another its place.
    let (mut table, mut n) = (filled(KEYS * 75, None), KEYS);
    group.bench_function("put new and evict", |b| {
        b.iter(|| {
            n += 1;
            put(&mut table, n, None);
        });
    });
    group.throughput(Throughput::Elements(KEYS));
    group.sample_size(10);
    group.bench_function("expire", |b| {
        let soon = Some(NOW.plus(std::time::Duration::from_millis(500)));
        let later = NOW.plus(std::time::Duration::from_secs(1));
        b.iter_batched_ref(
            || filled(1 << 30, soon),
            |table| while table.maintain(later, 10_000) {},
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(table, benches);
criterion_main!(table);
