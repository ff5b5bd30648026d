//! What goes around a frame on the wire, and frames that come too early.
//!
//! A cast does not say which session it came over, so each frame ends with its sender's identity and
//! its number in its session.

use super::super::Identity;
use crate::version::NodeId;

/// Bytes behind each frame: the sender's id and boot epoch, and the frame's number in its session.
const TRAILER_BYTES: usize = 20;
/// Most bytes, and most frames, that wait for a session to become ready.
const EARLY_BYTES_MAX: usize = 4 << 20;
const EARLY_FRAMES_MAX: usize = 256;

/// Frames of peers whose session is not ready here yet. The two ends of a session do not become
/// ready at the same moment, and the first word of the one must not be lost on the other.
#[derive(Default)]
pub(super) struct Early {
    frames: Vec<(Sender, Vec<u8>)>,
    bytes: usize,
}

/// Who sent a frame, and its number in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) peer: (NodeId, u64),
    pub(super) number: u64,
}

impl Early {
    pub(super) fn keep(&mut self, sender: Sender, frame: Vec<u8>) {
        if self.bytes + frame.len() > EARLY_BYTES_MAX || self.frames.len() >= EARLY_FRAMES_MAX {
            tracing::warn!("too many frames of peers that are not ready; they are dropped");
            *self = Early::default();
        }
        self.bytes += frame.len();
        self.frames.push((sender, frame));
    }

    /// The frames of a peer, from the beginning of its present session on.
    pub(super) fn take(&mut self, peer: (NodeId, u64)) -> Vec<Vec<u8>> {
        let (mut theirs, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.frames)
            .into_iter()
            .partition(|(from, _)| from.peer == peer);
        self.frames = others;
        self.bytes = self.frames.iter().map(|(_, frame)| frame.len()).sum();
        let begin = theirs.iter().rposition(|(from, _)| from.number == 0);
        let theirs = theirs.split_off(begin.unwrap_or(theirs.len()));
        theirs.into_iter().map(|(_, frame)| frame).collect()
    }
}

pub(super) fn add_trailer(frame: &mut Vec<u8>, identity: &Identity, number: u64) {
    frame.extend_from_slice(&identity.id.0.to_le_bytes());
    frame.extend_from_slice(&identity.boot_epoch.to_le_bytes());
    frame.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn take_trailer(frame: &mut Vec<u8>) -> Option<Sender> {
    let start = frame.len().checked_sub(TRAILER_BYTES)?;
    let trailer = &frame[start..];
    let id = u32::from_le_bytes(trailer[..4].try_into().ok()?);
    let epoch = u64::from_le_bytes(trailer[4..12].try_into().ok()?);
    let number = u64::from_le_bytes(trailer[12..].try_into().ok()?);
    frame.truncate(start);
    Some(Sender {
        peer: (NodeId(id), epoch),
        number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_frames_wait_for_their_session_and_are_bounded() {
        let (a, b) = ((NodeId(1), 1), (NodeId(2), 1));
        let from = |peer, number| Sender { peer, number };
        let mut early = Early::default();
        // What an earlier session left over, and then the present one from its beginning.
        for (number, byte) in [(0, 8), (1, 9), (0, 1), (1, 3)] {
            early.keep(from(a, number), vec![byte]);
        }
        early.keep(from(b, 5), vec![2]);
        assert_eq!(early.take(a), [vec![1], vec![3]]);
        assert_eq!(early.take(a), Vec::<Vec<u8>>::new());
        assert_eq!(early.bytes, 1);
        assert_eq!(early.take(b), Vec::<Vec<u8>>::new());
        for _ in 0..2 * EARLY_FRAMES_MAX {
            early.keep(from(b, 0), vec![0; 1024]);
        }
        assert!(early.frames.len() <= EARLY_FRAMES_MAX);
        early.keep(from(b, 0), vec![0; EARLY_BYTES_MAX]);
        assert!(early.bytes <= EARLY_BYTES_MAX);
    }

    #[test]
    fn a_frame_carries_its_sender() {
        let identity = Identity::new("a@b", 7);
        let mut frame = b"payload".to_vec();
        add_trailer(&mut frame, &identity, 3);
        let sender = Sender {
            peer: (identity.id, 7),
            number: 3,
        };
        assert_eq!(take_trailer(&mut frame), Some(sender));
        assert_eq!(frame, b"payload");
        assert_eq!(take_trailer(&mut b"short".to_vec()), None);
    }
}
