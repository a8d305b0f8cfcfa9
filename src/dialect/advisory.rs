//! The fields that may be left behind when a request or an answer changes dialects: they do not change what is asked.
//!
//! Everything else is carried or refused by name. Same-dialect calls keep all of them.

use super::{Dialect, Wire};

/// A field that a translation may leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftBehind {
    /// The dialect that has it.
    pub dialect: Dialect,
    /// Its path, in requests unless `why` says otherwise.
    pub field: &'static str,
    pub why: &'static str,
}

/// All of them.
pub const LEFT_BEHIND: [LeftBehind; 48] = [
    openai("metadata", "tags for the vendor's own dashboard"),
    openai("store", "whether the vendor keeps the answer for its own evaluations"),
    openai("service_tier", "the vendor's own price and speed classes"),
    openai("prompt_cache_key", "a hint to the vendor's cache"),
    openai("prompt_cache_options", "a hint to the vendor's cache"),
    openai("prompt_cache_retention", "a hint to the vendor's cache"),
    openai("prediction", "a guess at the answer that makes it faster, not different"),
    openai("stream_options.include_obfuscation", "padding of the vendor's stream"),
    openai("messages[].content[].prompt_cache_breakpoint", "a hint to the vendor's cache"),
    openai("messages[].content[].image_url.detail", "the other dialect chooses an image's resolution itself"),
    openai("messages[].annotations", "what the vendor noted on an earlier answer"),
    openai("messages[].reasoning_content", "earlier reasoning of a vendor that does not sign it"),
    openai("response_format.json_schema.name", "a label; the schema is carried"),
    openai("response_format.json_schema.description", "a label; the schema is carried"),
    openai("reasoning_effort", "a hint; left behind where the vendor would refuse it or has no such setting"),
    openai("user", "an id for the vendor's abuse detection; left behind where it takes none"),
    anthropic("cache_control", "a hint to the vendor's cache, wherever it stands"),
    anthropic("service_tier", "the vendor's own price and speed classes"),
    anthropic("metadata.user_id", "an id for the vendor's abuse detection; left behind where it takes none"),
    anthropic("thinking.display", "how the vendor shows its own reasoning"),
    anthropic("tools[].eager_input_streaming", "how the vendor cuts its stream"),
    anthropic("messages[].content[].caller", "who called a tool, where it was the model itself"),
    anthropic("messages[].content[].citations", "what the vendor noted on an earlier answer"),
    anthropic("messages[].content[].thinking", "earlier reasoning, which only the vendor that signed it accepts"),
    anthropic("messages[].content[].redacted_thinking", "earlier reasoning, which only its own vendor can read"),
    anthropic(
        "thinking blocks of an answer",
        "in answers: unsigned reasoning, because the caller's next turn would bring it to a vendor that refuses it",
    ),
    responses("metadata", "tags for the vendor's own dashboard"),
    responses("store", "whether the vendor keeps the response; nothing that asks for it later gets here"),
    responses("service_tier", "the vendor's own price and speed classes"),
    responses("prompt_cache_key", "a hint to the vendor's cache"),
    responses("prompt_cache_options", "a hint to the vendor's cache"),
    responses("prompt_cache_retention", "a hint to the vendor's cache"),
    responses("truncation", "which items may go where the context is too short; elsewhere that is an error"),
    responses("max_tool_calls", "a bound on the vendor's own tools, which are refused"),
    responses("include", "what to say of the vendor's own tools and reasoning; log-probabilities are refused"),
    responses("stream_options.include_obfuscation", "padding of the vendor's stream"),
    responses("input[].id", "the vendor's own names of items, their `status` and their `phase`"),
    responses("input[].name", "on a call's output: a label, which the call has too"),
    responses("input[].summary", "reasoning items: earlier reasoning, which only its own vendor can read"),
    responses("input[].content[].annotations", "what the vendor noted on an earlier answer, and its log-probabilities"),
    responses("input[].content[].prompt_cache_breakpoint", "a hint to the vendor's cache"),
    responses("input[].content[].detail", "the other dialect chooses an image's resolution itself"),
    responses("text.format.name", "a label; the schema is carried"),
    responses("text.format.description", "a label; the schema is carried"),
    responses("reasoning.summary", "how the vendor shows its own reasoning"),
    responses("reasoning.generate_summary", "how the vendor shows its own reasoning"),
    responses("reasoning.context", "which of its own earlier reasoning the vendor reads again"),
    responses("reasoning.effort", "a hint; left behind where Anthropic would refuse thinking"),
];

/// What a wire leaves behind that no caller speaks, by the name it has in chat types or in the vendor's answers, and why.
pub const LEFT_BEHIND_TOWARDS: [(Wire, &str, &str); 5] = [
    (Wire::Gemini, "user", "an id for abuse detection, for which it has no field"),
    (Wire::Gemini, "reasoning_effort", "a hint; left behind where the model does not think"),
    (
        Wire::Gemini,
        "tools[].strict",
        "beside a forced call, whose arguments keep to their schema anyway, and where the model is older than 2.5",
    ),
    (Wire::Gemini, "thoughts of an answer", "in answers: unsigned reasoning, for which callers have no place"),
    (
        Wire::Gemini,
        "thoughtSignature of a text",
        "in answers: only those of calls are demanded back, and come back within the calls' ids",
    ),
];

const fn openai(field: &'static str, why: &'static str) -> LeftBehind {
    LeftBehind { dialect: Dialect::OpenaiChat, field, why }
}

const fn anthropic(field: &'static str, why: &'static str) -> LeftBehind {
    LeftBehind { dialect: Dialect::AnthropicMessages, field, why }
}

const fn responses(field: &'static str, why: &'static str) -> LeftBehind {
    LeftBehind { dialect: Dialect::OpenaiResponses, field, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_is_this_one() {
        let page = include_str!("../../docs/dialects.md");
        let (_, table) = page.split_once("## What may be left behind").expect("the page has the section");
        let rows = table.lines().filter(|line| line.starts_with("| OpenAI") || line.starts_with("| Anthropic")).count();
        assert_eq!(rows, LEFT_BEHIND.len());
        let (_, towards) = page.split_once("## Towards Gemini").expect("the page has the section");
        for (_, field, why) in LEFT_BEHIND_TOWARDS {
            assert!(towards.contains(&format!("| {field} | {why} |")), "`{field}` is not in the table");
        }
        for LeftBehind { field, why, .. } in LEFT_BEHIND {
            assert!(
                table.lines().any(|line| line.contains(field) && line.contains(why)),
                "`{field}` is not in the table"
            );
        }
    }
}
