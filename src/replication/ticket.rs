//! Somebody who waits until a write is with all copies.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Waits for the acknowledgements of one write; cheap to clone.
#[derive(Clone)]
pub struct Ticket(Arc<Mutex<State>>);

struct State {
    /// Copies that have not acknowledged.
    left: usize,
    refused: bool,
    then: Option<Then>,
    /// Whoever sent the operation again waits as well.
    others: Vec<Then>,
}

impl State {
    fn wait(&mut self, then: Then) {
        match &self.then {
            None => self.then = Some(then),
            Some(_) => self.others.push(then),
        }
    }
}

enum Then {
    Wake(oneshot::Sender<bool>),
    Call(Box<dyn FnOnce(bool) + Send>),
}

/// A ticket that was done, whose owner is to be told outside of all locks.
pub struct Finished {
    then: Then,
    acknowledged: bool,
}

impl Finished {
    /// Tells it.
    pub fn tell(self) {
        match self.then {
            // Whoever waited may have gone away at its deadline.
            Then::Wake(sender) => drop(sender.send(self.acknowledged)),
            Then::Call(call) => call(self.acknowledged),
        }
    }

    /// Whether telling wakes a task, rather than doing what is to be done at once.
    #[must_use]
    pub fn wakes(&self) -> bool {
        matches!(self.then, Then::Wake(_))
    }
}

impl Ticket {
    /// A ticket that waits for so many acknowledgements.
    #[must_use]
    pub fn new(copies: usize) -> Ticket {
        Ticket(Arc::new(Mutex::new(State {
            left: copies,
            refused: false,
            then: None,
            others: Vec::new(),
        })))
    }

    /// One copy has answered. Those who are to be told now come out.
    pub(crate) fn answered(&self, acknowledged: bool, out: &mut Vec<Finished>) {
        let mut state = self.0.lock();
        state.refused |= !acknowledged;
        state.left = state.left.saturating_sub(1);
        if state.left == 0 {
            let acknowledged = !state.refused;
            let waiting = state.then.take();
            let waiting = waiting.into_iter().chain(state.others.drain(..));
            out.extend(waiting.map(|then| Finished { then, acknowledged }));
        }
    }

    /// Calls `then` once all copies have answered: with true if all have taken the write. It may be
    /// called at once, or on the thread on which the last answer comes in.
    pub fn when_done(&self, then: impl FnOnce(bool) + Send + 'static) {
        let mut state = self.0.lock();
        if state.left > 0 {
            state.wait(Then::Call(Box::new(then)));
            return;
        }
        let acknowledged = !state.refused;
        drop(state);
        then(acknowledged);
    }

    /// Waits until all copies have answered; whether all have taken the write.
    pub async fn done(&self) -> bool {
        let answer = {
            let mut state = self.0.lock();
            if state.left == 0 {
                return !state.refused;
            }
            let (sender, answer) = oneshot::channel();
            state.wait(Then::Wake(sender));
            answer
        };
        // A lane that is dropped with the node takes its tickets along.
        answer.await.unwrap_or(false)
    }

    /// Whether all copies have answered, and whether all have taken the write.
    #[must_use]
    pub fn outcome(&self) -> Option<bool> {
        let state = self.0.lock();
        (state.left == 0).then_some(!state.refused)
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Ticket")
            .field("left", &state.left)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Ticket {
    fn eq(&self, other: &Ticket) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Ticket {}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn answer(ticket: &Ticket, acknowledged: bool) -> usize {
        let mut finished = Vec::new();
        ticket.answered(acknowledged, &mut finished);
        let count = finished.len();
        finished.into_iter().for_each(Finished::tell);
        count
    }

    #[tokio::test]
    async fn all_who_wait_are_told_when_the_last_copy_answers() {
        let ticket = Ticket::new(2);
        let (told, heard) = mpsc::sync_channel(9);
        for number in 0..3 {
            let told = told.clone();
            ticket.when_done(move |acknowledged| told.send((number, acknowledged)).unwrap());
        }
        let wait = || {
            let ticket = ticket.clone();
            tokio::spawn(async move { ticket.done().await })
        };
        let waiting = [wait(), wait()];
        tokio::task::yield_now().await;
        assert_eq!(answer(&ticket, true), 0);
        assert_eq!((ticket.outcome(), heard.try_recv().ok()), (None, None));
        assert_eq!(answer(&ticket, true), 5);
        let heard: Vec<_> = heard.try_iter().collect();
        assert_eq!(heard, [(0, true), (1, true), (2, true)]);
        for waiting in waiting {
            assert!(waiting.await.unwrap());
        }
        assert_eq!(ticket.outcome(), Some(true));
    }

    #[tokio::test]
    async fn one_refusal_is_enough_but_all_are_waited_for() {
        for refused_at in 0..3 {
            let ticket = Ticket::new(3);
            let (told, heard) = mpsc::sync_channel(9);
            ticket.when_done(move |acknowledged| told.send(acknowledged).unwrap());
            for number in 0..3 {
                assert_eq!(ticket.outcome(), None);
                answer(&ticket, number != refused_at);
            }
            assert_eq!(heard.try_recv(), Ok(false));
            assert_eq!(ticket.outcome(), Some(false));
            assert!(!ticket.done().await);
        }
    }

    #[tokio::test]
    async fn who_comes_late_is_told_at_once() {
        let ticket = Ticket::new(1);
        assert_eq!(answer(&ticket, true), 0);
        assert!(ticket.done().await);
        let (told, heard) = mpsc::sync_channel(9);
        ticket.when_done(move |acknowledged| told.send(acknowledged).unwrap());
        assert_eq!(heard.try_recv(), Ok(true));
        // An answer too many changes nothing.
        assert_eq!(answer(&ticket, false), 0);
    }

    #[tokio::test]
    async fn who_has_gone_away_is_no_trouble() {
        let ticket = Ticket::new(1);
        let waiting = tokio::spawn({
            let ticket = ticket.clone();
            async move { ticket.done().await }
        });
        tokio::task::yield_now().await;
        waiting.abort();
        assert!(waiting.await.is_err());
        answer(&ticket, true);
        assert_eq!(ticket.outcome(), Some(true));
    }

    #[tokio::test]
    async fn what_wakes_a_task_says_so() {
        let ticket = Ticket::new(1);
        ticket.when_done(|_| ());
        let waiting = tokio::spawn({
            let ticket = ticket.clone();
            async move { ticket.done().await }
        });
        tokio::task::yield_now().await;
        let mut finished = Vec::new();
        ticket.answered(true, &mut finished);
        let wakes: Vec<bool> = finished.iter().map(Finished::wakes).collect();
        assert_eq!(wakes, [false, true]);
        finished.into_iter().for_each(Finished::tell);
        assert!(waiting.await.unwrap());
    }
}
