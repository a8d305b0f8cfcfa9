//! Killed at every write: a library inside the built binary ends it at its N-th write, for every N or for as many as a minute allows.
//!
//! After each death the audit log is whole, what died is done wholly or not at all, and what comes next goes on from there.

mod acts;
mod calls;
mod papers;
mod runs;
mod shim;
