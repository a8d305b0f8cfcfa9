//! Which models may serve: asks the gate for certificates, tells the router, and keeps the local tier loaded to match.

pub mod book;
mod certifying;
pub mod change;
pub mod desk;
pub mod drill;
pub mod evacuation;
mod filed;
mod gate;
mod incident;
mod keeper;
mod loading;
mod look;
pub mod needs;
pub mod owed;
pub mod paper;
pub mod post;
pub mod prometheus;
mod reversal;
mod room;
pub mod rules;
mod sentinel;
pub mod shadows;
pub mod shelf;
mod subject;
mod trigger;

pub use certifying::{certifying, revoking, signing};
pub use filed::Filed;
pub use gate::{Examination, Gate, GateError};
pub use incident::{Incidents, Phase, Report, Taken};
pub use keeper::Keeper;
pub use look::LocalModel;
pub use reversal::{InForce, NotReversed, OnTrial, Order, ReleaseBook, Retained, Reversal, Reversed};
pub use room::{engine_options, machine, rooms};
pub use sentinel::{Asking, Probe, Seen, Sentinel};
pub use subject::VendorSubject;
pub use trigger::{At, Cause, Fired, Stay, Trigger, TriggerParts, judge};
