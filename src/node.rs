//! A node: everything that one process runs, in the order in which it starts and stops.

pub mod status;
