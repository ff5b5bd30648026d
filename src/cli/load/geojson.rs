//! A FeatureCollection (RFC 7946), feature by feature: however long the file, one is held at a time.

use std::fmt;
use std::io::Read;

use anyhow::Context as _;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

/// Takes the number and the text of a feature; says whether to go on.
pub(super) type Sink<'a> = &'a mut dyn FnMut(u64, Box<RawValue>) -> bool;

/// Hands every feature to the sink, until it wants no more.
pub(super) fn read(reader: impl Read, sink: Sink<'_>) -> anyhow::Result<()> {
    let mut json = serde_json::Deserializer::from_reader(reader);
    let mut stopped = false;
    let collection = Collection {
        sink,
        stopped: &mut stopped,
    };
    let result = json.deserialize_map(collection).and_then(|found| {
        json.end()?;
        Ok(found)
    });
    match result {
        // The parser only ends early by an error.
        _ if stopped => Ok(()),
        Ok(true) => Ok(()),
        Ok(false) => anyhow::bail!("the file is no FeatureCollection: it has no member features"),
        Err(error) => Err(error).context("the file is no FeatureCollection"),
    }
}

/// The object around; answers whether it had features.
struct Collection<'a, 'b> {
    sink: Sink<'a>,
    stopped: &'b mut bool,
}

impl<'de> Visitor<'de> for Collection<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list of features")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut number = 0;
        let mut found = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "features" {
                found = true;
                map.next_value_seed(Features {
                    number: &mut number,
                    sink: self.sink,
                    stopped: self.stopped,
                })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// The list of features.
struct Features<'a> {
    number: &'a mut u64,
    sink: Sink<'a>,
    stopped: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for Features<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Features<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of features")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(feature) = seq.next_element()? {
            *self.number += 1;
            if !(self.sink)(*self.number, feature) {
                *self.stopped = true;
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}
