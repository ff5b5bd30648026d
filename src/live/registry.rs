//! Who listens to what, on this node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::interest::{Interest, NAMES_MAX, Names, TEXTS_MAX, Texts};
use super::prefixes::Prefixes;
use super::ring::Ring;
use crate::glob;

/// What a subscriber listens to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Messages on this channel.
    Channel(Bytes),
    /// Messages on all channels that match this pattern, by the rules of [`crate::glob`].
    Pattern(Bytes),
    /// Changes to this key.
    Key(Bytes),
    /// Changes to all keys that begin so.
    Prefix(Bytes),
}

impl Topic {
    /// The name, pattern or prefix.
    #[must_use]
    pub fn text(&self) -> &Bytes {
        match self {
            Topic::Channel(text)
            | Topic::Pattern(text)
            | Topic::Key(text)
            | Topic::Prefix(text) => text,
        }
    }

    /// Whether it is about keys, and not about channels.
    #[must_use]
    pub fn is_of_keys(&self) -> bool {
        matches!(self, Topic::Key(_) | Topic::Prefix(_))
    }
}

/// The rings of those who listen to one thing, by their subscribers' numbers. Whoever fills them
/// takes a clone, so that nobody waits for the lock meanwhile.
pub(super) type Audience = Arc<BTreeMap<u64, Arc<Ring>>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Registry {
    channels: HashMap<Bytes, Audience>,
    patterns: HashMap<Bytes, Audience>,
    keys: HashMap<Bytes, Audience>,
    prefixes: Prefixes<Audience>,
    /// Pairs of a subscriber and what it listens to.
    pairs: usize,
}

impl Registry {
    /// Adds a listener; whether others must hear of it, since nobody listened to that before.
    pub(super) fn add(&mut self, topic: &Topic, number: u64, ring: &Arc<Ring>) -> bool {
        let text = topic.text().clone();
        let audience = match topic {
            Topic::Channel(_) => self.channels.entry(text).or_default(),
            Topic::Pattern(_) => self.patterns.entry(text).or_default(),
            Topic::Key(_) => self.keys.entry(text).or_default(),
            Topic::Prefix(_) => self.prefixes.0.entry(text).or_default(),
        };
        let first = audience.is_empty();
        Arc::make_mut(audience).insert(number, Arc::clone(ring));
        self.pairs += 1;
        first && self.is_told(topic)
    }

    /// Takes a listener out; whether others should hear of it, since nobody listens to that any more.
    pub(super) fn remove(&mut self, topic: &Topic, number: u64) -> bool {
        let told = self.is_told(topic);
        let text = topic.text();
        let audience = match topic {
            Topic::Channel(_) => self.channels.get_mut(text),
            Topic::Pattern(_) => self.patterns.get_mut(text),
            Topic::Key(_) => self.keys.get_mut(text),
            Topic::Prefix(_) => self.prefixes.0.get_mut(text),
        };
        let Some(audience) = audience else {
            return false;
        };
        if Arc::make_mut(audience).remove(&number).is_some() {
            self.pairs -= 1;
        }
        if !audience.is_empty() {
            return false;
        }
        match topic {
            Topic::Channel(_) => self.channels.remove(text),
            Topic::Pattern(_) => self.patterns.remove(text),
            Topic::Key(_) => self.keys.remove(text),
            Topic::Prefix(_) => self.prefixes.0.remove(text),
        };
        told
    }

    /// Whether a summary depends on single ones of this sort, or says "all" anyway.
    fn is_told(&self, topic: &Topic) -> bool {
        match topic {
            Topic::Channel(_) => self.channels.len() <= NAMES_MAX + 1,
            Topic::Pattern(_) => self.patterns.len() <= TEXTS_MAX + 1,
            Topic::Key(_) => self.keys.len() <= NAMES_MAX + 1,
            Topic::Prefix(_) => self.prefixes.0.len() <= TEXTS_MAX + 1,
        }
    }

    /// What is listened to, for other nodes.
    pub(super) fn interest(&self) -> Interest {
        Interest::new(
            Names::of(self.channels.keys()),
            Texts::of(self.patterns.keys()),
            Names::of(self.keys.keys()),
            Texts::of(self.prefixes.0.keys()),
        )
    }

    /// Whether anybody listens to changes of keys.
    pub(super) fn has_keys(&self) -> bool {
        !self.keys.is_empty() || !self.prefixes.0.is_empty()
    }

    /// Whether anybody listens to changes of this key.
    pub(super) fn has_key(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key) || self.prefixes.has_prefix_of(key)
    }

    /// Who gets changes of this key: each once.
    pub(super) fn of_key(&self, key: &[u8]) -> Audience {
        let mut audience = self.keys.get(key).cloned().unwrap_or_default();
        self.prefixes.search(key, |others| {
            if audience.is_empty() {
                audience = Arc::clone(others);
            } else {
                let others = others.iter().map(|(id, ring)| (*id, Arc::clone(ring)));
                Arc::make_mut(&mut audience).extend(others);
            }
            true
        });
        audience
    }

    /// Who gets messages on this channel: each as often as it listens to it, and by which patterns.
    pub(super) fn of_channel(&self, channel: &[u8]) -> Vec<(Option<Bytes>, Audience)> {
        let named = self.channels.get(channel);
        let named = named.map(|audience| (None, Arc::clone(audience)));
        let matched = |pattern: &Bytes| glob::matches(pattern, channel);
        let matching = self.patterns.iter().filter(|(pattern, _)| matched(pattern));
        let matching =
            matching.map(|(pattern, audience)| (Some(pattern.clone()), Arc::clone(audience)));
        named.into_iter().chain(matching).collect()
    }

    /// Everybody who listens to changes of keys, or everybody who listens to channels.
    pub(super) fn everybody(&self, of_keys: bool) -> BTreeMap<u64, Arc<Ring>> {
        let audiences: Vec<&Audience> = if of_keys {
            self.keys.values().chain(self.prefixes.0.values()).collect()
        } else {
            self.channels
                .values()
                .chain(self.patterns.values())
                .collect()
        };
        let all = audiences.into_iter().flat_map(|audience| audience.iter());
        all.map(|(id, ring)| (*id, Arc::clone(ring))).collect()
    }

    /// Channels that somebody listens to by name.
    pub(super) fn channels(&self) -> impl Iterator<Item = (&Bytes, usize)> {
        let listeners = |(name, audience): (_, &Audience)| (name, audience.len());
        self.channels.iter().map(listeners)
    }

    /// How many listen to a channel by its name.
    pub(super) fn listeners(&self, channel: &[u8]) -> usize {
        self.channels
            .get(channel)
            .map_or(0, |audience| audience.len())
    }

    /// How many patterns are listened to.
    pub(super) fn patterns(&self) -> usize {
        self.patterns.len()
    }

    /// Pairs of a subscriber and what it listens to.
    pub(super) fn pairs(&self) -> usize {
        self.pairs
    }
}

#[cfg(test)]
mod tests {
    use super::super::ring::Bounds;
    use super::*;

    fn ring() -> Arc<Ring> {
        Arc::new(Ring::new(Bounds {
            events_max: 1,
            bytes_max: 1,
        }))
    }

    fn topic(make: fn(Bytes) -> Topic, text: &'static str) -> Topic {
        make(Bytes::from_static(text.as_bytes()))
    }

    fn ids(audience: &Audience) -> Vec<u64> {
        audience.keys().copied().collect()
    }

    #[test]
    fn who_watches_a_key_in_several_ways_gets_its_changes_once() {
        let mut registry = Registry::default();
        let (one, two) = (ring(), ring());
        assert!(registry.add(&topic(Topic::Key, "bus:1"), 1, &one));
        assert!(registry.add(&topic(Topic::Prefix, "bus:"), 1, &one));
        assert!(!registry.add(&topic(Topic::Prefix, "bus:"), 2, &two));
        assert!(registry.add(&topic(Topic::Prefix, ""), 2, &two));
        assert_eq!(ids(&registry.of_key(b"bus:1")), [1, 2]);
        assert_eq!(ids(&registry.of_key(b"bus:2")), [1, 2]);
        assert_eq!(ids(&registry.of_key(b"car")), [2]);
        assert!(!registry.remove(&topic(Topic::Prefix, "bus:"), 1));
        assert!(registry.remove(&topic(Topic::Prefix, ""), 2));
        assert_eq!(ids(&registry.of_key(b"bus:2")), [2]);
        assert_eq!(ids(&registry.of_key(b"car")), [0; 0]);
        assert_eq!(registry.pairs(), 2);
    }

    #[test]
    fn a_message_comes_once_for_each_way_of_listening() {
        let mut registry = Registry::default();
        let one = ring();
        for listened in [
            topic(Topic::Channel, "news.it"),
            topic(Topic::Pattern, "news.*"),
            topic(Topic::Pattern, "*"),
            topic(Topic::Pattern, "other"),
        ] {
            registry.add(&listened, 1, &one);
        }
        let found = registry.of_channel(b"news.it");
        let mut patterns: Vec<_> = found.into_iter().map(|(pattern, _)| pattern).collect();
        patterns.sort();
        let expected = [None, Some(Bytes::from("*")), Some(Bytes::from("news.*"))];
        assert_eq!(patterns, expected);
        assert_eq!(
            (registry.listeners(b"news.it"), registry.patterns()),
            (1, 3)
        );
        assert!(!registry.has_keys());
        assert_eq!(registry.everybody(false).len(), 1);
        assert_eq!(registry.everybody(true).len(), 0);
    }

    #[test]
    fn beyond_the_bound_of_a_summary_single_names_are_no_news() {
        let mut registry = Registry::default();
        let one = ring();
        let key = |n: usize| Topic::Key(Bytes::from(n.to_string()));
        for n in 0..=NAMES_MAX {
            assert!(registry.add(&key(n), 1, &one));
        }
        assert!(!registry.add(&key(NAMES_MAX + 1), 1, &one));
        assert!(!registry.remove(&key(0), 1));
        assert!(registry.remove(&key(1), 1), "now they can be named");
        assert!(!registry.interest().has_key(b"1"));
    }
}
