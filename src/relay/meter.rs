//! What one attempt has used and shown so far. The attempt writes it, the call reads it: an attempt that is dropped in
//! the middle (its caller hung up, another was faster) is accounted for all the same.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use backstop_models::chat::{Answer, Delta, Event, Fold, Usage};

use super::{attempt::LOCAL_GRACE, health::Asked, json};
use crate::{
    clock,
    domain::{Fault, FaultKind, FinishReason, TokenUsage, UsageSource},
    limit::{Unsaid, share::Hold},
    vendor::{Machine, Turn},
};

/// No tokenizer that is in use has longer ones, in bytes: an answer of fewer tokens than that makes is not counted to its end.
const LONGEST_TOKEN: u64 = 128;

/// The most that is kept of an answer for the log, in bytes.
pub(super) const TRANSCRIPT_LIMIT: usize = 16 * 1024;

/// The most that is kept of an answer to compare it, in bytes; longer ones are not compared.
const FOLD_LIMIT: usize = 1024 * 1024;

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
    /// What is folded into the answer, where that is compared.
    fold: Option<Fold>,
    /// How much of what is said is kept, in bytes.
    keeps: usize,
    pub(super) finish: Option<FinishReason>,
    usage: Usage,
    seen_bytes: usize,
    reached: bool,
    asked: Option<Asked>,
    /// The machine that it is answered on, where that is ours, and its turn there.
    machine: Option<(Machine, Duration)>,
    turn: Option<Turn>,
}

/// Whether an answer's text is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transcript {
    /// For the log.
    Kept,
    /// It was to be JSON, and is looked at.
    Checked,
    Forgotten,
}

impl Transcript {
    fn bytes(self) -> usize {
        match self {
            Self::Kept => TRANSCRIPT_LIMIT,
            Self::Checked => json::LONGEST_ANSWER,
            Self::Forgotten => 0,
        }
    }
}

impl Meter {
    pub(super) fn new(asked: Asked, transcript: Transcript) -> Self {
        let reading = Reading {
            started: clock::now(),
            first_content: None,
            waited: Duration::ZERO,
            raced: false,
            said: (transcript.bytes() > 0).then(String::new),
            fold: None,
            keeps: transcript.bytes(),
            finish: None,
            usage: Usage::default(),
            seen_bytes: 0,
            reached: false,
            asked: Some(asked),
            machine: None,
            turn: None,
        };
        Self { reading: Arc::new(Mutex::new(reading)) }
    }

    /// The question was sent: from here on the target may count tokens.
    pub(super) fn reached(&self) {
        self.read().reached = true;
    }

    /// It is answered on our own machine, for so long at most; its turn there begins when the engine takes it on.
    pub(super) fn on_machine(&self, machine: &Machine, route_total: Duration) {
        self.read().machine = Some((machine.clone(), longest_turn(route_total)));
    }

    /// Its turn at the machine begins.
    pub(super) fn take_turn(&self) {
        self.read().take_turn();
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

    /// The answer is to be compared.
    pub(super) fn keep_events(&self) {
        self.read().fold = Some(Fold::default());
    }

    /// The answer so far, if it was kept and has come to its end.
    pub(super) fn take_answer(&self) -> Option<Answer> {
        self.read().fold.take()?.into_answer()
    }

    /// Takes note of what a frame says about usage and content.
    pub(super) fn note(&self, event: &Event) {
        let mut reading = self.read();
        if reading.seen_bytes > FOLD_LIMIT {
            reading.fold = None;
        }
        if let Some(fold) = &mut reading.fold {
            fold.push(event.clone());
        }
        match event {
            Event::Usage(usage) => reading.usage.merge(*usage),
            Event::Delta(delta) => reading.note(delta),
            Event::Start { .. } => reading.take_turn(),
            Event::Finish(finish) => reading.finish = Some(finish.into()),
        }
    }

    /// Takes note of how a whole answer ended, and of what it says where that is kept.
    pub(super) fn ended(&self, answer: &Answer) {
        let mut reading = self.read();
        reading.finish = Some((&answer.finish).into());
        let keeps = reading.keeps;
        if let Some(said) = &mut reading.said {
            *said = json::text(answer);
            if said.len() > keeps {
                said.truncate(said.floor_char_boundary(keeps));
            }
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
    fn take_turn(&mut self) {
        if let (Some((machine, _)), None) = (&self.machine, &self.turn) {
            self.turn = Some(machine.turn());
        }
    }

    /// What the attempt has had of the machine's time.
    fn machine_us(&self) -> u64 {
        let (Some(turn), Some((_, longest))) = (&self.turn, &self.machine) else { return 0 };
        turn.used_us().min(u64::try_from(longest.as_micros()).unwrap_or(u64::MAX))
    }

    fn note(&mut self, delta: &Delta) {
        if let (Some(said), Delta::Text(text)) = (&mut self.said, delta)
            && said.len() < self.keeps
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

    /// The target has counted a body of so many bytes of text as so many tokens.
    pub(super) fn learn(&self, text_bytes: usize, tokens: u64) {
        if let Some(asked) = &self.asked {
            asked.cell().density().learn(text_bytes, tokens);
        }
    }

    /// The attempt is over: its turn at the machine ends, and the target's health is told how it went, once.
    pub(super) fn report(&mut self, fault: Option<&Fault>) {
        self.turn = None;
        if let Some(asked) = self.asked.take() {
            asked.ended(fault, self.first_content, self.started.elapsed());
        }
    }

    /// What the target said it used, or an estimate (four bytes a token, and no longer an answer than was asked for) where content was
    /// seen and nothing was said, or that it was nothing. A target that was hung up on before it answered (it lost a race, it took too
    /// long, the caller went), or whose answer cannot be read, is taken to have read the question.
    pub(super) fn tokens(&self, unsaid: Unsaid, fault: Option<FaultKind>) -> (TokenUsage, UsageSource) {
        let mut said = self.usage;
        let may_be = |tokens: &u64, bytes: u64| {
            *tokens <= TokenUsage::MOST_SAID && tokens.saturating_mul(LONGEST_TOKEN) >= bytes
        };
        said.input_tokens = said.input_tokens.filter(|tokens| may_be(tokens, self.seen_bytes.min(1) as u64));
        said.output_tokens = said.output_tokens.filter(|tokens| may_be(tokens, self.seen_bytes as u64));
        let seen = estimate(self.seen_bytes).min(unsaid.most_answer.unwrap_or(u64::MAX));
        let machine_us = self.machine_us();
        let is_ours = self.machine.is_some();
        let hung_up_on =
            self.reached && fault.is_some_and(|kind| kind == FaultKind::HedgeLost || !is_ours && was_at_work(kind));
        if !hung_up_on && said.output_tokens.is_none() && (self.seen_bytes == 0 || !self.reached) {
            return (TokenUsage { machine_us, ..TokenUsage::default() }, UsageSource::None);
        }
        let whole = fault.is_none_or(|kind| kind == FaultKind::EmptyAnswer)
            && said.input_tokens.is_some()
            && said.output_tokens.is_some();
        let output = match said.output_tokens {
            Some(output) if whole => output,
            // Anthropic says one token at the start and the rest at the end: what was cut in between counts as seen.
            Some(output) => output.max(seen),
            None => seen,
        };
        let usage = TokenUsage {
            input: said.input_tokens.unwrap_or(unsaid.prompt),
            output,
            machine_us,
            ..TokenUsage::from(&said)
        };
        if usage.is_nothing() && !whole {
            return (usage, UsageSource::None);
        }
        (usage, if whole { UsageSource::Reported } else { UsageSource::Estimated })
    }
}

/// How long an attempt may have the machine at most, on a route whose calls may take `total`.
pub(super) fn longest_turn(total: Duration) -> Duration {
    total.saturating_add(LOCAL_GRACE)
}

/// Who answers with an error sends no bill. Who was computing when we ended it may, and so may who has answered what nobody can read.
fn was_at_work(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::HedgeLost
            | FaultKind::FirstTokenTimeout
            | FaultKind::AttemptTimeout
            | FaultKind::IdleTimeout
            | FaultKind::TotalTimeout
            | FaultKind::Latency
            | FaultKind::ClientGone
            | FaultKind::Malformed
            | FaultKind::Truncated
            | FaultKind::TooLarge
    )
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
