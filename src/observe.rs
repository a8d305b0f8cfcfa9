//! Logs, metrics and traces: their set-up and every name they use.
//!
//! Nothing here decides anything, and nothing here sees a prompt, an answer or a secret. Per-call figures are written by
//! one task from finished [`Outcome`](crate::domain::Outcome)s, off the path of calls.

pub mod logs;
pub mod metric;
pub mod otlp;
pub mod publish;
