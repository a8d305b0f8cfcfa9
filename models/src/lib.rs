//! What a chat model is, and the one that runs inside the gateway's own process.
//!
//! This package knows nothing of gateways, routes or tenants. It holds the types every model is asked and answers in
//! ([`chat`]), the catalog of open-weight models and how their files reach this machine, and the engine that runs them.

pub mod catalog;
pub mod chat;
pub mod engine;
pub mod fetch;
pub mod files;
mod grammar;
#[expect(dead_code, unused_imports, reason = "the forward pass that uses it is on its way")]
mod kernel;
pub mod load;
mod sample;
mod template;
mod token;
pub mod verify;
