//! The calls that were accepted, and the steps that carry them on together.
//!
//! Only the engine's thread is here. What [`crate::schedule`] decides is done: places are given, blocks are taken and given
//! back, one forward pass computes what every call has next, and each row of logits becomes that call's next token.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use time::OffsetDateTime;

use crate::arch::{Forward, ForwardError, Piece, Scratch, Want};
use crate::cache::Cache;
use crate::grammar::Grammars;
use crate::schedule::{self, Class, Item};

use super::answer::{self, Answer, Entropy, Events, Outcome};
use super::lookup::Lookup;
use super::running::Running;
use super::worker::{Job, guarded, tell};
use super::{EngineFault, Load, SCORED, Shared};

/// Enough that an engine which nobody has asked yet knows how fast it reads.
const CANARY_TOKENS: usize = 32;

/// More failed steps in a row are not their calls' fault: the weights are loaded anew.
const MAX_FAILURES: u32 = 4;

mod draw;

/// With more calls that write, rows for guesses cost as much as they save.
pub(super) const GUESSERS: usize = 4;
/// Rows of a step that guesses, at most, unless the config wants less: more are paid for one by one.
const GUESSED: usize = 16;

/// All accepted calls of an engine.
pub(super) struct Batch<'a> {
    shared: &'a Shared,
    forward: &'a dyn Forward,
    generation: u64,
    cache: Cache,
    scratch: Scratch,
    logits: Vec<f32>,
    calls: Vec<Running>,
    next_order: u64,
    /// Steps that failed, one after the other.
    failures: u32,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stepped {
    On,
    Panicked,
    /// It took so long that another thread is the engine now.
    Replaced,
}

impl<'a> Batch<'a> {
    pub(super) fn new(shared: &'a Shared, forward: &'a dyn Forward, mut cache: Cache, generation: u64) -> Self {
        cache.open_with(shared.model.opening.clone());
        Self {
            shared,
            forward,
            generation,
            cache,
            scratch: Scratch::default(),
            logits: Vec::new(),
            calls: Vec::new(),
            next_order: 0,
            failures: 0,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Places that nobody has.
    pub(super) fn free(&self) -> usize {
        self.shared.limits.running.saturating_sub(self.calls.len())
    }

    /// Whether a call of `class` (or any, when none waits yet) would get a place.
    pub(super) fn takes(&self, class: Option<Class>) -> bool {
        let count = |class, has_place| {
            let counts = |call: &&Running| call.class == class && call.sequence.is_some() == has_place;
            self.calls.iter().filter(counts).count()
        };
        // A batch call gives way to one critical call, and to no more.
        let gives_way = || count(Class::Batch, true) > count(Class::Critical, false);
        self.free() > 0 || (class == Some(Class::Critical) && gives_way())
    }

    /// Renders and tokenizes a call, and takes it in.
    pub(super) fn accept(&mut self, job: Job, grammars: &mut Grammars) {
        let entropy = Entropy { seed: random(), ids: random() };
        let prepare = || answer::prepare(&job.call, &self.shared.model, grammars, OffsetDateTime::now_utc(), entropy);
        // The watch looks at this, too: a template or a grammar may hang.
        self.register(self.next_order, Some(&job.events));
        self.announce(Some(Instant::now()));
        // A panic here is the request's and has not touched the weights: nothing is loaded again, or one caller could keep
        // the engine loading.
        let prepared = job.span.in_scope(|| guarded(prepare));
        self.announce(None);
        let answer = match prepared {
            Ok(answer) => answer,
            Err(fault) => {
                self.register(self.next_order, None);
                return tell(&job, fault);
            }
        };
        job.span.record("prompt_tokens", answer.prompt_tokens());
        if job.events.try_send(Ok(answer.start(&self.shared.model))).is_err() {
            self.register(self.next_order, None);
            return;
        }
        let class = job.class;
        self.take_in(Some(job), Some(answer), class, Vec::new());
    }

    /// Takes in a call of the engine's own.
    pub(super) fn accept_canary(&mut self) {
        let tokens = vec![self.shared.model.vocabulary.ends()[0]; CANARY_TOKENS];
        self.take_in(None, None, Class::Critical, tokens);
    }

    fn take_in(&mut self, job: Option<Job>, answer: Option<Answer>, class: Class, canary: Vec<u32>) {
        let order = self.next_order;
        self.next_order += 1;
        if let Some(job) = &job {
            self.register(order, Some(&job.events));
        }
        self.calls.push(Running {
            job,
            answer,
            canary,
            class,
            order,
            since: Instant::now(),
            sequence: None,
            draft: Vec::new(),
            lookup: Lookup::default(),
        });
    }

    /// Computes one step for all calls that have a place.
    pub(super) fn step(&mut self) -> Stepped {
        self.sweep(Instant::now());
        self.place();
        let shares = self.reserve();
        if shares.iter().all(|share| *share == 0) {
            return Stepped::On;
        }
        let with_share = self.calls.iter().zip(&shares).filter(|(_, share)| **share > 0);
        let class = with_share.map(|(call, _)| call.class).min().unwrap_or_default();
        // Waiting for other models is no hang of ours, but it is a part of our pace.
        let asked = Instant::now();
        let _turn = self.shared.seat.turn(class);
        let began = Instant::now();
        self.announce(Some(began));
        let computed = catch_unwind(AssertUnwindSafe(|| self.compute(&shares)));
        if !self.announce(None) {
            return Stepped::Replaced;
        }
        match computed {
            Err(_) => return Stepped::Panicked,
            Ok(Err(error)) => {
                self.fail_all(&EngineFault::Failed { why: error.to_string() });
                self.failures += 1;
                if self.failures > MAX_FAILURES {
                    tracing::error!(%error, "step after step of the local model fails");
                    return Stepped::Panicked;
                }
            }
            Ok(Ok(wanted)) => {
                self.failures = 0;
                self.shared.pace().step(shares.iter().sum(), asked.elapsed());
                if !self.draw(&shares, &wanted) {
                    return Stepped::Panicked;
                }
            }
        }
        Stepped::On
    }

    /// Tells every caller the same.
    pub(super) fn fail_all(&mut self, fault: &EngineFault) {
        for call in std::mem::take(&mut self.calls) {
            self.register(call.order, None);
            if let Some(job) = &call.job {
                tell(job, fault.clone());
            }
        }
        self.report();
    }

    /// Lets go of callers who left or whose time is over.
    fn sweep(&mut self, now: Instant) {
        for index in (0..self.calls.len()).rev() {
            let call = &mut self.calls[index];
            let Some(job) = &call.job else { continue };
            if job.events.is_closed() {
                self.end(index, Ok(Outcome::Abandoned));
            } else if call.is_late(now) {
                let outcome = match &mut call.answer {
                    Some(answer) if answer.output_tokens() > 0 => Ok(answer.cut_off(&job.events)),
                    _ => Err(EngineFault::OutOfTime),
                };
                self.end(index, outcome);
            }
        }
        self.report();
    }

    fn items(&self) -> Vec<Item> {
        self.calls.iter().map(Running::item).collect()
    }

    /// Gives and takes places.
    fn place(&mut self) {
        let places = schedule::places(&self.items(), self.shared.limits);
        for (call, has_place) in self.calls.iter_mut().zip(places) {
            if !has_place {
                call.sequence = None;
            } else if call.sequence.is_none() {
                // What is scored is computed, whether or not it is stored.
                let known = if call.scores_prompt() { &[][..] } else { call.tokens() };
                let mut sequence = self.cache.begin(known);
                self.cache.lend_opening(&mut sequence, known);
                if let Some(answer) = &mut call.answer {
                    answer.restart_scores();
                    answer.cached_tokens.get_or_insert(sequence.len());
                }
                call.sequence = Some(sequence);
            } else if let (Some(sequence), Some(answer)) = (&mut call.sequence, &mut call.answer)
                && !answer.scores_prompt()
            {
                // Calls that came together share what the first of them has read meanwhile.
                let mut gained = sequence.catch_up(&answer.tokens);
                gained += self.cache.lend_opening(sequence, &answer.tokens);
                answer.cached_tokens = answer.cached_tokens.map(|cached| cached + gained);
            }
        }
    }

    /// How many tokens of each call are computed, for which there are blocks then.
    fn reserve(&mut self) -> Vec<usize> {
        let items = self.items();
        let mut limits = self.shared.limits;
        if !self.shared.seat.is_alone() {
            // Other models wait for the end of each step.
            limits.chunk_alone = limits.chunk;
        }
        let mut shares = schedule::share(&items, limits);
        let ranked = schedule::ranked(&items);
        let mut scored = SCORED;
        for index in &ranked {
            if self.calls[*index].scores_prompt() {
                shares[*index] = shares[*index].min(scored);
                scored -= shares[*index];
            }
        }
        for index in ranked {
            while shares[index] > 0 {
                let reserved = self.calls[index].sequence.as_mut().map(|sequence| sequence.reserve(shares[index]));
                if reserved == Some(Ok(())) {
                    break;
                }
                let holds = |other: usize| self.calls[other].sequence.is_some();
                let Some(victim) = schedule::victim(&items, holds, index) else {
                    // It gives way itself, unless others may still end before it.
                    shares[index] = 0;
                    break;
                };
                self.calls[victim].sequence = None;
                shares[victim] = 0;
            }
        }
        self.guess(&shares);
        shares
    }

    /// Lets calls that write guess what follows, where that is computed at little cost: for few, with blocks that nobody needs.
    fn guess(&mut self, shares: &[usize]) {
        let most = if self.forward.is_exact() { self.shared.options.lookup_tokens } else { 0 };
        let writes = |(call, share): &(&mut Running, &usize)| **share == 1 && !call.scores_prompt();
        let count = self.calls.iter_mut().zip(shares).filter(writes).count();
        for (call, _) in self.calls.iter_mut().zip(shares).filter(writes) {
            let Running { answer: Some(answer), sequence: Some(sequence), draft, lookup, .. } = call else { continue };
            draft.clear();
            if most == 0 || count > GUESSERS {
                continue;
            }
            let most = most.min(GUESSED / count - 1).min(answer.tokens_left().saturating_sub(1));
            let guess = lookup.guess(&answer.tokens, most);
            if !guess.is_empty() && sequence.reserve(1 + guess.len()).is_ok() {
                draft.extend(answer.tokens.last());
                draft.extend(guess);
            }
        }
    }

    /// Says how many rows of logits each call has now.
    fn compute(&mut self, shares: &[usize]) -> Result<Vec<usize>, ForwardError> {
        let mut pieces = Vec::with_capacity(shares.len());
        let rows = |(call, share): (&Running, &usize)| call.draft.len().max(call.want(*share).rows(*share));
        let wanted = self.calls.iter().zip(shares).map(rows).collect();
        for (call, share) in self.calls.iter().zip(shares) {
            let Some(sequence) = call.sequence.as_ref().filter(|_| *share > 0) else { continue };
            let rest = &call.tokens()[sequence.len()..];
            pieces.push(match call.draft.is_empty() {
                true => Piece { tokens: &rest[..*share], sequence, want: call.want(*share) },
                false => Piece { tokens: &call.draft, sequence, want: Want::All },
            });
        }
        self.forward.forward(&pieces, &mut self.cache, &mut self.scratch, &mut self.logits)?;
        for (call, share) in self.calls.iter_mut().zip(shares) {
            let Running { answer, canary, sequence, .. } = call;
            if let Some(sequence) = sequence.as_mut().filter(|_| *share > 0) {
                let tokens = answer.as_ref().map_or(&*canary, |answer| &answer.tokens);
                let stored = sequence.len();
                sequence.advance(&tokens[stored..stored + share]);
                self.cache.keep_opening(sequence, tokens);
            }
        }
        Ok(wanted)
    }

    /// Says what is accepted and not finished, for admission.
    fn report(&self) {
        let load = Class::ALL.map(|class| {
            let before = || self.calls.iter().filter(|call| call.class <= class);
            let unread = before().map(|call| call.item().pending).filter(|pending| *pending > 1).sum();
            Load { running: before().count(), unread }
        });
        let mut status = self.shared.status();
        if status.generation == self.generation {
            status.load = load;
        }
    }

    /// Says whom the watch is to tell when this thread cannot, or that it need not any more.
    fn register(&self, order: u64, events: Option<&Events>) {
        let mut status = self.shared.status();
        if status.generation != self.generation {
            return;
        }
        match events {
            Some(events) => status.told.insert(order, events.clone()),
            None => status.told.remove(&order),
        };
    }

    /// Says that a step has begun, or ended. Whether this thread is still the engine's.
    fn announce(&self, step_since: Option<Instant>) -> bool {
        let mut status = self.shared.status();
        let is_ours = status.generation == self.generation;
        if is_ours {
            status.step_since = step_since;
        }
        is_ours
    }
}

/// Unpredictable, though not for secrets: the standard library keys each of its hashers from the system's randomness.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
