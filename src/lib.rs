//! Backstop, the gateway. The rooms stand in this order and a room uses only rooms above it; see ARCHITECTURE.md.

pub mod domain;

pub mod clock;

pub mod config;

pub mod observe;

pub mod store;

pub mod dialect;

pub mod vault;

pub mod audit;

pub mod ledger;

pub mod limit;

pub mod route;

pub mod vendor;

pub mod relay;

pub mod release;

pub mod alert;

pub mod api;

pub mod admin;

pub mod app;

pub mod cli;
