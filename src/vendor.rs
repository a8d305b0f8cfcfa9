//! How a target is asked, near or far: bytes out, frames back, every failure a typed fault.
//!
//! A vendor is data (`config::Vendor`); what is here serves them all. What a vendor sends is untrusted: bodies and frames
//! are bounded, redirects are not followed, and neither its host nor its raw error text reaches a caller.

mod anthropic;
mod azure;
mod bedrock;
mod client;
mod cohere;
mod frame;
mod gemini;
mod http;
mod local;
mod machine;
mod openai;
mod request;
mod vertex;

pub use client::{Client, Clients};
pub use frame::{Frame, Frames};
pub use http::{FORWARDED, HttpAsk, Listener, answer_fault, ask_stream, ask_whole};
pub use local::{Loading, LocalState, LocalTier, NOT_READY, Words};
pub use machine::{Machine, Turn};
