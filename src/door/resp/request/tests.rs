use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    arguments_max: 1 << 20,
    bulk_bytes_max: 1 << 20,
    request_bytes_max: 4 << 20,
    stranger: false,
};

/// What some bytes come to: requests, then how it ends.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    requests: Vec<Vec<Vec<u8>>>,
    error: Option<Error>,
    /// What is left over.
    rest: usize,
}

/// Reads `pieces` one after the other.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> Seen {
    let mut seen = Seen::default();
    let mut parser = Parser::default();
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match parser.step(&mut buffer, limits) {
                Ok(Step::Request(length)) => {
                    let before = buffer.len();
                    let arguments = parser.arguments(&mut buffer, length);
                    let all = arguments.from(0).map(<[u8]>::to_vec).collect();
                    seen.requests.push(all);
                    consume(&mut buffer, length, before);
                }
                Ok(Step::Nothing(length)) => buffer.advance(length),
                Ok(Step::Incomplete(missing)) => {
                    assert!(missing > 0);
                    break;
                }
                Err(error) => {
                    seen.error = Some(error);
                    return seen;
                }
            }
        }
    }
    seen.rest = buffer.len();
    seen
}

fn whole(bytes: &[u8]) -> Seen {
    read([bytes], &LIMITS)
}

fn one(bytes: &[u8]) -> Vec<String> {
    let seen = whole(bytes);
    assert_eq!((&seen.error, seen.rest), (&None, 0), "{seen:?}");
    let [request] = &seen.requests[..] else {
        panic!("{seen:?}")
    };
    let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
    request.iter().map(text).collect()
}

fn error(bytes: &[u8]) -> String {
    whole(bytes).error.unwrap().to_string()
}

#[test]
fn arrays_and_lines() {
    assert_eq!(one(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), ["GET", "k"]);
    assert_eq!(one(b"*1\r\n$0\r\n\r\n"), [""]);
    assert_eq!(one(b"*2\r\n$4\r\na\r\nb\r\n$1\r\nc\r\n"), ["a\r\nb", "c"]);
    assert_eq!(one(b"set 'a b' 1\r\n"), ["set", "a b", "1"]);
    assert_eq!(one(b"ping\n"), ["ping"]);
    assert_eq!(one(b"\r\n\r\n*0\r\n*-5\r\nping\r\n"), ["ping"]);
    // The end of an argument is not looked at.
    assert_eq!(one(b"*1\r\n$4\r\nPINGxx"), ["PING"]);
}

#[test]
fn what_is_no_request() {
    for (bytes, says) in [
        (&b"*abc\r\n"[..], "invalid multibulk length"),
        (b"*3000000000\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
        (b"*1\r\n\r\n", "expected '$', got ' '"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$1048577\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"set \"a\r\n", "unbalanced quotes in request"),
        (
            b"GET / HTTP/1.1\r\n",
            "this port speaks the Redis protocol, not HTTP",
        ),
        (
            b"host: example\r\n",
            "this port speaks the Redis protocol, not HTTP",
        ),
    ] {
        assert_eq!(error(bytes), says);
    }
    let long = |first: &[u8]| {
        let mut bytes = first.to_vec();
        bytes.resize(LINE_BYTES_MAX + 10, b'1');
        bytes
    };
    assert_eq!(error(&long(b"a")), "too big inline request");
    assert_eq!(error(&long(b"*")), "too big mbulk count string");
    assert_eq!(error(&long(b"*1\r\n$")), "too big bulk count string");
}

#[test]
fn what_strangers_may_send() {
    let limits = Limits {
        stranger: true,
        ..LIMITS
    };
    let error = |bytes: &[u8]| read([bytes], &limits).error;
    assert_eq!(error(b"*11\r\n"), Some(Error::StrangerMultibulkLength));
    assert_eq!(error(b"*10\r\n"), None);
    assert_eq!(error(b"*1\r\n$16385\r\n"), Some(Error::StrangerBulkLength));
    assert_eq!(error(b"*1\r\n$16384\r\n"), None);
}

#[test]
fn many_arguments_are_too_long_together() {
    let limits = Limits {
        request_bytes_max: 40,
        ..LIMITS
    };
    let error = read(
        [&b"*3\r\n$10\r\n0123456789\r\n$10\r\n0123456789\r\n$10\r\n"[..]],
        &limits,
    )
    .error;
    assert_eq!(error, Some(Error::RequestLength(40)));
}

#[test]
fn nothing_is_reserved_for_claims() {
    let mut parser = Parser::default();
    let mut buffer = BytesMut::from(&b"*1048576\r\n$1048576\r\n"[..]);
    assert_eq!(
        parser.step(&mut buffer, &LIMITS),
        Ok(Step::Incomplete(1_048_578))
    );
    assert_eq!(parser.places.capacity(), 0);
    assert!(parser.is_within());
}

#[test]
fn arguments_can_be_kept() {
    let mut parser = Parser::default();
    let mut buffer = BytesMut::from(&b"*2\r\n$1\r\na\r\n$2\r\nbc\r\nping\r\n"[..]);
    let before = buffer.len();
    let Ok(Step::Request(length)) = parser.step(&mut buffer, &LIMITS) else {
        panic!()
    };
    let arguments = parser.arguments(&mut buffer, length);
    assert_eq!((arguments.len(), &arguments[1]), (2, &b"bc"[..]));
    assert_eq!(arguments.get(2), None);
    let taken = arguments.take();
    assert_eq!(
        (taken.len(), &taken[0], taken.bytes(1)),
        (2, &b"a"[..], Bytes::from("bc"))
    );
    consume(&mut buffer, length, before);
    assert_eq!(&buffer[..], b"ping\r\n");
}

/// Requests that are right, and some that are nearly.
fn streams() -> Vec<Vec<u8>> {
    [
        &b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\nping 'a b'\r\n\r\n*0\r\nset \"\\x41\\\"\" b\n"[..],
        b"*3\r\n$3\r\nSET\r\n$6\r\n\r\n$1\r\n\r\n$2\r\n*1\r\n",
        b"PING\r\n*1\r\nPING\r\n",
        b"PING\r\n*2\r\n$1\r\na\r\n$-1\r\n",
        b"set a 'b\r\nPING\r\n",
        b"*2\r\n$4\r\nECHO\r\n$5\r\nhel",
        b"PING\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"*1x\r\n",
    ]
    .iter()
    .map(|bytes| bytes.to_vec())
    .collect()
}

#[test]
fn however_it_is_cut_it_means_the_same() {
    for stream in streams() {
        let expected = whole(&stream);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(bytes, &LIMITS), expected);
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(read(pieces, &LIMITS), expected, "{first} {second}");
            }
        }
    }
}

fn encode(requests: &[Vec<Vec<u8>>]) -> Vec<u8> {
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

proptest! {
    #[test]
    fn what_is_written_is_read(
        requests in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..5), 0..6),
        cuts in proptest::collection::vec(0_usize..400, 0..6),
    ) {
        let stream = encode(&requests);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
        let expected = Seen { requests, ..Seen::default() };
        prop_assert_eq!(read(pieces, &LIMITS), expected);
    }

    #[test]
    fn any_bytes_mean_the_same_in_pieces(
        stream in proptest::collection::vec(
            prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'"'), any::<u8>()],
            0..60),
    ) {
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(read(bytes, &LIMITS), whole(&stream));
    }
}
