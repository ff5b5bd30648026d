//! Which rooms a client has joined, and what it has asked for in each.
//!
//! A room is a topic `room:…` that any number of clients join, on any node. In it
//!
//! - `NAME_pub` with `{"body":{"key":K,"data":D}}` writes the key, and tells everybody in the room
//!   `NAME_sub` with `{"key":K,"pub":{"data":D}}`;
//! - `NAME_sub` with `{"body":{"key":K}}` tells the asker alone `NAME_sub` with
//!   `{"key":K,"sub":{"data":…}}`, and from then on `NAME_sub` with `{"key":K,"pub":{"data":…}}`
//!   whenever the key changes, through whatever door;
//! - `NAME_unsub` with the same body ends that.
//!
//! A write in the room comes to an asker on both ways: told as the room's, and as the key's. Which
//! comes first is told, by the version; the other is not.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::frame::{EVENT_BYTES_MAX, Reference};
use crate::command::json::write_string;
use crate::live::Moment;
use crate::version::Version;

/// What the topics of rooms begin with.
pub(super) const ROOM: &str = "room:";
/// What is said in a topic goes over the channel of this name and the topic's. Whoever publishes to
/// it through another door speaks in the room.
const CHANNEL: &str = "phoenix:";

/// What a client wants by an event in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb<'a> {
    /// Write, and tell the others; by this name.
    Publish(&'a str),
    /// Read, and be told.
    Ask,
    /// Be told no more; by this name.
    Leave(&'a str),
}

/// Reads the name of an event.
pub(super) fn verb(event: &str) -> Option<Verb<'_>> {
    let before = |verb: &str| event.strip_suffix(verb);
    before("_pub")
        .map(Verb::Publish)
        .or_else(|| before("_sub").map(|_| Verb::Ask))
        .or_else(|| before("_unsub").map(Verb::Leave))
}

/// The channel of a topic.
pub(super) fn channel(topic: &str) -> Bytes {
    Bytes::from([CHANNEL, topic].concat())
}

/// The topic of a channel, if it is one's.
pub(super) fn topic(channel: &[u8]) -> Option<&str> {
    std::str::from_utf8(channel).ok()?.strip_prefix(CHANNEL)
}

/// What is said to a room, as it is published.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) event: String,
    pub(super) payload: Box<str>,
    /// The key that was written, and the version of that.
    pub(super) about: Option<(Bytes, Version)>,
}

#[derive(Deserialize)]
struct Written<'a> {
    event: String,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    version: Option<String>,
}

impl Said {
    /// Its form; the payload must be compact JSON.
    ///
    /// The key stands there beside the payload only if the payload does not name it: both may be
    /// long, and a message with the longest that a client may send must not be too long.
    pub(super) fn write(event: &str, payload: &[u8], key: &[u8], version: Version) -> Bytes {
        let mut out = Vec::with_capacity(payload.len() + key.len() + event.len() + 96);
        out.extend_from_slice(b"{\"event\":");
        write_string(event, &mut out);
        out.extend_from_slice(b",\"payload\":");
        out.extend_from_slice(payload);
        // A key that came as JSON is text.
        if let Ok(key) = std::str::from_utf8(key) {
            if key_of(payload).is_none_or(|named| named != key) {
                out.extend_from_slice(b",\"key\":");
                write_string(key, &mut out);
            }
            out.extend_from_slice(b",\"version\":\"");
            version.write_text(&mut out);
            out.push(b'"');
        }
        out.push(b'}');
        out.into()
    }

    /// Reads it. Anybody may have published it: `None` if it is nothing of the kind.
    pub(super) fn read(text: &[u8]) -> Option<Said> {
        let written: Written<'_> = serde_json::from_slice(text).ok()?;
        let version = written.version.as_deref().and_then(Version::parse);
        let payload = written.payload.get();
        let key = || {
            let named = written.key.map(Cow::Owned);
            Some(named.or_else(|| key_of(payload.as_bytes()))?.into_owned())
        };
        let about = version.and_then(|version| Some((Bytes::from(key()?), version)));
        (written.event.len() <= EVENT_BYTES_MAX).then(|| Said {
            event: written.event,
            payload: payload.into(),
            about,
        })
    }
}

/// The key that a payload names: a string, or a number as it stands there.
fn key_of(payload: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        key: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let named: Named<'_> = serde_json::from_slice(payload).ok()?;
    let raw = named.key.get();
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str(raw).ok().map(|Text(text)| text),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw)),
        _ => None,
    }
}

/// What a client has asked for in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    /// The key as the client writes it: JSON.
    name: Bytes,
    /// What it was told last.
    told: Option<Moment>,
}

/// A key that was asked for, and by which name of an event.
type Question = (Bytes, String);

#[derive(Debug)]
struct Room {
    join: Reference,
    asked: BTreeMap<Question, Asked>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    rooms: HashMap<String, Room>,
    /// How often each key was asked for.
    keys: HashMap<Bytes, usize>,
    questions: usize,
}

/// Who asked for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) topic: String,
    pub(super) event: String,
    pub(super) name: Bytes,
}

impl Rooms {
    /// What a topic was joined by; the outer `None` if it was not.
    pub(super) fn join_of(&self, topic: &str) -> Option<&Reference> {
        self.rooms.get(topic).map(|room| &room.join)
    }

    pub(super) fn join(&mut self, topic: &str, join: Reference) {
        let asked = BTreeMap::new();
        self.rooms.insert(topic.to_owned(), Room { join, asked });
    }

    /// Leaves a room: what it was joined by, and the keys that nobody asks for any more.
    pub(super) fn leave(&mut self, topic: &str) -> Option<(Reference, Vec<Bytes>)> {
        let room = self.rooms.remove(topic)?;
        let keys = room.asked.into_keys().map(|(key, _)| key);
        let idle = keys.filter_map(|key| self.forget(key)).collect();
        Some((room.join, idle))
    }

    /// The key, if nobody asks for it any more.
    fn forget(&mut self, key: Bytes) -> Option<Bytes> {
        self.questions -= 1;
        let count = self.keys.get_mut(&key)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.keys.remove(&key);
        Some(key)
    }

    /// How many questions there are.
    pub(super) fn questions(&self) -> usize {
        self.questions
    }

    /// A key was asked for; whether it was not before.
    pub(super) fn ask(&mut self, topic: &str, event: &str, key: Bytes, name: Bytes) -> bool {
        let Some(room) = self.rooms.get_mut(topic) else {
            return false;
        };
        let question = (key.clone(), event.to_owned());
        let asked = Asked { name, told: None };
        let is_new = room.asked.insert(question, asked).is_none();
        if is_new {
            *self.keys.entry(key).or_default() += 1;
            self.questions += 1;
        }
        is_new
    }

    /// A key is asked for no more; itself, if nobody else asks for it.
    pub(super) fn unask(&mut self, topic: &str, event: &str, key: Bytes) -> Option<Bytes> {
        let room = self.rooms.get_mut(topic)?;
        room.asked.remove(&(key.clone(), event.to_owned()))?;
        self.forget(key)
    }

    /// All keys that are asked for.
    pub(super) fn keys(&self) -> Vec<Bytes> {
        self.keys.keys().cloned().collect()
    }

    /// All rooms.
    pub(super) fn topics(&self) -> Vec<String> {
        self.rooms.keys().cloned().collect()
    }

    /// Who asked for a key, and has not been told of this moment, or a later one: all of them have
    /// been now.
    pub(super) fn tell(&mut self, key: &Bytes, moment: Option<Moment>) -> Vec<Asker> {
        let mut askers = Vec::new();
        if !self.keys.contains_key(key) {
            return askers;
        }
        for (topic, room) in &mut self.rooms {
            let from = (key.clone(), String::new());
            let of_key = room.asked.range_mut(from..);
            for ((_, event), asked) in of_key.take_while(|((other, _), _)| other == key) {
                if asked.is_told(moment) {
                    askers.push(Asker {
                        topic: topic.clone(),
                        event: event.clone(),
                        name: asked.name.clone(),
                    });
                }
            }
        }
        askers
    }

    /// As [`Rooms::tell`] for one who is told otherwise; true also if they have not asked.
    pub(super) fn tell_one(
        &mut self,
        topic: &str,
        event: &str,
        key: &Bytes,
        moment: Option<Moment>,
    ) -> bool {
        let room = self.rooms.get_mut(topic);
        let question = (key.clone(), event.to_owned());
        let asked = room.and_then(|room| room.asked.get_mut(&question));
        asked.is_none_or(|asked| asked.is_told(moment))
    }
}

impl Asked {
    /// Whether this is news; it is none any more. Of what has no version nobody knows.
    fn is_told(&mut self, moment: Option<Moment>) -> bool {
        if moment.is_some() && self.told >= moment {
            return false;
        }
        self.told = moment.or(self.told);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Hlc, NodeId};

    fn version(hlc: u64) -> Version {
        Version {
            hlc: Hlc(hlc),
            node: NodeId(1),
        }
    }

    fn moment(hlc: u64) -> Option<Moment> {
        Some(Moment {
            version: version(hlc),
            gone: false,
        })
    }

    fn text(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn what_events_are_called() {
        assert_eq!(verb("bus_pub"), Some(Verb::Publish("bus")));
        assert_eq!(verb("bus_stop_pub"), Some(Verb::Publish("bus_stop")));
        assert_eq!(verb("a_sub_pub"), Some(Verb::Publish("a_sub")));
        assert_eq!(verb("bus_public_pub"), Some(Verb::Publish("bus_public")));
        assert_eq!(verb("bus_public_sub"), Some(Verb::Ask));
        assert_eq!(
            verb("bus_submarine_unsub"),
            Some(Verb::Leave("bus_submarine"))
        );
        assert_eq!(verb("bus_public"), None);
        assert_eq!(verb("bus_sub"), Some(Verb::Ask));
        assert_eq!(verb("bus_unsub"), Some(Verb::Leave("bus")));
        assert_eq!(verb("bus"), None);
    }

    #[test]
    fn what_is_said_is_read_back_and_what_is_not_is_passed_over() {
        let payload = br#"{"key":1,"pub":{"data":{"a":1.0}}}"#;
        let said = Said::read(&Said::write("bus_sub", payload, b"1", version(7))).unwrap();
        assert_eq!(said.event, "bus_sub");
        assert_eq!(said.payload.as_bytes(), payload);
        assert_eq!(said.about, Some((text("1"), version(7))));
        for (name, key, is_twice) in [
            (r#""k""#, "k", false),
            (r#""\u006b\n""#, "k\n", false),
            ("-0", "0", true),
        ] {
            let payload = format!("{{\"key\":{name},\"pub\":{{\"data\":{{}}}}}}");
            let text = Said::write("e", payload.as_bytes(), key.as_bytes(), version(7));
            let keys = String::from_utf8_lossy(&text).matches("\"key\"").count();
            assert_eq!(keys, 1 + usize::from(is_twice), "{text:?}");
            let about = Some((Bytes::from(key), version(7)));
            assert_eq!(Said::read(&text).unwrap().about, about);
        }
        let foreign = Said::read(br#"{"event":"e","payload":[1]}"#).unwrap();
        assert_eq!(foreign.about, None);
        for text in ["", "hello", "{}", r#"{"event":1,"payload":{}}"#] {
            assert_eq!(Said::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(topic(&channel("room:a")), Some("room:a"));
        assert_eq!(topic(b"room:a"), None);
    }

    #[test]
    fn askers_are_told_once() {
        let mut rooms = Rooms::default();
        assert!(!rooms.ask("room:a", "bus_sub", text("k"), text("\"k\"")));
        for topic in ["room:a", "room:b"] {
            rooms.join(topic, None);
            assert!(rooms.ask(topic, "bus_sub", text("k"), text("\"k\"")));
        }
        assert!(!rooms.ask("room:a", "bus_sub", text("k"), text("\"k\"")));
        assert!(rooms.ask("room:a", "bus_sub", text("kk"), text("\"kk\"")));
        assert_eq!(rooms.questions(), 3);
        assert!(rooms.tell_one("room:a", "bus_sub", &text("k"), moment(2)));
        let told = rooms.tell(&text("k"), moment(2));
        assert_eq!(told.len(), 1, "one knew it");
        assert_eq!(told[0].topic, "room:b");
        assert!(rooms.tell(&text("k"), moment(1)).is_empty());
        assert_eq!(rooms.tell(&text("k"), None).len(), 2);
        assert_eq!(rooms.tell(&text("k"), moment(3)).len(), 2);
        assert!(!rooms.tell_one("room:a", "bus_sub", &text("k"), moment(3)));
        assert!(rooms.tell_one("room:a", "car_sub", &text("k"), moment(3)));
        assert!(rooms.tell(&text("other"), moment(9)).is_empty());
    }

    #[test]
    fn keys_are_let_go_with_the_last_who_asked() {
        let mut rooms = Rooms::default();
        for topic in ["room:a", "room:b"] {
            rooms.join(topic, None);
            rooms.ask(topic, "bus_sub", text("k"), text("1"));
        }
        rooms.ask("room:a", "car_sub", text("l"), text("1"));
        let (_, idle) = rooms.leave("room:a").unwrap();
        assert_eq!(idle, [text("l")]);
        assert_eq!(rooms.unask("room:b", "car_sub", text("k")), None);
        assert_eq!(rooms.unask("room:b", "bus_sub", text("k")), Some(text("k")));
        assert_eq!((rooms.questions(), rooms.keys().len()), (0, 0));
        assert!(rooms.leave("room:a").is_none());
    }
}
