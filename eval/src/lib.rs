//! The Stage 2 gate: no model becomes a fallback until it has passed, and anyone can prove that it did.
//!
//! A [`suite`] is a stored set of questions with the checks their answers must pass. A [`run`] asks a [`subject`] all of
//! them and writes a [`report`]: per gate a count, a bound and a verdict, by the formulas in [`statistics`]. A report that
//! passed can be turned into a [`certificate`], which binds the verdict to exactly the bytes that were judged.
//!
//! This package knows models and nothing of gateways, routes or tenants. It never changes a verdict once it is written.

pub mod certificate;
mod digest;
#[cfg(test)]
mod puppet;
pub mod report;
pub mod run;
pub mod score;
pub mod statistics;
pub mod subject;
pub mod suite;

pub use digest::sha256_hex;
