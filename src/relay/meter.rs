//! What one attempt has used and shown so far. The attempt writes it, the call reads it: an attempt that is dropped in
//! the middle (its caller hung up, another was faster) is accounted for all the same.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use backstop_models::chat::{Delta, Event, Usage};

use super::health::Asked;
use crate::{
    clock,
    domain::{Fault, FaultKind, TokenUsage, UsageSource},
    limit::share::Hold,
};

/// The most that is kept of an answer for the log, in bytes.
pub(super) const TRANSCRIPT_LIMIT: usize = 16 * 1024;

/// Shared by an attempt and its call. Cheap to clone; its lock is never held across a wait.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    reading: Arc<Mutex<Reading>>,
}

/// The state of a [`Meter`].
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) started: Instant,
    pub(super) first_content: Option<Duration>,
    pub(super) waited: Duration,
    /// Its waiting is counted by the race it is in.
    pub(super) raced: bool,
    pub(super) said: Option<String>,
    usage: Usage,
    seen_bytes: usize,
    reached: bool,
    asked: Option<Asked>,
}

/// Whether an answer's text is kept for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transcript {
    Kept,
    Forgotten,
}

impl Meter {
    pub(super) fn new(asked: Asked, transcript: Transcript) -> Self {
        let reading = Reading {
            started: clock::now(),
            first_content: None,
            waited: Duration::ZERO,
            raced: false,
            said: (transcript == Transcript::Kept).then(String::new),
            usage: Usage::default(),
            seen_bytes: 0,
            reached: false,
            asked: Some(asked),
        };
        Self { reading: Arc::new(Mutex::new(reading)) }
    }

    /// The question was sent: from here on the target may count tokens.
    pub(super) fn reached(&self) {
        self.read().reached = true;
    }

    /// Time that went by waiting for the target.
    pub(super) fn waited(&self, waited: Duration) {
        self.read().waited += waited;
    }

    /// The attempt is raced by another: who races counts the waiting.
    pub(super) fn enter_race(&self) {
        self.read().raced = true;
    }

    /// The race is won; what was waited in it is counted already.
    pub(super) fn leave_race(&self) {
        let mut reading = self.read();
        reading.raced = false;
        reading.waited = Duration::ZERO;
    }

    /// Takes note of what a frame says about usage and content.
    pub(super) fn note(&self, event: &Event) {
        let mut reading = self.read();
        match event {
            Event::Usage(usage) => reading.usage.merge(*usage),
            Event::Delta(delta) => reading.note(delta),
            Event::Start { .. } | Event::Finish(_) => {}
        }
    }

    /// Takes note of a whole answer.
    pub(super) fn whole(&self, usage: Usage, content_bytes: usize) {
        let mut reading = self.read();
        reading.usage.merge(usage);
        reading.seen_bytes += content_bytes;
    }

    pub(super) fn read(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn note(&mut self, delta: &Delta) {
        if let (Some(said), Delta::Text(text)) = (&mut self.said, delta)
            && said.len() < TRANSCRIPT_LIMIT
        {
            said.push_str(text);
        }
        self.seen_bytes += delta_bytes(delta);
        if delta.is_content() && self.first_content.is_none() {
            self.first_content = Some(self.started.elapsed());
        }
    }

    /// What is set aside of its vendor's share, once.
    pub(super) fn take_hold(&mut self) -> Option<Hold> {
        self.asked.as_mut().and_then(Asked::take_hold)
    }

    /// Tells the target's health how the attempt ended, once.
    pub(super) fn report(&mut self, fault: Option<&Fault>) {
        if let Some(asked) = self.asked.take() {
            asked.ended(fault, self.first_content, self.started.elapsed());
        }
    }

    /// What the target said it used, or an estimate (four bytes a token) where content was seen and nothing was said. A
    /// target that lost a race was asked all the same: it is taken to have read the question.
    pub(super) fn tokens(&self, question_bytes: usize, fault: Option<FaultKind>) -> (TokenUsage, UsageSource) {
        let said = &self.usage;
        let lost = fault == Some(FaultKind::HedgeLost) && self.reached;
        if !lost && said.output_tokens.is_none() && (self.seen_bytes == 0 || !self.reached) {
            return (TokenUsage::default(), UsageSource::None);
        }
        let whole = fault.is_none_or(|kind| kind == FaultKind::EmptyAnswer)
            && said.input_tokens.is_some()
            && said.output_tokens.is_some();
        let output = match said.output_tokens {
            Some(output) if whole => output,
            // Anthropic says one token at the start and the rest at the end: what was cut in between counts as seen.
            Some(output) => output.max(estimate(self.seen_bytes)),
            None => estimate(self.seen_bytes),
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
}

fn estimate(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

fn delta_bytes(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text) | Delta::Refusal(text) | Delta::Reasoning(text) => text.len(),
        Delta::Arguments { fragment, .. } => fragment.len(),
        Delta::ToolCall { name, .. } => name.len(),
        Delta::ReasoningSignature(_) | Delta::Logprobs(_) => 0,
    }
}
