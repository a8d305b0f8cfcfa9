//! Why a request became no call, for the metric and for the caller.

use std::time::Duration;

use crate::{
    dialect::{Problem, ProblemKind},
    domain::CallId,
    limit::{self, Standing, Why},
    relay::Refusal,
};

/// What a caller is told to wait when the gateway itself is full.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(2);
/// Longer than this no caller should wait and try again by itself.
pub(super) const WORTH_A_RETRY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Refused {
    /// The metric's word.
    pub(super) reason: &'static str,
    pub(super) problem: Problem,
    pub(super) retry_after: Option<Duration>,
    /// What is left for the caller of its rates.
    pub(super) standing: Standing,
    /// Whether the caller's SDK is told not to try again by itself.
    pub(super) is_final: bool,
}

impl Refused {
    pub(super) fn of(reason: &'static str, problem: Problem) -> Self {
        Self { reason, problem, retry_after: None, standing: Standing::default(), is_final: false }
    }

    pub(super) fn bad(reason: &'static str, kind: ProblemKind, message: String) -> Self {
        Self::of(reason, Problem::new(kind, message))
    }

    pub(super) fn full(why: &str) -> Self {
        let problem = Problem::new(ProblemKind::Unavailable, format!("{why}; try again in a moment"));
        Self { retry_after: Some(FULL_RETRY_AFTER), ..Self::of("full", problem) }
    }

    /// A limit does not allow it.
    pub(super) fn limited(refusal: limit::Refusal) -> Self {
        let (kind, code, param) = match refusal.why {
            Why::Rate { .. } | Why::Concurrency { .. } | Why::Bodies { .. } | Why::Memory { .. } => {
                (ProblemKind::RateLimited, "rate_limit_exceeded", None)
            }
            Why::Budget { .. } | Why::NoPrice => (ProblemKind::RateLimited, "insufficient_quota", None),
            Why::CostPerCall { .. } => (ProblemKind::InvalidRequest, "cost_limit_exceeded", Some("max_tokens")),
            Why::ToolWithoutPrice { .. } => (ProblemKind::InvalidRequest, "cost_limit_exceeded", Some("tools")),
            Why::AnswerTokens { .. } => (ProblemKind::InvalidRequest, "max_tokens_exceeded", Some("max_tokens")),
            Why::Body { .. } => (ProblemKind::TooLarge, "request_too_large", None),
        };
        let is_limit = kind == ProblemKind::RateLimited;
        let problem = Problem {
            code: Some(code.to_owned()),
            param: param.map(str::to_owned),
            ..Problem::new(kind, refusal.to_string())
        };
        Self {
            retry_after: refusal.retry_after,
            standing: refusal.standing,
            is_final: is_limit && refusal.retry_after.is_none_or(|wait| wait > WORTH_A_RETRY),
            ..Self::of(refusal.reason(), problem)
        }
    }

    /// Admission does not allow it.
    pub(super) fn by(refusal: Refusal, id: CallId) -> Self {
        match refusal {
            Refusal::BadRequest(error) => {
                let problem = Problem {
                    kind: ProblemKind::InvalidRequest,
                    message: error.message,
                    param: error.param,
                    code: error.code.map(str::to_owned),
                };
                Self::of("bad_request", problem)
            }
            Refusal::UnknownModel { name, nearest } => {
                let hint = nearest.map(|nearest| format!(", did you mean `{nearest}`?")).unwrap_or_default();
                let message = format!("there is no model `{name}` here{hint}; GET /v1/models lists them");
                let problem = Problem {
                    kind: ProblemKind::NotFound,
                    message,
                    param: Some("model".to_owned()),
                    code: Some("model_not_found".to_owned()),
                };
                Self::of("unknown_model", problem)
            }
            Refusal::NotAllowed { message, param } => {
                let param = param.map(str::to_owned);
                Self::of("not_allowed", Problem { param, ..Problem::new(ProblemKind::Permission, message) })
            }
            Refusal::Limited(refusal) => Self::limited(refusal),
            Refusal::LedgerFull => {
                tracing::error!(request_id = %id, "a call was refused because the ledger cannot take it over");
                Self::full("calls cannot be recorded now")
            }
        }
    }
}
