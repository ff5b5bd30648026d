//! What the router does while its map is behind, with a turned clock.

use super::*;
use crate::clock::Clock;
use crate::cluster::ownership::{Figures, Held};
use crate::command::Condition;
use crate::config::Config;
use crate::config::policy::Policies;
use crate::key::Key;
use crate::replication::Lanes;
use crate::table::Budget;
use crate::writer::Writer;

const ME: &str = "smache@here";
const OTHER: &str = "smache@there";

fn router() -> Router {
    router_of(1, Lanes::new(1 << 20))
}

fn router_of(members_min: usize, lanes: Lanes) -> Router {
    let options = writer::Options {
        node: NodeId::of(ME),
        budget: Budget::new(64 << 20),
        limits: command::Limits::default(),
        policies: Policies::new(&Config {
            backups: 1,
            ..Config::default()
        }),
        tombstone_horizon: Duration::from_secs(600),
        lanes,
        pulse: Default::default(),
        queue_max: 100,
        queue_bytes_max: 1 << 20,
        clock: Clock::default(),
    };
    Router::new(Options {
        name: ME.into(),
        // Without its actor: what is queued waits.
        writers: vec![Writer::new(options)],
        boot_epoch: 1,
        members_min,
    })
}

fn map(owner: Option<&str>) -> PartitionMap {
    let members = [ME, OTHER].map(|name| Member {
        id: NodeId::of(name),
        name: name.into(),
        boot_epoch: 1,
        cluster_address: String::new(),
        state: MemberState::Up,
        load: Load::default(),
    });
    let held = Held {
        owner: owner.map(NodeId::of),
        ..Held::default()
    };
    PartitionMap::new(
        PartitionId::all().map(|_| held),
        members,
        Figures::default(),
    )
}

fn own(router: &Router) {
    set_all(router, &Role::alone());
}

fn set_all(router: &Router, role: &Role) {
    let all: Vec<_> = PartitionId::all().map(|p| (p, 1)).collect();
    router.set_roles(&all, role);
}

fn get() -> Command {
    let key = Key::new(&b"key"[..], 100).unwrap();
    Command::Get { key }
}

fn put() -> Command {
    Command::Put {
        key: get().key().clone(),
        kind: command::Kind::Json,
        data: "{}".into(),
        ttl_ms: None,
        condition: Condition::None,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(2)
}

#[tokio::test(start_paused = true)]
async fn without_an_owner_it_is_tried_until_the_deadline() {
    for owner in [None, Some(ME), Some(OTHER)] {
        // Nobody; this node, whose writer knows better; a node that there is no link to.
        let router = router();
        router.publish(map(owner));
        let deadline = soon();
        assert_eq!(router.execute(&put(), deadline).await, Err(Error::NoOwner));
        assert_eq!(Instant::now(), deadline);
        let counters = router.counters();
        assert!(counters.retries > 10, "{counters:?}");
        assert_eq!((counters.deadlines, counters.local), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_map_is_tried_at_once() {
    let router = router();
    own(&router);
    router.publish(map(None));
    let (asking, command) = (router.clone(), put());
    let asked = tokio::spawn(async move { asking.execute(&command, soon()).await });
    // Until it pauses as long as it ever does.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = Instant::now();
    router.publish(map(Some(ME)));
    let answer = asked.await.unwrap().unwrap();
    assert_eq!(&*answer.owner, ME);
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(router.counters().local, 1);
}

#[tokio::test(start_paused = true)]
async fn an_owner_may_know_more_than_the_map() {
    let router = router();
    router.publish(map(Some(ME)));
    let (asking, command) = (router.clone(), put());
    let asked = tokio::spawn(async move { asking.execute(&command, soon()).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!asked.is_finished());
    // The role comes without a new map.
    own(&router);
    let answer = asked.await.unwrap().unwrap();
    assert!(matches!(answer.reply, Reply::Stored { created: true, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_waits_ends_at_its_deadline() {
    let router = router();
    own(&router);
    router.publish(map(Some(ME)));
    let partition = key::partition(b"key");
    // Somebody holds the lock, and nobody works off what waits for it.
    let writer = router.writer(partition).clone();
    let (is_held, held) = std::sync::mpsc::sync_channel(1);
    let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
    let holder = std::thread::spawn(move || {
        writer.while_held(|| {
            is_held.send(()).unwrap();
            // It ends when the other end is dropped.
            let _ = released.recv();
        });
    });
    held.recv().unwrap();
    let deadline = soon();
    let late = router.execute(&put(), deadline).await;
    assert_eq!(late, Err(Error::Deadline { peer: None }));
    assert_eq!(Instant::now(), deadline);
    drop(release);
    holder.join().unwrap();
    assert_eq!(router.counters().deadlines, 1);
    // It may still be applied: it waits, and says so.
    assert_eq!(router.writer(partition).counters().waiting, 1);
    // Reads do not wait behind writes.
    let read = router.execute(&get(), soon()).await.unwrap();
    assert_eq!(read.reply, Reply::Value(None));
}

#[tokio::test]
async fn a_refused_command_is_not_tried_again() {
    let router = router();
    own(&router);
    router.publish(map(Some(ME)));
    let broken = Command::MergePatch {
        key: get().key().clone(),
        patch: "{".into(),
        condition: Condition::None,
    };
    let refused = router.execute(&broken, soon()).await;
    assert!(matches!(refused, Err(Error::Command(_))), "{refused:?}");
    assert_eq!(router.counters().retries, 0);
}

#[tokio::test]
async fn an_actor_that_panics_is_restarted_and_its_map_stays() {
    use crate::node::supervisor::{ChildSpec, Limits, Supervisor};

    let router = router();
    own(&router);
    let actor = Arc::new(ArcSwapOption::empty());
    let slot = Arc::clone(&actor);
    let started = move |started| slot.store(Some(Arc::new(started)));
    let spec = ChildSpec::new("router", || RouterActor, router.clone(), started);
    let supervisor = Supervisor::start(vec![spec], Limits::default());
    let supervisor = supervisor.await.unwrap();
    let tell = |message| {
        let actor: Arc<ractor::ActorRef<Publish>> = actor.load_full().unwrap();
        actor.cast(message).unwrap();
    };
    let until = async |met: &dyn Fn() -> bool| {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !met() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.unwrap();
    };
    tell(Publish::Map(map(Some(ME))));
    until(&|| router.map().unowned() == 0).await;
    let before = actor.load_full();

    tell(Publish::Crash);
    let same = |a: &Option<Arc<_>>, b: &Option<Arc<_>>| match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        _ => false,
    };
    until(&|| supervisor.restarts() == 1 && !same(&before, &actor.load_full())).await;
    // Requests went on with the map that is there, and the new actor publishes the next one.
    assert_eq!(router.map().unowned(), 0);
    assert!(router.execute(&put(), soon()).await.is_ok());
    tell(Publish::Map(map(Some(OTHER))));
    until(&|| router.map().owned_by(NodeId::of(OTHER)) == 4096).await;
    supervisor.stop().await;
}
