//! `Watch`: following keys, for as long as a client likes.
//!
//! Invariant: an event is made when the connection has room for it, one at a time, and has its part of
//! the door's memory. What waits meanwhile waits in the subscription's ring, whose bounds tell a slow
//! client what it missed.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use tonic::{Request, Response, Status};
use v1::watch_event::Event;

use super::call::{Call, Services};
use super::{json, status, v1};
use crate::access::Pass;
use crate::command::{Entry, show};
use crate::door::http::Failure;
use crate::key::Key;
use crate::version::Version;
use crate::watch::{Notice, Options, Watch, Why};

/// What has no room in the door's memory is tried again after so long.
const NO_ROOM: Duration = Duration::from_millis(100);
/// What an event takes besides its key and its value.
const EVENT_BYTES: usize = size_of::<v1::WatchEvent>();

/// What a request asks for.
fn options(call: &Call, asked: v1::WatchRequest) -> Result<Options, Status> {
    let config = &call.context().config;
    let v1::WatchRequest {
        keys,
        prefixes,
        seen,
    } = asked;
    let max = config.request_keys_max;
    match keys.len() + prefixes.len() {
        0 => {
            let message = "name what to watch: keys or prefixes, any number of them";
            return Err(status::invalid("key_required", message));
        }
        count if count > max => {
            let message = format!("more than {max} keys and prefixes in one request");
            return Err(status::invalid("too_many_keys", message));
        }
        _ => {}
    }
    // Copied: they are slices of the message, and would keep the whole of it for as long as they are
    // watched.
    let copy = |name: &Bytes| Bytes::copy_from_slice(name);
    let key = |name| Key::new(copy(name), config.key_bytes_max).map_err(status::key);
    Ok(Options {
        keys: keys.iter().map(key).collect::<Result<_, _>>()?,
        prefixes: prefixes.iter().map(copy).collect(),
        seen: version(&seen)?,
        read_timeout: config.request_timeout,
    })
}

fn version(seen: &str) -> Result<Option<Version>, Status> {
    if seen.is_empty() {
        return Ok(None);
    }
    let version = Version::parse(seen).ok_or_else(|| {
        let message = "seen is the version of an event, 25 characters long";
        status::invalid("invalid_version", message)
    });
    version.map(Some)
}

#[tonic::async_trait]
impl v1::watch_server::Watch for Services {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchEvent, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (call, asked) = Call::begin(self, request)?;
        let options = options(&call, asked)?;
        let pass = call.pass()?;
        let watch = Watch::start(&call.context().router, options).await;
        let watch = watch.map_err(|error| status::failure(Failure::from(error)))?;
        let events = unfold(Some(Events { watch, call, pass }), |events| async {
            let mut events = events?;
            let event = events.next().await;
            let goes_on = event.is_ok();
            Some((event, goes_on.then_some(events)))
        });
        Ok(Response::new(Box::pin(events)))
    }
}

struct Events {
    watch: Watch,
    call: Call,
    pass: Pass,
}

impl Events {
    /// What is told next, or why nothing will be any more.
    async fn next(&mut self) -> Result<v1::WatchEvent, Status> {
        let heartbeat = self.call.context().config.watch_heartbeat;
        loop {
            let notice = tokio::time::timeout(heartbeat, self.watch.next()).await;
            self.call.may_read(&mut self.pass)?;
            let notice = match notice {
                Err(_) => return Ok(alive()),
                Ok(None) => return Err(status::stopping()),
                Ok(Some(notice)) => notice,
            };
            let bytes = bytes(&notice);
            if self.call.take(bytes, false).is_ok() {
                return self.told(notice);
            }
            if !self.call.fits(bytes) {
                return Ok(missed(1));
            }
            // There is no room for it at the moment. Its value goes at once: nothing counts it, and
            // it is read again.
            let key = key(&notice).cloned();
            drop(notice);
            tokio::time::sleep(NO_ROOM).await;
            if !key.is_some_and(|key| self.watch.again(&key)) {
                return Ok(missed(1));
            }
        }
    }

    /// A notice as it is sent.
    fn told(&self, notice: Notice) -> Result<v1::WatchEvent, Status> {
        let (event, version) = match notice {
            Notice::Snapshot { key, entry } => {
                let version = entry.as_ref().map(|entry| entry.version);
                let value = entry.map(|entry| self.value(entry)).transpose()?;
                (Event::Snapshot(v1::WatchSnapshot { key, value }), version)
            }
            Notice::Put { key, entry } => {
                let version = Some(entry.version);
                let value = Some(self.value(entry)?);
                (Event::Put(v1::WatchPut { key, value }), version)
            }
            Notice::Gone { key, version, why } => {
                let gone = v1::WatchGone { key };
                let event = match why {
                    Why::Deleted => Event::Delete(gone),
                    Why::Expired => Event::Expire(gone),
                    Why::Evicted => Event::Evict(gone),
                };
                (event, Some(version))
            }
            Notice::Missed(count) => return Ok(missed(count)),
        };
        Ok(v1::WatchEvent {
            event: Some(event),
            version: version.map_or_else(String::new, |version| version.to_string()),
        })
    }

    fn value(&self, entry: Entry) -> Result<v1::WatchValue, Status> {
        let (version, expires_at) = (entry.etag(), entry.expires_at);
        let (json, kind) = json::shown(entry)?;
        Ok(v1::WatchValue {
            json,
            r#type: kind.into(),
            version: version.to_string(),
            ttl_ms: self.call.ttl_ms(expires_at),
        })
    }
}

/// An event of no key.
fn bare(event: Event) -> v1::WatchEvent {
    v1::WatchEvent {
        event: Some(event),
        version: String::new(),
    }
}

fn alive() -> v1::WatchEvent {
    bare(Event::Alive(v1::WatchAlive {}))
}

fn missed(count: u64) -> v1::WatchEvent {
    bare(Event::Missed(v1::WatchMissed { count }))
}

fn key(notice: &Notice) -> Option<&Bytes> {
    match notice {
        Notice::Snapshot { key, .. } | Notice::Put { key, .. } | Notice::Gone { key, .. } => {
            Some(key)
        }
        Notice::Missed(_) => None,
    }
}

/// What an event takes in memory.
fn bytes(notice: &Notice) -> usize {
    let value = match notice {
        Notice::Snapshot { entry, .. } => entry.as_ref(),
        Notice::Put { entry, .. } => Some(entry),
        Notice::Gone { .. } | Notice::Missed(_) => None,
    };
    let value = value.map_or(0, |entry| show::length(entry.as_ref()));
    EVENT_BYTES + key(notice).map_or(0, Bytes::len) + value
}
