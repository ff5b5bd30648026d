//! The router's actor: publishes partition maps.
//!
//! Supervised one-for-one by the node's supervisor. It has no state but the router that it
//! publishes through: restarting it loses a map that it had not published yet, and the cluster
//! actor sends its map again once a second. Its message is a cast.

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{PartitionMap, Router};

/// The actor; its argument is the router.
#[derive(Debug)]
pub struct RouterActor;

/// What the actor is told.
#[derive(Debug)]
pub enum Publish {
    /// This is the map from now on.
    Map(PartitionMap),
    /// Panic. For tests: shows that the supervisor restarts the actor.
    Crash,
}

impl ractor::Message for Publish {}

impl Actor for RouterActor {
    type Msg = Publish;
    type State = Router;
    type Arguments = Router;

    async fn pre_start(
        &self,
        _myself: ActorRef<Publish>,
        router: Router,
    ) -> Result<Router, ActorProcessingErr> {
        Ok(router)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Publish>,
        message: Publish,
        router: &mut Router,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Publish::Map(map) => router.publish(map),
            Publish::Crash => panic!("told to"),
        }
        Ok(())
    }
}
