//! The messages of a call, as they come in.
//!
//! tonic makes room for what a message claims to be long before it is there. Here a message is
//! collected as far as it has arrived, on the memory of the door, with a bound on its length and on
//! the pauses in it; only a whole one goes on.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};
use tonic::{Code, Status};

use super::{status, v1};
use crate::door::hold::{Hold, LARGE_BYTES};
use crate::door::http::{Failure, Incoming, Pace, Shared, collect, next_piece};

/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// The length that a message says it has, prefix included, as soon as it is there to be read.
fn claimed(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.get(1..PREFIX_BYTES)?;
    let length = u32::from_be_bytes(prefix.try_into().ok()?);
    usize::try_from(length).ok()?.checked_add(PREFIX_BYTES)
}

/// What a field takes besides its bytes once it is decoded, about: most are twice as long as the
/// handle on some bytes, and a list of them grows by doubling.
const FIELD_BYTES: usize = 128;

/// The numbers of the fields that are messages themselves, by method.
static NESTED: LazyLock<HashMap<String, Vec<u64>>> = LazyLock::new(|| {
    // It was written by the compiler that the messages come from.
    let set = FileDescriptorSet::decode(v1::DESCRIPTORS).unwrap_or_default();
    let nested = |message: &DescriptorProto| -> Vec<u64> {
        let fields = message.field.iter();
        let fields = fields.filter(|field| field.r#type() == Type::Message);
        fields
            .filter_map(|field| u64::try_from(field.number()).ok())
            .collect()
    };
    let messages: HashMap<String, Vec<u64>> = set
        .file
        .iter()
        .flat_map(|file| file.message_type.iter().map(move |message| (file, message)))
        .map(|(file, message)| {
            (
                format!(".{}.{}", file.package(), message.name()),
                nested(message),
            )
        })
        .collect();
    let mut methods = HashMap::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                methods.insert(
                    path,
                    messages
                        .get(method.input_type())
                        .cloned()
                        .unwrap_or_default(),
                );
            }
        }
    }
    methods
});

/// What the fields of a message to a method will take when it is decoded, besides their bytes.
///
/// A list of many short items is much longer decoded than it is on the wire.
fn fields_bytes(method: &str, message: &[u8]) -> usize {
    let nested = NESTED.get(method).map_or(&[][..], |numbers| numbers);
    let mut fields = 0;
    // What is no message fails in decoding; up to there its fields count.
    let _ = walk(message, |number, field| {
        fields += 1;
        if nested.contains(&number) {
            let _ = walk(field, |_, _| fields += 1);
        }
    });
    fields * FIELD_BYTES
}

/// Calls `each` with every field's number and bytes, of numbers with none; `None` where it is no
/// message.
fn walk(mut message: &[u8], mut each: impl FnMut(u64, &[u8])) -> Option<()> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        if tag >> 3 == 0 {
            return None;
        }
        let length = match tag & 7 {
            0 => varint(&mut message).map(|_| 0)?,
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (field, rest) = message.split_at_checked(length)?;
        each(tag >> 3, if tag & 7 == 2 { field } else { &[] });
        message = rest;
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << (7 * place);
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn message_max(shared: &Shared) -> usize {
    shared.context.config.body_bytes_max + PREFIX_BYTES
}

fn cut_off(claimed: usize, arrived: usize) -> Status {
    let message = format!(
        "the message says that it is {} bytes long, and {} came",
        claimed.saturating_sub(PREFIX_BYTES),
        arrived.saturating_sub(PREFIX_BYTES)
    );
    status::new(Code::Internal, "body_truncated", message)
}

fn too_large(shared: &Shared) -> Status {
    status::failure(Failure::body_too_large(
        shared.context.config.body_bytes_max,
    ))
}

/// The one message of a call, and the memory that it holds.
pub(super) async fn message<B: Incoming>(
    body: B,
    method: &str,
    shared: &Arc<Shared>,
) -> Result<(tonic::body::Body, Option<Hold>), Status> {
    let pause_max = shared.context.config.idle_timeout;
    let hold = Hold::nothing(&shared.budget);
    let (bytes, mut hold) = match collect(body, message_max(shared), pause_max, hold).await {
        Ok(collected) => collected,
        // Its own words would count the prefix.
        Err(failure) if failure.code == "body_too_large" => return Err(too_large(shared)),
        Err(failure) => return Err(status::failure(failure)),
    };
    match claimed(&bytes) {
        Some(claimed) if claimed > message_max(shared) => return Err(too_large(shared)),
        Some(claimed) if claimed > bytes.len() => return Err(cut_off(claimed, bytes.len())),
        _ => {}
    }
    let fields = fields_bytes(method, bytes.get(PREFIX_BYTES..).unwrap_or_default());
    hold.set(bytes.len() + fields).map_err(status::failure)?;
    Ok((tonic::body::Body::new(Full::new(bytes)), Some(hold)))
}

/// The messages of a call that lasts, one after the other.
pub(super) fn messages<B: Incoming>(
    body: B,
    method: &'static str,
    shared: &Arc<Shared>,
) -> tonic::body::Body {
    let messages = Messages {
        body,
        method,
        rest: BytesMut::new(),
        hold: Hold::nothing(&shared.budget),
        shared: Arc::clone(shared),
    };
    let messages = stream::try_unfold(messages, |mut messages| async {
        let next = messages.next().await?;
        Ok::<_, Status>(next.map(|message| (Frame::data(message), messages)))
    });
    tonic::body::Body::new(StreamBody::new(Box::pin(messages)))
}

struct Messages<B> {
    body: B,
    method: &'static str,
    /// What has arrived of the next messages.
    rest: BytesMut,
    hold: Hold,
    shared: Arc<Shared>,
}

impl<B: Incoming> Messages<B> {
    /// The next whole message with its prefix; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        self.forget()?;
        let mut pace = Pace::new(self.shared.context.config.idle_timeout);
        loop {
            if let Some(claimed) = claimed(&self.rest) {
                if claimed > message_max(&self.shared) {
                    return Err(too_large(&self.shared));
                }
                if self.rest.len() >= claimed {
                    let message = self.rest.split_to(claimed).freeze();
                    let fields = fields_bytes(self.method, &message[PREFIX_BYTES..]);
                    let wanted = self.rest.len() + message.len() + fields;
                    self.hold.set(wanted).map_err(status::failure)?;
                    return Ok(Some(message));
                }
            }
            // Between messages a client may take all the time that it likes.
            let piece = match self.rest.is_empty() {
                true => self.first_piece().await,
                false => next_piece(&mut self.body, &mut pace).await,
            };
            let Some(piece) = piece.map_err(status::failure)? else {
                return match self.rest.len() {
                    0 => Ok(None),
                    arrived => Err(cut_off(claimed(&self.rest).unwrap_or_default(), arrived)),
                };
            };
            let wanted = self.rest.len() + piece.len();
            self.hold.set(wanted).map_err(status::failure)?;
            self.rest.extend_from_slice(piece.chunk());
        }
    }

    /// The message before is done with: what it took is free again, however long the next one takes
    /// to come.
    fn forget(&mut self) -> Result<(), Status> {
        // What is left of a long one's buffer would be kept with the few bytes behind it.
        if self.rest.capacity() >= LARGE_BYTES {
            self.rest = BytesMut::from(&self.rest[..]);
        }
        self.hold.set(self.rest.len()).map_err(status::failure)
    }

    /// The next piece, however long it takes.
    async fn first_piece(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(Failure::body_truncated(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_how_long_it_is() {
        assert_eq!(claimed(&[0, 0, 0, 1]), None);
        assert_eq!(claimed(&[0, 0, 0, 1, 2]), Some(258 + PREFIX_BYTES));
        assert_eq!(
            claimed(&[1, 0xff, 0xff, 0xff, 0xff, 9]),
            Some(0xffff_ffff + PREFIX_BYTES)
        );
    }

    #[test]
    fn fields_are_counted_where_they_are() {
        let request = v1::SetAddRequest {
            key: "k".to_owned(),
            items: vec![Bytes::new(); 1_000],
            return_items: true,
            condition: None,
        };
        let bytes = fields_bytes("/smache.v1.Set/Add", &request.encode_to_vec());
        assert_eq!(bytes, 1_002 * FIELD_BYTES);
        let request = v1::HashSetRequest {
            key: "k".to_owned(),
            entries: vec![
                v1::HashEntry {
                    field: "f".into(),
                    value: "v".into()
                };
                1_000
            ],
            condition: Some(v1::Condition {
                version_in: vec![String::new(); 1_000],
                ..v1::Condition::default()
            }),
        };
        let bytes = fields_bytes("/smache.v1.Hash/Set", &request.encode_to_vec());
        assert_eq!(bytes, (1 + 1_000 + 2_000 + 1 + 1_000) * FIELD_BYTES);
        // A value is not looked into, although it reads like a message.
        let request = v1::KvPutRequest {
            value: Some(vec![b'x'; 100_000].into()),
            ..v1::KvPutRequest::default()
        };
        let bytes = fields_bytes("/smache.v1.Kv/Put", &request.encode_to_vec());
        assert_eq!(bytes, FIELD_BYTES);
    }

    #[test]
    fn what_is_no_message_is_walked_as_far_as_it_goes() {
        for bytes in [
            &[0xff; 11][..],
            b"\x0a\xff\xff\xff\xff\x0f",
            b"\x0a\x02a",
            b"\x08",
            b"\0",
            b"\x0b",
        ] {
            assert_eq!(walk(bytes, |_, _| ()), None, "{bytes:?}");
            assert_eq!(fields_bytes("/smache.v1.Set/Add", bytes), 0);
        }
    }
}
