//! What Google's error objects say beside a message: a status word, and details with reasons, quotas and times to wait.
//! <https://cloud.google.com/apis/design/errors>

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::FaultKind;

/// The details of one error, of those kinds that tell something here; others are passed over.
#[derive(Debug, Default)]
pub(super) struct Details(Vec<Detail>);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    /// `ErrorInfo`, e.g. `API_KEY_INVALID`.
    reason: Option<String>,
    /// `RetryInfo`, e.g. `30s`.
    retry_delay: Option<String>,
    /// `QuotaFailure`.
    #[serde(default)]
    violations: Vec<Violation>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Violation {
    /// E.g. `GenerateRequestsPerDayPerProjectPerModel-FreeTier`.
    quota_id: Option<String>,
}

impl Details {
    pub(super) fn read(raw: Option<&RawValue>) -> Self {
        let list: Vec<&RawValue> = raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        Self(list.into_iter().filter_map(|detail| serde_json::from_str(detail.get()).ok()).collect())
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.0.iter().find_map(|detail| detail.retry_delay.as_deref()?.strip_suffix('s')?.parse().ok());
        seconds.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok())
    }

    /// What the status word means, with these details; `None` where the HTTP status tells as much.
    pub(super) fn kind(&self, status: &str) -> Option<FaultKind> {
        let has = |reason: &str| self.0.iter().any(|detail| detail.reason.as_deref() == Some(reason));
        Some(match status {
            "UNAUTHENTICATED" | "PERMISSION_DENIED" => FaultKind::VendorAuth,
            "INVALID_ARGUMENT" if has("API_KEY_INVALID") => FaultKind::VendorAuth,
            // The region of the account, or its billing: nothing that the question says.
            "FAILED_PRECONDITION" => FaultKind::VendorAuth,
            "NOT_FOUND" => FaultKind::VendorNotFound,
            "RESOURCE_EXHAUSTED" if self.for_the_day() => FaultKind::QuotaExhausted,
            "RESOURCE_EXHAUSTED" => FaultKind::RateLimited,
            "UNAVAILABLE" => FaultKind::Overloaded,
            "INTERNAL" | "UNKNOWN" | "ABORTED" | "CANCELLED" | "DEADLINE_EXCEEDED" | "DATA_LOSS" => {
                FaultKind::ServerError
            }
            _ => return None,
        })
    }

    fn for_the_day(&self) -> bool {
        let mut quotas = self.0.iter().flat_map(|detail| &detail.violations).filter_map(|v| v.quota_id.as_deref());
        quotas.any(|quota| quota.contains("PerDay"))
    }
}
