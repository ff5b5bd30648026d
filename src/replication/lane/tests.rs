//! What is sent when, what is kept, and who is told.

use super::*;

/// Keeps what it is given.
#[derive(Default)]
struct Recorder(Mutex<Vec<(u64, Bytes)>>);

impl Outlet for Recorder {
    fn effect(&self, number: u64, effect: &Bytes) {
        self.0.lock().push((number, effect.clone()));
    }
}

impl Recorder {
    fn open(lane: &Lane) -> Arc<Recorder> {
        let recorder = Arc::new(Recorder::default());
        lane.open(Arc::clone(&recorder) as Arc<dyn Outlet>);
        recorder
    }

    fn numbers(&self) -> Vec<u64> {
        self.0.lock().iter().map(|(number, _)| *number).collect()
    }
}

fn lane(bytes_max: usize) -> Lane {
    Lane::new(NodeId(2), bytes_max, 0)
}

/// Pushes so many effects; their tickets.
fn push(lane: &Lane, count: usize) -> Vec<Ticket> {
    let tickets: Vec<Ticket> = (0..count).map(|_| Ticket::new(1)).collect();
    for ticket in &tickets {
        lane.push(Bytes::from_static(b"effect"), Some(ticket.clone()));
    }
    tickets
}

fn outcomes(tickets: &[Ticket]) -> Vec<Option<bool>> {
    tickets.iter().map(Ticket::outcome).collect()
}

#[test]
fn answers_come_in_any_order() {
    let lane = lane(10_000);
    let tickets = push(&lane, 6);
    lane.answered(&[(4, 5), (1, 1)], true, &mut Vec::new());
    let yes = Some(true);
    assert_eq!(outcomes(&tickets), [None, yes, None, None, yes, yes]);
    assert!(lane.is_done_before(0) && !lane.is_done_before(1));
    lane.answered(&[(0, 0)], true, &mut Vec::new());
    assert!(lane.is_done_before(2), "both were answered for");
    assert!(!lane.is_done_before(3));
    lane.answered(&[(2, 2)], false, &mut Vec::new());
    assert_eq!(tickets[2].outcome(), Some(false), "it was refused");
    assert_eq!(lane.next_number(), 6);
    lane.answered(&[(3, 3)], true, &mut Vec::new());
    assert!(lane.is_done_before(6));
    assert_eq!(lane.bytes(), 0);
    // Numbers go on where they were.
    assert_eq!(lane.next_number(), 6);
    let more = push(&lane, 1);
    lane.answered(&[(0, 5)], false, &mut Vec::new());
    assert_eq!(outcomes(&more), [None], "an answer does not count twice");
    assert_eq!(lane.next_number(), 7);
}

#[test]
fn answers_for_what_was_not_sent_are_ignored() {
    let lane = lane(10_000);
    lane.answered(
        &[(0, u64::MAX), (5, 2), (u64::MAX, u64::MAX)],
        true,
        &mut Vec::new(),
    );
    let tickets = push(&lane, 2);
    assert_eq!(outcomes(&tickets), [None, None]);
    lane.answered(&[(1, 0), (1, u64::MAX)], true, &mut Vec::new());
    assert_eq!(outcomes(&tickets), [None, Some(true)]);
    assert_eq!(lane.next_number(), 2);
}

#[test]
fn a_new_session_gets_what_is_kept_in_order_and_nothing_else() {
    let lane = lane(10_000);
    push(&lane, 2);
    let first = Recorder::open(&lane);
    assert_eq!(
        first.numbers(),
        [0, 1],
        "what was kept before there was one"
    );
    push(&lane, 3);
    assert_eq!(first.numbers(), [0, 1, 2, 3, 4]);
    lane.answered(&[(0, 0), (2, 3)], true, &mut Vec::new());
    let second = Recorder::open(&lane);
    assert_eq!(second.numbers(), [1, 4]);
    push(&lane, 1);
    assert_eq!(second.numbers(), [1, 4, 5]);
    assert_eq!(first.numbers().len(), 5, "the old session is over");
    // Whichever session it came over, an answer counts.
    lane.answered(&[(1, 1), (4, 5)], true, &mut Vec::new());
    assert!(Recorder::open(&lane).numbers().is_empty());
}

#[test]
fn without_a_session_effects_are_kept() {
    let lane = lane(10_000);
    let recorder = Recorder::open(&lane);
    lane.suspend();
    let tickets = push(&lane, 2);
    assert!(recorder.numbers().is_empty());
    assert_eq!(outcomes(&tickets), [None, None]);
    assert!(lane.bytes() > 0);
    let next = Recorder::open(&lane);
    assert_eq!(next.numbers(), [0, 1]);
    assert_eq!(next.0.lock()[0].1, "effect");
}

#[test]
fn who_waits_for_a_dead_node_is_released() {
    let lanes = Lanes::new(10_000);
    let lane = lanes.lane(NodeId(2));
    assert!(Arc::ptr_eq(&lane, &lanes.lane(NodeId(2))));
    let recorder = Recorder::open(&lane);
    let waiting = push(&lane, 1).remove(0);
    let both = Ticket::new(2);
    lane.push(Bytes::from_static(b"x"), Some(both.clone()));
    waiting.when_done(|_| ());
    both.when_done(|_| ());
    lane.answered(&[(0, 0)], true, &mut Vec::new());
    let finished = lanes.close(NodeId(2));
    assert_eq!(
        finished.len(),
        0,
        "one was answered before, one waits for another copy"
    );
    assert_eq!(both.outcome(), None);
    assert_eq!(lane.bytes(), 0);
    // Whoever still has the lane is not kept waiting, and nothing is sent.
    let late = push(&lane, 1);
    assert_eq!(outcomes(&late), [Some(true)]);
    assert_eq!(recorder.numbers().len(), 2);
    assert!(lane.has_room(usize::MAX / 2) && lane.is_done_before(u64::MAX));
    assert!(Recorder::open(&lane).numbers().is_empty());
    assert!(lanes.close(NodeId(2)).is_empty());
    // The next lane goes on with the numbers, so that a late answer means nothing to it.
    let next = lanes.lane(NodeId(2));
    assert!(!Arc::ptr_eq(&lane, &next));
    assert_eq!(next.next_number(), 2);
    next.push(Bytes::from_static(b"x"), Some(both.clone()));
    assert_eq!(lanes.close(NodeId(2)).len(), 1);
    assert_eq!(both.outcome(), Some(true));
}

#[test]
fn closing_tells_those_who_wait() {
    let lanes = Lanes::new(10_000);
    let lane = lanes.lane(NodeId(2));
    let tickets = push(&lane, 3);
    let told = Arc::new(Mutex::new(Vec::new()));
    for (number, ticket) in tickets.iter().enumerate() {
        let told = Arc::clone(&told);
        ticket.when_done(move |acknowledged| told.lock().push((number, acknowledged)));
    }
    let finished = lanes.close(NodeId(2));
    assert_eq!(finished.len(), 3);
    assert!(told.lock().is_empty(), "not under locks");
    finished.into_iter().for_each(Finished::tell);
    assert_eq!(*told.lock(), [(0, true), (1, true), (2, true)]);
}

#[test]
fn what_is_kept_is_bounded_in_bytes() {
    let bytes_max = 1_000;
    let lane = lane(bytes_max);
    assert!(lane.has_room(100_000), "a large one must be possible");
    lane.push(Bytes::from(vec![0; 100_000]), None);
    assert!(!lane.has_room(0), "but nothing beside it");
    lane.answered(&[(0, 0)], true, &mut Vec::new());
    let mut count = 0;
    while lane.has_room(100) {
        lane.push(Bytes::from(vec![0; 100]), None);
        count += 1;
        assert!(lane.bytes() <= bytes_max);
    }
    assert_eq!(count, bytes_max / (100 + KEPT_BYTES));
    // One answer leaves room for one more, wherever it is.
    lane.answered(&[(3, 3)], false, &mut Vec::new());
    assert!(lane.has_room(100));
}

#[test]
fn lanes_are_counted_together() {
    let lanes = Lanes::new(1_000);
    lanes.lane(NodeId(1)).push(Bytes::from(vec![0; 10]), None);
    lanes.lane(NodeId(2)).push(Bytes::from(vec![0; 20]), None);
    lanes.count_refused(3);
    let counters = lanes.counters();
    assert_eq!(counters.refused, 3);
    assert_eq!(counters.bytes, 30 + 2 * KEPT_BYTES as u64);
}

fn version(wall: u64) -> Version {
    Version {
        hlc: crate::version::Hlc(wall),
        node: NodeId(1),
    }
}

/// The copy lacks what the effect of this number changes; the lane sends it behind the whole.
fn lacks(lane: &Lane, number: u64, whole: &'static [u8]) {
    let key = Bytes::from_static(b"key");
    for lacking in lane.lacking(&[(number, number)]) {
        let whole_of = || Bytes::from_static(whole);
        let length = whole.len();
        lane.push_behind(lacking, &key, version(7), length, whole_of, &mut Vec::new());
    }
}

#[test]
fn what_a_copy_lacks_is_sent_before_what_changes_it() {
    let lane = lane(10_000);
    let wire = Recorder::open(&lane);
    let tickets = push(&lane, 3);
    (0..3).for_each(|number| lacks(&lane, number, b"whole"));
    let sent = |place: usize| wire.0.lock()[place].1.clone();
    assert_eq!(
        wire.numbers(),
        [0, 1, 2, 3],
        "the whole goes once, and the changes wait for it"
    );
    assert_eq!(&sent(3)[..], b"whole");
    assert_eq!(outcomes(&tickets), [None; 3]);
    assert!(lane.bytes() >= 3 * 6, "what waits is kept");
    lane.answered(&[(3, 3)], true, &mut Vec::new());
    assert_eq!(wire.numbers(), [0, 1, 2, 3, 4, 5, 6]);
    lane.answered(&[(4, 5)], true, &mut Vec::new());
    // The copy was begun anew meanwhile.
    lacks(&lane, 6, b"again");
    assert_eq!(&sent(7)[..], b"again");
    lane.answered(&[(7, 7)], true, &mut Vec::new());
    lane.answered(&[(8, 8)], true, &mut Vec::new());
    assert_eq!(outcomes(&tickets), [Some(true); 3]);
    assert_eq!(lane.bytes(), 0);
}

#[test]
fn a_whole_goes_when_there_is_room_for_it() {
    let lane = lane(400);
    let wire = Recorder::open(&lane);
    let tickets = push(&lane, 2);
    lacks(&lane, 1, &[b'x'; 390]);
    assert_eq!(wire.numbers(), [0, 1, 2], "the change alone");
    lane.answered(&[(0, 0)], true, &mut Vec::new());
    lacks(&lane, 2, &[b'x'; 390]);
    assert_eq!(wire.0.lock()[3].1.len(), 390);
    lane.answered(&[(3, 3)], false, &mut Vec::new());
    assert_eq!(outcomes(&tickets), [Some(true), Some(false)]);
    assert_eq!(lane.bytes(), 0);
}

#[test]
fn a_long_entry_is_not_sent_twice_because_a_change_overtook_it() {
    let lane = lane(10_000);
    let wire = Recorder::open(&lane);
    let key = Bytes::from_static(b"key");
    lane.push_long(&key, version(7), Bytes::from_static(b"long"), None);
    let tickets = push(&lane, 1);
    lacks(&lane, 1, b"whole");
    assert_eq!(wire.numbers(), [0, 1]);
    lane.answered(&[(0, 0)], true, &mut Vec::new());
    assert_eq!(wire.numbers(), [0, 1, 2]);
    lane.answered(&[(2, 2)], true, &mut Vec::new());
    assert_eq!(outcomes(&tickets), [Some(true)]);
}
