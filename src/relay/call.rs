//! One call while it lives: its clock, its attempts, and the outcome that it leaves exactly once, even when dropped.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use metrics::gauge;

mod heard;

use super::{
    Inbound, Relay, SnapshotRoute,
    drilled::OnDrill,
    health::Asked,
    meter::{Meter, TRANSCRIPT_LIMIT, Transcript},
    purse::Purse,
    shadow::Beside,
};
use crate::{
    clock,
    dialect::Envelope,
    domain::{
        Attempt, CallId, Dialect, Ending, Fault, FaultKind, Money, Outcome, PriceState, Prices, Role, TargetId,
        TokenUsage, UsageSource, Volume,
    },
    ledger::LedgerError,
    limit::{Standing, Unsaid},
    observe::metric,
};

/// HTTP's unofficial status for a caller that hung up.
const CLIENT_CLOSED_REQUEST: u16 = 499;

#[derive(Debug)]
pub struct Call {
    relay: Arc<Relay>,
    outcome: Outcome,
    received: Instant,
    deadline: Instant,
    /// What an attempt counts as of which nobody says what it used.
    unsaid: Unsaid,
    /// Of it, where all of the prompt is text that is in it; else 0.
    text_bytes: usize,
    prices: Vec<Option<Prices>>,
    /// Until the call is settled.
    purse: Option<Purse>,
    /// What is left for the caller.
    standing: Standing,
    /// The attempts that are being made, by their place in the outcome.
    open: Vec<(Slot, Meter)>,
    cautions: Vec<String>,
    /// Time spent waiting for targets in attempts that are over, in ms.
    waited_ms: f64,
    settled: bool,
    /// What was asked, where the route lets it be logged.
    question: Option<String>,
    answer: String,
    /// Held until the call is over: a drill waits for its calls.
    _drill: Option<Arc<OnDrill>>,
    /// Who waits to compare what the caller gets.
    beside: Option<Beside>,
    publishing: Publishing,
    /// What was asked, where the answer is to be JSON.
    json_asked: Option<Bytes>,
}

/// Whether anybody but the ledger is told of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publishing {
    Everybody,
    LedgerAlone,
}

/// An attempt's place in the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(usize);

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(TRANSCRIPT_LIMIT)]).into_owned()
}

impl Call {
    pub(super) fn open(
        relay: &Arc<Relay>,
        inbound: &Inbound,
        (route, purse, drill): (&SnapshotRoute, Purse, Option<Arc<OnDrill>>),
        budget: Duration,
        envelope: &Envelope,
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
                release: route.route.release,
                dialect: inbound.dialect,
                task: inbound.task,
                streamed: envelope.stream,
                attempts: Vec::with_capacity(route.targets.len()),
                served_by: None,
                ending: Ending::Open,
                finish: None,
                json: None,
                status: 0,
                ttft_ms: None,
                total_ms: 0.0,
                overhead_ms: 0.0,
                drill: drill.as_ref().map(|drill| Arc::clone(&drill.id)),
            },
            received: inbound.received,
            deadline: inbound.received + budget,
            unsaid: purse.unsaid(),
            prices: route.targets.iter().map(|target| target.prices.clone()).collect(),
            text_bytes: purse.text_bytes(),
            standing: purse.standing(),
            purse: Some(purse),
            open: Vec::with_capacity(1),
            cautions: Vec::new(),
            waited_ms: 0.0,
            settled: false,
            question: route.route.log_content.then(|| excerpt(&inbound.body)),
            answer: String::new(),
            _drill: drill,
            beside: None,
            publishing: Publishing::Everybody,
            json_asked: envelope.wants_json_schema.then(|| inbound.body.clone()),
        }
    }

    /// What the caller gets is compared with another answer.
    pub(super) fn compare_with(&mut self, beside: Beside) {
        self.beside = Some(beside);
    }

    /// No caller waits for it: metrics and alerts are none of its business.
    pub(super) fn keep_to_the_ledger(&mut self) {
        self.publishing = Publishing::LedgerAlone;
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

    /// Something that warn enforcement let through, for the answer's headers.
    pub fn caution(&mut self, what: String) {
        self.cautions.push(what);
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left for the caller of its rates.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Makes sure that an attempt at the target in that place of the route is paid for, beside the others of the call.
    pub(super) fn cover(&mut self, index: usize) -> Result<(), Fault> {
        let Some(purse) = &mut self.purse else { return Ok(()) };
        let is_open = |place: usize| self.open.iter().any(|(slot, _)| slot.0 == place);
        let cost = |(place, attempt): (usize, &Attempt)| {
            if is_open(place) { purse.bound(attempt.target_index) } else { attempt.cost }
        };
        let others: Money = self.outcome.attempts.iter().enumerate().filter_map(cost).sum();
        purse.cover(others, index)
    }

    /// What is left of the whole time.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(clock::now())
    }

    /// Notes a target that is not attempted.
    pub fn skip(&mut self, index: usize, target: &TargetId, fault: &Fault) {
        let mut attempt = blank(index, target, ms(self.received.elapsed()));
        attempt.fault = Some(fault.kind);
        attempt.detail = Some(Arc::from(fault.detail.as_str()));
        self.outcome.attempts.push(attempt);
    }

    /// An attempt at `target` begins.
    pub(super) fn begin(&mut self, index: usize, target: &TargetId, role: Role, asked: Asked) -> (Slot, Meter) {
        let transcript = match (&self.json_asked, &self.question) {
            (Some(_), _) => Transcript::Checked,
            (None, Some(_)) => Transcript::Kept,
            (None, None) => Transcript::Forgotten,
        };
        let (slot, meter) = (Slot(self.outcome.attempts.len()), Meter::new(asked, transcript));
        if self.beside.is_some() {
            meter.keep_events();
        }
        let mut attempt = blank(index, target, ms(self.received.elapsed()));
        attempt.role = role;
        self.outcome.attempts.push(attempt);
        self.open.push((slot, meter.clone()));
        (slot, meter)
    }

    /// Time that went by waiting, beside what attempts count themselves.
    pub(super) fn waited(&mut self, waited: Duration) {
        self.waited_ms += ms(waited);
    }

    /// The first content of a stream leaves: written down, so that a crash from here on leaves a trace of it.
    pub(super) fn commit(&mut self, slot: Slot) {
        self.outcome.served_by = Some(slot.0);
        self.outcome.ttft_ms.get_or_insert(ms(self.received.elapsed()));
        self.outcome.status = 200;
        if let Some((_, meter)) = self.open.iter().find(|(open, _)| *open == slot) {
            let reading = meter.read();
            let attempt = &mut self.outcome.attempts[slot.0];
            attempt.ttft_ms = reading.first_content.map(ms);
            // So far: what is without a duration counts as skipped.
            attempt.duration_ms = Some(ms(reading.started.elapsed()));
            // And what was used so far: a crash must not make it free.
            let (usage, source) = reading.tokens(self.unsaid, Some(FaultKind::Truncated));
            (attempt.usage, attempt.usage_source) = (usage, source);
            price(attempt, &self.prices, self.outcome.started_unix_ms);
        }
        self.stamp();
        if let Err(error) = self.relay.ledger.record(&self.outcome) {
            tracing::error!(request_id = %self.outcome.call, %error, "the beginning of a stream was not recorded");
        }
    }

    /// The attempt failed.
    pub(super) fn end_attempt(&mut self, slot: Slot, fault: &Fault) {
        self.close_attempt(slot, Some(fault));
    }

    /// The attempt gave a whole answer, which the caller gets.
    pub(super) fn serve_whole(&mut self, slot: Slot) {
        self.outcome.served_by = Some(slot.0);
        self.close_attempt(slot, None);
        self.outcome.ttft_ms = Some(ms(self.received.elapsed()));
    }

    /// The call is over. An `Err` means that the ledger has not taken it over, so the answer must not leave.
    pub(super) fn settle(&mut self, ending: Ending, status: u16) -> Result<(), LedgerError> {
        self.settled = true;
        self.tell_beside(ending);
        while let Some((slot, _)) = self.open.first() {
            self.close_attempt(*slot, None);
        }
        self.outcome.ending = ending;
        self.outcome.status = status;
        self.stamp();
        if let Some(question) = self.question.take() {
            let answer = excerpt(self.answer.as_bytes());
            tracing::info!(request_id = %self.outcome.call, question, answer, "content of a call");
        }
        let recorded = self.relay.ledger.record(&self.outcome);
        self.give_to_checks();
        if let Some(purse) = self.purse.take() {
            let tokens =
                self.outcome.attempts.iter().map(|attempt| attempt.usage.input.saturating_add(attempt.usage.output));
            purse.settle(tokens.fold(0, u64::saturating_add), self.outcome.cost());
        }
        if self.publishing == Publishing::Everybody {
            self.relay.publisher.publish(Arc::new(self.outcome.clone()));
        }
        recorded
    }

    fn stamp(&mut self) {
        let open: f64 = self.open.iter().map(|(_, meter)| waited_ms(meter)).sum();
        self.outcome.total_ms = ms(self.received.elapsed());
        self.outcome.overhead_ms = (self.outcome.total_ms - self.waited_ms - open).max(0.0);
    }

    fn close_attempt(&mut self, slot: Slot, fault: Option<&Fault>) {
        let Some(at) = self.open.iter().position(|(open, _)| *open == slot) else { return };
        let (_, meter) = self.open.swap_remove(at);
        self.waited_ms += waited_ms(&meter);
        let mut reading = meter.read();
        let attempt = &mut self.outcome.attempts[slot.0];
        attempt.ttft_ms = reading.first_content.map(ms);
        attempt.duration_ms = Some(ms(reading.started.elapsed()));
        if let Some(fault) = fault {
            attempt.fault = Some(fault.kind);
            attempt.status = fault.status;
            attempt.detail = Some(Arc::from(fault.detail.as_str()));
        }
        let serves = self.outcome.served_by == Some(slot.0);
        if let Some(said) = reading.said.take().filter(|said| !said.is_empty())
            && (serves || self.outcome.served_by.is_none())
        {
            self.answer = said;
        }
        if serves {
            self.outcome.finish = reading.finish;
        }
        (attempt.usage, attempt.usage_source) = reading.tokens(self.unsaid, attempt.fault);
        if attempt.usage_source == UsageSource::Reported {
            reading.learn(self.text_bytes, attempt.usage.input);
        }
        let hold = reading.take_hold();
        reading.report(fault);
        price(attempt, &self.prices, self.outcome.started_unix_ms);
        if let Some(hold) = hold {
            hold.settle(Volume::of_attempt(attempt), self.outcome.started_unix_ms);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        gauge!(metric::IN_FLIGHT).decrement(1);
        if self.settled {
            return;
        }
        let gone = Fault::new(FaultKind::ClientGone, "the caller hung up");
        while let Some((slot, _)) = self.open.first() {
            self.close_attempt(*slot, Some(&gone));
        }
        if let Err(error) = self.settle(Ending::Cancelled, CLIENT_CLOSED_REQUEST) {
            tracing::error!(request_id = %self.outcome.call, %error, "a cancelled call was not recorded");
        }
    }
}

/// Says what the attempt costs, by what its target cost when the call began. Nothing is never dear.
fn price(attempt: &mut Attempt, prices: &[Option<Prices>], began_unix_ms: i64) {
    if attempt.usage.is_nothing() {
        (attempt.cost, attempt.priced, attempt.price_row) = (Some(Money::ZERO), PriceState::Valid, None);
        return;
    }
    let prices = prices.get(attempt.target_index).and_then(Option::as_ref);
    let quote = prices.and_then(|prices| prices.quote(&attempt.usage, began_unix_ms));
    (attempt.cost, attempt.priced, attempt.price_row) = match quote {
        Some(quote) => (Some(quote.cost), quote.state, Some(quote.row)),
        None => (None, PriceState::Missing, None),
    };
}

/// What the attempt waited, unless the race it is in counts that.
fn waited_ms(meter: &Meter) -> f64 {
    let reading = meter.read();
    if reading.raced { 0.0 } else { ms(reading.waited) }
}

fn blank(index: usize, target: &TargetId, started_ms: f64) -> Attempt {
    Attempt {
        target_index: index,
        target: target.clone(),
        role: Role::Rung,
        started_ms,
        ttft_ms: None,
        duration_ms: None,
        fault: None,
        status: None,
        detail: None,
        usage: TokenUsage::default(),
        usage_source: UsageSource::None,
        cost: Some(Money::ZERO),
        priced: PriceState::Valid,
        price_row: None,
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
