//! What black-box tests and benchmarks are written with: fake vendors, an installation, the running binary and a caller.
//!
//! Loaded by its path from `tests/blackbox/main.rs` and from each benchmark, so that both drive the same thing.

pub mod client;
pub mod config;
pub mod gateway;
pub mod home;
pub mod issuer;
pub mod prepared;
pub mod vendor;
