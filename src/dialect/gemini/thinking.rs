//! How hard a model of Gemini's is told to think, by its generation: a budget of tokens, a level, or not at all.
//!
//! The steps are those of Google's own OpenAI-compatible endpoint. An effort is a hint; where a model has no such step it
//! gets the nearest, and a model that does not think gets none, because Gemini refuses the setting there.

use backstop_models::chat::ReasoningEffort;
use serde::Serialize;

/// What a model's name says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// Does not think, or is none of Gemini's.
    Plain,
    /// 2.5.
    Budgets,
    /// From 3 on, and the names that mean the newest: refuses calls that come back without their thought signature.
    Levels,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Thinking {
    ThinkingBudget(u32),
    ThinkingLevel(&'static str),
}

impl Generation {
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        match name.strip_prefix("gemini-") {
            None => Self::Plain,
            Some(rest) if rest.starts_with("2.5") => Self::Budgets,
            Some(rest) if rest.starts_with(['1', '2']) => Self::Plain,
            Some(_) => Self::Levels,
        }
    }
}

pub(super) fn thinking(model: &str, effort: ReasoningEffort) -> Option<Thinking> {
    let pro = model.contains("pro");
    match Generation::of(model) {
        Generation::Plain => None,
        Generation::Budgets => Some(Thinking::ThinkingBudget(budget(pro, model.contains("lite"), effort))),
        Generation::Levels => Some(Thinking::ThinkingLevel(level(pro, effort))),
    }
}

/// Pro cannot stop thinking. <https://ai.google.dev/gemini-api/docs/thinking>
fn budget(pro: bool, lite: bool, effort: ReasoningEffort) -> u32 {
    let (least, most) = match (pro, lite) {
        (true, _) => (128, 32_768),
        (false, true) => (512, 24_576),
        (false, false) => (1, 24_576),
    };
    match effort {
        ReasoningEffort::None if pro => least,
        ReasoningEffort::None => 0,
        ReasoningEffort::Minimal | ReasoningEffort::Low => 1024,
        ReasoningEffort::Medium => 8192,
        ReasoningEffort::High => 24_576,
        ReasoningEffort::Budget(tokens) => tokens.clamp(least, most),
    }
}

/// Pro knows no `MINIMAL`, and its first version no `MEDIUM`.
fn level(pro: bool, effort: ReasoningEffort) -> &'static str {
    match effort {
        ReasoningEffort::None | ReasoningEffort::Minimal if !pro => "MINIMAL",
        ReasoningEffort::None | ReasoningEffort::Minimal | ReasoningEffort::Low | ReasoningEffort::Budget(..=2048) => {
            "LOW"
        }
        ReasoningEffort::Medium | ReasoningEffort::Budget(..=8192) if !pro => "MEDIUM",
        ReasoningEffort::Medium | ReasoningEffort::High | ReasoningEffort::Budget(_) => "HIGH",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_becomes_what_the_generation_knows() {
        use Thinking::{ThinkingBudget, ThinkingLevel};
        for (model, effort, expected) in [
            ("gemini-2.0-flash", ReasoningEffort::High, None),
            ("gemma-3-27b-it", ReasoningEffort::High, None),
            ("gemini-2.5-flash", ReasoningEffort::None, Some(ThinkingBudget(0))),
            ("gemini-2.5-pro", ReasoningEffort::None, Some(ThinkingBudget(128))),
            ("gemini-2.5-flash-lite", ReasoningEffort::Budget(100), Some(ThinkingBudget(512))),
            ("models/gemini-2.5-flash", ReasoningEffort::Medium, Some(ThinkingBudget(8192))),
            ("gemini-3-pro-preview", ReasoningEffort::Medium, Some(ThinkingLevel("HIGH"))),
            ("gemini-3-pro-preview", ReasoningEffort::None, Some(ThinkingLevel("LOW"))),
            ("gemini-3.8-flash", ReasoningEffort::Minimal, Some(ThinkingLevel("MINIMAL"))),
            ("gemini-flash-latest", ReasoningEffort::Budget(5000), Some(ThinkingLevel("MEDIUM"))),
        ] {
            assert_eq!(thinking(model, effort), expected, "{model} {effort:?}");
        }
    }
}
