//! Which models may serve: asks the gate for certificates, tells the router, and keeps the local tier loaded to match.

mod gate;
mod keeper;
mod sentinel;
mod subject;

pub use gate::{Examination, Gate, GateError};
pub use keeper::{Keeper, engine_options};
pub use sentinel::{Seen, Sentinel};
pub use subject::VendorSubject;
