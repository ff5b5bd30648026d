//! A link between two recorders: what is sent when, and what is answered when the way is full or
//! gone.

use proptest::prelude::*;

use super::*;
use crate::cluster::codec::{read_request, read_response, write_message};
use crate::command::{Entry, Kind, Reply};
use crate::router;
use crate::version::Version;

/// Keeps what it is given to send.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Vec<u8>>>);

impl Transport for Recorder {
    fn dial(&self, _address: &str) {}

    fn send(&self, _session: SessionId, frame: Vec<u8>) {
        self.0.lock().push(frame);
    }

    fn close(&self, _session: SessionId, _reason: &str) {}

    fn shutdown(&self) {}
}

struct End {
    link: Arc<Link>,
    recorder: Arc<Recorder>,
}

impl End {
    fn new(bytes_max: usize) -> End {
        let recorder = Arc::new(Recorder::default());
        let transport: Arc<dyn Transport> = Arc::clone(&recorder) as _;
        End {
            link: Link::new(NodeId(1), SessionId(1), transport, bytes_max),
            recorder,
        }
    }

    /// A request with so many bytes in it.
    fn ask(&self, bytes: usize) -> Result<Answer, Error> {
        let asked = self.link.request(bytes, later(), |out, id| {
            out.extend_from_slice(&id.to_le_bytes());
            out.resize(out.len() + bytes, b'x');
        });
        asked.map(|(_, answer)| answer)
    }

    /// What goes out now.
    fn sent(&self) -> Vec<Vec<u8>> {
        self.link.pump();
        std::mem::take(&mut *self.recorder.0.lock())
    }

    fn take(&self, frame: Vec<u8>) -> Result<Vec<(MessageKind, Bytes)>, Malformed> {
        let mut messages = Vec::new();
        self.link.receive(frame, |kind, body| {
            messages.push((kind, body));
            Ok(())
        })?;
        Ok(messages)
    }

    /// Tells this end that the other one has received so much.
    fn acknowledge(&self, bytes: u64) {
        let nothing = self.take(bytes.to_le_bytes().to_vec());
        assert_eq!(nothing, Ok(Vec::new()));
    }

    fn waiting(&self) -> usize {
        self.link.pending.lock().waiting.len()
    }
}

/// A deadline that no test reaches.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

type Answer = oneshot::Receiver<Result<Response, Error>>;

/// Sends all that `from` has, back and forth, and returns what arrived.
fn exchange(from: &End, to: &End) -> Vec<(MessageKind, Bytes)> {
    let mut messages = Vec::new();
    loop {
        let frames = from.sent();
        if frames.is_empty() {
            return messages;
        }
        for frame in frames {
            messages.extend(to.take(frame).unwrap());
        }
        for frame in to.sent() {
            from.take(frame).unwrap();
        }
    }
}

fn length(frames: &[Vec<u8>]) -> u64 {
    frames.iter().map(|frame| frame.len() as u64).sum()
}

#[test]
fn callers_share_a_frame() {
    let end = End::new(1 << 20);
    let answers: Vec<_> = (0..10).map(|_| end.ask(100).unwrap()).collect();
    let frames = end.sent();
    assert_eq!(frames.len(), 1);
    assert_eq!(End::new(1 << 20).take(frames[0].clone()).unwrap().len(), 10);
    assert_eq!(answers.len(), 10);
}

#[test]
fn no_more_is_under_way_than_the_window() {
    let end = End::new(64 << 20);
    let total = 4 * WINDOW_BYTES;
    let count = total / 10_000;
    let _answers: Vec<_> = (0..count).map(|_| end.ask(10_000).unwrap()).collect();
    let mut acknowledged = 0;
    let mut sent = 0;
    while sent < total {
        let now = length(&end.sent());
        assert!(now > 0, "the window is open, and nothing goes");
        sent += now;
        let under_way = sent - acknowledged;
        assert!(under_way < WINDOW_BYTES + 2 * FRAME_BYTES as u64);
        assert_eq!(length(&end.sent()), 0, "the window is shut");
        acknowledged = sent - WINDOW_BYTES / 4;
        end.acknowledge(acknowledged);
    }
    // Nobody can acknowledge what was not sent.
    end.acknowledge(u64::MAX);
    let out = end.link.out.lock();
    assert_eq!(out.acked, out.sent);
}

#[test]
fn what_was_received_is_acknowledged_although_nothing_is_to_be_said() {
    let (a, b) = (End::new(64 << 20), End::new(64 << 20));
    let _answers: Vec<_> = (0..1_000).map(|_| a.ask(10_000).unwrap()).collect();
    // More than a window: it arrives whole only if acknowledgements come back.
    assert_eq!(exchange(&a, &b).len(), 1_000);
}

#[test]
fn a_long_message_goes_in_pieces_and_lets_short_ones_pass() {
    let (a, b) = (End::new(64 << 20), End::new(64 << 20));
    let bytes = 3 << 20;
    let _long = a.ask(bytes).unwrap();
    let _short = a.ask(10).unwrap();
    let frames = a.sent();
    assert!(frames.iter().all(|frame| frame.len() <= PIECE_BYTES + 64));
    let mut arrived = Vec::new();
    for frame in frames {
        arrived.push(b.take(frame).unwrap());
    }
    let short = arrived.iter().position(|messages| !messages.is_empty());
    assert!(short < Some(3), "the short one waited for the long one");
    let all: Vec<_> = arrived.into_iter().flatten().collect();
    assert_eq!(all.len(), 2);
    let (kind, body) = &all[1];
    assert_eq!(*kind, MessageKind::Request);
    assert_eq!(body.len(), bytes + 8);
    assert!(body[8..].iter().all(|byte| *byte == b'x'));
    assert_eq!(b.link.incoming.lock().bytes, 0);
    assert_eq!(a.link.out.lock().queued, 0);
}

#[test]
fn no_more_long_messages_are_begun_than_the_other_end_puts_together() {
    let mut out = Out::default();
    for number in 0..4 {
        out.long.push_back(Long {
            number,
            kind: MessageKind::Request,
            body: vec![0; MESSAGE_BYTES_MAX / 2 - 1],
            done: 0,
        });
        out.queued += MESSAGE_BYTES_MAX / 2 - 1;
    }
    let mut most = 0;
    while out.take(true).is_some() {
        most = most.max(out.begun.len());
        assert!(out.begun_bytes <= MESSAGE_BYTES_MAX);
        if out.begun.iter().any(|long| long.done > 10 * PIECE_BYTES) {
            // Far enough to see that they take turns; make the rest short.
            for long in &mut out.begun {
                out.begun_bytes -= long.body.len() - long.done - 1;
                out.queued -= long.body.len() - long.done - 1;
                long.body.truncate(long.done + 1);
            }
        }
    }
    assert_eq!(most, 2);
    assert_eq!((out.begun_bytes, out.queued), (0, 0));
}

#[tokio::test]
async fn a_session_that_ends_says_what_is_known_of_each_request() {
    let end = End::new(64 << 20);
    let sent = end.ask(10).unwrap();
    assert_eq!(end.sent().len(), 1);
    let unsent = end.ask(10).unwrap();
    end.link.close();
    assert_eq!(sent.await, Ok(Err(Error::Lost)));
    assert_eq!(unsent.await, Ok(Err(Error::NotConnected)));
    assert_eq!(end.ask(10).err(), Some(Error::NotConnected));
    assert_eq!(end.waiting(), 0);
}

#[tokio::test]
async fn behind_a_shut_window_nothing_counts_as_sent() {
    let end = End::new(64 << 20);
    let _window: Vec<_> = (0..500).map(|_| end.ask(10_000).unwrap()).collect();
    end.sent();
    let unsent = end.ask(10).unwrap();
    assert!(end.sent().is_empty());
    end.link.close();
    assert_eq!(unsent.await, Ok(Err(Error::NotConnected)));
}

#[tokio::test]
async fn answers_find_whoever_asked() {
    let end = End::new(1 << 20);
    let (first, mut second) = (end.ask(1).unwrap(), end.ask(1).unwrap());
    let id = *end.link.pending.lock().waiting.keys().min().unwrap();
    let asker = end.link.asker(id).unwrap();
    asker.send(Ok(Response::Elsewhere)).unwrap();
    assert!(end.link.asker(999).is_none());
    assert!(end.link.asker(id).is_none(), "it is answered once");
    assert_eq!(first.await, Ok(Ok(Response::Elsewhere)));
    assert!(second.try_recv().is_err(), "it was not asked for");
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_kept_although_nothing_else_happens() {
    let end = End::new(1 << 20);
    tokio::spawn(Arc::clone(&end.link).run());
    let soon = Instant::now() + Duration::from_millis(300);
    let (_, early) = end.link.request(1, soon, |out, _| out.push(0)).unwrap();
    let mut late = end.ask(1).unwrap();
    assert_eq!(early.await, Ok(Err(Error::Deadline)));
    let waited = Instant::now().duration_since(soon);
    assert!(waited <= 2 * SWEEP_EVERY, "{waited:?}");
    assert!(late.try_recv().is_err(), "its deadline is another one");
    assert_eq!(end.waiting(), 1);
}

#[test]
fn a_full_queue_refuses_requests_but_not_the_machine() {
    let end = End::new(10_000);
    let mut asked = Vec::new();
    let refused = loop {
        match end.ask(1_000) {
            Ok(answer) => asked.push(answer),
            Err(error) => break error,
        }
        assert!(asked.len() < 20, "the queue has no bound");
    };
    assert_eq!(refused, Error::Overloaded);
    assert_eq!(
        end.waiting(),
        asked.len(),
        "nobody waits for what was refused"
    );
    let long = end
        .link
        .request(1 << 20, later(), |out, _| out.resize(1 << 20, 0));
    assert_eq!(long.err(), Some(Error::Overloaded));
    end.link.control(b"{}".to_vec());
    let frames = end.sent();
    let messages = End::new(0).take(frames[0].clone()).unwrap();
    let (kind, body) = messages.last().unwrap();
    assert_eq!((*kind, &body[..]), (MessageKind::Control, &b"{}"[..]));
    // What has gone out leaves room.
    assert!(end.ask(1_000).is_ok());
}

fn entry(bytes: usize) -> Entry {
    Entry {
        tag: None,
        kind: Kind::Json,
        data: vec![b'x'; bytes].into(),
        version: Version::default(),
        expires_at: None,
    }
}

/// What the other end hears when this is answered over a full queue.
fn answered_when_full(response: &Response) -> Response {
    let (a, b) = (End::new(1_000), End::new(1 << 20));
    let _fills_it = a.ask(1_000).unwrap();
    a.link.respond(77, response);
    let messages = exchange(&a, &b);
    let answer = |(kind, body): &(_, Bytes)| {
        (*kind == MessageKind::Response).then(|| read_response(body.clone()).unwrap())
    };
    let answers: Vec<_> = messages.iter().filter_map(answer).collect();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].0, 77);
    answers.into_iter().next().unwrap().1
}

#[test]
fn an_applied_write_is_never_called_refused() {
    for bytes in [10, 1 << 20] {
        let patched = Response::Reply(Reply::Stored {
            entry: entry(bytes),
            created: false,
        });
        let said = answered_when_full(&patched);
        assert_eq!(said, Response::Error(router::Error::Unanswered));
    }
    // What is short is said as it is.
    let put = Response::Stored {
        version: Version::default(),
        expires_at: None,
        created: true,
    };
    for short in [
        put,
        Response::Reply(Reply::Deleted(true)),
        Response::Reply(Reply::ConditionFailed { current: None }),
        Response::Elsewhere,
    ] {
        assert_eq!(answered_when_full(&short), short);
    }
}

#[test]
fn a_read_without_room_for_its_answer_is_refused() {
    let refused = Response::Error(router::Error::Overloaded { peer: None });
    for bytes in [10, 1 << 20] {
        let read = Response::Reply(Reply::Value(Some(entry(bytes))));
        assert_eq!(answered_when_full(&read), refused);
        let moved = crate::writer::Moved {
            partition: crate::key::PartitionId(1),
            key: Bytes::from_static(b"key"),
            entry: entry(bytes),
        };
        let pulled = Response::Pulled {
            entries: vec![moved],
            next: None,
        };
        assert_eq!(answered_when_full(&pulled), refused);
    }
}

#[test]
fn the_reserve_has_an_end_as_well() {
    let end = End::new(0);
    let many = 2 * RESERVE_BYTES / 20;
    for id in 0..many as u64 {
        end.link.respond(id, &Response::Elsewhere);
    }
    assert!(end.link.backlog() <= RESERVE_BYTES as u64 + 1_000);
}

#[test]
fn an_answer_comes_whole_whatever_its_length() {
    let (a, b) = (End::new(64 << 20), End::new(64 << 20));
    for bytes in [0, 1, DIRECT_BYTES - 1, DIRECT_BYTES, PIECE_BYTES, 9 << 20] {
        let response = Response::Reply(Reply::Value(Some(entry(bytes))));
        a.link.respond(5, &response);
        let messages = exchange(&a, &b);
        assert_eq!(messages.len(), 1, "{bytes}");
        assert_eq!(read_response(messages[0].1.clone()), Ok((5, response)));
    }
}

/// A frame with one piece in it.
fn piece(number: u64, total: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    write_message(&mut frame, MessageKind::Fragment, |out| {
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&total.to_le_bytes());
        out.extend_from_slice(body);
    });
    frame
}

#[test]
fn pieces_that_do_not_fit_are_malformed() {
    let too_long = u32::try_from(MESSAGE_BYTES_MAX).unwrap() + 1;
    for (total, body) in [(too_long, &b"x"[..]), (2, &b"xxx"[..]), (0, b"x"), (5, b"")] {
        let end = End::new(0);
        assert_eq!(end.take(piece(1, total, body)), Err(Malformed), "{total}");
    }
    // The first byte is the kind; there is no ninth.
    assert_eq!(End::new(0).take(piece(1, 2, &[9, 0])), Err(Malformed));
    let whole = End::new(0).take(piece(1, 3, &[1, b'a', b'b']));
    let request = (MessageKind::Request, Bytes::from_static(b"ab"));
    assert_eq!(whole, Ok(vec![request]));
}

#[test]
fn nobody_begins_messages_without_end() {
    let end = End::new(0);
    let begun = (0..10_000).take_while(|number| end.take(piece(*number, 9, &[1])).is_ok());
    assert_eq!(begun.count(), MESSAGES_MAX);
    // A claim costs nothing: what is held is what has come.
    assert_eq!(end.link.incoming.lock().bytes, MESSAGES_MAX);
}

proptest! {
    #[test]
    fn random_frames_never_panic(frames in proptest::collection::vec(
        proptest::collection::vec(any::<u8>(), 0..200), 1..20,
    )) {
        let end = End::new(1 << 20);
        for frame in frames {
            let _ = end.take(frame);
            end.link.pump();
        }
    }

    #[test]
    fn whatever_is_asked_arrives_once_and_whole(
        lengths in proptest::collection::vec(prop_oneof![0..2_000_usize, 0..400_000_usize], 1..40),
    ) {
        let (a, b) = (End::new(64 << 20), End::new(64 << 20));
        let request = |bytes: usize| codec::Request::Execute(crate::command::Command::MergePatch {
            key: crate::key::Key::new(&b"key"[..], 100).unwrap(),
            patch: vec![b'p'; bytes].into(),
            condition: crate::command::Condition::None,
        }, Some(crate::command::OperationId(7)));
        let mut answers = Vec::new();
        for bytes in &lengths {
            let asked = a.link.request(*bytes, later(), |out, id| {
                codec::write_request(out, id, 7, &request(*bytes));
            });
            answers.push(asked.unwrap());
        }
        let mut arrived: Vec<_> = exchange(&a, &b)
            .into_iter()
            .map(|(_, body)| read_request(body).unwrap())
            .collect();
        arrived.sort_by_key(|(id, ..)| *id);
        let mut expected: Vec<_> = answers.iter().zip(&lengths).map(|((id, _), bytes)| {
            (*id, 7, request(*bytes))
        }).collect();
        expected.sort_by_key(|(id, ..)| *id);
        prop_assert_eq!(arrived, expected);
    }
}

#[test]
fn words_arrive_whole_and_in_order_whatever_their_length() {
    let (from, to) = (End::new(64 << 20), End::new(64 << 20));
    let words: Vec<Vec<u8>> = [
        1,
        DIRECT_BYTES,
        2,
        5 * DIRECT_BYTES + 1,
        3,
        WINDOW_BYTES as usize,
    ]
    .into_iter()
    .zip(b'a'..)
    .map(|(length, letter)| vec![letter; length])
    .collect();
    for word in &words {
        assert!(live::Outlet::word(from.link.as_ref(), word, false));
    }
    let arrived = exchange(&from, &to);
    let expected: Vec<_> = words
        .into_iter()
        .map(|word| (MessageKind::Live, Bytes::from(word)))
        .collect();
    assert!(arrived == expected);
    assert_eq!(from.link.out.lock().queued, 0);
}

#[test]
fn words_give_way_before_requests_do() {
    let end = End::new(4 * DIRECT_BYTES);
    let word = vec![b'w'; DIRECT_BYTES];
    let say = |must| live::Outlet::word(end.link.as_ref(), &word, must);
    assert!(say(false));
    assert!(!say(false), "a quarter of the queue is full");
    assert!(end.ask(10).is_ok());
    assert!(say(true), "what must go goes");
}

#[test]
fn a_word_grows_no_longer_than_words_are() {
    let end = End::new(1 << 20);
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    write_message(&mut frame, MessageKind::Live, |out| {
        out.push(1);
        out.resize(out.len() + (1 << 20), b'x');
    });
    let takes = |_| end.take(frame.clone()).is_ok();
    let taken = (0..100).take_while(|n| takes(*n)).count();
    assert_eq!(taken, WORD_BYTES_MAX >> 20);
    let mut nothing = vec![0; FRAME_HEAD_BYTES];
    write_message(&mut nothing, MessageKind::Live, |_| ());
    assert_eq!(end.take(nothing), Err(Malformed));
}
