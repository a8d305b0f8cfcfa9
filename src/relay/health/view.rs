//! What is known of every target, as a file in the state directory: the baselines for the next start, and how each target
//! is now for `backstop routes`. Written whole and moved into place, so that a reader never sees half of it.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    Cell, Health,
    cell::{Standings, breaker_fault},
};
use crate::{
    clock,
    domain::{Fault, FaultKind, TargetId},
    route::{Baselines, BreakerStanding, Scope, TargetHealth},
};

/// The largest file that is read, in bytes.
const MOST: u64 = 64 << 20;

/// All targets at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthView {
    /// When it was taken, in ms since 1970-01-01 UTC.
    pub at_unix_ms: i64,
    /// The process that wrote it.
    pub process: u32,
    pub targets: BTreeMap<TargetId, TargetView>,
}

/// One target at that moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetView {
    /// `closed`, `open`, `half_open`, `recovering`.
    pub breaker: String,
    /// While open: until when, in ms since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_until_unix_ms: Option<i64>,
    /// `region` or `vendor`, when one of them is out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage: Option<String>,
    /// Its own limit is reached: until when, in ms since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited_until_unix_ms: Option<i64>,
    /// It has answered within the breaker's window.
    #[serde(default)]
    pub answers_at_times: bool,
    pub baselines: Baselines,
}

impl HealthView {
    pub fn of(health: &Health) -> Self {
        let targets = health.all().iter().map(|cell| (cell.id().clone(), TargetView::of(cell))).collect();
        Self { at_unix_ms: clock::unix_ms(), process: std::process::id(), targets }
    }

    /// The baselines alone, for [`Health::with_baselines`].
    pub fn into_baselines(self) -> HashMap<TargetId, Baselines> {
        self.targets.into_iter().map(|(id, view)| (id, view.baselines)).collect()
    }

    /// Writes it to `path`, whole or not at all.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let beside = path.with_extension("new");
        fs::write(&beside, serde_json::to_vec(self).map_err(io::Error::other)?)?;
        fs::rename(&beside, path)
    }
}

impl TargetView {
    fn of(cell: &Arc<Cell>) -> Self {
        let Standings { breaker: standing, outage, limited, answers_at_times } = cell.standings();
        let until =
            |wait: Duration| clock::unix_ms().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        let (breaker, open_until_unix_ms) = match standing {
            BreakerStanding::Closed => ("closed", None),
            BreakerStanding::Recovering { .. } => ("recovering", None),
            BreakerStanding::HalfOpen { .. } => ("half_open", None),
            BreakerStanding::Open { until: at } => ("open", Some(until(at.saturating_duration_since(clock::now())))),
        };
        Self {
            breaker: breaker.to_owned(),
            open_until_unix_ms,
            outage: outage.map(|scope| if scope == Scope::Vendor { "vendor" } else { "region" }.to_owned()),
            limited_until_unix_ms: limited.map(until),
            answers_at_times,
            baselines: cell.baselines(),
        }
    }
}

impl TargetView {
    /// Whether a call would be let through at this moment, as far as the file tells.
    pub fn health(&self, now_unix_ms: i64) -> TargetHealth {
        let wait = |until: Option<i64>| {
            let ms = u64::try_from(until?.saturating_sub(now_unix_ms)).ok().filter(|ms| *ms > 0)?;
            Some(Duration::from_millis(ms))
        };
        let objection = match (self.outage.as_deref(), wait(self.open_until_unix_ms), wait(self.limited_until_unix_ms))
        {
            (Some("vendor"), ..) => Some(Fault::new(FaultKind::VendorOpen, "the regions of its vendor fail together")),
            (Some(_), ..) => Some(Fault::new(FaultKind::RegionOpen, "several targets of its region fail together")),
            (None, Some(open), _) => Some(breaker_fault(Some(open))),
            (None, None, Some(limited)) => {
                let why = "its own limit is reached";
                Some(Fault::new(FaultKind::LimitReached, why).with_retry_after(Some(limited)))
            }
            (None, None, None) => None,
        };
        TargetHealth { objection, answers_at_times: self.answers_at_times }
    }
}

/// What a gateway last wrote at `path`; `None` when there is nothing.
///
/// # Errors
/// When there is something, and it cannot be read or is not what a gateway writes.
pub fn read_views(path: &Path) -> io::Result<Option<HealthView>> {
    use std::io::Read as _;
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other)
}
