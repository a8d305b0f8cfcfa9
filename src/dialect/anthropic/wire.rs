//! [`Chat`] → a messages request. What is refused is named as OpenAI's dialect names it: that is who asks.

use std::borrow::Cow;

use backstop_models::chat::{Chat, Part, ReasoningEffort, ResponseFormat, Role, Tool, ToolChoice};
use serde::Serialize;
use serde_json::{Value, json};

use super::turns::{Block, Turn, Turns, write_content};
use crate::dialect::{BadRequest, Outgoing};

/// The least that Anthropic takes as `budget_tokens`.
const MIN_BUDGET: u32 = 1024;
/// The longest name of a tool that Anthropic takes.
const MAX_NAME: usize = 128;

pub(in crate::dialect) fn write_request(chat: &Chat, to: &Outgoing<'_>) -> Result<Vec<u8>, BadRequest> {
    refuse(chat)?;
    let Turns { system, turns } = Turns::of(&chat.messages)?;
    let max_tokens = chat.max_tokens.unwrap_or(to.default_max_tokens);
    let body = Body {
        model: to.model,
        max_tokens,
        system,
        messages: turns,
        tools: chat.tools.iter().map(ToolOut::of).collect(),
        tool_choice: tool_choice(chat),
        // 1 is what an absent field means, and newer models refuse it beside a temperature.
        top_p: chat.sampling.top_p.filter(|top_p| *top_p < 1.0),
        temperature: chat.sampling.temperature,
        top_k: chat.sampling.top_k,
        stop_sequences: &chat.stop,
        thinking: thinking(chat, max_tokens),
        output_config: output_config(&chat.response_format)?,
        metadata: chat.user.as_deref().map(|user_id| Metadata { user_id }),
        stream: to.stream,
    };
    Ok(serde_json::to_vec(&body).expect("text, numbers and JSON values are always JSON"))
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write_content")]
    system: Vec<Block<'a>>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

#[derive(Serialize)]
struct ToolOut<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Cow<'a, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

impl<'a> ToolOut<'a> {
    /// Anthropic demands that a schema says `"type": "object"`.
    fn of(tool: &'a Tool) -> Self {
        let mut input_schema = Cow::Borrowed(&tool.parameters);
        if let Some(schema) = tool.parameters.as_object()
            && !schema.contains_key("type")
        {
            input_schema.to_mut()["type"] = json!("object");
        }
        Self { name: &tool.name, description: tool.description.as_deref(), input_schema, strict: tool.strict }
    }
}

/// What Anthropic has no field for. A value that changes nothing is no reason to refuse.
fn refuse(chat: &Chat) -> Result<(), BadRequest> {
    let sampling = &chat.sampling;
    let nonzero = |value: Option<f64>| value.is_some_and(|value| value != 0.0);
    let absent = [
        ("n", chat.n.is_some_and(|n| n > 1)),
        ("frequency_penalty", nonzero(sampling.frequency_penalty)),
        ("presence_penalty", nonzero(sampling.presence_penalty)),
        ("logit_bias", !sampling.logit_bias.is_empty()),
        ("logprobs", sampling.logprobs.is_some()),
        ("seed", sampling.seed.is_some()),
        ("min_p", nonzero(sampling.min_p)),
    ];
    if let Some((name, _)) = absent.iter().find(|(_, used)| *used) {
        return Err(BadRequest::unsupported((*name).into(), "it has no such setting"));
    }
    if sampling.temperature.is_some_and(|temperature| temperature > 1.0) {
        return Err(BadRequest::unsupported("temperature".into(), "it takes values from 0 to 1"));
    }
    if chat.stop.iter().any(|stop| stop.trim().is_empty()) {
        return Err(BadRequest::unsupported("stop".into(), "it takes no stop sequences of white space only"));
    }
    let fits = |name: &str| {
        (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    if let Some(index) = chat.tools.iter().position(|tool| !fits(&tool.name)) {
        let path = format!("tools[{index}].function.name");
        return Err(BadRequest::unsupported(path, "it takes names of letters, digits, `_` and `-`, up to 128"));
    }
    match chat.tool_choice {
        ToolChoice::Required | ToolChoice::Named(_) if chat.tools.is_empty() => {
            Err(BadRequest::invalid("tool_choice".into(), "needs `tools`"))
        }
        _ => Ok(()),
    }
}

fn tool_choice(chat: &Chat) -> Option<Value> {
    if chat.tools.is_empty() {
        return None;
    }
    let mut choice = match &chat.tool_choice {
        ToolChoice::Auto if chat.parallel_tool_calls.is_none() => return None,
        ToolChoice::None => return Some(json!({ "type": "none" })),
        ToolChoice::Auto => json!({ "type": "auto" }),
        ToolChoice::Required => json!({ "type": "any" }),
        ToolChoice::Named(name) => json!({ "type": "tool", "name": name }),
    };
    if let Some(parallel) = chat.parallel_tool_calls {
        choice["disable_parallel_tool_use"] = Value::Bool(!parallel);
    }
    Some(choice)
}

fn output_config(format: &ResponseFormat) -> Result<Option<Value>, BadRequest> {
    match format {
        ResponseFormat::Text => Ok(None),
        ResponseFormat::JsonSchema { schema, .. } => {
            Ok(Some(json!({ "format": { "type": "json_schema", "schema": schema } })))
        }
        ResponseFormat::JsonObject => {
            let why = "it only knows `json_schema`";
            Err(BadRequest::unsupported("response_format.type".into(), why))
        }
    }
}

/// A budget of tokens to think with, at most half of all; `None` where Anthropic would refuse it.
pub(in crate::dialect) fn thinking(chat: &Chat, max_tokens: u32) -> Option<Value> {
    let wanted = match chat.reasoning? {
        ReasoningEffort::None => return Some(json!({ "type": "disabled" })),
        ReasoningEffort::Minimal => MIN_BUDGET,
        ReasoningEffort::Low => 2048,
        ReasoningEffort::Medium => 8192,
        ReasoningEffort::High => 16384,
        ReasoningEffort::Budget(tokens) => tokens.max(MIN_BUDGET),
    };
    let sampling = &chat.sampling;
    let free = sampling.temperature.is_none_or(|temperature| temperature == 1.0)
        && sampling.top_k.is_none()
        && sampling.top_p.is_none_or(|top_p| top_p >= 0.95)
        && matches!(chat.tool_choice, ToolChoice::Auto | ToolChoice::None)
        && !in_unsigned_tool_loop(chat);
    let budget = wanted.min(max_tokens / 2);
    (free && budget >= MIN_BUDGET).then(|| json!({ "type": "enabled", "budget_tokens": budget }))
}

/// Whether the turn that is to go on has tool calls but not the signed thinking that led to them.
fn in_unsigned_tool_loop(chat: &Chat) -> bool {
    let turn = chat.messages.iter().rposition(|message| message.role == Role::User).map_or(0, |at| at + 1);
    let signed = |part: &Part| matches!(part, Part::Reasoning(reasoning) if reasoning.signature.is_some());
    chat.messages[turn..]
        .iter()
        .filter(|message| message.role == Role::Assistant)
        .any(|message| !message.content.first().is_some_and(signed))
}
