//! The writer's actor: works off the queue and keeps the table tidy.
//!
//! Supervised one-for-one by the node's supervisor. It has no state of its own, so restarting it
//! loses nothing. All its messages are casts.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::Writer;

/// How often a table is tidied: expired entries give their memory back within about a second.
const TIDY_EVERY: Duration = Duration::from_millis(200);

/// The actor; its argument is the writer that it serves.
#[derive(Debug)]
pub struct WriterActor;

/// What the actor is told.
#[derive(Debug)]
pub enum Message {
    /// The queue is not empty.
    Work,
    /// Time to tidy.
    Tidy,
    /// Panic, for tests.
    Crash,
}

impl ractor::Message for Message {}

impl Actor for WriterActor {
    type Msg = Message;
    type State = Writer;
    type Arguments = Writer;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        writer: Writer,
    ) -> Result<Writer, ActorProcessingErr> {
        writer.0.actor.store(Some(Arc::new(myself.clone())));
        // What was queued while there was no actor.
        myself.cast(Message::Work)?;
        myself.send_interval(TIDY_EVERY, || Message::Tidy);
        Ok(writer)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Message>,
        message: Message,
        writer: &mut Writer,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Work => writer.work_off(),
            Message::Tidy => {
                // Between two steps others get the lock, and this thread other tasks.
                while writer.maintain() {
                    tokio::task::yield_now().await;
                    writer.work_off();
                }
            }
            Message::Crash => panic!("told to"),
        }
        Ok(())
    }
}
