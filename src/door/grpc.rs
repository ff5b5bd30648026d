//! The gRPC door.

/// The messages and services of `proto/smache/v1`, as generated.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated from proto/smache/v1"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/smache.v1.rs"));
}
