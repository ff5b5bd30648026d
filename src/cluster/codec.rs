//! What travels in frames, as bytes.
//!
//! ```text
//! frame    = acked:u64 message*
//! message  = length:u32 kind:u8 body            (length counts kind and body)
//! control  = postcard
//! request  = id:u64 deadline_ms:u32 op:u8 …     get, put, delete, patch, increment, pull, …
//! response = id:u64 status:u8 …                 elsewhere, reply, error, pulled, stored, …
//! effect   = number:u64 …                       what an owner's write changes, for its copies
//! answers  = count:u32 (first:u64 last:u64)*    effects that were taken; the rest were refused
//! live     = more:u8 bytes              a word of what is listened to and has happened, in pieces
//! fragment = message:u64 total:u32 bytes        a message too long for one frame, in pieces
//! ```
//!
//! Numbers are little-endian. Decoding trusts nothing: every length is checked against what is
//! there, and a message that does not decode is an error, never a panic.

mod fields;
pub mod keyspace;
mod partitions;
mod request;
mod response;

use bytes::{Buf, Bytes};

pub use self::partitions::PartitionSet;
pub use self::request::{Pull, Request, read_request, write_command, write_request};
pub use self::response::{Response, read_response, write_found, write_response};

pub use crate::fields::Malformed;
use crate::fields::{get_u32, get_u64};
use crate::replication::Effect;

/// Bytes of a frame before its messages.
pub const FRAME_HEAD_BYTES: usize = 8;
/// Bytes of a message before its body.
pub const MESSAGE_HEAD_BYTES: usize = 5;
/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MessageKind {
    /// For the cluster's machine.
    Control = 0,
    /// Somebody asks.
    Request = 1,
    /// Somebody answers.
    Response = 2,
    /// A piece of a longer message.
    Fragment = 3,
    /// What a write changed, for a copy.
    Effect = 4,
    /// Effects were taken, or refused.
    Answers = 5,
    /// What is listened to, and what has happened.
    Live = 6,
}

impl MessageKind {
    /// Reads the number back.
    pub fn from_number(number: u8) -> Result<MessageKind, Malformed> {
        match number {
            0 => Ok(MessageKind::Control),
            1 => Ok(MessageKind::Request),
            2 => Ok(MessageKind::Response),
            3 => Ok(MessageKind::Fragment),
            4 => Ok(MessageKind::Effect),
            5 => Ok(MessageKind::Answers),
            6 => Ok(MessageKind::Live),
            _ => Err(Malformed),
        }
    }
}

/// Appends one message to `out`: its head, and what `body` writes.
pub fn write_message(out: &mut Vec<u8>, kind: MessageKind, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(kind as u8);
    body(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Takes the next message off a frame; `None` at its end.
///
/// # Errors
/// When the length does not fit.
pub fn read_message(frame: &mut Bytes) -> Result<Option<(MessageKind, Bytes)>, Malformed> {
    if frame.is_empty() {
        return Ok(None);
    }
    let length = get_u32(frame)? as usize;
    if length == 0 || length > frame.len() {
        return Err(Malformed);
    }
    let mut message = frame.split_to(length);
    let kind = MessageKind::from_number(message.get_u8())?;
    Ok(Some((kind, message)))
}

/// Writes the body of an effect.
pub fn write_effect(out: &mut Vec<u8>, number: u64, effect: &[u8]) {
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(effect);
}

/// Reads the body of an effect: its number and itself.
///
/// # Errors
/// When it is malformed.
pub fn read_effect(mut body: Bytes) -> Result<(u64, Effect), Malformed> {
    let number = get_u64(&mut body)?;
    Ok((number, Effect::decode(body)?))
}

/// What a node says of the effects that it was sent, as ranges of their numbers, first and last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// It has these, or something newer.
    pub taken: Vec<(u64, u64)>,
    /// It did not take these: it follows another owner.
    pub refused: Vec<(u64, u64)>,
    /// It could not take these: it lacks the entries that they change.
    pub lacking: Vec<(u64, u64)>,
}

/// What is said of one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// See [`Answers::taken`].
    Yes,
    /// See [`Answers::refused`].
    No,
    /// See [`Answers::lacking`].
    Lacking,
}

impl Answers {
    /// Adds a number.
    pub fn add(&mut self, number: u64, taken: Taken) {
        let ranges = match taken {
            Taken::Yes => &mut self.taken,
            Taken::No => &mut self.refused,
            Taken::Lacking => &mut self.lacking,
        };
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => ranges.push((number, number)),
        }
    }

    /// Whether there is nothing to be said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.refused.is_empty() && self.lacking.is_empty()
    }
}

/// Writes the body of answers to effects.
pub fn write_answers(out: &mut Vec<u8>, answers: &Answers) {
    for ranges in [&answers.taken, &answers.refused, &answers.lacking] {
        let count = u32::try_from(ranges.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for (first, last) in ranges {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&last.to_le_bytes());
        }
    }
}

/// Reads the body of answers to effects.
///
/// # Errors
/// When it is malformed.
pub fn read_answers(mut body: Bytes) -> Result<Answers, Malformed> {
    let b = &mut body;
    let answers = Answers {
        taken: read_ranges(b)?,
        refused: read_ranges(b)?,
        lacking: read_ranges(b)?,
    };
    if b.is_empty() {
        Ok(answers)
    } else {
        Err(Malformed)
    }
}

fn read_ranges(b: &mut Bytes) -> Result<Vec<(u64, u64)>, Malformed> {
    let count = get_u32(b)? as usize;
    if count > b.len() / 16 {
        return Err(Malformed);
    }
    let range = |_| {
        let range = (get_u64(b)?, get_u64(b)?);
        if range.0 > range.1 {
            return Err(Malformed);
        }
        Ok(range)
    };
    (0..count).map(range).collect()
}

#[cfg(test)]
mod tests;
