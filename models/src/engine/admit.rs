//! Checks a chat once, before it is queued, and says by name what cannot be done.
//!
//! What is behind this edge is a [`Call`] and is not checked again.

use crate::chat::{Chat, Completion, Part, Prompt, ResponseFormat, Role, Tool, ToolChoice};
use crate::sample::Parameters;

use super::{EngineFault, Model};

/// The most tokens of an answer whose caller set no bound.
const DEFAULT_ANSWER_TOKENS: usize = 1024;
/// The same, where a text is gone on with; OpenAI's default.
const DEFAULT_COMPLETION_TOKENS: usize = 16;
/// OpenAI's bound.
const MAX_TOP_LOGPROBS: u8 = 20;
/// What a token of English has; other languages have fewer.
const BYTES_PER_TOKEN: usize = 4;
/// What a template puts around a message.
const MESSAGE_TOKENS: usize = 6;
const MAX_STOPS: usize = 32;
const MAX_STOP_BYTES: usize = 1024;

/// A chat that can be answered.
pub(super) struct Call {
    pub chat: Chat,
    pub parameters: Parameters,
    /// The tools that the model may call, and hears of.
    pub tools: Vec<Tool>,
    pub shape: Shape,
    /// At most the context; the prompt may leave less.
    pub max_tokens: usize,
    /// About how many tokens the prompt has, by its bytes: it is not tokenized before it has a place.
    pub likely_tokens: usize,
}

/// What an answer must look like.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Text,
    /// Text, with tool calls in it where the model wants any.
    TextOrCalls,
    /// One call of one of the tools.
    Call,
    /// JSON that validates against the schema.
    Json(serde_json::Value),
}

/// Checks `chat` against what `model` can do.
pub(super) fn admit(chat: Chat, model: &Model) -> Result<Call, EngineFault> {
    let call = admit_of_any_length(chat, model)?;
    // A text so long that it cannot fit whatever its tokens are is not worth a place in the line.
    let (bytes, limit) = (text_bytes(&call.chat)?, model.context_tokens.get());
    if bytes > model.vocabulary.most_bytes(limit) {
        return Err(EngineFault::ContextLength { prompt_tokens: limit + 1, limit });
    }
    // Of a text that is given as tokens the number is known.
    if let Some(Completion { prompts, .. }) = &call.chat.completion
        && let [Prompt::Tokens(tokens)] = prompts.as_slice()
        && tokens.len() >= limit
    {
        return Err(EngineFault::ContextLength { prompt_tokens: tokens.len(), limit });
    }
    Ok(call)
}

/// As [`admit`], for a chat whose prompt is counted and not computed.
pub(super) fn admit_of_any_length(chat: Chat, model: &Model) -> Result<Call, EngineFault> {
    match chat.n {
        None | Some(1) => {}
        Some(0) => return Err(bad("n", "it must be at least 1")),
        Some(_) => return Err(unsupported("n", "it gives one answer per call")),
    }
    if chat.sampling.logprobs.is_some_and(|top| top > MAX_TOP_LOGPROBS) {
        return Err(bad("top_logprobs", &format!("it must be at most {MAX_TOP_LOGPROBS}")));
    }
    let likely_tokens = match &chat.completion {
        None if chat.messages.is_empty() => return Err(bad("messages", "there must be at least one")),
        None => text_bytes(&chat)? / BYTES_PER_TOKEN + chat.messages.len() * MESSAGE_TOKENS,
        Some(completion) => completion_tokens(&chat, completion, model)?,
    };
    check_stops(&chat.stop)?;
    let parameters = Parameters::check(&chat.sampling, model.vocabulary.len())
        .map_err(|wrong| bad(wrong.field, &format!("it must be {}", wrong.expected)))?;
    let tools = allowed_tools(&chat, model)?;
    let shape = shape(&chat, &tools, model)?;
    let echoes = chat.completion.as_ref().is_some_and(|completion| completion.echo);
    let max_tokens = match chat.max_tokens {
        Some(0) if echoes => 0,
        Some(0) => return Err(bad("max_tokens", "it must be at least 1")),
        Some(asked) => asked as usize,
        None if chat.completion.is_some() => DEFAULT_COMPLETION_TOKENS,
        None => DEFAULT_ANSWER_TOKENS,
    };
    Ok(Call { likely_tokens, parameters, tools, shape, max_tokens: max_tokens.min(model.context_tokens.get()), chat })
}

/// About how many tokens a text has that is gone on with.
fn completion_tokens(chat: &Chat, completion: &Completion, model: &Model) -> Result<usize, EngineFault> {
    if !chat.messages.is_empty() || !chat.tools.is_empty() {
        return Err(bad("prompt", "it is instead of messages and tools"));
    }
    match completion.prompts.as_slice() {
        [Prompt::Text(text)] => Ok(text.len() / BYTES_PER_TOKEN + 1),
        [Prompt::Tokens(tokens)] => match tokens.iter().find(|token| **token as usize >= model.vocabulary.len()) {
            Some(token) => Err(bad("prompt", &format!("the model has no token {token}"))),
            None => Ok(tokens.len().max(1)),
        },
        _ => Err(bad("prompt", "a call goes on with one text")),
    }
}

/// The bytes of all text. Images are refused by their place.
fn text_bytes(chat: &Chat) -> Result<usize, EngineFault> {
    let mut bytes = match chat.completion.as_ref().and_then(|completion| completion.prompts.first()) {
        Some(Prompt::Text(text)) => text.len(),
        Some(Prompt::Tokens(_)) | None => 0,
    };
    for (index, message) in chat.messages.iter().enumerate() {
        for (part_index, part) in message.content.iter().enumerate() {
            let field = format!("messages[{index}].content[{part_index}]");
            if matches!(part, Part::ToolCall(_)) && message.role != Role::Assistant {
                return Err(bad(&field, "only an assistant calls tools"));
            }
            bytes += match part {
                Part::Text(text) | Part::Refusal(text) => text.len(),
                Part::Reasoning(_) => 0,
                Part::ToolCall(call) => call.arguments.len(),
                Part::Image(_) => return Err(unsupported(&field, "the model does not see images")),
                Part::ToolResult(result) => {
                    let mut sum = 0;
                    for part in &result.content {
                        match part {
                            Part::Text(text) => sum += text.len(),
                            _ => return Err(unsupported(&field, "the model does not see images")),
                        }
                    }
                    sum
                }
            };
        }
    }
    Ok(bytes)
}

fn check_stops(stops: &[String]) -> Result<(), EngineFault> {
    if stops.len() > MAX_STOPS {
        return Err(bad("stop", &format!("there may be {MAX_STOPS} at most")));
    }
    match stops.iter().find(|stop| stop.is_empty() || stop.len() > MAX_STOP_BYTES) {
        Some(_) => Err(bad("stop", &format!("each has 1 to {MAX_STOP_BYTES} bytes"))),
        None => Ok(()),
    }
}

fn allowed_tools(chat: &Chat, model: &Model) -> Result<Vec<Tool>, EngineFault> {
    let tools = match &chat.tool_choice {
        ToolChoice::None => return Ok(Vec::new()),
        ToolChoice::Auto => chat.tools.clone(),
        ToolChoice::Required if chat.tools.is_empty() => {
            return Err(bad("tool_choice", "there are no tools to choose"));
        }
        ToolChoice::Required => chat.tools.clone(),
        ToolChoice::Named(name) => match chat.tools.iter().find(|tool| tool.name == *name) {
            Some(tool) => vec![tool.clone()],
            None => return Err(bad("tool_choice", "it names a tool that is not among the tools")),
        },
    };
    if !tools.is_empty() && !model.capabilities.tools {
        return Err(unsupported("tools", "the model cannot call tools"));
    }
    Ok(tools)
}

fn shape(chat: &Chat, tools: &[Tool], model: &Model) -> Result<Shape, EngineFault> {
    let schema = match &chat.response_format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(serde_json::json!({ "type": "object" })),
        ResponseFormat::JsonSchema { schema, .. } if schema.is_object() => Some(schema.clone()),
        ResponseFormat::JsonSchema { .. } => return Err(bad("response_format", "a schema is a JSON object")),
    };
    if schema.is_some() && !model.capabilities.json_schema {
        return Err(unsupported("response_format", "the model's answers cannot be constrained to JSON"));
    }
    let must_call = matches!(chat.tool_choice, ToolChoice::Required | ToolChoice::Named(_));
    match schema {
        _ if must_call => Ok(Shape::Call),
        Some(_) if !tools.is_empty() => {
            Err(unsupported("response_format", "it cannot be combined with tools that the model may or may not call"))
        }
        Some(schema) => Ok(Shape::Json(schema)),
        None if tools.is_empty() => Ok(Shape::Text),
        None => Ok(Shape::TextOrCalls),
    }
}

fn bad(field: &str, why: &str) -> EngineFault {
    EngineFault::BadRequest { field: field.to_owned(), why: why.to_owned() }
}

fn unsupported(field: &str, why: &str) -> EngineFault {
    EngineFault::Unsupported { field: field.to_owned(), why: why.to_owned() }
}
