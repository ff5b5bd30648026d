//! Commands that are decided before their turn: on a copy of the present entry, while others go on.
//!
//! What takes too long to be done under a writer's lock is done beside it, and counts if the entry is
//! still the one that was copied. [`apply`](super::apply) is a pure function of the entry, so that
//! what it came to then is what it would come to now, but for the version that the new value gets.

use super::{Command, Effect, EntryRef, Error, Limits, Reply, apply};
use crate::clock::UnixMs;
use crate::version::Version;

/// What a command comes to, as long as its key's entry stays what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The entry's version; `None` if there was none.
    of: Option<Version>,
    effect: Effect,
    reply: Reply,
}

/// Decides what a command comes to, whatever work that takes.
///
/// # Errors
/// As [`apply`].
pub fn prepare(
    command: &Command,
    current: Option<EntryRef<'_>>,
    now: UnixMs,
    limits: &Limits,
) -> Result<Prepared, Error> {
    let limits = Limits {
        work_max: usize::MAX,
        ..*limits
    };
    let (effect, reply) = apply(command, current, now, Version::default, &limits)?;
    Ok(Prepared {
        of: current.map(|entry| entry.version),
        effect,
        reply,
    })
}

impl Prepared {
    /// Whether it is still so, now that the entry is this one.
    #[must_use]
    pub fn fits(&self, current: Option<EntryRef<'_>>) -> bool {
        self.of == current.map(|entry| entry.version)
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_without_effect(&self) -> bool {
        self.effect == Effect::None
    }

    /// The reply, where there is no effect.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        self.reply
    }

    /// Effect and reply, with the version that the new value gets.
    #[must_use]
    pub fn stamp(self, next: impl FnOnce() -> Version) -> (Effect, Reply) {
        let Prepared {
            mut effect,
            mut reply,
            ..
        } = self;
        if let Effect::Put(put) = &mut effect {
            put.version = next();
            match &mut reply {
                Reply::Stored { entry, .. } => entry.version = put.version,
                Reply::Answer { version, .. } => *version = Some(put.etag()),
                _ => {}
            }
        }
        (effect, reply)
    }
}
