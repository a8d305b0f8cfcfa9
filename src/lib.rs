//! Backstop, the gateway. The rooms stand in this order and a room uses only rooms above it; see ARCHITECTURE.md.

pub mod domain;

pub mod clock;

pub mod config;

pub mod store;

pub mod vault;

pub mod ledger;

pub mod cli;
