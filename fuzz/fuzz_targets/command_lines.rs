//! What may come in as a command that somebody typed: a line of any bytes, or a JSON body of any.
//!
//! Whatever a line means, it means the same as an inline command of the Redis protocol, as the text of
//! `POST /command`, and, split into words, as an array there; and words that are quoted come out of
//! their quotes as they went in.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use smache::door::http::words_of;
use smache::door::resp::request::{Error, Limits, Parser, Step};
use smache::door::resp::words;

const DEPTH_MAX: usize = 16;
const LIMITS: Limits = Limits {
    arguments_max: 1 << 20,
    bulk_bytes_max: 1 << 20,
    request_bytes_max: 1 << 30,
    stranger: false,
};

/// Words as an array has them, or a string.
fn item(word: &[u8]) -> Value {
    match std::str::from_utf8(word) {
        Ok(text) => json!(text),
        Err(_) => json!({"base64": STANDARD.encode(word)}),
    }
}

fn posted(command: Value) -> Option<Vec<Bytes>> {
    let body = json!({"command": command}).to_string();
    words_of(&body.into(), DEPTH_MAX)
}

/// Words in double quotes, with everything escaped that can be.
fn quoted(words: &[Bytes]) -> Vec<u8> {
    let mut line = Vec::new();
    for word in words {
        line.push(b'"');
        for byte in word {
            line.extend_from_slice(format!("\\x{byte:02X}").as_bytes());
        }
        line.extend_from_slice(b"\" ");
    }
    line
}

/// A line by itself is a request of the protocol, if it begins as none and has an end.
fn inline(line: &[u8], expected: Option<&Vec<Bytes>>) {
    // So long ones are refused before they are split, and what is an array or HTTP is none.
    if line.len() > 60_000 || line.contains(&b'\n') || line.first() == Some(&b'*') {
        return;
    }
    let mut buffer = BytesMut::from(&[line, b"\r\n"].concat()[..]);
    let mut parser = Parser::default();
    match parser.step(&mut buffer, &LIMITS) {
        Ok(Step::Request(length)) => {
            let found = parser.arguments(&mut buffer, length);
            let expected = expected.expect("the quotes match");
            assert!(found.from(0).eq(expected.iter().map(|word| &word[..])));
        }
        Ok(Step::Nothing(_)) => assert!(expected.is_none_or(Vec::is_empty)),
        Ok(Step::Incomplete(_)) => panic!("the line has ended"),
        Err(Error::Http) => {}
        Err(_) => assert_eq!(expected, None),
    }
}

fuzz_target!(|input: &[u8]| {
    // As a whole body of a request, and as the command in one.
    let body = Bytes::copy_from_slice(input);
    if let Some(words) = words_of(&body, DEPTH_MAX) {
        assert!(!words[0].is_empty());
    }
    let found = words(input);
    inline(input, found.as_ref());
    let is_command = |words: &Vec<Bytes>| words.first().is_some_and(|name| !name.is_empty());
    let command = found.clone().filter(is_command);
    // What is no text can be an item of an array, but not a line.
    if let Ok(text) = std::str::from_utf8(input) {
        assert_eq!(posted(json!(text)), command);
    }
    let Some(found) = found else {
        return;
    };
    let array: Value = found.iter().map(|word| item(word)).collect();
    assert_eq!(posted(array), command);
    assert_eq!(words(&quoted(&found)), Some(found));
});
