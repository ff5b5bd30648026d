//! What becomes of a request whose attempt failed: what is known of it, whether it may be sent again,
//! and how soon.
//!
//! Sent again is what certainly was not carried out, whatever it is; and, where nobody knows, only
//! what [`Request::is_repeatable`] says: reads, and writes whose name the cluster remembers.

use std::error::Error as _;
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, ConnectError, Status};

use crate::client::error::error_of;
use crate::client::{Error, Request};

/// How long the first pause is; each is twice the one before,
const PAUSE: Duration = Duration::from_millis(10);
/// up to so long.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// How often a request is sent again to nodes that have too much to do: more would be more to do.
const CROWDED_MAX: u32 = 3;
/// How long an attempt has at least that may be followed by another.
const ATTEMPT_MIN: Duration = Duration::from_millis(250);

/// What is known after an attempt that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) error: Error,
    /// The request was certainly not carried out.
    pub(super) is_untouched: bool,
    /// Nothing better is to be expected of another attempt.
    is_final: bool,
    /// Another node may be better.
    pub(super) leaves_node: bool,
    /// The node has too much to do.
    pub(super) is_crowded: bool,
    /// There was no connection to the node.
    pub(super) is_unreachable: bool,
    /// There was an answer, but longer than this client takes.
    is_too_long: bool,
}

impl Fate {
    /// Of an attempt that ended in a status.
    pub(super) fn of(status: &Status, address: &str) -> Fate {
        let base = Fate {
            error: Error::from(status),
            is_untouched: false,
            is_final: false,
            leaves_node: false,
            is_crowded: false,
            is_unreachable: false,
            is_too_long: false,
        };
        match error_of(status) {
            Some("overloaded" | "BUSY") => Fate {
                is_untouched: true,
                is_crowded: true,
                ..base
            },
            Some("not_ready" | "LOADING") => Fate {
                is_untouched: true,
                leaves_node: true,
                ..base
            },
            // The same through every node, but not for long.
            Some("no_owner" | "CLUSTERDOWN" | "too_few_members" | "NOREPLICAS") => Fate {
                is_untouched: true,
                ..base
            },
            Some("peer_lost" | "deadline" | "IOERR") => base,
            Some(_) => Fate {
                is_final: true,
                ..base
            },
            None => Fate::unheard(status, address),
        }
    }

    /// Of an attempt that no node has answered.
    fn unheard(status: &Status, address: &str) -> Fate {
        let base = Fate {
            error: Error::Deadline,
            is_untouched: false,
            is_final: false,
            leaves_node: true,
            is_crowded: false,
            is_unreachable: false,
            is_too_long: false,
        };
        if let Some(why) = never_connected(status) {
            let message = format!("no node answers at {address} ({why})");
            return Fate {
                error: Error::Unavailable(message),
                is_untouched: true,
                is_unreachable: true,
                ..base
            };
        }
        match status.code() {
            // Both are this client's own word for it.
            Code::Cancelled | Code::DeadlineExceeded => base,
            // An answer that is too long for this client is so the next time as well.
            Code::OutOfRange | Code::ResourceExhausted => Fate {
                error: Error::InvalidArgument(format!(
                    "the answer is longer than this client takes: {}",
                    status.message()
                )),
                is_final: true,
                leaves_node: false,
                is_too_long: true,
                ..base
            },
            Code::Unimplemented => Fate {
                error: Error::Unavailable(format!(
                    "what answers at {address} does not know gRPC's smache.v1: {}",
                    status.message()
                )),
                is_final: true,
                ..base
            },
            _ => Fate {
                error: Error::Lost(format!(
                    "the node at {address} broke off ({}); a write may have been applied",
                    root_cause(status)
                )),
                ..base
            },
        }
    }

    /// Of an attempt whose time is over.
    pub(super) fn silent() -> Fate {
        Fate {
            error: Error::Deadline,
            is_untouched: false,
            is_final: false,
            leaves_node: true,
            is_crowded: false,
            is_unreachable: false,
            is_too_long: false,
        }
    }

    /// Whether nothing better is to be expected.
    pub(super) fn is_final(&self) -> bool {
        self.is_final
    }

    /// What is told of it if it is the last attempt at a request. A write was carried out before its
    /// answer was too long.
    pub(super) fn error_for(self, request: &Request) -> Error {
        match self.is_too_long && !request.is_read() {
            true => Error::Lost(format!("{}; a write was probably applied", self.error)),
            false => self.error,
        }
    }

    /// Whether the request may be sent again.
    pub(super) fn allows_another(&self, request: &Request) -> bool {
        !self.is_final && (self.is_untouched || request.is_repeatable())
    }
}

/// Why there was no connection for the request to leave on.
fn never_connected(status: &Status) -> Option<String> {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return Some(lowest(error));
        }
        cause = error.source();
    }
    None
}

fn root_cause(status: &Status) -> String {
    match status.source() {
        Some(error) => lowest(error),
        None => status.message().to_owned(),
    }
}

/// What lies under the layers of an error.
fn lowest(mut error: &(dyn std::error::Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// How the attempts of one request follow each other.
#[derive(Debug)]
pub(super) struct Pace {
    nodes: u32,
    tries: u32,
    crowded: u32,
}

impl Pace {
    pub(super) fn new(nodes: usize) -> Pace {
        Pace {
            nodes: u32::try_from(nodes).unwrap_or(u32::MAX).max(1),
            tries: 0,
            crowded: 0,
        }
    }

    /// Until when an attempt is waited for. A node that is silent must not take the whole time of a
    /// request that another could answer.
    pub(super) fn attempt_end(
        &self,
        request: &Request,
        now: Instant,
        deadline: Instant,
    ) -> Instant {
        if self.nodes < 2 || !request.is_repeatable() {
            return deadline;
        }
        let left = deadline.saturating_duration_since(now);
        deadline.min(now + (left / 2).max(ATTEMPT_MIN))
    }

    /// Whether all nodes were asked equally often.
    pub(super) fn is_round_over(&self) -> bool {
        self.tries.is_multiple_of(self.nodes)
    }

    /// How long to wait before the next attempt, at another node or at the same; `None` if there should
    /// be none.
    pub(super) fn next(&mut self, is_crowded: bool, leaves_node: bool) -> Option<Duration> {
        self.tries += 1;
        if is_crowded {
            self.crowded += 1;
            if self.crowded > CROWDED_MAX {
                return None;
            }
        } else if leaves_node && !self.is_round_over() {
            // The next one may be better at once; the same is hardly.
            return Some(Duration::ZERO);
        }
        let round = (self.tries / self.nodes).saturating_sub(1).min(8);
        let longest = (PAUSE * (1 << round)).min(PAUSE_MAX);
        // So that clients which failed together do not come back together.
        Some(longest.mul_f64(rand::random_range(0.5..1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Lifetime;

    fn named(code: Code, name: &str) -> Fate {
        let mut status = Status::new(code, "so");
        status
            .metadata_mut()
            .insert("smache-error", name.parse().unwrap());
        Fate::of(&status, "http://there")
    }

    fn raw() -> Request {
        Request::Run(vec!["INCR".into(), "k".into()])
    }

    fn increment() -> Request {
        let (key, by, ttl) = ("k".to_owned(), 1, None);
        Request::Increment { key, by, ttl }
    }

    fn lifetime() -> Request {
        Request::SetLifetime("k".to_owned(), Lifetime::Forever)
    }

    #[test]
    fn what_was_not_carried_out_is_sent_again() {
        for name in ["not_ready", "no_owner", "overloaded", "BUSY", "LOADING"] {
            let fate = named(Code::Unavailable, name);
            assert!(fate.allows_another(&raw()), "{name}");
            assert!(fate.allows_another(&lifetime()), "{name}");
        }
        let mut status = Status::unavailable("no");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        status.set_source(std::sync::Arc::new(ConnectError(refused.into())));
        let fate = Fate::of(&status, "http://there");
        assert!(fate.allows_another(&raw()) && fate.leaves_node);
        assert!(fate.error.to_string().contains("http://there"), "{fate:?}");
    }

    #[test]
    fn what_may_have_been_carried_out_is_sent_again_only_by_name() {
        for fate in [
            named(Code::Unavailable, "peer_lost"),
            named(Code::DeadlineExceeded, "deadline"),
            named(Code::Unknown, "IOERR"),
            Fate::of(&Status::unknown("connection reset"), "http://there"),
            Fate::silent(),
        ] {
            assert!(!fate.allows_another(&raw()), "{fate:?}");
            assert!(!fate.allows_another(&lifetime()), "{fate:?}");
            assert!(fate.allows_another(&increment()), "{fate:?}");
            assert!(fate.error.may_be_applied(), "{fate:?}");
        }
    }

    #[test]
    fn what_is_answered_is_not_sent_again() {
        for (code, name) in [
            (Code::FailedPrecondition, "wrong_type"),
            (Code::OutOfRange, "counter_overflow"),
            (Code::Unauthenticated, "unauthorized"),
            (Code::ResourceExhausted, "full"),
            (Code::Unknown, "unanswered"),
            (Code::InvalidArgument, "ERR"),
        ] {
            let fate = named(code, name);
            assert!(!fate.allows_another(&increment()), "{name}");
        }
    }

    #[test]
    fn a_write_with_too_long_an_answer_may_be_applied() {
        let fate = || Fate::of(&Status::out_of_range("found 9 bytes"), "http://there");
        for write in [increment(), raw()] {
            assert!(!fate().allows_another(&write), "{write:?}");
            let error = fate().error_for(&write);
            let is_lost = matches!(&error, Error::Lost(text) if text.contains("9 bytes"));
            assert!(is_lost && error.may_be_applied(), "{error:?}");
        }
        let read = Request::Get("k".to_owned());
        assert!(!fate().allows_another(&read));
        let error = fate().error_for(&read);
        assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
    }

    #[test]
    fn all_nodes_are_tried_before_the_first_pause() {
        let mut pace = Pace::new(3);
        let pauses: Vec<Duration> = (0..6).map_while(|_| pace.next(false, true)).collect();
        let is_pause: Vec<bool> = pauses.iter().map(|pause| !pause.is_zero()).collect();
        assert_eq!(is_pause, [false, false, true, false, false, true]);
        assert!(pauses[2] <= PAUSE && pauses[5] <= 2 * PAUSE);
        for _ in 0..100 {
            assert!(pace.next(false, true).unwrap() <= PAUSE_MAX);
        }
        let mut same = Pace::new(3);
        for _ in 0..3 {
            assert!(!same.next(false, false).unwrap().is_zero());
        }
        let mut crowded = Pace::new(3);
        let pauses = std::iter::from_fn(|| crowded.next(true, false)).count();
        assert_eq!(pauses, CROWDED_MAX as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_node_does_not_take_all_the_time() {
        let now = Instant::now();
        let deadline = now + Duration::from_secs(4);
        let half = now + Duration::from_secs(2);
        let two = Pace::new(2);
        assert_eq!(two.attempt_end(&increment(), now, deadline), half);
        assert_eq!(two.attempt_end(&raw(), now, deadline), deadline);
        assert_eq!(
            Pace::new(1).attempt_end(&increment(), now, deadline),
            deadline
        );
    }
}
