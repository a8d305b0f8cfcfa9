//! What a question needs of whoever answers it, and whether a target has that.
//!
//! Tokens are estimated low (a token for five bytes of body), so that a question which would fit is never refused here;
//! one that does not fit after all comes back from the vendor as `context_length`.

use super::Estimate;
use crate::{
    config::Capabilities,
    domain::{Fault, FaultKind, Task},
};

const BYTES_PER_TOKEN: u64 = 5;

/// What a question needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    pub task: Task,
    pub tools: bool,
    /// JSON mode or a JSON Schema.
    pub json_schema: bool,
    pub images: bool,
    /// The least that the question has, in tokens; 0: not known.
    pub input_tokens: u64,
    /// What the answer may have, where the caller said.
    pub max_tokens: Option<u32>,
    /// Targets with no more context than this have refused it already.
    pub more_context_than: Option<u32>,
}

impl Need {
    /// The least number of tokens in a body of so many bytes. Images are not text: with one nothing is known.
    pub fn tokens_in(body_bytes: usize, images: bool) -> u64 {
        if images { 0 } else { body_bytes as u64 / BYTES_PER_TOKEN }
    }

    /// What it will take of a vendor's limits: the low guess at its tokens, and an answer of usual length at most.
    pub fn estimate(&self) -> Estimate {
        const USUAL_OUTPUT: u64 = 256;
        if !self.task.is_answer() {
            return Estimate { input: self.input_tokens, output: 0 };
        }
        Estimate {
            input: self.input_tokens,
            output: self.max_tokens.map_or(USUAL_OUTPUT, |most| u64::from(most).min(USUAL_OUTPUT)),
        }
    }

    /// Why a target that can do `can` cannot take the question.
    pub fn objection(&self, can: &Capabilities) -> Option<Fault> {
        let cannot = match self.task {
            Task::Answer | Task::Stream if !can.answers => {
                Some("`model`: the target that was to answer is declared to make embeddings, and those alone")
            }
            Task::CountTokens if !can.token_count => Some(
                "`/v1/messages/count_tokens` is answered by vendors that count tokens themselves and by local \
                          models, and this target does neither",
            ),
            Task::Embed if !can.embeddings => {
                Some("`/v1/embeddings` is answered by vendors that make embeddings, and this target's API has none")
            }
            _ => None,
        };
        if let Some(detail) = cannot {
            return Some(Fault::new(FaultKind::Unsupported, detail).with_code("unsupported_endpoint"));
        }
        let lacks = |param: &str, what: &str| {
            let detail = format!("`{param}` is not supported by the target that was to answer: {what}");
            Some(
                Fault::new(FaultKind::Unsupported, detail)
                    .with_param(Some(param.to_owned()))
                    .with_code("unsupported_parameter"),
            )
        };
        if self.tools && !can.tools {
            return lacks("tools", "it cannot call tools");
        }
        if self.json_schema && !can.json_schema {
            return lacks("response_format", "it cannot be held to JSON");
        }
        if self.images && !can.images {
            return lacks("messages", "it sees no images");
        }
        // A question that is too long is counted all the same.
        let context = can.context_tokens.filter(|_| self.task.is_answer())?;
        let wanted = self.input_tokens + self.max_tokens.map_or(0, u64::from);
        let too_long = wanted > u64::from(context) || self.more_context_than.is_some_and(|refused| context <= refused);
        too_long.then(|| {
            let detail = format!("the prompt and the answer need more than the {context} tokens that the target has");
            Fault::new(FaultKind::Unsupported, detail)
                .with_param(Some("messages".to_owned()))
                .with_code("context_length_exceeded")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_lacks_is_named() {
        let can = Capabilities { tools: false, images: false, json_schema: false, ..Capabilities::ALL };
        let need = Need { tools: true, ..Need::default() };
        assert_eq!(need.objection(&can).and_then(|fault| fault.param).as_deref(), Some("tools"));
        let need = Need { images: true, ..Need::default() };
        assert_eq!(need.objection(&can).and_then(|fault| fault.param).as_deref(), Some("messages"));
        let need = Need { json_schema: true, ..Need::default() };
        assert_eq!(need.objection(&can).and_then(|fault| fault.param).as_deref(), Some("response_format"));
        assert_eq!(Need::default().objection(&can), None);
    }

    #[test]
    fn a_count_needs_a_counter_and_no_room() {
        let need = Need { task: Task::CountTokens, input_tokens: 5000, ..Need::default() };
        let can = Capabilities { context_tokens: Some(1000), ..Capabilities::ALL };
        assert_eq!(need.objection(&can), None);
        let without = Capabilities { token_count: false, ..can };
        let fault = need.objection(&without).expect("nobody there counts");
        assert!(fault.detail.contains("count_tokens") && fault.kind == FaultKind::Unsupported, "{fault}");
        assert_eq!(Need::default().objection(&without), None, "who does not count may answer");
    }

    #[test]
    fn embeddings_and_answers_are_different_models_affairs() {
        let embed = Need { task: Task::Embed, input_tokens: 5000, ..Need::default() };
        let model = Capabilities { answers: false, context_tokens: Some(1000), ..Capabilities::ALL };
        assert_eq!(embed.objection(&model), None, "each input has the context for itself");
        let fault = Need::default().objection(&model).expect("it does not chat");
        assert!(fault.detail.contains("embeddings"), "{fault}");
        let fault = embed.objection(&Capabilities { embeddings: false, ..model }).expect("its API has none");
        assert!(fault.detail.contains("/v1/embeddings"), "{fault}");
    }

    #[test]
    fn a_context_holds_question_and_answer() {
        let can = Capabilities { context_tokens: Some(1000), ..Capabilities::ALL };
        let need = Need { input_tokens: 600, max_tokens: Some(400), ..Need::default() };
        assert_eq!(need.objection(&can), None);
        let need = Need { max_tokens: Some(401), ..need };
        assert_eq!(need.objection(&can).and_then(|fault| fault.code).as_deref(), Some("context_length_exceeded"));
        assert_eq!(need.objection(&Capabilities::ALL), None, "what is not known is not held against a target");
    }

    #[test]
    fn a_target_with_no_more_context_than_one_that_refused_is_passed_over() {
        let can = |tokens| Capabilities { context_tokens: Some(tokens), ..Capabilities::ALL };
        let need = Need { more_context_than: Some(8000), ..Need::default() };
        assert!(need.objection(&can(8000)).is_some());
        assert!(need.objection(&can(8001)).is_none());
    }
}
