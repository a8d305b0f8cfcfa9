//! Log-probabilities, as a chat completion's choice has them.

use std::borrow::Cow;

use backstop_models::chat::{TokenLogprob, TokenText};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Logprobs<'a> {
    content: Vec<Token<'a>>,
    refusal: Option<()>,
}

#[derive(Debug, Serialize)]
struct Token<'a> {
    #[serde(flatten)]
    one: One<'a>,
    top_logprobs: Vec<One<'a>>,
}

#[derive(Debug, Serialize)]
struct One<'a> {
    token: Cow<'a, str>,
    logprob: f32,
    /// One that is part of a character can be told by these only.
    bytes: &'a [u8],
}

/// What stands for a probability that is none: OpenAI's.
const NEVER: f32 = -9999.0;

impl<'a> Logprobs<'a> {
    /// `None` where nobody asked for any.
    pub(super) fn of(tokens: &'a [TokenLogprob]) -> Option<Self> {
        let content = |token: &'a TokenLogprob| Token {
            one: One::of(&token.token, token.logprob.unwrap_or(0.0)),
            top_logprobs: token.top.iter().map(|(token, logprob)| One::of(token, *logprob)).collect(),
        };
        (!tokens.is_empty()).then(|| Self { content: tokens.iter().map(content).collect(), refusal: None })
    }
}

impl<'a> One<'a> {
    fn of(token: &'a TokenText, logprob: f32) -> Self {
        Self { token: token.lossy(), logprob: finite(logprob), bytes: &token.0 }
    }
}

/// JSON has no infinity.
pub(super) fn finite(logprob: f32) -> f32 {
    if logprob.is_finite() { logprob } else { NEVER }
}
