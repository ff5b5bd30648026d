//! What the cluster's actor tells the log: who came and went, how many partitions moved, and how
//! many were taken over from the dead.
//!
//! One line for each event, not for each message that leads to it: partitions that move in many
//! grants are counted until it is quiet, or a second has passed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cluster::ownership::Figures;
use crate::key::{PARTITION_COUNT, PartitionId};
use crate::router::{MemberState, PartitionMap};
use crate::version::NodeId;

/// Ticks after which moves are told although there are more.
const TICKS_MAX: u32 = 10;

/// What happened to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Joined,
    Restarted,
    Leaving,
    Left,
    Down,
}

/// A member, and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: Arc<str>,
    pub(super) address: String,
    pub(super) change: Change,
}

/// Partitions that came to this node, and that went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    pub(super) taken: usize,
    pub(super) given: usize,
}

/// Partitions that this node took over since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Takeovers {
    /// With its copy of them.
    pub(super) promoted: u64,
    /// With nothing, since no copy was left.
    pub(super) empty: u64,
}

/// What was told last.
pub(super) struct Report {
    me: NodeId,
    members: HashMap<NodeId, (MemberState, u64)>,
    /// Whether this node owns each partition.
    owned: Vec<bool>,
    moves: Moves,
    takeovers: Takeovers,
    /// Ticks since the first of the moves, and since the last.
    since_first: u32,
    since_last: u32,
}

impl Report {
    /// Nothing was told yet. `owned` says what this node owns already: the actor may have been
    /// restarted.
    pub(super) fn new(me: NodeId, owned: impl Fn(PartitionId) -> bool) -> Report {
        Report {
            me,
            members: HashMap::new(),
            owned: PartitionId::all().map(owned).collect(),
            moves: Moves::default(),
            takeovers: Takeovers::default(),
            since_first: 0,
            since_last: 0,
        }
    }

    /// What happened to the members since the last time. That somebody is down already when it is
    /// heard of is no event.
    pub(super) fn members(&mut self, map: &PartitionMap) -> Vec<Event> {
        let mut events = Vec::new();
        for member in map.members().into_iter().filter(|one| one.id != self.me) {
            let now = (member.state, member.boot_epoch);
            let before = self.members.insert(member.id, now);
            if let Some(change) = change(before, now) {
                events.push(Event {
                    name: Arc::clone(&member.name),
                    address: member.cluster_address.clone(),
                    change,
                });
            }
        }
        self.members.retain(|id, _| map.member(*id).is_some());
        events
    }

    /// Counts partitions whose role changes.
    pub(super) fn roles(&mut self, partitions: &[(PartitionId, u32)], own: bool) {
        debug_assert_eq!(self.owned.len(), usize::from(PARTITION_COUNT));
        for (partition, _) in partitions {
            let owned = &mut self.owned[partition.index()];
            // Other copies are no move.
            if std::mem::replace(owned, own) == own {
                continue;
            }
            if self.moves == Moves::default() {
                self.since_first = 0;
            }
            self.since_last = 0;
            if own {
                self.moves.taken += 1;
            } else {
                self.moves.given += 1;
            }
        }
    }

    /// What was taken over from the dead since the last time.
    pub(super) fn takeovers(&mut self, figures: &Figures) -> Takeovers {
        let now = Takeovers {
            promoted: figures.promotions,
            empty: figures.taken_empty,
        };
        let before = std::mem::replace(&mut self.takeovers, now);
        Takeovers {
            promoted: now.promoted.saturating_sub(before.promoted),
            empty: now.empty.saturating_sub(before.empty),
        }
    }

    /// Time passes: the moves, if it is time to tell them.
    pub(super) fn tick(&mut self) -> Option<Moves> {
        if self.moves == Moves::default() {
            return None;
        }
        self.since_first += 1;
        self.since_last += 1;
        let due = self.since_last > 1 || self.since_first >= TICKS_MAX;
        due.then(|| std::mem::take(&mut self.moves))
    }
}

fn change(before: Option<(MemberState, u64)>, now: (MemberState, u64)) -> Option<Change> {
    use MemberState::{Down, Leaving, Up};
    match (before.map(|(state, _)| state), now.0) {
        (None | Some(Down), Up) => Some(Change::Joined),
        (Some(_), Up) if before.is_some_and(|(_, epoch)| epoch != now.1) => Some(Change::Restarted),
        (Some(Up), Leaving) => Some(Change::Leaving),
        (Some(Leaving), Down) => Some(Change::Left),
        (Some(Up), Down) => Some(Change::Down),
        _ => None,
    }
}

/// Tells the log what happened to members.
pub(super) fn log_members(events: Vec<Event>) {
    for Event {
        name,
        address,
        change,
    } in events
    {
        let (member, address) = (&*name, address.as_str());
        match change {
            Change::Joined => tracing::info!(member, address, "a member has joined"),
            Change::Restarted => tracing::info!(member, address, "a member was restarted"),
            Change::Leaving => tracing::info!(member, address, "a member is leaving"),
            Change::Left => tracing::info!(member, address, "a member has left"),
            Change::Down => tracing::warn!(member, address, "a member is down"),
        }
    }
}

/// Tells the log which partitions moved.
pub(super) fn log_moves(moves: Option<Moves>) {
    if let Some(Moves { taken, given }) = moves {
        tracing::info!(taken, given, "partitions have moved");
    }
}

/// Tells the log what was taken over from the dead.
pub(super) fn log_takeovers(Takeovers { promoted, empty }: Takeovers) {
    if promoted > 0 {
        tracing::warn!(
            partitions = promoted,
            "this node's copies took over for a dead owner"
        );
    }
    if empty > 0 {
        tracing::error!(
            partitions = empty,
            "partitions were taken over empty: no node that holds them can be reached"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{Load, Member};

    fn map(members: &[(&str, MemberState, u64)]) -> PartitionMap {
        let member = |(name, state, boot_epoch): &(&str, MemberState, u64)| Member {
            id: NodeId::of(name),
            name: (*name).into(),
            boot_epoch: *boot_epoch,
            cluster_address: format!("{name}:1"),
            state: *state,
            load: Load::default(),
        };
        PartitionMap::new([], members.iter().map(member), Default::default())
    }

    fn report() -> Report {
        Report::new(NodeId::of("me"), |_| false)
    }

    #[test]
    fn each_event_is_told_once() {
        use MemberState::{Down, Leaving, Up};
        let mut report = report();
        let steps = [
            (Up, 1, Some(Change::Joined)),
            (Up, 1, None),
            (Up, 2, Some(Change::Restarted)),
            (Down, 2, Some(Change::Down)),
            (Down, 2, None),
            (Up, 3, Some(Change::Joined)),
            (Leaving, 3, Some(Change::Leaving)),
            (Down, 3, Some(Change::Left)),
        ];
        for (state, epoch, expected) in steps {
            let events = report.members(&map(&[("me", Up, 1), ("other", state, epoch)]));
            let expected = expected.map(|change| Event {
                name: "other".into(),
                address: "other:1".to_owned(),
                change,
            });
            assert_eq!(events, Vec::from_iter(expected), "{state:?} {epoch}");
        }
    }

    #[test]
    fn hearsay_of_the_dead_is_no_event() {
        let mut report = report();
        let dead = map(&[("other", MemberState::Down, 1)]);
        assert_eq!(report.members(&dead), []);
        // Who was forgotten comes anew.
        assert_eq!(report.members(&map(&[])), []);
        assert_eq!(
            report.members(&map(&[("other", MemberState::Up, 1)])).len(),
            1
        );
    }

    #[test]
    fn moves_are_told_when_it_is_quiet() {
        let mut report = report();
        let some: Vec<_> = PartitionId::all().take(10).map(|p| (p, 1)).collect();
        assert_eq!(report.tick(), None);
        report.roles(&some[..5], true);
        assert_eq!(report.tick(), None);
        report.roles(&some[5..], true);
        report.roles(&some[..5], true);
        report.roles(&some[..2], false);
        assert_eq!(report.tick(), None);
        assert_eq!(
            report.tick(),
            Some(Moves {
                taken: 10,
                given: 2
            })
        );
        assert_eq!(report.tick(), None);
    }

    #[test]
    fn takeovers_are_told_once() {
        let mut report = report();
        let figures = |promotions, taken_empty| Figures {
            promotions,
            taken_empty,
            ..Figures::default()
        };
        let told = |promoted, empty| Takeovers { promoted, empty };
        assert_eq!(report.takeovers(&figures(0, 0)), told(0, 0));
        assert_eq!(report.takeovers(&figures(5, 1)), told(5, 1));
        assert_eq!(report.takeovers(&figures(5, 1)), told(0, 0));
        assert_eq!(report.takeovers(&figures(7, 1)), told(2, 0));
    }

    #[test]
    fn moves_without_end_are_told_once_a_second() {
        let mut report = report();
        let mut told = 0;
        for partition in PartitionId::all().take(25) {
            report.roles(&[(partition, 1)], true);
            told += report.tick().map_or(0, |moves| {
                assert_eq!(moves.taken, TICKS_MAX as usize);
                1
            });
        }
        assert_eq!(told, 2);
    }
}
