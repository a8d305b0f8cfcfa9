//! Which targets a call may go to, in which order, and why not to the others. Pure: fed by snapshots, no I/O, no clock.

mod breaker;
mod latency;
mod need;
mod outage;
mod plan;
mod quota;
mod replay;
mod retry_budget;
mod share;
mod standing;
mod window;

pub use breaker::{Breaker, BreakerStanding, Refused, Ticket, Verdict};
pub use latency::{Baseline, Baselines, CallKind, Observed, OutputClass, Quantile, Sample, Threshold};
pub use need::Need;
pub use outage::{OutagePolicy, OutageRefused, OutageStanding, OutageTicket, Outages, Scope};
pub use plan::{Decision, Plan, Step, TargetHealth, plan};
pub use quota::{
    Estimate, MeterHeaders, Quota, RateHeaders, Refill, Wait, concerns as rate_headers_concern,
    read as read_rate_headers,
};
pub use replay::{Change, Replay, ReplayReport, Side, Streamed, Timing};
pub use retry_budget::{RetryBudget, backoff};
pub use share::object_to_shares;
pub use standing::{Demand, Standing, Standings};
