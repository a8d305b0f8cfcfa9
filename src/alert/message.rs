//! One alert, neutral of whoever receives it: what went wrong, how bad it is, and whether it goes on.
//!
//! It never holds a prompt, an answer, a host or a secret: names from the config, fault kinds, times and counts alone.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{budget::BudgetNote, share::OverrideNote};
use crate::{
    config::AlertSeverity,
    domain::{CallId, RouteId, TargetId},
};

/// The longest key that PagerDuty takes, in characters.
const KEY_LIMIT: usize = 255;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The same for every message about one incident.
    pub dedup_key: DedupKey,
    pub event: Event,
    pub severity: AlertSeverity,
    pub state: State,
    pub route: RouteId,
    /// The kind of fault, as the ledger writes it.
    pub fault: String,
    /// The target that is at fault.
    pub target: Option<TargetId>,
    /// The target that answered instead, where one did.
    pub served_by: Option<TargetId>,
    /// What went wrong, target by target, in the ladder's order.
    pub tried: Vec<Tried>,
    /// The last call that met it: `backstop calls show` prints its timeline.
    pub call: Option<CallId>,
    /// In ms since 1970-01-01 UTC.
    pub first_seen_unix_ms: i64,
    /// In ms since 1970-01-01 UTC.
    pub last_seen_unix_ms: i64,
    /// When it was resolved, in ms since 1970-01-01 UTC.
    pub resolved_unix_ms: Option<i64>,
    /// How many calls met it so far.
    pub count: u64,
    /// Of a budget that has reached a mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetNote>,
    /// Of an override of the share cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<OverrideNote>,
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The first fallback served.
    FallbackServed,
    /// A later fallback served.
    LaterFallbackServed,
    /// An answer broke off after part of it had left.
    AnswerInterrupted,
    /// No target could answer.
    NobodyAnswered,
    /// A secret or a model's name is wrong: ours to mend.
    TargetRefusedUs,
    /// A target has no valid certificate, or breaks an invariant: it left its route.
    TargetLeftOut,
    /// A target's certificate ends soon, or is in the grace after its end: the target serves still.
    CertificateEnds,
    /// The certificate of a retained release should be renewed by now, and is not: it failed, or lacks signatures.
    CertificateNotRenewed,
    /// A budget has reached a mark: 50, 80, 95 or 100 %.
    BudgetReached,
    /// The share cap is overridden: it refuses no call for a while.
    ShareOverridden,
    /// A critical route was not drilled for too long.
    DrillOverdue,
    /// A rule found what it watches for.
    RuleFired,
    /// `backstop alerts test`.
    Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Firing,
    Resolved,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    pub target: TargetId,
    pub fault: String,
}

/// At most 255 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DedupKey(String);

impl DedupKey {
    /// Joins `parts`; what is too long for a receiver is replaced by its digest.
    pub fn of(parts: &[&str]) -> Self {
        let key = format!("backstop:{}", parts.join(":"));
        if key.chars().count() <= KEY_LIMIT {
            return Self(key);
        }
        Self(format!("backstop:{}", hex::encode(Sha256::digest(key))))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Event {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FallbackServed => "fallback_served",
            Self::LaterFallbackServed => "later_fallback_served",
            Self::AnswerInterrupted => "answer_interrupted",
            Self::NobodyAnswered => "nobody_answered",
            Self::TargetRefusedUs => "target_refused_us",
            Self::TargetLeftOut => "target_left_out",
            Self::CertificateEnds => "certificate_ends",
            Self::CertificateNotRenewed => "certificate_not_renewed",
            Self::BudgetReached => "budget_reached",
            Self::ShareOverridden => "share_overridden",
            Self::DrillOverdue => "drill_overdue",
            Self::RuleFired => "rule_fired",
            Self::Test => "test",
        }
    }

    pub fn severity(self) -> AlertSeverity {
        match self {
            Self::FallbackServed | Self::CertificateEnds | Self::BudgetReached | Self::DrillOverdue => {
                AlertSeverity::Warning
            }
            Self::LaterFallbackServed
            | Self::AnswerInterrupted
            | Self::TargetRefusedUs
            | Self::CertificateNotRenewed
            | Self::ShareOverridden
            | Self::RuleFired => AlertSeverity::Error,
            Self::NobodyAnswered | Self::TargetLeftOut => AlertSeverity::Critical,
            Self::Test => AlertSeverity::Info,
        }
    }
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

impl Alert {
    /// What `backstop alerts test` sends.
    pub fn test(state: State, now_unix_ms: i64) -> Self {
        Self {
            dedup_key: DedupKey::of(&["test", &now_unix_ms.to_string()]),
            event: Event::Test,
            severity: Event::Test.severity(),
            state,
            route: RouteId::new("test"),
            fault: "none".to_owned(),
            target: None,
            served_by: None,
            tried: Vec::new(),
            call: None,
            first_seen_unix_ms: now_unix_ms,
            last_seen_unix_ms: now_unix_ms,
            resolved_unix_ms: (state == State::Resolved).then_some(now_unix_ms),
            count: 1,
            budget: None,
            overridden: None,
        }
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let route = &self.route;
        let target = self.target.as_ref().map_or_else(|| "its first target".to_owned(), ToString::to_string);
        let served = self.served_by.as_ref().map_or_else(|| "a fallback".to_owned(), ToString::to_string);
        let fault = &self.fault;
        if let Some(budget) = &self.budget {
            return budget.summary(self.state);
        }
        if let Some(overridden) = &self.overridden {
            return overridden.summary(self.state);
        }
        match (self.state, self.event) {
            (State::Firing, Event::FallbackServed) => {
                format!("{route}: {target} failed ({fault}), {served} answers instead")
            }
            (State::Firing, Event::LaterFallbackServed) => {
                format!("{route}: {target} and the fallback after it failed ({fault}), {served} answers instead")
            }
            (State::Firing, Event::AnswerInterrupted) => format!("{route}: an answer of {target} broke off ({fault})"),
            (State::Firing, Event::NobodyAnswered) => format!("{route}: no target can answer ({fault})"),
            (State::Firing, Event::TargetRefusedUs) => {
                format!("{route}: {target} does not take our secret or does not know the model ({fault})")
            }
            (State::Firing, Event::TargetLeftOut) => format!("{route}: {target} is left out ({fault})"),
            (State::Firing, Event::CertificateEnds) => {
                format!(
                    "{route}: the certificate of {target} ends ({fault}); certify it again before it leaves the route"
                )
            }
            (State::Firing, Event::CertificateNotRenewed) => {
                format!("{route}: the certificate of {target}, which is retained, is not renewed: {fault}")
            }
            (State::Resolved, Event::CertificateNotRenewed) => {
                format!("{route}: the certificate of {target} needs no renewal any more")
            }
            (_, Event::BudgetReached) => "a budget has reached a mark".to_owned(),
            (_, Event::ShareOverridden) => "the share cap is overridden".to_owned(),
            (State::Firing, Event::DrillOverdue) => {
                format!(
                    "{route}: its last drill is too old, or there was none; `backstop drill outage --route {route}` shows who serves in an outage"
                )
            }
            (State::Resolved, Event::DrillOverdue) => format!("{route}: no drill is overdue any more"),
            (State::Firing, Event::RuleFired) => format!("{route}: {fault}"),
            (State::Resolved, Event::RuleFired) => format!("{route}: no longer watched: {fault}"),
            (State::Firing, Event::Test) => "a test of alerts: nothing is wrong".to_owned(),
            (State::Resolved, Event::FallbackServed) => format!("{route}: {target} answers again"),
            (State::Resolved, Event::LaterFallbackServed) => {
                format!("{route}: the later fallback is no longer needed ({fault})")
            }
            (State::Resolved, Event::AnswerInterrupted) => format!("{route}: answers are whole again"),
            (State::Resolved, Event::NobodyAnswered) => format!("{route}: calls are answered again"),
            (State::Resolved, Event::TargetRefusedUs) => format!("{route}: {target} takes our calls again ({fault})"),
            (State::Resolved, Event::TargetLeftOut) => format!("{route}: {target} may serve again"),
            (State::Resolved, Event::CertificateEnds) => {
                format!("{route}: the certificate of {target} is another one now ({fault})")
            }
            (State::Resolved, Event::Test) => "a test of alerts: resolved".to_owned(),
        }
    }

    /// Each target and its fault, `vendor/model: fault` by line.
    pub fn tried_lines(&self) -> Vec<String> {
        self.tried.iter().map(|tried| format!("{}: {}", tried.target, tried.fault)).collect()
    }
}

/// RFC 3339 in UTC, with milliseconds where there are any.
pub(super) fn moment(unix_ms: i64) -> String {
    let nanos = i128::from(unix_ms) * 1_000_000;
    let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(&Rfc3339).unwrap_or_default()
}

/// `text`, no longer than `most` characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}
