//! [`Chat`] → a chat request. What is refused is named as OpenAI's dialect names it: that is who asks.

use std::borrow::Cow;

use backstop_models::chat::{
    Chat, Image, Message, Part, ReasoningEffort, ResponseFormat, Role, Tool, ToolChoice, ToolResult,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::dialect::{BadRequest, Outgoing, call_id};

/// The most stop sequences that Cohere takes.
const MAX_STOP: usize = 5;
/// The largest `k`.
const MAX_K: u32 = 500;

pub(in crate::dialect) fn write_request(chat: &Chat, to: &Outgoing<'_>) -> Result<Vec<u8>, BadRequest> {
    refuse(chat)?;
    let sampling = &chat.sampling;
    let body = Body {
        model: to.model,
        messages: write_messages(&chat.messages)?,
        tools: chat.tools.iter().map(ToolOut::of).collect(),
        strict_tools: strict_tools(&chat.tools)?,
        tool_choice: tool_choice(chat)?,
        max_tokens: chat.max_tokens,
        temperature: sampling.temperature,
        // An absent `p` means 0.75 there, so even 1 must be said, as nearly as it can be.
        p: sampling.top_p.map(|top_p| top_p.clamp(0.01, 0.99)),
        k: sampling.top_k,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        seed: sampling.seed,
        stop_sequences: &chat.stop,
        response_format: response_format(chat)?,
        thinking: thinking(chat, to.model),
        stream: to.stream,
    };
    Ok(serde_json::to_vec(&body).expect("text, numbers and JSON values are always JSON"))
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<MessageOut<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict_tools: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    stream: bool,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
enum MessageOut<'a> {
    System {
        content: Content<'a>,
    },
    User {
        content: Content<'a>,
    },
    Assistant {
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<Content<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tool_plan: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: Cow<'a, str>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Parts(Vec<PartOut<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PartOut<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: CallFunction<'a>,
}

#[derive(Serialize)]
struct CallFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct ToolOut<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a Value,
}

impl<'a> ToolOut<'a> {
    fn of(tool: &'a Tool) -> Self {
        let Tool { name, description, parameters, .. } = tool;
        Self { kind: "function", function: Function { name, description: description.as_deref(), parameters } }
    }
}

/// What Cohere has no field for. A value that changes nothing is no reason to refuse.
fn refuse(chat: &Chat) -> Result<(), BadRequest> {
    let sampling = &chat.sampling;
    let absent = [
        ("n", chat.n.is_some_and(|n| n > 1)),
        ("logit_bias", !sampling.logit_bias.is_empty()),
        ("logprobs", sampling.logprobs.is_some()),
        ("min_p", sampling.min_p.is_some_and(|min_p| min_p != 0.0)),
        ("parallel_tool_calls", chat.parallel_tool_calls == Some(false) && !chat.tools.is_empty()),
    ];
    let refuse = |path: &str, why: &str| Err(BadRequest::unsupported(path.into(), why));
    if let Some((name, _)) = absent.iter().find(|(_, used)| *used) {
        return refuse(name, "it has no such setting");
    }
    let penalties =
        [("frequency_penalty", sampling.frequency_penalty), ("presence_penalty", sampling.presence_penalty)];
    for (name, value) in penalties {
        if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
            return refuse(name, "it takes values from 0 to 1");
        }
    }
    if penalties.iter().all(|(_, value)| value.is_some_and(|value| value != 0.0)) {
        return refuse("presence_penalty", "it takes no two penalties at once");
    }
    if sampling.top_k.is_some_and(|top_k| top_k > MAX_K) {
        return refuse("top_k", &format!("it takes values up to {MAX_K}"));
    }
    if chat.stop.len() > MAX_STOP {
        return refuse("stop", &format!("it takes at most {MAX_STOP}"));
    }
    match chat.tool_choice {
        ToolChoice::Required | ToolChoice::Named(_) if chat.tools.is_empty() => {
            Err(BadRequest::invalid("tool_choice".into(), "needs `tools`"))
        }
        _ => Ok(()),
    }
}

/// It cannot be told which tool to call, unless there is only that one.
fn tool_choice(chat: &Chat) -> Result<Option<&'static str>, BadRequest> {
    match &chat.tool_choice {
        _ if chat.tools.is_empty() => Ok(None),
        ToolChoice::Auto => Ok(None),
        ToolChoice::None => Ok(Some("NONE")),
        ToolChoice::Required => Ok(Some("REQUIRED")),
        ToolChoice::Named(name) if matches!(&chat.tools[..], [tool] if tool.name == *name) => Ok(Some("REQUIRED")),
        ToolChoice::Named(_) => {
            Err(BadRequest::unsupported("tool_choice".into(), "it cannot be told which of several tools to call"))
        }
    }
}

/// Strictness is one switch for all tools.
fn strict_tools(tools: &[Tool]) -> Result<Option<bool>, BadRequest> {
    let strict = |tool: &Tool| tool.strict == Some(true);
    match tools.iter().position(strict) {
        None => Ok(None),
        Some(_) if tools.iter().all(strict) => Ok(Some(true)),
        Some(index) => {
            let path = format!("tools[{index}].function.strict");
            Err(BadRequest::unsupported(path, "it is strict about all tools or about none"))
        }
    }
}

/// A schema goes with `json_object`; its name is a label.
fn response_format(chat: &Chat) -> Result<Option<Value>, BadRequest> {
    let format = match &chat.response_format {
        ResponseFormat::Text => return Ok(None),
        ResponseFormat::JsonObject => json!({ "type": "json_object" }),
        ResponseFormat::JsonSchema { schema, .. } => json!({ "type": "json_object", "json_schema": schema }),
    };
    if !chat.tools.is_empty() {
        return Err(BadRequest::unsupported("response_format".into(), "it takes none beside tools"));
    }
    Ok(Some(format))
}

/// A hint: sent to models that can be told, as their names say.
fn thinking(chat: &Chat, model: &str) -> Option<Value> {
    let effort = chat.reasoning.filter(|_| model.contains("reasoning"))?;
    let wanted = match effort {
        ReasoningEffort::None => return Some(json!({ "type": "disabled" })),
        ReasoningEffort::Minimal => 512,
        ReasoningEffort::Low => 2048,
        ReasoningEffort::Medium => 8192,
        ReasoningEffort::High => 16384,
        ReasoningEffort::Budget(tokens) => tokens,
    };
    // At most half of all, so that an answer is left; it must be positive.
    let budget = chat.max_tokens.map_or(wanted, |most| wanted.min(most / 2)).max(1);
    Some(json!({ "type": "enabled", "token_budget": budget }))
}

/// System messages come first there, wherever they stood.
fn write_messages(messages: &[Message]) -> Result<Vec<MessageOut<'_>>, BadRequest> {
    let mut system = Vec::new();
    let mut out = Vec::with_capacity(messages.len() + 1);
    for (index, message) in messages.iter().enumerate() {
        if message.name.is_some() {
            let path = format!("messages[{index}].name");
            return Err(BadRequest::unsupported(path, "its messages have no names"));
        }
        match message.role {
            Role::System => system.append(&mut parts(index, message)?),
            Role::User => {
                let content = Content::of(parts(index, message)?);
                let empty = || BadRequest::invalid(format!("messages[{index}].content"), "must not be empty");
                out.push(MessageOut::User { content: content.ok_or_else(empty)? });
            }
            Role::Assistant => out.extend(write_assistant(index, message)?),
            Role::Tool => {
                for part in &message.content {
                    let Part::ToolResult(result) = part else { return Err(misplaced(index)) };
                    out.push(MessageOut::Tool {
                        tool_call_id: call_id::short(&result.call_id),
                        content: write_result(index, result)?,
                    });
                }
            }
        }
    }
    if out.is_empty() {
        let why = "must have at least one message that is not a system message";
        return Err(BadRequest::invalid("messages".into(), why));
    }
    if let Some(content) = Content::of(system) {
        out.insert(0, MessageOut::System { content });
    }
    Ok(out)
}

fn write_assistant(index: usize, message: &Message) -> Result<Option<MessageOut<'_>>, BadRequest> {
    let mut texts = Vec::new();
    let mut tool_calls = Vec::new();
    for part in &message.content {
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                texts.extend((!text.is_empty()).then_some(PartOut::Text { text }));
            }
            Part::ToolCall(call) => tool_calls.push(Call {
                id: call_id::short(&call.id),
                kind: "function",
                function: CallFunction { name: &call.name, arguments: arguments(&call.arguments) },
            }),
            Part::Reasoning(_) => {}
            Part::Image(_) | Part::ToolResult(_) => return Err(misplaced(index)),
        }
    }
    if tool_calls.is_empty() {
        return Ok(Content::of(texts).map(|content| MessageOut::Assistant {
            content: Some(content),
            tool_plan: None,
            tool_calls,
        }));
    }
    let plan: String = texts.iter().map(|part| if let PartOut::Text { text } = part { *text } else { "" }).collect();
    let tool_plan = Some(plan).filter(|plan| !plan.is_empty());
    Ok(Some(MessageOut::Assistant { content: None, tool_plan, tool_calls }))
}

fn arguments(arguments: &str) -> &str {
    if arguments.trim().is_empty() { "{}" } else { arguments }
}

fn parts(index: usize, message: &Message) -> Result<Vec<PartOut<'_>>, BadRequest> {
    let mut out = Vec::with_capacity(message.content.len());
    for part in &message.content {
        match part {
            Part::Text(text) => out.extend((!text.is_empty()).then_some(PartOut::Text { text })),
            Part::Image(image) if message.role == Role::User => {
                out.push(PartOut::ImageUrl { image_url: write_image(image) });
            }
            _ => return Err(misplaced(index)),
        }
    }
    Ok(out)
}

fn write_image(image: &Image) -> ImageUrl<'_> {
    match image {
        Image::Url { url, detail } => ImageUrl { url: Cow::Borrowed(url), detail: detail.as_deref() },
        Image::Inline { media_type, data, detail } => {
            ImageUrl { url: Cow::Owned(format!("data:{media_type};base64,{data}")), detail: detail.as_deref() }
        }
    }
}

/// Cohere has no mark for a tool's failure: the text says it.
fn write_result(index: usize, result: &ToolResult) -> Result<Cow<'_, str>, BadRequest> {
    let mut texts = Vec::with_capacity(result.content.len());
    for part in &result.content {
        let Part::Text(text) = part else {
            let why = "a tool's result can only be text there";
            return Err(BadRequest::unsupported(format!("messages[{index}].content"), why));
        };
        texts.push(text.as_str());
    }
    Ok(match (texts.as_slice(), result.is_error) {
        ([text], false) => Cow::Borrowed(text),
        (_, false) => Cow::Owned(texts.concat()),
        ([], true) => Cow::Borrowed("Error: the tool failed"),
        (_, true) => Cow::Owned(format!("Error: {}", texts.concat())),
    })
}

impl<'a> Content<'a> {
    /// A text alone is written as a string; nothing is no content.
    fn of(parts: Vec<PartOut<'a>>) -> Option<Self> {
        match parts.as_slice() {
            [] => None,
            [PartOut::Text { text }] => Some(Self::Text(text)),
            _ => Some(Self::Parts(parts)),
        }
    }
}

fn misplaced(index: usize) -> BadRequest {
    BadRequest::unsupported(format!("messages[{index}].content"), "a message of that role cannot have such a part")
}
