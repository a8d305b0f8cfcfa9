//! How likely the model held what is said: log-probabilities of an answer's tokens, and of an echoed prompt's.
//!
//! They are of the logits as the model computed them, before any bias, penalty, temperature or constraint, as OpenAI and vLLM
//! give them.

use std::collections::VecDeque;

use crate::chat::{TokenLogprob, TokenText};
use crate::token::Vocabulary;

use super::voice::Made;

/// The log-probabilities of one answer.
pub(super) struct Odds {
    /// How many of the likeliest tokens are told beside each.
    top: usize,
    /// The logits of which the next token is drawn.
    logits: Vec<f32>,
    held: Held,
}

/// Tokens whose text is made and perhaps not said yet. What is never said takes its tokens along, also one that is said in
/// part: nothing of a stop text shows in them.
#[derive(Debug, Default)]
struct Held {
    /// They end within a character, which is not made yet.
    partial: Vec<TokenLogprob>,
    /// With the length of all text up to their end, in bytes.
    made: VecDeque<(usize, TokenLogprob)>,
    made_bytes: usize,
    said_bytes: usize,
}

impl Odds {
    pub(super) fn new(top: u8) -> Self {
        Self { top: top.into(), logits: Vec::new(), held: Held::default() }
    }

    /// Remembers logits before anything changes them.
    pub(super) fn look(&mut self, logits: &[f32]) {
        self.logits.clear();
        self.logits.extend_from_slice(logits);
    }

    /// `token` was drawn of the logits that were looked at, and made more text.
    pub(super) fn drew(&mut self, token: u32, made: Made, vocabulary: &Vocabulary) {
        let odds = self.of(&self.logits, token, vocabulary);
        self.held.make(odds, made);
    }

    /// The last token has come: what it left of a character is made of `bytes` more.
    pub(super) fn end(&mut self, bytes: usize) {
        self.held.place(bytes);
    }

    /// Those of the tokens that are said by now, when `bytes` more of the text are.
    pub(super) fn say(&mut self, bytes: usize) -> Vec<TokenLogprob> {
        self.held.say(bytes)
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

impl Held {
    fn make(&mut self, token: TokenLogprob, made: Made) {
        if made.bytes > 0 || !made.within_character {
            self.place(made.bytes);
        }
        if made.within_character {
            self.partial.push(token);
        } else {
            self.made.push_back((self.made_bytes, token));
        }
    }

    /// `bytes` more are made: those that waited for it end there.
    fn place(&mut self, bytes: usize) {
        self.made_bytes += bytes;
        let end = self.made_bytes;
        self.made.extend(self.partial.drain(..).map(|token| (end, token)));
    }

    fn say(&mut self, bytes: usize) -> Vec<TokenLogprob> {
        self.said_bytes += bytes;
        let count = self.made.iter().take_while(|(end, _)| *end <= self.said_bytes).count();
        self.made.drain(..count).map(|(_, token)| token).collect()
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

    fn odds(bytes: &[u8]) -> TokenLogprob {
        TokenLogprob { token: TokenText(bytes.to_vec()), logprob: None, top: Vec::new() }
    }

    fn whole(bytes: usize) -> Made {
        Made { bytes, within_character: false }
    }

    #[test]
    fn a_token_is_told_of_when_all_of_its_text_is_said() {
        let mut held = Held::default();
        for token in [b"ab", b"cd", b"ef"] {
            held.make(odds(token), whole(2));
        }
        assert_eq!(held.say(3), [odds(b"ab")], "the second has only begun");
        assert_eq!(held.say(0), []);
        assert_eq!(held.say(3), [odds(b"cd"), odds(b"ef")]);
    }

    #[test]
    fn parts_of_a_character_are_told_of_with_it_whatever_it_becomes() {
        let mut held = Held::default();
        // A stripped space, a crab in two halves, and the beginning of a character that turns out to be none.
        held.make(odds(b" "), whole(0));
        held.make(odds(b"\xf0\x9f"), Made { bytes: 0, within_character: true });
        held.make(odds(b"\xa6\x80"), whole(4));
        assert_eq!(held.say(4), [odds(b" "), odds(b"\xf0\x9f"), odds(b"\xa6\x80")]);
        held.make(odds(b"\xe2"), Made { bytes: 0, within_character: true });
        assert_eq!(held.say(0), []);
        held.make(odds(b"a"), whole(4));
        assert_eq!(held.say(3), []);
        assert_eq!(held.say(1), [odds(b"\xe2"), odds(b"a")]);
        held.make(odds(b"\xe2"), Made { bytes: 0, within_character: true });
        held.place(3);
        assert_eq!(held.say(3), [odds(b"\xe2")]);
    }
}
