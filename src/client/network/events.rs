//! Following keys over the network: the `Watch` service, on the connection that calls use too.
//!
//! A stream that ends is begun again, at the next node if this one is gone, with the version of the last
//! event that was seen. Keys are then told again as they are; of prefixes nobody knows what was missed,
//! and the client says so.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status, Streaming};
use v1::watch_event::Event as Told;

use super::Client;
use super::retry::Fate;
use crate::client::{Change, Changes, Error, Event, Value, Version, Watch, What};
use crate::command::Kind;
use crate::door::grpc::v1;

/// The first pause before a stream is begun again; each is twice the one before,
const PAUSE: Duration = Duration::from_millis(50);
/// up to so long.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A stream on which nothing comes for so long, not even the sign that it lives, is begun again.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What happens to keys, from one node or another, until an error that is final.
pub(super) fn follow(client: Client, watch: Watch) -> Changes {
    let follower = Follower::new(client, watch);
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((event, follower))
    });
    events.boxed()
}

struct Follower {
    client: Client,
    watch: Watch,
    /// The node that was asked last.
    index: usize,
    open: Option<Streaming<v1::WatchEvent>>,
    /// The stream that was opened last has brought a message.
    has_brought: bool,
    /// The version of the last event that had one.
    seen: String,
    was_open: bool,
    pause: Duration,
    is_over: bool,
}

impl Follower {
    fn new(client: Client, watch: Watch) -> Follower {
        Follower {
            client,
            watch,
            index: 0,
            open: None,
            has_brought: false,
            seen: String::new(),
            was_open: false,
            pause: PAUSE,
            is_over: false,
        }
    }

    async fn next(&mut self) -> Option<Result<Event, Error>> {
        while !self.is_over {
            let told = match self.open.as_mut() {
                Some(open) => {
                    let message = timeout(SILENCE_MAX, open.message()).await;
                    self.hear(message).await
                }
                None => self.begin().await,
            };
            match told {
                Ok(Some(event)) => return Some(Ok(event)),
                Ok(None) => {}
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// What the stream has brought; nothing, if that is no event, or the stream has ended.
    async fn hear(
        &mut self,
        message: Result<Result<Option<v1::WatchEvent>, Status>, tokio::time::error::Elapsed>,
    ) -> Result<Option<Event>, Error> {
        match message {
            Ok(Ok(Some(message))) => {
                self.pause = PAUSE;
                self.has_brought = true;
                if !message.version.is_empty() {
                    self.seen.clone_from(&message.version);
                }
                event(message)
            }
            Ok(Err(status)) => {
                self.open = None;
                self.again(&status)?;
                self.rest().await;
                Ok(None)
            }
            Ok(Ok(None)) | Err(_) => {
                self.open = None;
                self.rest().await;
                Ok(None)
            }
        }
    }

    /// Before another stream follows one that has ended: a node that opens streams and brings nothing on
    /// them is no better than one that opens none.
    async fn rest(&mut self) {
        if !self.has_brought {
            self.back_off().await;
        }
    }

    /// Leaves the node, and waits before the next is asked.
    async fn back_off(&mut self) {
        self.client.leave(self.index);
        sleep(self.pause.mul_f64(rand::random_range(0.5..1.0))).await;
        self.pause = (2 * self.pause).min(PAUSE_MAX);
    }

    /// Begins a stream. That there may be a gap before it is an event.
    async fn begin(&mut self) -> Result<Option<Event>, Error> {
        let (index, node) = self.client.present();
        self.index = index;
        let mut service = v1::watch_client::WatchClient::new(node.channel.clone())
            .max_decoding_message_size(self.client.0.answer_bytes_max);
        let asked = timeout(self.client.0.timeout, service.watch(self.request()));
        let failed = match asked.await {
            Ok(Ok(answer)) => {
                self.open = Some(answer.into_inner());
                self.has_brought = false;
                let is_gap = self.was_open && !self.watch.prefixes.is_empty();
                self.was_open = true;
                return Ok(is_gap.then_some(Event::Missed(0)));
            }
            Ok(Err(status)) => self.again(&status),
            Err(_) => Ok(()),
        };
        failed?;
        self.back_off().await;
        Ok(None)
    }

    /// Whether a stream that ended so may be begun again.
    fn again(&self, status: &Status) -> Result<(), Error> {
        let node = &self.client.present().1.address;
        let fate = Fate::of(status, node);
        let is_passing = match status.code() {
            // A node that stops is not the only one.
            Code::Unavailable => true,
            // So is one with too many listeners; but who never was one had better know.
            Code::ResourceExhausted => self.was_open,
            _ => false,
        };
        match fate.is_final() && !is_passing {
            true => Err(fate.error),
            false => Ok(()),
        }
    }

    fn request(&self) -> Request<v1::WatchRequest> {
        let all = |names: &[String]| names.iter().cloned().map(Into::into).collect();
        let mut request = Request::new(v1::WatchRequest {
            keys: all(&self.watch.keys),
            prefixes: all(&self.watch.prefixes),
            seen: self.seen.clone(),
        });
        if let Some(token) = &self.client.0.token {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        request
    }
}

/// What a message tells; nothing, if it is a sign of life or something new.
fn event(message: v1::WatchEvent) -> Result<Option<Event>, Error> {
    let (key, what, value) = match message.event {
        Some(Told::Snapshot(told)) => (told.key, What::Snapshot, told.value),
        Some(Told::Put(told)) => (told.key, What::Put, told.value),
        Some(Told::Delete(told)) => (told.key, What::Deleted, None),
        Some(Told::Expire(told)) => (told.key, What::Expired, None),
        Some(Told::Evict(told)) => (told.key, What::Evicted, None),
        Some(Told::Missed(told)) => return Ok(Some(Event::Missed(told.count))),
        Some(Told::Alive(_)) | None => return Ok(None),
    };
    let value = value.map(self::value).transpose()?;
    Ok(Some(Event::Changed(Change { key, what, value })))
}

fn value(told: v1::WatchValue) -> Result<Value, Error> {
    let kind = match told.r#type() {
        v1::ValueType::Json => Kind::Json,
        v1::ValueType::Counter => Kind::Counter,
        v1::ValueType::Bytes => Kind::Bytes,
        v1::ValueType::Flag => Kind::Flag,
        v1::ValueType::Set => Kind::Set,
        v1::ValueType::Hash => Kind::Hash,
        v1::ValueType::List => Kind::List,
        v1::ValueType::Unspecified => return Err(Error::unexpected()),
    };
    Ok(Value {
        kind,
        version: Version::parse(&told.version).ok_or_else(Error::unexpected)?,
        ttl: told.ttl_ms.map(Duration::from_millis),
        json: told.json,
    })
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const VERSION: &str = "00000000000000ab-00000002";

    fn told(event: Told) -> Result<Option<Event>, Error> {
        super::event(v1::WatchEvent {
            event: Some(event),
            version: VERSION.to_owned(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_brought_nothing_is_not_begun_again_at_once() {
        let client = Client::builder().address("http://one:1");
        let client = client.address("http://two:2").lazy().unwrap();
        let mut follower = Follower::new(client, Watch::key("k"));
        let begun = Instant::now();
        assert_eq!(follower.hear(Ok(Ok(None))).await, Ok(None));
        assert!(begun.elapsed() >= PAUSE / 2);
        assert_eq!(follower.client.present().0, 1);
        assert_eq!(follower.pause, 2 * PAUSE);
        // This one is of use.
        let alive = v1::WatchEvent {
            event: Some(Told::Alive(v1::WatchAlive {})),
            version: String::new(),
        };
        follower.index = 1;
        assert_eq!(follower.hear(Ok(Ok(Some(alive)))).await, Ok(None));
        let begun = Instant::now();
        let broken = Err(Status::unknown("connection reset"));
        assert_eq!(follower.hear(Ok(broken)).await, Ok(None));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(follower.client.present().0, 1);
    }

    #[test]
    fn messages_are_events() {
        let value = v1::WatchValue {
            json: "{\"a\":1}".to_owned(),
            r#type: v1::ValueType::Json.into(),
            version: VERSION.to_owned(),
            ttl_ms: Some(500),
        };
        let key = || bytes::Bytes::from_static(b"\xff");
        let put = told(Told::Put(v1::WatchPut {
            key: key(),
            value: Some(value),
        }));
        let Ok(Some(Event::Changed(put))) = put else {
            panic!("{put:?}");
        };
        let value = put.value.unwrap();
        assert_eq!(
            (put.key, put.what, value.kind),
            (key(), What::Put, Kind::Json)
        );
        assert_eq!(value.ttl, Some(Duration::from_millis(500)));
        let gone = told(Told::Expire(v1::WatchGone { key: key() }));
        let (what, value) = (What::Expired, None);
        let gone_is = Change {
            key: key(),
            what,
            value,
        };
        assert_eq!(gone, Ok(Some(Event::Changed(gone_is))));
        let missed = told(Told::Missed(v1::WatchMissed { count: 3 }));
        assert_eq!(missed, Ok(Some(Event::Missed(3))));
        assert_eq!(told(Told::Alive(v1::WatchAlive {})), Ok(None));
    }

    #[test]
    fn values_that_are_none() {
        let value = Some(v1::WatchValue::default());
        let put = told(Told::Put(v1::WatchPut {
            key: "k".into(),
            value,
        }));
        assert!(matches!(put, Err(Error::Internal(_))), "{put:?}");
    }
}
