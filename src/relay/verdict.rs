//! No target could answer: what the caller is told, and when a next try makes sense. Pure.

use std::time::Duration;

use crate::{
    dialect::{Problem, ProblemKind},
    domain::{Attempt, Fault, FaultKind, RouteId, Source},
};

/// What a caller is told to wait when no target said how long.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Verdict {
    pub problem: Problem,
    pub retry_after: Option<Duration>,
}

/// `attempts` and `faults` are in the ladder's order; a last fault without an attempt is the call's own time running out.
pub(super) fn problem(route: &RouteId, attempts: &[Attempt], faults: &[Fault]) -> Verdict {
    if let Some(fault) = callers_own(faults) {
        let kind = ProblemKind::InvalidRequest;
        let problem =
            Problem { kind, message: fault.detail.clone(), param: fault.param.clone(), code: fault.code.clone() };
        return Verdict { problem, retry_after: None };
    }
    if let Some(verdict) = out_of_shares(route, faults) {
        return verdict;
    }
    let retry_after = faults.iter().filter_map(Fault::retry_after).min().unwrap_or(DEFAULT_RETRY_AFTER);
    let kind = match faults.last().map(|fault| fault.kind) {
        Some(FaultKind::TotalTimeout) => ProblemKind::Timeout,
        Some(FaultKind::Busy) => ProblemKind::Overloaded,
        _ if all_limited(faults) => ProblemKind::RateLimited,
        _ => ProblemKind::Unavailable,
    };
    let told: Vec<String> = attempts
        .iter()
        .filter_map(|attempt| {
            let fault = attempt.fault?;
            Some(match attempt.status {
                Some(status) => format!("{}: {fault} ({status})", attempt.target),
                None => format!("{}: {fault}", attempt.target),
            })
        })
        .collect();
    let message = format!(
        "no target of route `{route}` could answer: {}; try again in {} s",
        told.join(", "),
        retry_after.as_secs_f64().ceil()
    );
    Verdict {
        problem: Problem { code: Some("no_target_available".to_owned()), ..Problem::new(kind, message) },
        retry_after: Some(retry_after),
    }
}

/// Nobody could be asked because of the share cap: when that ends by itself is told only where it is known.
fn out_of_shares(route: &RouteId, faults: &[Fault]) -> Option<Verdict> {
    let not_there = |kind| matches!(kind, FaultKind::Uncertified | FaultKind::BreaksInvariant);
    let mut asked = faults.iter().filter(|fault| !not_there(fault.kind)).peekable();
    asked.peek()?;
    let mut told: Vec<&str> = Vec::new();
    for fault in asked {
        if fault.kind != FaultKind::VendorShare {
            return None;
        }
        if !told.contains(&fault.detail.as_str()) {
            told.push(&fault.detail);
        }
    }
    let retry_after = faults.iter().filter_map(Fault::retry_after).min();
    let when = retry_after.map_or_else(
        || "an operator can override the cap".to_owned(),
        |wait| format!("try again in {} s", wait.as_secs_f64().ceil()),
    );
    let message =
        format!("no target of route `{route}` may answer because of the share cap: {}; {when}", told.join("; "));
    let problem =
        Problem { code: Some("vendor_share_cap".to_owned()), ..Problem::new(ProblemKind::Unavailable, message) };
    Some(Verdict { problem, retry_after })
}

/// The fault that makes this the caller's to mend: the last one, when it is of that kind; or, when nobody who could have
/// taken the question has failed or was left alone, a field or a length that none of the targets can carry.
fn callers_own(faults: &[Fault]) -> Option<&Fault> {
    let last = faults.last()?;
    if matches!(last.kind, FaultKind::BadRequest | FaultKind::ContentPolicy) {
        return Some(last);
    }
    let beyond_it = |kind| matches!(kind, FaultKind::Unsupported | FaultKind::ContextLength);
    let not_there = |kind| matches!(kind, FaultKind::Uncertified | FaultKind::BreaksInvariant);
    if last.kind == FaultKind::ContextLength && !faults.iter().any(|fault| fault.kind.source() == Source::Vendor)
        || faults.iter().all(|fault| beyond_it(fault.kind) || not_there(fault.kind))
    {
        let too_long = faults.iter().rfind(|fault| fault.kind == FaultKind::ContextLength);
        return too_long.or_else(|| faults.iter().find(|fault| fault.kind == FaultKind::Unsupported));
    }
    None
}

fn all_limited(faults: &[Fault]) -> bool {
    let limited = |kind| {
        use FaultKind::{LimitReached, OverBudget, QuotaExhausted, RateLimited};
        matches!(kind, RateLimited | QuotaExhausted | LimitReached | OverBudget)
    };
    let mut asked = faults
        .iter()
        .filter(|fault| !matches!(fault.kind, FaultKind::Uncertified | FaultKind::BreaksInvariant))
        .peekable();
    asked.peek().is_some() && asked.all(|fault| limited(fault.kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(faults: &[Fault]) -> Verdict {
        problem(&RouteId::new("r"), &[], faults)
    }

    #[test]
    fn a_field_that_no_target_carries_is_the_callers_to_mend() {
        let unsupported = Fault::new(FaultKind::Unsupported, "no").with_param(Some("logit_bias".into()));
        let told = verdict(&[unsupported.clone(), Fault::new(FaultKind::Uncertified, "x")]);
        assert_eq!(
            (told.problem.kind, told.problem.param.as_deref()),
            (ProblemKind::InvalidRequest, Some("logit_bias"))
        );
        assert_eq!(told.retry_after, None);
        let told = verdict(&[Fault::new(FaultKind::ServerError, "x"), unsupported]);
        assert_eq!(told.problem.kind, ProblemKind::Unavailable, "the first target could have carried it");
    }

    #[test]
    fn limits_everywhere_are_a_429_with_the_shortest_wait() {
        let limited =
            |seconds| Fault::new(FaultKind::RateLimited, "x").with_retry_after(Some(Duration::from_secs(seconds)));
        let told = verdict(&[limited(9), Fault::new(FaultKind::Uncertified, "x"), limited(3)]);
        assert_eq!((told.problem.kind, told.retry_after), (ProblemKind::RateLimited, Some(Duration::from_secs(3))));
    }

    #[test]
    fn an_outage_says_when_to_come_back() {
        let told = verdict(&[Fault::new(FaultKind::ConnectRefused, "x"), Fault::new(FaultKind::ServerError, "x")]);
        assert_eq!((told.problem.kind, told.retry_after), (ProblemKind::Unavailable, Some(DEFAULT_RETRY_AFTER)));
    }
}
