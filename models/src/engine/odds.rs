//! How likely the model held what is said: log-probabilities of an answer's tokens, and of an echoed prompt's.
//!
//! They are of the logits as the model computed them, before any bias, penalty, temperature or constraint, as OpenAI and vLLM
//! give them.

use crate::chat::{TokenLogprob, TokenText};
use crate::token::Vocabulary;

/// The log-probabilities of one answer.
pub(super) struct Odds {
    /// How many of the likeliest tokens are told beside each.
    top: usize,
    /// The logits of which the next token is drawn.
    logits: Vec<f32>,
    /// Of tokens whose text is not said yet, and where it ends among the bytes that are not.
    pending: Vec<(TokenLogprob, usize)>,
    bytes: usize,
}

impl Odds {
    pub(super) fn new(top: u8) -> Self {
        Self { top: top.into(), logits: Vec::new(), pending: Vec::new(), bytes: 0 }
    }

    /// Remembers logits before anything changes them.
    pub(super) fn look(&mut self, logits: &[f32]) {
        self.logits.clear();
        self.logits.extend_from_slice(logits);
    }

    /// `token` was drawn of the logits that were looked at.
    pub(super) fn drew(&mut self, token: u32, vocabulary: &Vocabulary) {
        let odds = self.of(&self.logits, token, vocabulary);
        self.bytes += vocabulary.spoken(token).len();
        self.pending.push((odds, self.bytes));
    }

    /// Those of the tokens that the next `said` bytes of text begin in.
    pub(super) fn release(&mut self, said: usize) -> Vec<TokenLogprob> {
        let begins = |index: usize| if index == 0 { 0 } else { self.pending[index - 1].1 };
        let count = (0..self.pending.len()).take_while(|index| begins(*index) < said).count();
        let released = self.pending.drain(..count).map(|(odds, _)| odds).collect();
        self.pending.iter_mut().for_each(|(_, end)| *end = end.saturating_sub(said));
        self.bytes = self.bytes.saturating_sub(said);
        released
    }

    /// Those of `token`, by `logits`.
    pub(super) fn of(&self, logits: &[f32], token: u32, vocabulary: &Vocabulary) -> TokenLogprob {
        let logits = &logits[..logits.len().min(vocabulary.len())];
        let total = log_sum_exp(logits);
        let text = |token: u32| TokenText(vocabulary.bytes(token).to_vec());
        let top = likeliest(logits, self.top);
        TokenLogprob {
            token: text(token),
            logprob: logits.get(token as usize).map(|logit| logit - total),
            top: top.into_iter().map(|(token, logit)| (text(token), logit - total)).collect(),
        }
    }
}

/// The logarithm of the sum of exponentials.
fn log_sum_exp(logits: &[f32]) -> f32 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - highest).exp())).sum();
    highest + sum.ln() as f32
}

/// The `count` highest and their places, the highest first, the first of equals before the others.
fn likeliest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    for (token, logit) in (0u32..).zip(logits) {
        if best.len() == count && best.last().is_none_or(|(_, least)| logit <= least) {
            continue;
        }
        let place = best.partition_point(|(_, other)| other >= logit);
        best.insert(place, (token, *logit));
        best.truncate(count);
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_likeliest_are_those_of_a_sort(logits in prop::collection::vec(-8i8..8, 1..60), count in 0..25usize) {
            let logits: Vec<f32> = logits.into_iter().map(f32::from).collect();
            let mut sorted: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            sorted.truncate(count);
            prop_assert_eq!(likeliest(&logits, count), sorted);
        }

        #[test]
        fn probabilities_sum_to_one(logits in prop::collection::vec(-30f32..30.0, 1..60)) {
            let total = log_sum_exp(&logits);
            let sum: f32 = logits.iter().map(|logit| (logit - total).exp()).sum();
            prop_assert!((sum - 1.0).abs() < 1e-4, "{}", sum);
        }
    }

    #[test]
    fn a_token_is_released_with_the_text_that_it_begins() {
        let odds = |bytes: &[u8]| TokenLogprob { token: TokenText(bytes.to_vec()), logprob: None, top: Vec::new() };
        let mut held = Odds::new(0);
        held.pending = vec![(odds(b"ab"), 2), (odds(b"cd"), 4), (odds(b"ef"), 6)];
        held.bytes = 6;
        assert_eq!(held.release(3), [odds(b"ab"), odds(b"cd")], "the second has begun");
        assert_eq!(held.release(0), []);
        assert_eq!(held.release(3), [odds(b"ef")]);
    }
}
