//! How many tokens a call will use, as a guess for rates and at worst for money. Pure.
//!
//! The guess: the prompt as a tokenizer has counted it, else a token for four bytes of body, or what the target was seen to make of
//! bodies; and an answer of usual length. It is replaced by what the vendor says. The worst case: no tokenizer that is in use gives more tokens than bytes, and no answer is longer than `max_tokens`; what
//! cannot be seen in a body (an image at an address, what the vendor keeps of a conversation) has an allowance.

use std::time::Duration;

use super::density::USUAL_DENSITY;
use crate::domain::{Most, Task, ToolUses};

/// What an answer may be long at most when the caller does not say and a limit needs to know.
pub const UNSAID_ANSWER_TOKENS: u32 = 4096;

/// What an answer is usually long at most.
const USUAL_ANSWER: u64 = 256;
/// What an image counts as, until the vendor says: its bytes are no text.
const USUAL_IMAGE: u64 = 765;
/// What a vendor puts around messages, and around tools.
const AROUND: u64 = 64;
const AROUND_TOOLS: u64 = 1000;
/// What an image may be read as: gpt-4o-mini reads a large one as 48,169 tokens.
const IMAGE: u64 = 50_000;
/// What a vendor may keep of a conversation, or may read in a file.
const KEPT_BY_VENDOR: u64 = 128_000;

/// What one use of a tool that the vendor runs may add to the prompt.
const TOOL_RESULT: u64 = 25_000;

/// What is known of a question before anybody answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub task: Task,
    pub body_bytes: usize,
    /// Tokens in 1024 bytes, see [`super::Density`].
    pub density: u32,
    /// As a tokenizer has counted it.
    pub prompt_tokens: Option<u64>,
    pub max_tokens: Option<u32>,
    /// Answers to one question, at least 1.
    pub answers: u64,
    pub images: u64,
    /// Bytes of the body in which images are written.
    pub image_bytes: usize,
    pub tools: bool,
    /// How often tools that the vendor runs may be used.
    pub tool_uses: ToolUses,
    /// And those of them that have no fee.
    pub free_tool_uses: u64,
    /// The vendor keeps part of the prompt, or has to read files.
    pub hidden_prompt: bool,
}

/// What an attempt counts as of which nobody says what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsaid {
    /// A token for four bytes of text.
    pub prompt: u64,
    /// What all of its answers may have together, where the question says.
    pub most_answer: Option<u64>,
}

impl Shape {
    /// What rates count until the vendor says.
    pub fn likely_tokens(&self) -> u64 {
        if self.task == Task::CountTokens {
            return 0;
        }
        let prompt = self.prompt_tokens.unwrap_or_else(|| self.prompt_at(self.density));
        if !self.task.is_answer() {
            return prompt;
        }
        let answer = self.max_tokens.map_or(USUAL_ANSWER, |most| u64::from(most).min(USUAL_ANSWER));
        prompt.saturating_add(answer.saturating_mul(self.answers))
    }

    /// What an attempt counts as of which nobody says what it used.
    pub fn unsaid(&self) -> Unsaid {
        let prompt = if self.task == Task::CountTokens { 0 } else { self.prompt_at(USUAL_DENSITY) };
        Unsaid { prompt, most_answer: self.max_tokens.map(|most| u64::from(most).saturating_mul(self.answers)) }
    }

    /// At so many tokens in 1024 bytes.
    fn prompt_at(&self, density: u32) -> u64 {
        let text = self.body_bytes.saturating_sub(self.image_bytes) as u64;
        let text = text.saturating_mul(density.into()).div_ceil(1024);
        text.saturating_add(self.images.saturating_mul(USUAL_IMAGE))
    }

    /// Bytes of the body, where all of the prompt is text that is in it; else 0.
    pub fn text_bytes(&self) -> usize {
        if self.images > 0 || self.hidden_prompt || self.task == Task::CountTokens { 0 } else { self.body_bytes }
    }

    /// The most that an attempt may use, and with it this machine's whole time for so long.
    pub fn most(&self, machine: Duration) -> Most {
        if self.task == Task::CountTokens {
            return Most { input: 0, output: 0, machine_us: micros(machine), tools: ToolUses::default() };
        }
        let mut input = self.body_bytes as u64 + AROUND;
        for (applies, allowance) in [(self.tools, AROUND_TOOLS), (self.hidden_prompt, KEPT_BY_VENDOR)] {
            input += if applies { allowance } else { 0 };
        }
        input = input.saturating_add(self.images.saturating_mul(IMAGE));
        input = input
            .saturating_add(self.tool_uses.total().saturating_add(self.free_tool_uses).saturating_mul(TOOL_RESULT));
        let output = if self.task.is_answer() {
            u64::from(self.max_tokens.unwrap_or(UNSAID_ANSWER_TOKENS)).saturating_mul(self.answers)
        } else {
            0
        };
        Most { input, output, machine_us: micros(machine), tools: self.tool_uses }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Meter, Money, PriceRow, Prices, Rate, Rates};

    const SHAPE: Shape = Shape {
        task: Task::Answer,
        body_bytes: 400,
        density: crate::limit::USUAL_DENSITY,
        prompt_tokens: None,
        max_tokens: None,
        answers: 1,
        images: 0,
        image_bytes: 0,
        tools: false,
        tool_uses: ToolUses { web_searches: 0, file_searches: 0, code_sessions: 0 },
        free_tool_uses: 0,
        hidden_prompt: false,
    };

    #[test]
    fn absurd_wishes_do_not_overflow() {
        let rates =
            Meter::ALL.into_iter().fold(Rates::default(), |all, meter| all.with(meter, Rate { nanos: u64::MAX }));
        let dear = Prices::new(vec![PriceRow::always("dear", rates)]);
        let tool_uses = ToolUses { web_searches: u64::MAX, ..ToolUses::default() };
        let shape =
            Shape { tool_uses, max_tokens: Some(u32::MAX), answers: u64::MAX, body_bytes: usize::MAX >> 1, ..SHAPE };
        assert_eq!(dear.worst(&shape.most(Duration::MAX), 0), Some(Money::from_micros(i64::MAX)));
        assert!(shape.likely_tokens() > 1 << 40);
    }

    #[test]
    fn a_count_costs_nothing_and_an_image_is_not_read_as_text() {
        let count = Shape { task: Task::CountTokens, ..SHAPE };
        assert_eq!((count.likely_tokens(), SHAPE.likely_tokens()), (0, 100 + 256));
        let nothing = Most { input: 0, output: 0, machine_us: 0, tools: ToolUses::default() };
        assert_eq!(count.most(Duration::ZERO), nothing);
        let dense = Shape { density: 512, ..SHAPE };
        assert_eq!(dense.likely_tokens(), 200 + 256);
        let counted = Shape { prompt_tokens: Some(7), images: 1, ..SHAPE };
        assert_eq!(counted.likely_tokens(), 7 + 256);
        let most = Shape { max_tokens: Some(10), answers: 2, tools: true, ..SHAPE }.most(Duration::from_millis(1));
        assert_eq!(most, Most { input: 400 + 64 + 1000, output: 20, machine_us: 1000, ..nothing });
        let tools = ToolUses { web_searches: 2, ..ToolUses::default() };
        let most = Shape { max_tokens: Some(10), tools: true, tool_uses: tools, ..SHAPE }.most(Duration::ZERO);
        assert_eq!(most, Most { input: 400 + 64 + 1000 + 2 * 25_000, output: 10, machine_us: 0, tools });
        let image =
            Shape { images: 2, body_bytes: (4 << 20) + 400, image_bytes: 4 << 20, max_tokens: Some(10), ..SHAPE };
        assert_eq!(image.likely_tokens(), 100 + 2 * 765 + 10);
        assert_eq!(image.unsaid(), Unsaid { prompt: 100 + 2 * 765, most_answer: Some(10) });
        assert_eq!(image.most(Duration::ZERO).input, (4 << 20) + 400 + 64 + 2 * 50_000, "its bytes may be text");
    }
}
