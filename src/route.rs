//! Which targets a call may go to, in which order, and why not to the others. Pure: fed by snapshots, no I/O, no clock.

mod breaker;
mod latency;
mod outage;
mod plan;
mod quota;
mod retry_budget;
mod standing;
mod window;

pub use breaker::{Breaker, BreakerPolicy, BreakerStanding, Refused, Ticket, Verdict};
pub use latency::{Baseline, CallKind, LatencyPolicy, Observed, OutputClass, Quantile, Sample, Threshold};
pub use outage::{Hosting, OutagePolicy, OutageRefused, OutageStanding, OutageTicket, Outages, Place, Scope};
pub use plan::{Decision, Plan, Step, plan};
pub use quota::{Estimate, MeterHeaders, Quota, RateHeaders, Refill, Wait, read as read_rate_headers};
pub use retry_budget::{RetryBudget, backoff};
pub use standing::{Standing, Standings};
