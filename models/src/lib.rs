//! What a chat model is, and the one that runs inside the gateway's own process.
//!
//! This package knows nothing of gateways, routes or tenants. It holds the types every model is asked and answers in
//! ([`chat`]), the catalog of open-weight models and how their files reach this machine, and the engine that runs them.

mod arch;
mod cache;
pub mod catalog;
pub mod chat;
pub mod device;
pub mod embed;
pub mod engine;
pub mod fetch;
pub mod files;
mod grammar;
mod kernel;
pub mod load;
pub mod machine;
mod sample;
mod schedule;
mod template;
mod token;
pub mod verify;
