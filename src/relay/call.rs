//! One call while it lives: its clock, its attempts, and the outcome that it leaves exactly once, even when dropped.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backstop_models::chat::{Delta, Event, Usage};
use metrics::gauge;

use super::{Inbound, Relay, SnapshotRoute};
use crate::{
    clock,
    config::Prices,
    dialect,
    domain::{Attempt, CallId, Dialect, Ending, Fault, FaultKind, Money, Outcome, TargetId, TokenUsage, UsageSource},
    ledger::LedgerError,
    observe::metric,
};

/// HTTP's unofficial status for a caller that hung up.
const CLIENT_CLOSED_REQUEST: u16 = 499;

#[derive(Debug)]
pub struct Call {
    relay: Arc<Relay>,
    outcome: Outcome,
    /// The id as 32 hex digits, for the dialect's own prefix.
    answer_id: String,
    received: Instant,
    deadline: Instant,
    /// Bytes of the question, for an estimate of its tokens.
    question_bytes: usize,
    prices: Vec<Option<Prices>>,
    current: Option<Current>,
    cautions: Vec<String>,
    /// Time spent waiting for targets, in ms.
    waited_ms: f64,
    settled: bool,
    /// What is said, where the route lets it be logged.
    transcript: Option<Transcript>,
}

/// The most that is logged of a question or an answer, in bytes.
const TRANSCRIPT_LIMIT: usize = 16 * 1024;

#[derive(Debug)]
struct Transcript {
    question: String,
    answer: String,
}

impl Transcript {
    fn of(question: &[u8]) -> Self {
        Self { question: excerpt(question), answer: String::new() }
    }
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(TRANSCRIPT_LIMIT)]).into_owned()
}

/// The attempt that is being made.
#[derive(Debug)]
struct Current {
    started: Instant,
    usage: Usage,
    seen_bytes: usize,
    waited: Duration,
    reached: bool,
}

impl Call {
    pub fn open(
        relay: &Arc<Relay>,
        inbound: &Inbound,
        route: &SnapshotRoute,
        budget: Duration,
        streamed: bool,
    ) -> Self {
        gauge!(metric::IN_FLIGHT).increment(1);
        Self {
            relay: Arc::clone(relay),
            outcome: Outcome {
                call: inbound.id,
                started_unix_ms: inbound.received_unix_ms,
                tenant: inbound.client.tenant.clone(),
                key: inbound.client.key_id.clone(),
                feature: inbound.feature.clone(),
                route: route.route.id.clone(),
                dialect: inbound.dialect,
                streamed,
                attempts: Vec::with_capacity(route.targets.len()),
                served_by: None,
                ending: Ending::Open,
                status: 0,
                ttft_ms: None,
                total_ms: 0.0,
                overhead_ms: 0.0,
            },
            answer_id: inbound.id.0.simple().to_string(),
            received: inbound.received,
            deadline: inbound.received + budget,
            question_bytes: inbound.body.len(),
            prices: route.targets.iter().map(|target| target.prices).collect(),
            current: None,
            cautions: Vec::new(),
            waited_ms: 0.0,
            settled: false,
            transcript: route.route.log_content.then(|| Transcript::of(&inbound.body)),
        }
    }

    pub fn id(&self) -> CallId {
        self.outcome.call
    }

    pub fn dialect(&self) -> Dialect {
        self.outcome.dialect
    }

    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    pub fn attempts(&self) -> &[Attempt] {
        &self.outcome.attempts
    }

    pub fn cautions(&self) -> &[String] {
        &self.cautions
    }

    /// How an answer of this call is named in the caller's dialect.
    pub fn reply(&self) -> dialect::Reply<'_> {
        let outcome = &self.outcome;
        dialect::Reply {
            id: &self.answer_id,
            model: outcome.route.as_str(),
            created_unix_s: outcome.started_unix_ms / 1000,
            request: b"",
        }
    }

    /// Something that warn enforcement let through, for the answer's headers.
    pub fn caution(&mut self, what: String) {
        self.cautions.push(what);
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left of the whole budget.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(clock::now())
    }

    /// Notes a target that is not attempted.
    pub fn skip(&mut self, index: usize, target: &TargetId, kind: FaultKind, reason: &Arc<str>) -> Fault {
        let started_ms = ms(self.received.elapsed());
        let mut attempt = blank(index, target, started_ms);
        attempt.fault = Some(kind);
        attempt.detail = Some(Arc::clone(reason));
        self.outcome.attempts.push(attempt);
        Fault::new(kind, &**reason)
    }

    /// The attempt at `target` begins.
    pub fn begin(&mut self, index: usize, target: &TargetId) {
        self.outcome.attempts.push(blank(index, target, ms(self.received.elapsed())));
        self.current = Some(Current {
            started: clock::now(),
            usage: Usage::default(),
            seen_bytes: 0,
            waited: Duration::ZERO,
            reached: false,
        });
    }

    /// The question was sent: from here on the target may count tokens.
    pub fn reached(&mut self) {
        if let Some(current) = &mut self.current {
            current.reached = true;
        }
    }

    /// Time that went by waiting for the target.
    pub fn waited(&mut self, waited: Duration) {
        self.waited_ms += ms(waited);
        if let Some(current) = &mut self.current {
            current.waited += waited;
        }
    }

    /// Takes note of a whole answer, for a route that logs what is said.
    pub fn said(&mut self, body: &[u8]) {
        if let Some(transcript) = &mut self.transcript {
            transcript.answer = excerpt(body);
        }
    }

    /// Takes note of what a frame says about usage and content.
    pub fn note(&mut self, event: &Event) {
        let Some(current) = &mut self.current else { return };
        match event {
            Event::Usage(usage) => current.usage.merge(*usage),
            Event::Delta(delta) => {
                if let (Some(transcript), Delta::Text(text)) = (&mut self.transcript, delta)
                    && transcript.answer.len() < TRANSCRIPT_LIMIT
                {
                    transcript.answer.push_str(text);
                }
                current.seen_bytes += delta_bytes(delta);
                if delta.is_content()
                    && let Some(attempt) = self.outcome.attempts.last_mut()
                    && attempt.ttft_ms.is_none()
                {
                    attempt.ttft_ms = Some(ms(current.started.elapsed()));
                }
            }
            Event::Start { .. } | Event::Finish(_) => {}
        }
    }

    /// The first content of a stream leaves: written down, so that a crash from here on leaves a trace of it.
    pub fn commit(&mut self) {
        self.outcome.served_by = Some(self.outcome.attempts.len() - 1);
        self.outcome.ttft_ms = Some(ms(self.received.elapsed()));
        self.outcome.status = 200;
        if let (Some(current), Some(attempt)) = (&self.current, self.outcome.attempts.last_mut()) {
            // So far: what is without a duration counts as skipped.
            attempt.duration_ms = Some(ms(current.started.elapsed()));
        }
        self.stamp();
        if let Err(error) = self.relay.ledger.record(&self.outcome) {
            tracing::error!(request_id = %self.outcome.call, %error, "the beginning of a stream was not recorded");
        }
    }

    /// The attempt failed before anything left.
    pub fn end_attempt(&mut self, fault: &Fault) {
        self.close_attempt(Some(fault));
    }

    /// The attempt gave a whole answer.
    pub fn end_attempt_well(&mut self, usage: Usage, content_bytes: usize) {
        if let Some(current) = &mut self.current {
            current.usage.merge(usage);
            current.seen_bytes += content_bytes;
        }
        self.outcome.served_by = Some(self.outcome.attempts.len() - 1);
        self.close_attempt(None);
        self.outcome.ttft_ms = Some(ms(self.received.elapsed()));
    }

    /// The call is over. An `Err` means that the ledger has not taken it over, so the answer must not leave.
    pub fn settle(&mut self, ending: Ending, status: u16) -> Result<(), LedgerError> {
        self.settled = true;
        self.close_attempt(None);
        self.outcome.ending = ending;
        self.outcome.status = status;
        self.stamp();
        if let Some(Transcript { question, answer }) = self.transcript.take() {
            tracing::info!(request_id = %self.outcome.call, question, answer, "content of a call");
        }
        let recorded = self.relay.ledger.record(&self.outcome);
        self.relay.publisher.publish(Arc::new(self.outcome.clone()));
        recorded
    }

    fn stamp(&mut self) {
        self.outcome.total_ms = ms(self.received.elapsed());
        self.outcome.overhead_ms = (self.outcome.total_ms - self.waited_ms).max(0.0);
    }

    fn close_attempt(&mut self, fault: Option<&Fault>) {
        let (Some(current), Some(attempt)) = (self.current.take(), self.outcome.attempts.last_mut()) else { return };
        attempt.duration_ms = Some(ms(current.started.elapsed()));
        if let Some(fault) = fault {
            attempt.fault = Some(fault.kind);
            attempt.status = fault.status;
            attempt.detail = Some(Arc::from(fault.detail.as_str()));
        }
        (attempt.usage, attempt.usage_source) = tokens(&current, self.question_bytes, attempt.fault);
        attempt.cost = if attempt.target.is_local() || attempt.usage_source == UsageSource::None {
            Some(Money::ZERO)
        } else {
            self.prices.get(attempt.target_index).copied().flatten().map(|prices| prices.cost(&attempt.usage))
        };
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        gauge!(metric::IN_FLIGHT).decrement(1);
        if self.settled {
            return;
        }
        let gone = Fault::new(FaultKind::ClientGone, "the caller hung up");
        self.close_attempt(Some(&gone));
        if let Err(error) = self.settle(Ending::Cancelled, CLIENT_CLOSED_REQUEST) {
            tracing::error!(request_id = %self.outcome.call, %error, "a cancelled call was not recorded");
        }
    }
}

/// What the target said it used, or an estimate (four bytes a token) where content was seen and nothing was said.
fn tokens(current: &Current, question_bytes: usize, fault: Option<FaultKind>) -> (TokenUsage, UsageSource) {
    let said = &current.usage;
    if said.output_tokens.is_none() && (current.seen_bytes == 0 || !current.reached) {
        return (TokenUsage::default(), UsageSource::None);
    }
    let whole = fault.is_none() && said.input_tokens.is_some() && said.output_tokens.is_some();
    let output = match said.output_tokens {
        Some(output) if whole => output,
        // Anthropic says one token at the start and the rest at the end: what was cut in between counts as seen.
        Some(output) => output.max(estimate(current.seen_bytes)),
        None => estimate(current.seen_bytes),
    };
    let usage = TokenUsage {
        input: said.input_tokens.unwrap_or_else(|| estimate(question_bytes)),
        output,
        cached_input: said.cached_input_tokens.unwrap_or(0),
        cache_write: said.cache_write_tokens.unwrap_or(0),
        reasoning: said.reasoning_tokens.unwrap_or(0),
    };
    (usage, if whole { UsageSource::Reported } else { UsageSource::Estimated })
}

fn estimate(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

fn delta_bytes(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text) | Delta::Refusal(text) | Delta::Reasoning(text) => text.len(),
        Delta::Arguments { fragment, .. } => fragment.len(),
        Delta::ToolCall { name, .. } => name.len(),
        Delta::ReasoningSignature(_) => 0,
    }
}

fn blank(index: usize, target: &TargetId, started_ms: f64) -> Attempt {
    Attempt {
        target_index: index,
        target: target.clone(),
        started_ms,
        ttft_ms: None,
        duration_ms: None,
        fault: None,
        status: None,
        detail: None,
        usage: TokenUsage::default(),
        usage_source: UsageSource::None,
        cost: Some(Money::ZERO),
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
