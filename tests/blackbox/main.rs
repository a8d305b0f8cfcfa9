//! The built binary as its users meet it: over HTTP, on the command line and through its files.
//!
//! Vendors are fakes on loopback. Nothing is reached beyond 127.0.0.1 but the local model's source, once per checkout.
//! Every test has an installation of its own, so all of them run side by side.

pub mod client;
pub mod fakes;
pub mod gateway;
pub mod home;
mod records;
pub mod vendor;
