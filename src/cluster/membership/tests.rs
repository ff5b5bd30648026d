use super::*;
use world::{World, names};

mod world;

const SEEDS: std::ops::Range<u64> = 0..8;

#[test]
fn nodes_join_in_any_order() {
    for seed in SEEDS {
        let mut world = World::new(seed);
        let mut waiting = names(5);
        while !waiting.is_empty() {
            let next = rand::RngExt::random_range(&mut world.rng, 0..waiting.len());
            let name = waiting.remove(next);
            // Everybody's uplink is a node that may be there, come later, or be itself joining.
            let uplink = if name == "c" { None } else { Some("c") };
            world.start(&name, uplink);
            world.run(300 * next as u64);
        }
        world.run_until("complete", 20_000, World::all_alive);
        world.always(5_000, World::check_all_alive);
    }
}

#[test]
fn a_killed_node_is_out_within_a_second() {
    for seed in SEEDS {
        for count in [2, 5] {
            let mut world = World::settled(seed, count);
            world.run(seed * 37);
            let dead = world.id("b");
            world.kill("b");
            let rest = world.others("b");
            world.run_until("out", 1_000, |world| world.is_out(dead, &rest));
            world.always(20_000, World::check_all_alive);
        }
    }
}

#[test]
fn a_killed_node_whose_host_is_silent_is_out_within_a_second() {
    for seed in SEEDS {
        let mut world = World::settled(seed, 3);
        world.run(seed * 37);
        let dead = world.id("b");
        world.kill("b");
        // Its sessions are closed, but nobody answers a dial any more.
        let rest = world.others("b");
        rest.iter().for_each(|one| world.cut(one, "b", true));
        world.run_until("out", 1_000, |world| world.is_out(dead, &rest));
    }
}

#[test]
fn a_stopped_node_is_out_within_five_seconds_and_blames_nobody_when_it_goes_on() {
    for seed in SEEDS {
        for count in [2, 3, 5] {
            let mut world = World::settled(seed, count);
            world.run(seed * 53);
            let (stopped, rest) = (world.id("b"), world.others("b"));
            world.stop("b");
            world.run_until("out", 5_000, |world| world.is_out(stopped, &rest));
            world.run(3_000 * (seed % 4));
            let all = world.nodes.len();
            world.go_on("b");
            assert_eq!(world.at("b").alive().len(), all, "it blames nobody");
            world.run_until("back", 10_000, World::all_alive);
            world.always(10_000, World::check_all_alive);
        }
    }
}

#[test]
fn a_short_stop_is_no_death() {
    for seed in SEEDS {
        let mut world = World::settled(seed, 4);
        let downs = world.downs();
        for _ in 0..5 {
            world.stop("b");
            world.run(2_500);
            world.go_on("b");
            world.run(2_500);
        }
        world.check_all_alive();
        assert_eq!(world.downs(), downs, "seed {seed}");
    }
}

#[test]
fn both_sides_of_a_pulled_cable_know_within_five_seconds_and_meet_again() {
    for seed in SEEDS {
        for count in [2, 5] {
            let mut world = World::settled(seed, count);
            world.run(seed * 53);
            let (gone, rest) = (world.id("b"), world.others("b"));
            rest.iter().for_each(|one| world.cut(one, "b", true));
            world.run_until("apart", 5_000, |world| {
                world.is_out(gone, &rest) && world.at("b").alive().len() == 1
            });
            world.run(20_000);
            rest.iter().for_each(|one| world.cut(one, "b", false));
            world.run_until("together", 10_000, World::all_alive);
            world.always(10_000, World::check_all_alive);
        }
    }
}

#[test]
fn a_node_that_is_mute_or_deaf_is_out_within_five_seconds() {
    for seed in SEEDS {
        for (count, mute) in [
            (2, true),
            (2, false),
            (3, true),
            (3, false),
            (5, true),
            (5, false),
        ] {
            let mut world = World::settled(seed, count);
            world.run(seed * 53);
            let (gone, rest) = (world.id("b"), world.others("b"));
            let set = |world: &mut World, cut| {
                for one in &rest {
                    let (from, to) = if mute {
                        ("b", one.as_str())
                    } else {
                        (one.as_str(), "b")
                    };
                    world.cut_one_way(from, to, cut);
                }
            };
            set(&mut world, true);
            world.run_until("out", 5_000, |world| world.is_out(gone, &rest));
            let out = |world: &World| assert!(world.is_out(gone, &rest), "seed {seed}");
            world.always(10_000, out);
            set(&mut world, false);
            world.run_until("back", 10_000, World::all_alive);
            world.always(10_000, World::check_all_alive);
        }
    }
}

#[test]
fn two_that_cannot_reach_each_other_live_as_long_as_a_third_reaches_both() {
    for seed in SEEDS {
        for both in [true, false] {
            let mut world = World::settled(seed, 4);
            let downs = world.downs();
            world.cut_one_way("a", "b", true);
            if both {
                world.cut_one_way("b", "a", true);
            }
            world.always(60_000, |world| {
                for (address, node) in &world.nodes {
                    assert_eq!(
                        node.membership.alive().len(),
                        4,
                        "at {address}, seed {seed}"
                    );
                }
            });
            let b = world.id("b");
            assert!(!world.at("a").linked().contains(&b));
            assert!(world.at("a").eligible().contains(&b));
            assert_eq!(world.downs(), downs);
            world.cut("a", "b", false);
            world.run_until("linked", 10_000, World::all_alive);
        }
    }
}

#[test]
fn a_flapping_network_settles() {
    for seed in SEEDS {
        let mut world = World::settled(seed, 4);
        for turn in 0..40 {
            let span = 300 + 400 * (seed % 5);
            for other in ["a", "c", "d"] {
                world.cut("b", other, turn % 2 == 0);
            }
            world.run(span);
        }
        world.run_until("whole", 10_000, World::all_alive);
        world.always(20_000, World::check_all_alive);
    }
}

#[test]
fn a_restarted_node_is_welcome_at_once() {
    for seed in SEEDS {
        for wait in [0, 50, 300, 3_000] {
            let mut world = World::settled(seed, 3);
            let id = world.id("b");
            world.kill("b");
            world.run(wait);
            world.start("b", Some("a"));
            let took = world.run_until("back", 5_000, World::all_alive);
            assert!(took < 1_500, "{took} ms after a pause of {wait}");
            world.always(10_000, World::check_all_alive);
            assert!(world.nodes["b"].refused.is_none());
            let seen = &world.nodes["c"].restarts_seen;
            assert!(seen.contains(&id) || wait > 0, "{seen:?}");
        }
    }
}

#[test]
fn a_restarted_node_never_loses_to_a_session_that_died_unheard() {
    for seed in SEEDS {
        let mut world = World::settled(seed, 3);
        // The machine loses power: nobody closes its sessions. It is back two seconds later.
        let rest = world.others("b");
        rest.iter().for_each(|one| world.cut(one, "b", true));
        world.run(2_000);
        world.nodes.remove("b");
        world.start("b", Some("a"));
        rest.iter().for_each(|one| world.cut(one, "b", false));
        world.run(2_000);
        world.run_until("back", 5_000, World::all_alive);
        assert!(world.nodes["b"].refused.is_none());
        world.always(10_000, World::check_all_alive);
    }
}

#[test]
fn a_node_with_another_address_is_the_same_node() {
    for seed in SEEDS {
        let mut world = World::settled(seed, 3);
        world.kill("b");
        world.start_as("b2", "b@test", "smache", Some("a"));
        world.run(2_000);
        world.run_until("back", 5_000, World::all_alive);
        let members = world.at("c").members();
        let b = members.iter().find(|m| &*m.name == "b@test").unwrap();
        assert_eq!(b.cluster_address, "b2");
        assert_eq!(members.len(), 3);
    }
}

#[test]
fn the_second_live_node_of_a_name_is_refused() {
    for seed in SEEDS {
        let mut world = World::settled(seed, 3);
        world.start_as("x", "b@test", "smache", Some("a"));
        world.run_until("refused", 2_000, |world| world.nodes["x"].refused.is_some());
        let why = world.nodes["x"].refused.clone().unwrap();
        assert!(why.contains("b@test is up already"), "{why}");
        world.kill("x");
        world.always(10_000, World::check_all_alive);
    }
}

#[test]
fn clusters_of_different_names_never_mix() {
    for seed in SEEDS {
        let mut world = World::settled(seed, 2);
        world.start_as("x", "x@test", "other", None);
        world.run(1_000);
        // One of theirs is told to join ours, by mistake; and one of ours theirs.
        world.start_as("y", "y@test", "other", Some("a"));
        world.start_as("z", "z@test", "smache", Some("x"));
        world.run(5_000);
        for (node, own, other) in [("y", "`other`", "`smache`"), ("z", "`smache`", "`other`")] {
            let why = world.nodes[node].refused.clone().expect("it is refused");
            assert!(why.contains(own) && why.contains(other), "{why}");
        }
        assert_eq!(world.at("a").members().len(), 2);
        assert_eq!(world.at("x").members().len(), 1);
        assert!(world.nodes["a"].refused.is_none() && world.nodes["x"].refused.is_none());
    }
}

fn machine(name: &str, has_uplinks: bool) -> Membership {
    let options = Options {
        identity: Identity::new(name, 1),
        cluster: "smache".to_owned(),
        address: format!("{name}:1"),
        has_uplinks,
        timing: Timing::default(),
        seed: 1,
    };
    Membership::new(options, UnixMs(1_000))
}

fn hello(protocol: u32, serving: bool) -> Message {
    Message::Hello {
        protocol,
        cluster: "smache".to_owned(),
        address: "old:1".to_owned(),
        serving,
        members: Vec::new(),
        renewal: 0,
    }
}

#[test]
fn another_version_of_the_protocol_is_refused_with_both_numbers_on_both_sides() {
    let now = UnixMs(1_100);
    let old = Identity::new("old@test", 1);
    // A member is dialled by a node of another version.
    let mut serving = machine("a@test", false);
    serving.tick(now);
    serving.opened(SessionId(1), &old, false, now);
    serving.take_actions();
    serving.receive(SessionId(1), "host", hello(1, false), now);
    let actions = serving.take_actions();
    let told = actions.iter().find_map(|action| match action {
        Action::Send(SessionId(1), Message::Refused(why)) => Some(why.clone()),
        _ => None,
    });
    let told = told.expect("it is told");
    assert!(
        told.contains("version 1") && told.contains(&format!("version {PROTOCOL}")),
        "{told}"
    );
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Close(SessionId(1), _)))
    );
    assert_eq!(serving.members().len(), 1, "it is no member");
    // And a node that joins through one of another version gives up by itself.
    let mut joining = machine("b@test", true);
    joining.opened(SessionId(1), &old, true, now);
    joining.receive(SessionId(1), "host", hello(1, true), now);
    let gives_up =
        |action: &Action| matches!(action, Action::Refused(why) if why.contains("version 1"));
    assert!(joining.take_actions().iter().any(gives_up));
    // But not because such a one dials it.
    let mut joining = machine("b@test", true);
    joining.opened(SessionId(1), &old, false, now);
    joining.receive(SessionId(1), "host", hello(1, true), now);
    assert!(!joining.take_actions().iter().any(gives_up));
}

#[test]
fn a_hello_of_an_older_version_can_be_read() {
    let old = r#"{"Hello":{"protocol":1,"address":":4500","serving":true,"members":[]}}"#;
    let read: Message = serde_json::from_str(old).unwrap();
    assert!(matches!(read, Message::Hello { protocol: 1, .. }));
}

#[test]
fn where_udp_is_blocked_nothing_flaps_and_deaths_are_noticed() {
    for seed in SEEDS {
        let mut world = World::settled(seed, 4);
        world.loss = 1.0;
        let downs = world.downs();
        world.always(60_000, World::check_all_alive);
        assert_eq!(world.downs(), downs);
        let told = |node: &world::Node| node.membership.known.values().all(|known| known.warned);
        assert!(world.nodes.values().all(told), "the log knows");
        // A node that joins now is found as well.
        world.start("e", Some("d"));
        world.run_until("joined", 5_000, World::all_alive);
        world.always(10_000, World::check_all_alive);
        // Without datagrams two that cannot reach each other are vouched for all the same.
        world.cut("a", "b", true);
        world.always(30_000, |world| assert_eq!(world.at("a").alive().len(), 5));
        world.cut("a", "b", false);
        world.run_until("linked", 10_000, World::all_alive);
        let (stopped, rest) = (world.id("c"), world.others("c"));
        world.stop("c");
        world.run_until("out", 5_000, |world| world.is_out(stopped, &rest));
        world.go_on("c");
        world.run_until("back", 10_000, World::all_alive);
        let (dead, rest) = (world.id("d"), world.others("d"));
        world.kill("d");
        world.run_until("out", 1_000, |world| world.is_out(dead, &rest));
    }
}

#[test]
fn a_lossy_network_kills_nobody() {
    for seed in 0..3 {
        let mut world = World::settled(seed, 5);
        world.loss = 0.2;
        world.always(600_000, World::check_all_alive);
        assert_eq!(world.downs(), 0, "seed {seed}");
    }
}

#[test]
fn a_clock_that_is_set_kills_nobody() {
    for seed in SEEDS {
        let mut world = World::settled(seed, 3);
        for ahead in [3_600_000, -900_000, 0] {
            world.nodes.get_mut("b").unwrap().clock_ahead = ahead;
            world.always(10_000, World::check_all_alive);
        }
        assert_eq!(world.downs(), 0);
    }
}

#[test]
fn who_leaves_is_not_waited_for() {
    for seed in SEEDS {
        let mut world = World::settled(seed, 3);
        let b = world.id("b");
        world.nodes.get_mut("b").unwrap().membership.leave();
        world.run(300);
        for other in ["a", "c"] {
            assert!(world.at(other).alive().contains(&b));
            assert!(!world.at(other).eligible().contains(&b));
        }
        world.nodes.get_mut("b").unwrap().membership.depart();
        world.run(200);
        assert!(world.is_out(b, &["a".to_owned(), "c".to_owned()]));
    }
}

#[test]
fn whoever_leaves_says_so_again_and_again() {
    let peer = Identity::new("b@test", 2);
    let now = |ms: u64| UnixMs(2_000 + ms);
    let met = |machine: &mut Membership| {
        machine.opened(SessionId(1), &peer, false, now(0));
        machine.receive(SessionId(1), "host", hello(PROTOCOL, true), now(0));
        machine.take_actions();
    };
    let mut leaver = machine("a@test", false);
    leaver.tick(now(0));
    met(&mut leaver);
    leaver.leave();
    leaver.take_actions();
    leaver.tick(now(1_000));
    let said = leaver.take_actions().into_iter();
    let mut said = said.filter_map(|action| match action {
        Action::Send(_, beat @ Message::Beat { leaving: true, .. }) => Some(beat),
        _ => None,
    });
    let beat = said.next().expect("a heartbeat says it");
    // Whoever missed the first word, as one that had to settle who it speaks to, hears the next.
    let mut other = machine("c@test", false);
    other.tick(now(0));
    met(&mut other);
    assert!(other.eligible().contains(&peer.id));
    other.receive(SessionId(1), "host", beat, now(1_000));
    assert!(!other.eligible().contains(&peer.id) && other.alive().contains(&peer.id));
}

#[test]
fn changes_of_the_sets_are_told_when_they_happen() {
    let mut machine = machine("a@test", false);
    let mut now = UnixMs(1_100);
    machine.tick(now);
    machine.take_actions();
    let other = Identity::new("b@test", 1);
    machine.opened(SessionId(1), &other, false, now);
    let hello = Message::Hello {
        protocol: PROTOCOL,
        cluster: "smache".to_owned(),
        address: "b:1".to_owned(),
        serving: true,
        members: Vec::new(),
        renewal: 0,
    };
    machine.receive(SessionId(1), "host", hello, now);
    assert!(machine.take_actions().contains(&Action::Changed));
    let sets = |machine: &Membership| [machine.alive(), machine.eligible(), machine.linked()];
    assert!(sets(&machine).iter().all(|set| set.len() == 2));
    machine.closed(SessionId(1), now);
    // Datagrams go on coming, so that it lives; but a second later it is not linked any more.
    let me = SwimId::new(NodeId::of("a@test"), 1, 0);
    let mut there = Swim::new(SwimId::new(other.id, 1, 0), Timing::default().suspicion, 7);
    there.met(me, now);
    let mut before = sets(&machine);
    let mut linked_for = 0;
    for _ in 0..15 {
        now = now.plus(std::time::Duration::from_millis(100));
        there.announce(me.node(), 1, now);
        for (_, packet) in there.packets() {
            machine.datagram("b:1", &packet, now);
        }
        machine.tick(now);
        let after = sets(&machine);
        let told = machine.take_actions().contains(&Action::Changed);
        assert_eq!(told, before != after, "{before:?} {after:?}");
        linked_for += u32::from(after[2].len() == 2) * 100;
        before = after;
    }
    assert_eq!(before[0].len(), 2, "it lives");
    assert_eq!(before[2].len(), 1, "it is not linked");
    assert_eq!(linked_for, 900);
}

#[test]
fn no_datagram_panics_a_machine() {
    use proptest::prelude::*;
    proptest!(|(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..10))| {
        let mut machine = machine("a@test", false);
        for packet in packets {
            machine.datagram("somewhere:1", &packet, UnixMs(1_100));
            machine.tick(UnixMs(1_200));
        }
    });
}
