//! One accepted call: what it is of, and how far it is.

use std::time::Instant;

use crate::arch::Want;
use crate::cache::Sequence;
use crate::schedule::{Class, Item};

use super::Model;
use super::answer::Answer;
use super::lookup::Lookup;
use super::worker::Job;

pub(super) struct Running {
    /// `None`: the engine's own, to see whether it works.
    pub job: Option<Job>,
    pub answer: Option<Answer>,
    /// Tokens of a call without an answer.
    pub canary: Vec<u32>,
    pub class: Class,
    pub order: u64,
    pub since: Instant,
    /// `None`: it has no place.
    pub sequence: Option<Sequence>,
    /// The last token and what may follow it, where the next step computes both; else empty.
    pub draft: Vec<u32>,
    pub lookup: Lookup,
}

impl Running {
    pub(super) fn tokens(&self) -> &[u32] {
        self.answer.as_ref().map_or(&self.canary, |answer| &answer.tokens)
    }

    pub(super) fn scores_prompt(&self) -> bool {
        self.answer.as_ref().is_some_and(Answer::scores_prompt)
    }

    /// Takes the logits after each of the last `share` tokens, which are the prompt's.
    pub(super) fn score(&mut self, share: usize, rows: &[&mut [f32]], model: &Model) {
        let first = self.stored() - share;
        if let Some(answer) = &mut self.answer {
            rows.iter().zip(first..).for_each(|(row, position)| answer.score(row, position, model));
        }
    }

    /// After which of the next `share` tokens logits are wanted.
    pub(super) fn want(&self, share: usize) -> Want {
        if share == 0 {
            Want::Nothing
        } else if self.scores_prompt() {
            Want::All
        } else if self.stored() + share == self.tokens().len() {
            Want::Last
        } else {
            Want::Nothing
        }
    }

    pub(super) fn stored(&self) -> usize {
        self.sequence.as_ref().map_or(0, Sequence::len)
    }

    pub(super) fn item(&self) -> Item {
        let pending = self.tokens().len() - self.stored();
        Item { class: self.class, order: self.order, pending, active: self.sequence.is_some() }
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.job.as_ref().and_then(|job| job.until).is_some_and(|until| now >= until)
    }
}
