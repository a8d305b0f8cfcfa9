//! Rules on a route's figures after a promotion: measured from the ledger ([`figures`]), judged by a test that may be looked at as often
//! as one likes ([`sequential`]), held down and counted ([`course`]); the last two are pure.

mod course;
mod figures;
mod sequential;
mod tested;
mod watch;

pub use course::{Course, Deed, Look};
pub use figures::{Finding, Span, Watched, look};
pub use sequential::{Seen, evidence_of_mean, evidence_of_rate};
pub use tested::{TestError, Tested, test_all};
pub use watch::{RuleState, Watcher};
