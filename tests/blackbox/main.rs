//! The built binary as its users meet it: over HTTP, on the command line and through its files.
//!
//! Vendors are fakes on loopback. Nothing is reached beyond 127.0.0.1 but the local model's source, once per checkout.
//! Every test has an installation of its own, so all of them run side by side. Its fakes answer on a thread of their own,
//! because the test itself may block: on a verb that runs, or on a gateway that ends.

#[path = "kit/all.rs"]
pub mod kit;

pub use kit::{client, config, gateway, home, issuer, prepared, vendor};

// What they show.
pub mod abuse;
pub mod admin;
pub mod alerts;
pub mod audit;
pub mod azure;
pub mod bedrock;
pub mod bench;
pub mod breaker;
pub mod budgets;
pub mod callers;
pub mod canary;
pub mod certificate;
pub mod check;
pub mod cohere;
pub mod completions;
pub mod console;
pub mod cost;
pub mod disk;
pub mod drill;
pub mod engine;
pub mod eval_referee;
pub mod eval_runs;
pub mod fakes;
pub mod faults;
pub mod gate;
pub mod google;
pub mod kills;
pub mod ladder;
pub mod ledger;
pub mod lifecycle;
pub mod limits;
pub mod local;
pub mod local_embeddings;
pub mod local_shapes;
pub mod manners;
pub mod models;
pub mod outage;
pub mod passthrough;
pub mod records;
pub mod refusal;
pub mod release;
pub mod reload;
pub mod responses;
pub mod sdk;
mod several;
pub mod share;
pub mod soak;
pub mod story;
pub mod tasks;
pub mod tokens;
pub mod translation;
