//! What a peer may send over a session: frames of messages of every kind.
//!
//! Whatever the bytes, decoding ends with a value or an error. What decodes can be written and read
//! again, and is the same then.
//!
//! The first byte chooses the decoder, so that the inner ones are reached without a frame around.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use smache::cluster::codec::{
    FRAME_HEAD_BYTES, MessageKind, read_answers, read_effect, read_message, read_request,
    read_response, write_answers, write_effect, write_message, write_request, write_response,
};
use smache::cluster::machine::Control;
use smache::live::{Hub, Limits, Outlet};
use smache::version::NodeId;

fn frame(mut frame: Bytes) {
    if frame.len() < FRAME_HEAD_BYTES {
        return;
    }
    let _acked = frame.split_to(FRAME_HEAD_BYTES);
    while let Ok(Some((kind, body))) = read_message(&mut frame) {
        let mut again = Vec::new();
        write_message(&mut again, kind, |out| out.extend_from_slice(&body));
        let read = read_message(&mut Bytes::from(again));
        assert_eq!(read, Ok(Some((kind, body.clone()))));
        message(kind, body);
    }
}

fn message(kind: MessageKind, body: Bytes) {
    match kind {
        MessageKind::Control => control(&body),
        MessageKind::Request => request(body),
        MessageKind::Response => response(body),
        MessageKind::Effect => effect(body),
        MessageKind::Answers => answers(body),
        MessageKind::Live => live(body),
        // Its head is two numbers, and all else is a piece of another message.
        MessageKind::Fragment => {}
    }
}

/// A way back to nobody.
struct Nobody;

impl Outlet for Nobody {
    fn word(&self, _: &[u8], _: bool) -> bool {
        false
    }
}

/// What another node tells of what happens, and of what is listened to there.
fn live(body: Bytes) {
    let hub = Hub::new(Limits::default());
    let _ = hub.receive(NodeId(7), body, &Nobody, || true);
}

fn control(body: &[u8]) {
    if let Ok(control) = postcard::from_bytes::<Control>(body) {
        let again = postcard::to_stdvec(&control).expect("what was read can be written");
        assert_eq!(postcard::from_bytes::<Control>(&again), Ok(control));
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

fn effect(body: Bytes) {
    if let Ok((number, effect)) = read_effect(body) {
        let mut again = Vec::new();
        write_effect(&mut again, number, &effect.encode());
        assert_eq!(read_effect(Bytes::from(again)), Ok((number, effect)));
    }
}

fn answers(body: Bytes) {
    if let Ok(answers) = read_answers(body) {
        let mut again = Vec::new();
        write_answers(&mut again, &answers);
        assert_eq!(read_answers(Bytes::from(again)), Ok(answers));
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let bytes = Bytes::copy_from_slice(bytes);
    match MessageKind::from_number(choice % 8) {
        Ok(kind) => message(kind, bytes),
        Err(_) => frame(bytes),
    }
});
