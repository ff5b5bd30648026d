//! Reading requests of the Redis protocol, one by one and sixteen at a time.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot start should stop"
)]

use std::hint::black_box;

use bytes::{Buf, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smache::door::resp::request::{Limits, Parser, Step};

const LIMITS: Limits = Limits {
    arguments_max: 1 << 20,
    bulk_bytes_max: 16 << 20,
    request_bytes_max: 64 << 20,
    stranger: false,
};

fn request(arguments: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n{argument}\r\n", argument.len()).as_bytes());
    }
    out
}

/// Reads all requests that the buffer begins with; how many there were.
fn read(parser: &mut Parser, buffer: &mut BytesMut) -> usize {
    let mut count = 0;
    while let Step::Request(length) = parser.step(buffer, &LIMITS).unwrap() {
        let arguments = parser.arguments(buffer, length);
        black_box(&arguments[1]);
        buffer.advance(length);
        count += 1;
    }
    count
}

fn parse(criterion: &mut Criterion) {
    let value = "x".repeat(100);
    let streams = [
        ("get", request(&["GET", "key:000000001234"])),
        (
            "set of 100 bytes",
            request(&["SET", "key:000000001234", &value]),
        ),
        ("line", b"GET key:000000001234\r\n".to_vec()),
    ];
    let mut group = criterion.benchmark_group("parse");
    for (name, one) in streams {
        for count in [1, 16] {
            let stream = one.repeat(count);
            group.throughput(Throughput::Elements(count as u64));
            let (mut parser, mut buffer) = (Parser::default(), BytesMut::with_capacity(64 << 10));
            group.bench_function(format!("{name}, {count}"), |bencher| {
                bencher.iter(|| {
                    buffer.extend_from_slice(&stream);
                    assert_eq!(read(&mut parser, &mut buffer), count);
                    // As a connection does when it has room to make.
                    buffer.reserve(stream.len());
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
