//! Smache: a self-sharding JSON cache.
//!
//! Every node started beside the others becomes a shard: any node answers for any key, and finds
//! the node that owns it by itself. This crate is that node. The binary `smache` runs one behind
//! HTTP; [`Smache`] embeds one in your own program (and [`client`] talks to one anywhere):
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use smache::Smache;
//!
//! let cache = Smache::builder().max_memory(64_000_000).start().await?;
//! cache.put("bus:42", &serde_json::json!({"line": 4})).await?;
//! let bus: Option<serde_json::Value> = cache.get("bus:42").await?;
//! assert_eq!(bus, Some(serde_json::json!({"line": 4})));
//! cache.stop().await?;
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```
//!
//! # The rooms
//!
//! A room knows the rooms below it.
//!
//! ```text
//!   main, cli                    the binary: serve, status, handoff, run, keys, watch, get, put, load, certs
//!   client                       the client library: one trait, over gRPC or in this process
//!   embed                        the same node as a library
//!        │
//!   node                         start order, supervision, memory limit, drain
//!        │
//!   door::{http, resp, grpc}     bytes <-> Command and Reply; admission; no logic
//!        │
//!   watch                        following keys: what they are, then what becomes of them
//!   router                       which partition, which node; deadlines, retries
//!        │
//!   cluster                      who is there, who owns what, links between nodes
//!        │    machine, membership, ownership      pure decisions
//!        │    actor, peer, link, codec, handoff   what carries them out
//!        │    transport::{wire, memory, tls}      sessions that carry frames
//!   writer                       applies every change to its partitions, in one order
//!        │
//!   live                         who wants to hear of what happens, on this node and on others
//!   replication                  what a write changes, and how it reaches the copies: no sockets
//!        │    effect, lane, ticket, operations
//!   table                        entries, expiry, eviction: pure, no clock, no tokio
//!   command                      what a command does to an entry: pure
//!        │
//!   glob                         patterns that keys are matched against
//!   fields                       how numbers, keys and entries are written between nodes
//!   key, version, clock, config, metrics
//!   accept                       what all listeners do when connections cannot be taken
//!   access                       tokens and roles: who may do what, at every door
//!   files                        what is made of files, and made anew when they change
//! ```
//!
//! Four arrows do not point down. [`embed`] hands out clients, which are of the node that it embeds.
//! [`router`] and [`cluster`] are one floor: the router sends over
//! the cluster's links, and what comes in over them is carried out by the router. Doors and the
//! cluster's actor read the node's own figures ([`node::status`]), to tell them to others. Nothing
//! from [`writer`] downwards knows of anything above it, and `table`, `command`, `key` and the
//! cluster's machines know neither tokio nor actors: time and randomness come in as arguments.
//!
//! # A GET
//!
//! `GET /api?key=bus:42` arrives at some node.
//!
//! 1. [`door::http`] has read the head. The query names one key, so it asks
//!    [`router::Router::read_local`], without a task and without a box.
//! 2. [`key::partition`] encodes the key to an integer and that to one of 4,096 partitions. The
//!    present [`router::PartitionMap`], an immutable snapshot, says who owns it.
//! 3. *This node does*: [`writer::Writer::read`] takes the lock of the partition's writer, checks
//!    that the partition is really owned ([`writer::Role`]), and [`table::Table::get`] finds the
//!    entry. While the lock is held the door writes the whole answer, headers and body, into one
//!    buffer. The value is copied once and never parsed. There is no mailbox on this path.
//! 4. *Another node does*: [`router::Router::execute`] gives the command and a deadline to
//!    [`cluster::peer::Peers::request`]. It is appended to the frame that is being filled for that
//!    peer; whoever else asks in the same moment shares the frame. At the other end
//!    [`cluster::peer`] reads its table on the transport's thread and writes the answer into the
//!    frame that goes back. The answer's `node` is the owner's name. A copy that this node holds for
//!    others is not read from: only the owner knows what was written last.
//! 5. *The map was wrong*: the node that was asked says that it does not own the partition; the
//!    router waits a few milliseconds for a newer map and asks again, until the deadline. Whoever
//!    owns a partition has all of it: a partition moves to a node that has been a copy in sync.
//!
//! # A POST
//!
//! `POST /api` with `{"key":"bus:42","data":{"line":4},"ttl":"5m"}`.
//!
//! 1. The door admits it (node ready, not too many requests in work, no write from another site),
//!    collects the body within its bounds, and [`command::json`] validates and compacts it in one
//!    pass. What comes out is a [`command::Command::Put`] whose data are the bytes to be stored.
//! 2. The router finds the owner, as above. A write that goes to another node gets an
//!    [`command::OperationId`]: if its connection breaks while it is under way it is sent again, to
//!    the owner or its successor, and they know whether it was applied.
//! 3. The owner's [`writer::Writer::apply_inline`]: if the lock is free, or comes free within a moment,
//!    the caller applies the command itself, under that lock; otherwise it waits in the writer's
//!    bounded queue, which the actor works off in batches under the same lock. A patch of a long
//!    document is worked out beside the lock, and applied under it if the document is still the same.
//!    Either way all changes to a key are applied one after the other.
//! 4. [`command::apply`] decides: present entry and command in, effect and reply out. The new value
//!    gets a [`version::Version`] greater than the one that it replaces; clients see it as the ETag.
//! 5. [`table::Table::put`] appends the entry to a segment, evicting first if the memory limit asks
//!    for it, and sets its timer.
//! 6. Still under the lock the entry, as a [`replication::Effect`], goes into the
//!    [`replication::Lane`] of each node that holds a copy, and the writer hands out a
//!    [`replication::Ticket`]. The other ends apply it if it is newer than what they have, and answer
//!    with its number.
//! 7. When all copies in sync have answered, or have died, the ticket is done, and the reply goes
//!    back the way the command came.
//!
//! `docs/ARCHITECTURE.md` in the repository has the invariants and what happens on each failure.

mod accept;
pub mod access;
#[cfg(feature = "client")]
pub mod client;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod config;
pub mod door;
pub mod embed;
pub mod fields;
pub mod files;
pub mod glob;
pub mod key;
pub mod live;
pub mod metrics;
pub mod node;
pub mod replication;
pub mod router;
pub mod table;
pub mod version;
pub mod watch;
pub mod writer;

pub use embed::Smache;
