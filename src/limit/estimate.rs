//! How many tokens a call will use, as a guess for rates and at worst for money. Pure.
//!
//! The guess: a token for four bytes of body, and an answer of usual length. It is replaced by what the vendor says. The
//! worst case: no tokenizer that is in use gives more tokens than bytes, and no answer is longer than `max_tokens`; what
//! cannot be seen in a body (an image at an address, what the vendor keeps of a conversation) has an allowance.

use crate::{
    config::Prices,
    domain::{Money, Task},
};

/// What an answer may be long at most when the caller does not say and a limit needs to know.
pub const UNSAID_ANSWER_TOKENS: u32 = 4096;

const BYTES_PER_TOKEN: u64 = 4;
/// What an answer is usually long at most.
const USUAL_ANSWER: u64 = 256;
/// What a prompt with images counts as at most, until the vendor says: their bytes are no text.
const USUAL_WITH_IMAGES: u64 = 4000;
/// What a vendor puts around messages, and around tools.
const AROUND: u64 = 64;
const AROUND_TOOLS: u64 = 1000;
/// What images by their address may be read as.
const IMAGES: u64 = 50_000;
/// What a vendor may keep of a conversation.
const KEPT_BY_VENDOR: u64 = 128_000;

/// What is known of a question before anybody answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub task: Task,
    pub body_bytes: usize,
    pub max_tokens: Option<u32>,
    /// Answers to one question, at least 1.
    pub answers: u64,
    pub images: bool,
    pub tools: bool,
    /// The vendor keeps part of the prompt.
    pub hidden_prompt: bool,
}

impl Shape {
    /// What rates count until the vendor says.
    pub fn likely_tokens(&self) -> u64 {
        if self.task == Task::CountTokens {
            return 0;
        }
        let prompt = (self.body_bytes as u64).div_ceil(BYTES_PER_TOKEN);
        let prompt = if self.images { prompt.min(USUAL_WITH_IMAGES) } else { prompt };
        if !self.task.is_answer() {
            return prompt;
        }
        let answer = self.max_tokens.map_or(USUAL_ANSWER, |most| u64::from(most).min(USUAL_ANSWER));
        prompt.saturating_add(answer.saturating_mul(self.answers))
    }

    /// What the call uses at most, input and output.
    pub fn most_tokens(&self) -> u64 {
        if self.task == Task::CountTokens { 0 } else { self.most_prompt().saturating_add(self.most_answer()) }
    }

    /// What the call costs at worst where tokens have these prices.
    pub fn worst_cost(&self, prices: &Prices) -> Money {
        if self.task == Task::CountTokens {
            return Money::ZERO;
        }
        let prompt = self.most_prompt();
        // Whether read, written to a cache or found there: at the dearest rate.
        let dearest = prices.input_per_mtok.max(prices.cache_write_per_mtok).max(prices.cached_input_per_mtok);
        let answer = self.most_answer();
        // Each kind of token is rounded by itself.
        const ROUNDING: Money = Money::from_micros(2);
        let cost = dearest.for_tokens(prompt) + prices.output_per_mtok.for_tokens(answer);
        if cost == Money::ZERO { cost } else { cost + ROUNDING }
    }

    fn most_prompt(&self) -> u64 {
        let mut prompt = self.body_bytes as u64 + AROUND;
        for (applies, allowance) in
            [(self.tools, AROUND_TOOLS), (self.images, IMAGES), (self.hidden_prompt, KEPT_BY_VENDOR)]
        {
            prompt += if applies { allowance } else { 0 };
        }
        prompt
    }

    fn most_answer(&self) -> u64 {
        if self.task.is_answer() {
            u64::from(self.max_tokens.unwrap_or(UNSAID_ANSWER_TOKENS)).saturating_mul(self.answers)
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::TokenUsage;

    const SHAPE: Shape = Shape {
        task: Task::Answer,
        body_bytes: 400,
        max_tokens: None,
        answers: 1,
        images: false,
        tools: false,
        hidden_prompt: false,
    };

    proptest! {
        #[test]
        fn no_call_costs_more_than_its_worst_case(
            price in (0i64..50_000_000, 0i64..50_000_000, 0i64..50_000_000, 0i64..50_000_000),
            bytes in 1usize..100_000, used in (0u64..100_000, 0u64..=5000, 0u64..100_000, 0u64..100_000),
        ) {
            let money = Money::from_micros;
            let prices = Prices {
                input_per_mtok: money(price.0),
                output_per_mtok: money(price.1),
                cached_input_per_mtok: money(price.2),
                cache_write_per_mtok: money(price.3),
            };
            let shape = Shape { body_bytes: bytes, max_tokens: Some(5000), ..SHAPE };
            let input = used.0.min(bytes as u64);
            let cached = used.2.min(input);
            let usage = TokenUsage {
                input, output: used.1, cached_input: cached, cache_write: used.3.min(input - cached), reasoning: 0,
            };
            prop_assert!(prices.cost(&usage) <= shape.worst_cost(&prices));
        }
    }

    #[test]
    fn absurd_wishes_do_not_overflow() {
        let money = Money::from_micros(i64::MAX);
        let dear = Prices {
            input_per_mtok: money,
            output_per_mtok: money,
            cached_input_per_mtok: money,
            cache_write_per_mtok: money,
        };
        let shape = Shape { max_tokens: Some(u32::MAX), answers: u64::MAX, body_bytes: usize::MAX >> 1, ..SHAPE };
        assert_eq!(shape.worst_cost(&dear), money);
        assert!(shape.likely_tokens() > 1 << 40);
    }

    #[test]
    fn a_count_costs_nothing_and_an_image_is_not_read_as_text() {
        let count = Shape { task: Task::CountTokens, ..SHAPE };
        assert_eq!((count.likely_tokens(), SHAPE.likely_tokens()), (0, 100 + 256));
        let image = Shape { images: true, body_bytes: 4 << 20, max_tokens: Some(10), ..SHAPE };
        assert_eq!(image.likely_tokens(), 4010);
    }
}
