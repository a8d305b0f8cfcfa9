//! The cap over any sequence of calls, sizes, outcomes and concurrency.
