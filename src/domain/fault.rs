//! What went wrong with an attempt: whose fault it is, what kind, and whether another try can help.
//!
//! Fallback decides on these alone. Nothing here knows a status code that a caller gets; the HTTP edge maps kinds to
//! those. `detail` never holds a secret, an upstream host or a vendor's raw body.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// One attempt's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub source: Source,
    pub kind: FaultKind,
    pub retry: Retry,
    /// What the vendor sent, when it sent anything.
    pub status: Option<u16>,
    /// For people: lower case, no full stop.
    pub detail: String,
    /// The field of the question that is at fault, where one is.
    pub param: Option<String>,
    /// The vendor's or the dialect's own code, e.g. `context_length_exceeded`.
    pub code: Option<String>,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The question itself: asking another target would not help.
    Caller,
    Vendor,
    Gateway,
}

/// Whether and where to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Nowhere.
    Never,
    /// The next target of the route.
    Next,
    /// The next target; this one not before the duration has passed.
    After(Duration),
}

/// The kinds, each a metric label and a word in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    // reaching it
    Dns,
    ConnectRefused,
    ConnectTimeout,
    Tls,
    Reset,
    // waiting for it
    FirstTokenTimeout,
    IdleTimeout,
    AttemptTimeout,
    /// Slower than the target's own stored baseline allows, though within the configured deadline.
    Latency,
    /// The call's whole budget is spent.
    TotalTimeout,
    // what it said
    ServerError,
    Overloaded,
    RateLimited,
    QuotaExhausted,
    /// 401 or 403: our secret is wrong, not the caller's key.
    VendorAuth,
    /// 404: the vendor does not know the model or the path.
    VendorNotFound,
    /// An error object inside a 200, or an error event inside a stream.
    ErrorInBody,
    EmptyAnswer,
    /// Not the JSON or the event stream it should be.
    Malformed,
    /// The stream ended without a finish reason.
    Truncated,
    /// Larger than the bound on an answer.
    TooLarge,
    Redirected,
    // the question
    BadRequest,
    ContextLength,
    ContentPolicy,
    /// The target's dialect or model cannot carry a field of the question.
    Unsupported,
    // our own side
    /// No valid certificate: not attempted.
    Uncertified,
    /// Strict enforcement leaves the target out of the route: not attempted.
    BreaksInvariant,
    /// The vendor has no secret in the vault, or it cannot be unsealed.
    NoSecret,
    /// The target has failed too often of late: not attempted.
    BreakerOpen,
    /// Several targets of its region have: not attempted.
    RegionOpen,
    /// Several regions of its vendor have: not attempted.
    VendorOpen,
    /// The vendor's own limit is spent, by its headers: not attempted.
    LimitReached,
    /// A budget of the caller's does not cover it, or its price is not known: not attempted.
    OverBudget,
    /// Its vendor has had as much of the volume as it may, or is near that: not attempted.
    VendorShare,
    /// A drill has it seen as down: not attempted.
    Drill,
    /// Another target answered first: hung up on.
    HedgeLost,
    /// The local engine's queue is full.
    Busy,
    /// The local engine failed or is not loaded.
    Engine,
    /// The caller hung up.
    ClientGone,
}

impl FaultKind {
    pub const ALL: [Self; 40] = [
        Self::Dns,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::Tls,
        Self::Reset,
        Self::FirstTokenTimeout,
        Self::IdleTimeout,
        Self::AttemptTimeout,
        Self::Latency,
        Self::TotalTimeout,
        Self::ServerError,
        Self::Overloaded,
        Self::RateLimited,
        Self::QuotaExhausted,
        Self::VendorAuth,
        Self::VendorNotFound,
        Self::ErrorInBody,
        Self::EmptyAnswer,
        Self::Malformed,
        Self::Truncated,
        Self::TooLarge,
        Self::Redirected,
        Self::BadRequest,
        Self::ContextLength,
        Self::ContentPolicy,
        Self::Unsupported,
        Self::Uncertified,
        Self::BreaksInvariant,
        Self::NoSecret,
        Self::BreakerOpen,
        Self::RegionOpen,
        Self::VendorOpen,
        Self::LimitReached,
        Self::OverBudget,
        Self::VendorShare,
        Self::Drill,
        Self::HedgeLost,
        Self::Busy,
        Self::Engine,
        Self::ClientGone,
    ];

    /// The label, as the ledger and the metrics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Reset => "reset",
            Self::FirstTokenTimeout => "first_token_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::AttemptTimeout => "attempt_timeout",
            Self::Latency => "latency",
            Self::TotalTimeout => "total_timeout",
            Self::ServerError => "server_error",
            Self::Overloaded => "overloaded",
            Self::RateLimited => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::VendorAuth => "vendor_auth",
            Self::VendorNotFound => "vendor_not_found",
            Self::ErrorInBody => "error_in_body",
            Self::EmptyAnswer => "empty_answer",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::TooLarge => "too_large",
            Self::Redirected => "redirected",
            Self::BadRequest => "bad_request",
            Self::ContextLength => "context_length",
            Self::ContentPolicy => "content_policy",
            Self::Unsupported => "unsupported",
            Self::Uncertified => "uncertified",
            Self::BreaksInvariant => "breaks_invariant",
            Self::NoSecret => "no_secret",
            Self::BreakerOpen => "breaker_open",
            Self::RegionOpen => "region_open",
            Self::VendorOpen => "vendor_open",
            Self::LimitReached => "limit_reached",
            Self::OverBudget => "over_budget",
            Self::VendorShare => "vendor_share",
            Self::Drill => "drill",
            Self::HedgeLost => "hedge_lost",
            Self::Busy => "busy",
            Self::Engine => "engine",
            Self::ClientGone => "client_gone",
        }
    }

    /// Whose fault such a fault is.
    pub fn source(self) -> Source {
        match self {
            Self::BadRequest
            | Self::ContextLength
            | Self::ContentPolicy
            | Self::Unsupported
            | Self::OverBudget
            | Self::ClientGone => Source::Caller,
            Self::Uncertified
            | Self::BreaksInvariant
            | Self::NoSecret
            | Self::BreakerOpen
            | Self::RegionOpen
            | Self::VendorOpen
            | Self::LimitReached
            | Self::VendorShare
            | Self::Drill
            | Self::HedgeLost
            | Self::Busy
            | Self::Engine
            | Self::TotalTimeout => Source::Gateway,
            _ => Source::Vendor,
        }
    }
}

impl FaultKind {
    /// Whether nothing was sent to the target: it was passed over.
    pub fn is_passed_over(self) -> bool {
        matches!(
            self,
            Self::Uncertified
                | Self::BreaksInvariant
                | Self::NoSecret
                | Self::BreakerOpen
                | Self::RegionOpen
                | Self::VendorOpen
                | Self::LimitReached
                | Self::OverBudget
                | Self::VendorShare
                | Self::Drill
        )
    }

    /// Whether it is the kind that takes a region down: nobody there answers, or not in time, or with a server's error.
    pub fn is_outage(self) -> bool {
        matches!(
            self,
            Self::Dns
                | Self::ConnectRefused
                | Self::ConnectTimeout
                | Self::Tls
                | Self::Reset
                | Self::FirstTokenTimeout
                | Self::IdleTimeout
                | Self::AttemptTimeout
                | Self::Latency
                | Self::ServerError
                | Self::Overloaded
        )
    }

    /// Whether the connection was refused at once, so that the same target may be asked again: a black hole would only cost
    /// its deadline twice.
    pub fn is_connect(self) -> bool {
        matches!(self, Self::Dns | Self::ConnectRefused)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Fault {
    /// A fault with the source and the retry that its kind has by itself.
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        let retry = match kind {
            FaultKind::BadRequest
            | FaultKind::ContextLength
            | FaultKind::ContentPolicy
            | FaultKind::ClientGone
            | FaultKind::HedgeLost
            | FaultKind::TotalTimeout => Retry::Never,
            _ => Retry::Next,
        };
        Self { source: kind.source(), kind, retry, status: None, detail: detail.into(), param: None, code: None }
    }

    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    pub fn with_code(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    pub fn with_param(mut self, param: Option<String>) -> Self {
        self.param = param;
        self
    }

    /// The vendor asked to be left alone for `after`.
    pub fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        if let (Some(after), Retry::Next) = (after, self.retry) {
            self.retry = Retry::After(after);
        }
        self
    }

    pub fn retry_after(&self) -> Option<Duration> {
        match self.retry {
            Retry::After(after) => Some(after),
            Retry::Never | Retry::Next => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} ({status}): {}", self.kind, self.detail),
            None => write!(f, "{}: {}", self.kind, self.detail),
        }
    }
}

impl std::error::Error for Fault {}
