//! The hub's actor: hands out what has happened, and tells other nodes what is listened to.
//!
//! Supervised one-for-one by the node's supervisor. It has no state of its own: what waits to be
//! handed out, and who knows what, outlives it. All its messages are casts, and each sort waits at
//! most once in its mailbox.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::Hub;

/// The actor; its argument is the hub that it serves.
#[derive(Debug)]
pub struct LiveActor;

/// What the actor is told.
#[derive(Debug)]
pub enum Message {
    /// Something waits to be handed out.
    Work,
    /// Others may have to hear what is listened to here.
    Tell,
    /// The same, later.
    TellLater,
}

impl ractor::Message for Message {}

impl Actor for LiveActor {
    type Msg = Message;
    type State = Hub;
    type Arguments = Hub;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        hub: Hub,
    ) -> Result<Hub, ActorProcessingErr> {
        hub.0.actor.store(Some(Arc::new(myself.clone())));
        hub.begin();
        // What came while there was no actor.
        myself.cast(Message::Work)?;
        myself.cast(Message::Tell)?;
        Ok(hub)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        hub: &mut Hub,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Work => {
                hub.begin_work();
                while hub.hand_out() {
                    tokio::task::yield_now().await;
                }
            }
            Message::Tell | Message::TellLater => {
                let later = matches!(message, Message::TellLater);
                if let Some(wait) = hub.tell(later) {
                    // Ends with the actor, whose successor looks by itself.
                    let _timer = myself.send_after(wait, || Message::TellLater);
                }
            }
        }
        Ok(())
    }
}
