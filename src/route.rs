//! Which targets a call may go to, in which order, and why not to the others. Pure: fed by snapshots, no I/O, no clock.

mod plan;
mod standing;

pub use plan::{Decision, Plan, Step, plan};
pub use standing::{Standing, Standings};
