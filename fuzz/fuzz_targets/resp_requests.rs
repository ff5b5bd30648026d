//! What a client may send to the Redis protocol's door: requests, lines, and anything else.
//!
//! However the bytes are cut into reads, they mean the same; and what is read can be written as an
//! array and read again.

#![no_main]

use bytes::{Buf, BytesMut};
use libfuzzer_sys::fuzz_target;
use smache::door::resp::request::{Error, Limits, Parser, Step};

/// Small enough that inputs come to all of them.
const LIMITS: Limits = Limits {
    arguments_max: 40,
    bulk_bytes_max: 300,
    request_bytes_max: 1_000,
    stranger: false,
};

type Request = Vec<Vec<u8>>;

/// The requests in a stream that comes in pieces, and how it ends.
fn read(stream: &[u8], piece: usize, limits: &Limits) -> (Vec<Request>, Result<usize, Error>) {
    let mut requests = Vec::new();
    let mut parser = Parser::default();
    let mut buffer = BytesMut::new();
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match parser.step(&mut buffer, limits) {
                Ok(Step::Request(length)) => {
                    let arguments = parser.arguments(&mut buffer, length);
                    assert!(!arguments.is_empty());
                    let request: Request = arguments.from(0).map(<[u8]>::to_vec).collect();
                    let taken = arguments.take();
                    for (at, argument) in request.iter().enumerate() {
                        assert_eq!(taken.bytes(at), argument[..]);
                    }
                    requests.push(request);
                }
                Ok(Step::Nothing(length)) => buffer.advance(length),
                Ok(Step::Incomplete(missing)) => {
                    assert!(missing > 0);
                    break;
                }
                Err(error) => return (requests, Err(error)),
            }
        }
    }
    (requests, Ok(buffer.len()))
}

fn write(requests: &[Request]) -> Vec<u8> {
    let mut out = Vec::new();
    for request in requests {
        out.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
        for argument in request {
            out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            out.extend_from_slice(argument);
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, stream)) = input.split_first() else {
        return;
    };
    let limits = Limits {
        stranger: choice & 1 == 1,
        ..LIMITS
    };
    let whole = read(stream, usize::MAX, &limits);
    for piece in [1, 2, usize::from(*choice) + 1] {
        assert_eq!(read(stream, piece, &limits), whole);
    }
    // Lines may have what arrays may not: more and longer words.
    let wide = Limits {
        arguments_max: 1 << 20,
        bulk_bytes_max: 1 << 20,
        request_bytes_max: 1 << 30,
        stranger: false,
    };
    let (requests, _) = whole;
    assert_eq!(
        read(&write(&requests), usize::MAX, &wide),
        (requests, Ok(0))
    );
});
