//! Which models may serve: asks the gate for certificates, tells the router, and keeps the local tier loaded to match.

pub mod book;
mod certifying;
pub mod change;
pub mod desk;
mod gate;
mod keeper;
mod loading;
mod look;
pub mod needs;
pub mod paper;
pub mod post;
mod room;
mod sentinel;
pub mod shelf;
mod subject;

pub use certifying::{certifying, revoking, signing};
pub use gate::{Examination, Gate, GateError};
pub use keeper::Keeper;
pub use look::LocalModel;
pub use room::{engine_options, machine, rooms};
pub use sentinel::{Seen, Sentinel};
pub use subject::VendorSubject;
