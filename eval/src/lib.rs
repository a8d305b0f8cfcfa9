//! The Stage 2 gate: no model becomes a fallback until it has passed, and anyone can prove that it did.
//!
//! A [`suite`] is a stored set of questions with the checks their answers must pass. A [`run`] asks a [`subject`] all of
//! them and writes a [`report`]: per gate a count, a bound and a verdict, by the formulas in [`statistics`]; a [`plan`]
//! says beforehand what that takes. A report that
//! passed can be turned into a [`certificate`], which binds the verdict to exactly the bytes that were judged. Where an answer cannot be
//! judged by its text alone, a [`referee`] is asked while the suite is run, and what it said is kept. Suites of other tools are taken
//! over by [`import`].
//!
//! This package knows models and nothing of gateways, routes or tenants. It never changes a verdict once it is written.

pub mod certificate;
mod digest;
mod file;
pub mod import;
pub mod jinja;
pub mod plan;
#[cfg(test)]
mod puppet;
pub mod referee;
pub mod report;
pub mod run;
pub mod score;
pub mod statistics;
pub mod subject;
pub mod suite;

pub use digest::sha256_hex;
