//! What a peer may send: frames of messages, requests and responses.
//!
//! Whatever the bytes, decoding ends with a value or an error. What decodes can be written and read
//! again, and is the same then.
//!
//! The first byte chooses the decoder, so that the inner ones are reached without a frame around.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use smache::cluster::codec::{
    FRAME_HEAD_BYTES, MessageKind, read_message, read_request, read_response, write_request,
    write_response,
};

fn frame(mut frame: Bytes) {
    if frame.len() < FRAME_HEAD_BYTES {
        return;
    }
    let _acked = frame.split_to(FRAME_HEAD_BYTES);
    while let Ok(Some((kind, body))) = read_message(&mut frame) {
        match kind {
            MessageKind::Request => request(body),
            MessageKind::Response => response(body),
            _ => {}
        }
    }
}

fn request(body: Bytes) {
    if let Ok((id, deadline_ms, request)) = read_request(body) {
        let mut again = Vec::new();
        write_request(&mut again, id, deadline_ms, &request);
        let read = read_request(Bytes::from(again));
        assert_eq!(read, Ok((id, deadline_ms, request)));
    }
}

fn response(body: Bytes) {
    if let Ok((id, response)) = read_response(body) {
        let mut again = Vec::new();
        write_response(&mut again, id, &response);
        let read = read_response(Bytes::from(again));
        assert_eq!(read, Ok((id, response)));
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let bytes = Bytes::copy_from_slice(bytes);
    match choice % 3 {
        0 => frame(bytes),
        1 => request(bytes),
        _ => response(bytes),
    }
});
