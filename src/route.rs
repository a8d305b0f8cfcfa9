//! Which targets a call may go to, in which order, and why not to the others. Pure: fed by snapshots, no I/O, no clock.

mod need;
mod plan;
mod standing;

pub use need::Need;
pub use plan::{Decision, Plan, Step, TargetHealth, plan};
pub use standing::{Standing, Standings};
