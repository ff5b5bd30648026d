//! The Redis protocol door.

mod inline;
mod number;
mod reply;
pub mod request;
