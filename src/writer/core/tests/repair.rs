//! What a copy takes its owner's word for, and for how long.

use std::collections::{BTreeMap, HashSet};

use super::*;

const LONG_AGO: u64 = NOW.0 - 60_000;

/// A copy with an old entry, and how it follows its owner.
fn copy() -> (Node, Followed) {
    let mut node = Node::new(COPY);
    node.is(&Role::Backup(OWNER), 1);
    let put = moved("key", entry("1", at(LONG_AGO, OWNER)));
    assert!(node.core.absorb(OWNER, &put, NOW));
    let followed = follow(&node, OWNER);
    (node, followed)
}

fn follow(node: &Node, owner: NodeId) -> Followed {
    let turn = |p: PartitionId| Some((p, node.core.turn_behind(p, owner)?));
    let turns: BTreeMap<_, _> = PartitionId::all().filter_map(turn).collect();
    Followed { owner, turns }
}

/// What an owner that has nothing would have removed.
fn unseen(node: &mut Node, followed: &Followed) -> Vec<Doubtful> {
    let mut unseen = Vec::new();
    let what = (&HashSet::new(), NOW);
    let next = node
        .core
        .find_unseen(Cursor::default(), followed, what, NOW, &mut unseen);
    assert_eq!(next, None);
    unseen
}

#[test]
fn what_the_owner_has_not_is_removed() {
    let (mut node, followed) = copy();
    let unseen = unseen(&mut node, &followed);
    assert_eq!(unseen.len(), 1);
    assert!(node.core.remove_doubtful(&followed, &unseen[0], NOW));
    assert_eq!(node.peek("key"), None);
}

#[test]
fn another_owner_s_copy_is_left_alone() {
    for role in [Role::Backup(THIRD), Role::alone(), Role::Elsewhere] {
        // Whoever was restarted has nothing, and says so.
        let (mut node, followed) = copy();
        let unseen = unseen(&mut node, &followed);
        node.is(&role, 2);
        assert!(!node.core.remove_doubtful(&followed, &unseen[0], NOW));
        let older = moved("key", entry("0", at(LONG_AGO - 1, OWNER)));
        assert!(!node.core.overrule(&followed, &older, NOW, NOW));
        // Nor after it has become the owner again.
        node.is(&Role::Backup(OWNER), 3);
        assert!(!node.core.remove_doubtful(&followed, &unseen[0], NOW));
        assert!(!node.core.overrule(&followed, &older, NOW, NOW));
        assert_eq!(node.peek("key").unwrap().version, at(LONG_AGO, OWNER));
        assert!(follow(&node, THIRD).turns.is_empty());
    }
}

#[test]
fn what_has_come_meanwhile_stays() {
    let (mut node, followed) = copy();
    let unseen = unseen(&mut node, &followed);
    let newer = moved("key", entry("2", at(LONG_AGO + 1, OWNER)));
    assert!(node.core.absorb(OWNER, &newer, NOW));
    assert!(!node.core.remove_doubtful(&followed, &unseen[0], NOW));
    assert!(node.peek("key").is_some());
}

#[test]
fn the_owner_s_word_counts_against_an_old_entry() {
    let (mut node, followed) = copy();
    let older = moved("key", entry("0", at(LONG_AGO - 1, OWNER)));
    assert!(node.core.overrule(&followed, &older, NOW, NOW));
    assert_eq!(node.peek("key").unwrap().version, at(LONG_AGO - 1, OWNER));
}
