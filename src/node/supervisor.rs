//! The restart supervisor: one-for-one, with intensity and period, as OTP has it.
//!
//! A child that fails, or ends without having been told to, is started again by its own
//! specification; the others are not touched. More than `intensity` restarts within `period` mean
//! that restarting does not help: then the supervisor stops its children and itself, and whoever
//! watches [`Supervisor::failure`] ends the node.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::watch;
use tokio::time::Instant;

type Starting = Pin<Box<dyn Future<Output = Result<ActorCell, SpawnErr>> + Send>>;

/// How a child is started, each time.
pub struct ChildSpec {
    /// For the log.
    pub name: String,
    /// Starts it, linked to the supervisor that is given.
    pub start: Box<dyn Fn(ActorCell) -> Starting + Send + Sync>,
}

impl ChildSpec {
    /// A child that is spawned from `actor()` with `arguments` each time.
    pub fn new<A>(
        name: impl Into<String>,
        actor: impl Fn() -> A + Send + Sync + 'static,
        arguments: A::Arguments,
        started: impl Fn(ActorRef<A::Msg>) + Send + Sync + 'static,
    ) -> ChildSpec
    where
        A: Actor,
        A::Arguments: Clone + Sync,
    {
        let started = Arc::new(started);
        let start = move |supervisor: ActorCell| -> Starting {
            let (actor, arguments, started) = (actor(), arguments.clone(), Arc::clone(&started));
            Box::pin(async move {
                let (child, _) = Actor::spawn_linked(None, actor, arguments, supervisor).await?;
                started(child.clone());
                Ok(child.get_cell())
            })
        };
        ChildSpec {
            name: name.into(),
            start: Box::new(start),
        }
    }
}

/// How many restarts are too many.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many.
    pub intensity: usize,
    /// Within this span.
    pub period: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            intensity: 10,
            period: Duration::from_secs(10),
        }
    }
}

/// What others see of a supervisor; cheap to clone.
#[derive(Clone, Debug)]
pub struct Supervisor {
    actor: ActorRef<Message>,
    restarts: Arc<AtomicU64>,
    failure: watch::Receiver<Option<String>>,
}

impl Supervisor {
    /// Starts the children in order, then watches them.
    ///
    /// # Errors
    /// When one of them cannot be started.
    pub async fn start(children: Vec<ChildSpec>, limits: Limits) -> Result<Supervisor, SpawnErr> {
        let restarts = Arc::new(AtomicU64::new(0));
        let (failed, failure) = watch::channel(None);
        let arguments = Arguments {
            children,
            limits,
            restarts: Arc::clone(&restarts),
            failed,
        };
        let (actor, _) = Actor::spawn(None, SupervisorActor, arguments).await?;
        Ok(Supervisor {
            actor,
            restarts,
            failure,
        })
    }

    /// Restarts so far.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Becomes the reason when the supervisor has given up.
    #[must_use]
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.clone()
    }

    /// Stops the children, last started first, and the supervisor.
    pub async fn stop(&self) {
        let timeout = Some(Duration::from_secs(2));
        // A supervisor that has given up is gone already.
        let _ = self.actor.stop_and_wait(None, timeout).await;
    }
}

/// The supervisor takes no messages.
#[derive(Debug)]
pub enum Message {}

impl ractor::Message for Message {}

struct SupervisorActor;

struct Arguments {
    children: Vec<ChildSpec>,
    limits: Limits,
    restarts: Arc<AtomicU64>,
    failed: watch::Sender<Option<String>>,
}

struct State {
    children: Vec<(ChildSpec, ActorCell)>,
    limits: Limits,
    recent: VecDeque<Instant>,
    restarts: Arc<AtomicU64>,
    failed: watch::Sender<Option<String>>,
}

impl Actor for SupervisorActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut children = Vec::new();
        for spec in arguments.children {
            let cell = (spec.start)(myself.get_cell()).await?;
            children.push((spec, cell));
        }
        Ok(State {
            children,
            limits: arguments.limits,
            recent: VecDeque::new(),
            restarts: arguments.restarts,
            failed: arguments.failed,
        })
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                state
                    .restart(&myself, &cell, &format!("failed: {error}"))
                    .await;
            }
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                let why = format!("ended: {}", reason.as_deref().unwrap_or("no reason given"));
                state.restart(&myself, &cell, &why).await;
            }
            _ => {}
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        for (_, cell) in state.children.iter().rev() {
            cell.stop(Some("the node stops".to_owned()));
        }
        Ok(())
    }
}

impl State {
    async fn restart(&mut self, myself: &ActorRef<Message>, cell: &ActorCell, why: &str) {
        let Some(index) = self
            .children
            .iter()
            .position(|(_, c)| c.get_id() == cell.get_id())
        else {
            return;
        };
        let name = self.children[index].0.name.clone();
        self.restarts.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        self.recent.push_back(now);
        while self
            .recent
            .front()
            .is_some_and(|at| now.duration_since(*at) > self.limits.period)
        {
            self.recent.pop_front();
        }
        if self.recent.len() > self.limits.intensity {
            let Limits { intensity, period } = self.limits;
            self.give_up(
                myself,
                format!("{name} {why}; more than {intensity} restarts within {period:?}"),
            );
            return;
        }
        tracing::error!(actor = name, why, "an actor is restarted");
        match (self.children[index].0.start)(myself.get_cell()).await {
            Ok(cell) => self.children[index].1 = cell,
            Err(error) => self.give_up(myself, format!("{name} cannot be restarted: {error}")),
        }
    }

    fn give_up(&mut self, myself: &ActorRef<Message>, why: String) {
        tracing::error!(why, "the supervisor gives up");
        self.failed.send_replace(Some(why));
        myself.stop(None);
    }
}
