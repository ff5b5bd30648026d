//! An HTTP door on a free port, in front of a router that owns every partition.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorRef};
use smache::access::{Access, Tokens};
use smache::clock::{Clock, UnixMs};
use smache::cluster::handoff::Handoff;
use smache::cluster::ownership::{Figures, Held};
use smache::cluster::peer::{self, Peers};
use smache::command::Limits;
use smache::config::Config;
use smache::config::policy::Policies;
use smache::door::http::{Context, Door};
use smache::door::tls::Tls;
use smache::key::PartitionId;
use smache::node::status::{Readiness, Reporter, State};
use smache::replication::Lanes;
use smache::router::{self, Load, Member, MemberState, PartitionMap, Publish, Router, RouterActor};
use smache::table::Budget;
use smache::version::NodeId;
use smache::writer::{self, Role, Writer, WriterActor};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::{Client, Response, patient, request_with};

pub(crate) const NAME: &str = "smache@test";

/// A door that is served.
pub(crate) struct TestDoor {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) readiness: Readiness,
    pub(crate) router: Router,
    reporter: Reporter,
    publisher: ActorRef<Publish>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl TestDoor {
    /// A door that is ready.
    pub(crate) async fn open() -> TestDoor {
        TestDoor::with(Config::default()).await
    }

    /// A ready door with these settings.
    pub(crate) async fn with(config: Config) -> TestDoor {
        TestDoor::guarded(config, Access::open(), None).await
    }

    /// A ready door that asks for one of these tokens, a line each.
    pub(crate) async fn asking(tokens: &str) -> TestDoor {
        let access = Access::of(Tokens::parse(tokens.as_bytes()).unwrap());
        TestDoor::guarded(Config::default(), access, None).await
    }

    /// A ready door with these settings, tokens and certificates.
    pub(crate) async fn guarded(config: Config, access: Access, tls: Option<Tls>) -> TestDoor {
        let door = TestDoor::start(config, access, tls).await;
        door.readiness.advance(State::Ready);
        door.meet_nobody();
        door
    }

    /// A door whose node has not joined yet.
    pub(crate) async fn joining(config: Config) -> TestDoor {
        TestDoor::start(config, Access::open(), None).await
    }

    async fn start(config: Config, access: Access, tls: Option<Tls>) -> TestDoor {
        let clock = Clock::manual(UnixMs(1_700_000_000_000));
        let router = router(&config, &clock).await;
        let (publisher, _) = Actor::spawn(None, RouterActor, router.clone())
            .await
            .unwrap();
        let readiness = Readiness::default();
        let reporter = Reporter::new(router.clone(), readiness.clone(), 1 << 30);
        let context = Context {
            reporter: reporter.clone(),
            router: router.clone(),
            readiness: readiness.clone(),
            config: Arc::new(config),
            access,
            tls,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let door = Door::with_clock(context, clock.clone());
        let served = tokio::spawn(door.serve(listener, async move {
            let _ = stopped.await;
        }));
        let door = TestDoor {
            address,
            clock,
            readiness,
            router,
            reporter,
            publisher,
            stop: Some(stop),
            served,
        };
        door.publish(true).await;
        door
    }

    /// Gives the node links and handoffs, without anybody at the other end.
    fn meet_nobody(&self) {
        let (lanes, runtime) = (Lanes::new(1 << 20), tokio::runtime::Handle::current());
        let peers = Peers::new(peer::Options {
            router: self.router.clone(),
            lanes: lanes.clone(),
            links_runtime: runtime.clone(),
            requests_runtime: runtime,
            bytes_max: 1 << 20,
            news: Box::new(|_| ()),
        });
        let handoff = Handoff::new(self.router.clone(), peers, 0);
        self.reporter.follow(lanes, handoff);
    }

    /// Publishes that this node owns every partition, or that nobody does.
    pub(crate) async fn publish(&self, owned: bool) {
        let me = NodeId::of(NAME);
        let member = Member {
            id: me,
            name: NAME.into(),
            boot_epoch: 1,
            cluster_address: "127.0.0.1:1".to_owned(),
            state: MemberState::Up,
            load: Load::default(),
        };
        let held = Held {
            owner: owned.then_some(me),
            ..Held::default()
        };
        let held = PartitionId::all().map(|_| held);
        let map = PartitionMap::new(held, [member], Figures::default());
        let role = if owned {
            Role::alone()
        } else {
            Role::Elsewhere
        };
        let all: Vec<_> = PartitionId::all().map(|p| (p, 1)).collect();
        self.router.set_roles(&all, &role);
        self.publisher.cast(Publish::Map(map)).unwrap();
        let wanted = if owned { 0 } else { PartitionId::all().count() };
        patient("the map", async {
            while self.router.map().unowned() != wanted {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let mut client = Client::connect(self.address).await;
        client.ask(method, target, headers, body).await
    }

    /// Sends bytes, whatever they are.
    pub(crate) async fn send_bytes(&self, method: &str, target: &str, body: &[u8]) -> Response {
        let headers = [("content-type", "application/octet-stream")];
        let mut client = Client::connect(self.address).await;
        client
            .send(request_with(method, target, &headers, body))
            .await;
        client.response().await
    }

    pub(crate) async fn get(&self, target: &str) -> Response {
        self.ask("GET", target, &[], "").await
    }

    /// Sends a JSON body.
    pub(crate) async fn send(&self, method: &str, target: &str, body: &str) -> Response {
        let headers = [("content-type", "application/json")];
        self.ask(method, target, &headers, body).await
    }

    /// Writes a value that must be taken.
    pub(crate) async fn put(&self, key: &str, data: &str) -> Response {
        let body = format!("{{\"key\":{key:?},\"data\":{data}}}");
        let response = self.send("POST", "/api", &body).await;
        assert_eq!(response.status, 200, "{response:?}");
        response
    }

    /// The figure with this name and labels on the metrics page; 0 if it is not there.
    pub(crate) async fn figure(&self, name: &str) -> f64 {
        let page = self.get("/metrics").await.body;
        let value = page.lines().find_map(|line| line.strip_prefix(name));
        value.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Tells the door to close, and waits until it has.
    pub(crate) async fn close(mut self) {
        self.begin_to_close();
        patient("the door to close", &mut self.served)
            .await
            .unwrap();
    }

    pub(crate) fn begin_to_close(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    pub(crate) async fn closed(self) {
        patient("the door to close", self.served).await.unwrap();
    }
}

async fn router(config: &Config, clock: &Clock) -> Router {
    let options = writer::Options {
        node: NodeId::of(NAME),
        budget: Budget::new(1 << 30),
        limits: Limits {
            value_bytes_max: config.value_bytes_max,
            collection_bytes_max: config.collection_bytes_max,
            json_depth_max: config.json_depth_max,
            ..Limits::default()
        },
        policies: Policies::new(config),
        tombstone_horizon: Duration::from_secs(600),
        lanes: Lanes::new(1 << 20),
        pulse: Default::default(),
        queue_max: 10_000,
        queue_bytes_max: 64 << 20,
        clock: clock.clone(),
    };
    let writers: Vec<Writer> = (0..2).map(|_| Writer::new(options.clone())).collect();
    let all: Vec<(PartitionId, u32)> = PartitionId::all().map(|p| (p, 1)).collect();
    for writer in &writers {
        writer.set_roles(&all, &Role::alone());
        Actor::spawn(None, WriterActor, writer.clone())
            .await
            .unwrap();
    }
    Router::new(router::Options {
        name: NAME.into(),
        writers,
        boot_epoch: 1,
        members_min: 1,
    })
}
