//! Which models may serve: asks the gate for certificates, tells the router, and keeps the local tier loaded to match.

mod certifying;
mod gate;
mod keeper;
mod subject;

pub use certifying::certifying;
pub use gate::{Examination, Gate, GateError};
pub use keeper::{Keeper, engine_options};
pub use subject::VendorSubject;
