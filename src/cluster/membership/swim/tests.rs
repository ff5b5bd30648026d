use proptest::prelude::*;

use super::*;

fn swim(node: u32) -> Swim {
    let me = SwimId::new(NodeId(node), 1, 0);
    Swim::new(me, Duration::from_secs(2), u64::from(node))
}

fn id(node: u32) -> SwimId {
    SwimId::new(NodeId(node), 1, 0)
}

const NOW: UnixMs = UnixMs(1_000);

/// Hands packets to and fro until both are quiet.
fn exchange(a: &mut Swim, b: &mut Swim, now: UnixMs) {
    for _ in 0..20 {
        let (from_a, from_b) = (a.packets(), b.packets());
        if from_a.is_empty() && from_b.is_empty() {
            return;
        }
        for (_, packet) in from_a {
            b.receive(&packet, now);
        }
        for (_, packet) in from_b {
            a.receive(&packet, now);
        }
    }
    panic!("they never stop talking");
}

#[test]
fn two_that_think_each_other_down_find_each_other_again() {
    let (mut a, mut b) = (swim(1), swim(2));
    a.met(id(2), NOW);
    b.met(id(1), NOW);
    exchange(&mut a, &mut b, NOW);
    a.bury(NodeId(2), NOW);
    b.bury(NodeId(1), NOW);
    let _lost = (a.packets(), b.packets());
    assert!(!a.standings()[&NodeId(2)].1);
    a.announce(NodeId(2), 1, NOW);
    exchange(&mut a, &mut b, NOW);
    assert!(a.standings()[&NodeId(2)].1, "{a:?}");
    assert!(b.standings()[&NodeId(1)].1, "{b:?}");
}

#[test]
fn who_is_vouched_for_is_never_suspected() {
    let mut a = swim(1);
    a.met(id(2), NOW);
    for step in 0..600 {
        a.tick(NOW.plus(Duration::from_millis(100 * step)), |_| true);
    }
    assert!(a.standings()[&NodeId(2)].1);
    assert_eq!(a.counters.get(), Counts::default());
}

#[test]
fn who_is_silent_is_suspected_and_then_down() {
    let mut a = swim(1);
    a.met(id(2), NOW);
    let mut down_after = None;
    for step in 0..100 {
        a.tick(NOW.plus(Duration::from_millis(100 * step)), |_| false);
        if down_after.is_none() && !a.standings()[&NodeId(2)].1 {
            down_after = Some(step * 100);
        }
    }
    let after = down_after.expect("it is down");
    assert!((2_000..=4_000).contains(&after), "{after} ms");
    assert_eq!(a.counters.get().downs, 1);
    assert!(a.counters.get().suspicions >= 1);
}

#[test]
fn a_doubt_is_refuted_by_a_word() {
    let (mut a, mut b) = (swim(1), swim(2));
    a.met(id(2), NOW);
    b.met(id(1), NOW);
    a.doubt(NodeId(2), NOW);
    exchange(&mut a, &mut b, NOW);
    assert_eq!(b.counters.get().refutations, 1);
    a.decide(NOW.plus(Duration::from_secs(5)), |_| false);
    assert!(a.standings()[&NodeId(2)].1);
    // And one that is not is the end of it.
    a.doubt(NodeId(2), NOW);
    a.decide(NOW.plus(Duration::from_secs(5)), |_| false);
    assert!(!a.standings()[&NodeId(2)].1);
}

#[test]
fn a_restarted_node_beats_its_former_self() {
    let mut a = swim(1);
    a.met(id(2), NOW);
    a.bury(NodeId(2), NOW);
    a.met(SwimId::new(NodeId(2), 2, 0), NOW);
    let (standing, alive) = a.standings()[&NodeId(2)];
    assert_eq!((standing.boot_epoch, alive), (2, true));
    a.met(id(2), NOW);
    assert_eq!(a.standings()[&NodeId(2)].0.boot_epoch, 2);
}

proptest! {
    #[test]
    fn no_packet_panics(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1_500), 1..20)) {
        let mut a = swim(1);
        a.met(id(2), NOW);
        for packet in packets {
            a.receive(&packet, NOW);
            a.tick(NOW, |_| false);
        }
    }

    /// A true packet with some bytes changed gets further in.
    #[test]
    fn no_damaged_packet_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let (mut a, mut b) = (swim(1), swim(2));
        b.met(id(1), NOW);
        for other in 3..20 {
            b.met(id(other), NOW);
        }
        b.spread(NOW);
        b.announce(NodeId(1), 1, NOW);
        for (_, mut packet) in b.packets() {
            for (at, byte) in &changes {
                let at = at.index(packet.len());
                packet[at] = *byte;
            }
            a.receive(&packet, NOW);
        }
        a.tick(NOW.plus(Duration::from_secs(10)), |_| false);
    }
}
