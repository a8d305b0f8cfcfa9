//! Draws the next token from logits: a pure core, in which the same logits, parameters and seed give the same token.
//!
//! The order is that of `transformers` and vLLM: bias and penalties, temperature, then top-k, top-p and min-p on what is
//! left. Logits that are no numbers are an error, never a panic and never a token.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::{chat, kernel};

/// What the published settings of the catalog's default model say; used where the caller leaves it open, since at
/// OpenAI's default of 1 a small model rambles.
const DEFAULT_TEMPERATURE: f64 = 0.2;
const DEFAULT_TOP_P: f64 = 0.9;

/// Of tokens less likely than this, beside the likeliest, not one would be drawn in the lifetime of a machine.
/// The second is below its logarithm, so that it finds them all.
const NEVER: (f32, f32) = (1e-13, -30.0);

/// Checked sampling parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameters {
    /// 0 is greedy.
    temperature: f32,
    top_p: f32,
    top_k: usize,
    min_p: f32,
    frequency_penalty: f32,
    presence_penalty: f32,
    bias: Vec<(u32, f32)>,
}

/// A parameter that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{field}` must be {expected}")]
pub(crate) struct BadParameter {
    pub field: &'static str,
    pub expected: &'static str,
}

/// No token can be drawn.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SampleError {
    #[error("the model computed a logit that is not a number")]
    NotANumber,
    #[error("no token is allowed")]
    NothingAllowed,
}

/// The state of one answer's draws.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    parameters: Parameters,
    random: SplitMix,
    drawn: HashMap<u32, u32>,
    /// Of the tokens that may be drawn, as their weights; kept, so that nothing is allocated for them again.
    places: Vec<u32>,
    weights: Vec<f32>,
}

/// What holds where a caller says nothing.
pub(crate) fn defaults() -> String {
    format!("temperature={DEFAULT_TEMPERATURE} top_p={DEFAULT_TOP_P}")
}

impl Parameters {
    /// Checks what the caller asked for; `vocabulary` is the number of tokens.
    pub(crate) fn check(asked: &chat::Sampling, vocabulary: usize) -> Result<Self, BadParameter> {
        let within = |value: Option<f64>, default: f64, low: f64, high: f64, field, expected| match value {
            None => Ok(default as f32),
            Some(value) if (low..=high).contains(&value) => Ok(value as f32),
            Some(_) => Err(BadParameter { field, expected }),
        };
        let penalty = |value, field| within(value, 0.0, -2.0, 2.0, field, "a number from -2 to 2");
        let temperature =
            within(asked.temperature, DEFAULT_TEMPERATURE, 0.0, 2.0, "temperature", "a number from 0 to 2")?;
        // A caller who sets a temperature gets exactly that distribution, not our nucleus of it.
        let default_top_p = if asked.temperature.is_some() { 1.0 } else { DEFAULT_TOP_P };
        for (token, bias) in &asked.logit_bias {
            if *token as usize >= vocabulary || !(-100.0..=100.0).contains(bias) {
                let expected = "ids of the model's own tokens, with a bias from -100 to 100 each";
                return Err(BadParameter { field: "logit_bias", expected });
            }
        }
        Ok(Self {
            temperature,
            top_p: within(asked.top_p, default_top_p, 0.0, 1.0, "top_p", "a number from 0 to 1")?,
            top_k: match asked.top_k {
                None | Some(0) => usize::MAX,
                Some(k) => k as usize,
            },
            min_p: within(asked.min_p, 0.0, 0.0, 1.0, "min_p", "a number from 0 to 1")?,
            frequency_penalty: penalty(asked.frequency_penalty, "frequency_penalty")?,
            presence_penalty: penalty(asked.presence_penalty, "presence_penalty")?,
            bias: asked.logit_bias.clone(),
        })
    }
}

impl Sampler {
    pub(crate) fn new(parameters: Parameters, seed: u64) -> Self {
        Self { parameters, random: SplitMix::new(seed), drawn: HashMap::new(), places: Vec::new(), weights: Vec::new() }
    }

    /// Draws a token. A logit of −∞ is a token that is not allowed.
    pub(crate) fn draw(&mut self, logits: &mut [f32]) -> Result<u32, SampleError> {
        let (mut highest, sound) = kernel::highest(logits);
        if !sound {
            return Err(SampleError::NotANumber);
        }
        if self.change(logits) {
            (highest, _) = kernel::highest(logits);
        }
        if highest == f32::NEG_INFINITY {
            return Err(SampleError::NothingAllowed);
        }
        let token = if self.parameters.temperature == 0.0 {
            self.look(logits, highest);
            self.places.first().copied()
        } else {
            self.random_token(logits, highest)
        };
        let token = token.ok_or(SampleError::NothingAllowed)?;
        *self.drawn.entry(token).or_default() += 1;
        Ok(token)
    }

    /// Bias and penalties. Whether there are any.
    fn change(&self, logits: &mut [f32]) -> bool {
        let Parameters { frequency_penalty, presence_penalty, bias, .. } = &self.parameters;
        for (token, bias) in bias {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit += bias;
            }
        }
        let penalizes = *frequency_penalty != 0.0 || *presence_penalty != 0.0;
        for (token, count) in self.drawn.iter().filter(|_| penalizes) {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit -= frequency_penalty * *count as f32 + presence_penalty;
            }
        }
        penalizes || !bias.is_empty()
    }

    /// Finds the tokens whose logits are no less than that, in their order.
    fn look(&mut self, logits: &[f32], least: f32) {
        self.places.clear();
        kernel::at_least(logits, least, &mut self.places);
    }

    fn random_token(&mut self, logits: &[f32], highest: f32) -> Option<u32> {
        let Parameters { temperature, top_p, top_k, min_p, .. } = self.parameters;
        // However small the temperature, nothing times it is nothing.
        let factor = (1.0 / temperature).min(1e30);
        self.look(logits, highest + NEVER.1 / factor);
        let seen: Vec<f32> = self.places.iter().map(|place| logits[*place as usize]).collect();
        kernel::exponentials(&seen, highest, factor, &mut self.weights);
        let weighed = self.weights.iter().copied().zip(self.places.iter().copied());
        let mut likely: Vec<(f32, u32)> = weighed.filter(|(weight, _)| *weight > NEVER.0).collect();
        if top_k < likely.len() {
            likely.select_nth_unstable_by(top_k, by_weight);
            likely.truncate(top_k);
        }
        if top_p < 1.0 {
            keep_nucleus(&mut likely, top_p);
        }
        // The likeliest weighs exactly 1, so min-p compares with the weights as they are.
        likely.retain(|(weight, _)| *weight >= min_p);
        let total: f64 = likely.iter().map(|(weight, _)| f64::from(*weight)).sum();
        let mut left = self.random.unit() * total;
        for (weight, token) in &likely {
            left -= f64::from(*weight);
            if left < 0.0 {
                return Some(*token);
            }
        }
        likely.last().map(|(_, token)| *token)
    }
}

/// Keeps the fewest tokens whose weights reach `top_p` of the whole. Sorts no more of the vocabulary than it must.
fn keep_nucleus(likely: &mut Vec<(f32, u32)>, top_p: f32) {
    let goal = likely.iter().map(|(weight, _)| f64::from(*weight)).sum::<f64>() * f64::from(top_p);
    let mut sorted = 64;
    loop {
        if sorted < likely.len() {
            likely.select_nth_unstable_by(sorted, by_weight);
        }
        let end = sorted.min(likely.len());
        likely[..end].sort_unstable_by(by_weight);
        let mut sum = 0.0;
        let reached = likely[..end].iter().position(|(weight, _)| {
            sum += f64::from(*weight);
            sum >= goal
        });
        if let Some(last) = reached {
            likely.truncate(last + 1);
            return;
        }
        if end == likely.len() {
            return;
        }
        sorted *= 16;
    }
}

/// The likelier first, the lower id of equals.
fn by_weight(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// SplitMix64 (Steele, Lea and Flood, 2014): eight lines that will give the same numbers in every version of us.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix(u64);

impl SplitMix {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, but not including, 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests;
