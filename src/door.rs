//! The doors: bytes to commands, replies to bytes.
pub mod http;
