//! [`Chat`] → a chat completion request. What is refused is named as Anthropic's dialect names it: that is who asks.

use std::{borrow::Cow, collections::BTreeMap};

use backstop_models::chat::{
    Chat, Image, Message, Part, ReasoningEffort, ResponseFormat, Role, Tool, ToolChoice, ToolResult,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::dialect::{BadRequest, Outgoing, call_id};

/// The most stop sequences that OpenAI takes.
const MAX_STOP: usize = 4;
/// The longest name of a function that OpenAI takes.
const MAX_NAME: usize = 64;

pub(in crate::dialect) fn write_request(chat: &Chat, to: &Outgoing<'_>) -> Result<Vec<u8>, BadRequest> {
    refuse(chat)?;
    let mut messages = Vec::with_capacity(chat.messages.len());
    for (index, message) in chat.messages.iter().enumerate() {
        write_message(index, message, &mut messages)?;
    }
    let sampling = &chat.sampling;
    let completion = to.max_tokens_field == "max_completion_tokens";
    let with_tools = !chat.tools.is_empty();
    let body = Body {
        model: to.model,
        messages,
        tools: chat.tools.iter().map(ToolOut::of).collect(),
        tool_choice: with_tools.then(|| write_tool_choice(&chat.tool_choice)).flatten(),
        parallel_tool_calls: chat.parallel_tool_calls.filter(|_| with_tools),
        max_tokens: chat.max_tokens.filter(|_| !completion),
        max_completion_tokens: chat.max_tokens.filter(|_| completion),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        logit_bias: sampling.logit_bias.iter().copied().collect(),
        seed: sampling.seed.map(u64::cast_signed),
        logprobs: sampling.logprobs.map(|_| true),
        top_logprobs: sampling.logprobs.filter(|top| *top > 0),
        stop: &chat.stop,
        response_format: write_format(&chat.response_format),
        reasoning_effort: chat.reasoning.map(write_effort),
        n: chat.n,
        user: chat.user.as_deref(),
        stream: to.stream,
        stream_options: (to.stream && to.include_usage).then_some(StreamOptions { include_usage: true }),
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
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    logit_bias: BTreeMap<u32, f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct MessageOut<'a> {
    role: &'static str,
    /// Null where an assistant only called tools.
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<PartOut<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PartOut<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct CallOut<'a> {
    pub(super) id: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) function: FunctionOut<'a>,
}

#[derive(Serialize)]
pub(super) struct FunctionOut<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

impl<'a> ToolOut<'a> {
    fn of(tool: &'a Tool) -> Self {
        let Tool { name, description, parameters, strict } = tool;
        let function = Function { name, description: description.as_deref(), parameters, strict: *strict };
        Self { kind: "function", function }
    }
}

fn refuse(chat: &Chat) -> Result<(), BadRequest> {
    let refuse = |path: &str, why: &str| Err(BadRequest::unsupported(path.into(), why));
    if chat.sampling.top_k.is_some() {
        return refuse("top_k", "it has no such setting");
    }
    if chat.sampling.min_p.is_some() {
        return refuse("min_p", "it has no such setting");
    }
    if chat.stop.len() > MAX_STOP {
        return refuse("stop_sequences", &format!("it takes at most {MAX_STOP}"));
    }
    if let Some(index) = chat.tools.iter().position(|tool| tool.name.len() > MAX_NAME) {
        return refuse(&format!("tools[{index}].name"), &format!("it takes names of at most {MAX_NAME} bytes"));
    }
    match chat.tool_choice {
        ToolChoice::Required | ToolChoice::Named(_) if chat.tools.is_empty() => {
            Err(BadRequest::invalid("tool_choice".into(), "needs `tools`"))
        }
        _ => Ok(()),
    }
}

fn write_message<'a>(index: usize, message: &'a Message, out: &mut Vec<MessageOut<'a>>) -> Result<(), BadRequest> {
    let name = message.name.as_deref();
    let plain = |role, content| MessageOut {
        role,
        content: Some(content),
        refusal: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
        name,
    };
    match message.role {
        Role::System => out.push(plain("system", write_content(index, &message.content)?)),
        Role::User => out.push(plain("user", write_content(index, &message.content)?)),
        Role::Assistant => out.push(write_assistant(index, message)?),
        Role::Tool => {
            for part in &message.content {
                let Part::ToolResult(result) = part else { return Err(misplaced(index)) };
                let tool_call_id = Some(call_id::short(&result.call_id));
                out.push(MessageOut { tool_call_id, ..plain("tool", write_result(result)?) });
            }
        }
    }
    Ok(())
}

fn write_assistant(index: usize, message: &Message) -> Result<MessageOut<'_>, BadRequest> {
    let mut texts = Vec::new();
    let mut refusal: Option<String> = None;
    let mut tool_calls = Vec::new();
    for part in &message.content {
        match part {
            Part::Text(text) => texts.push(PartOut::Text { text: Cow::Borrowed(text) }),
            Part::Refusal(text) => refusal.get_or_insert_default().push_str(text),
            Part::ToolCall(call) => tool_calls.push(CallOut {
                id: call_id::short(&call.id),
                kind: "function",
                function: FunctionOut { name: &call.name, arguments: &call.arguments },
            }),
            Part::Reasoning(_) => {}
            Part::Image(_) | Part::ToolResult(_) => return Err(misplaced(index)),
        }
    }
    let content = match (texts.is_empty(), refusal.is_none() && tool_calls.is_empty()) {
        (true, false) => None,
        _ => Some(Content::of(texts)),
    };
    let name = message.name.as_deref();
    Ok(MessageOut { role: "assistant", content, refusal, tool_calls, tool_call_id: None, name })
}

fn write_content(index: usize, parts: &[Part]) -> Result<Content<'_>, BadRequest> {
    let mut written = Vec::with_capacity(parts.len());
    for part in parts {
        written.push(match part {
            Part::Text(text) => PartOut::Text { text: Cow::Borrowed(text) },
            Part::Image(image) => PartOut::ImageUrl { image_url: write_image(image) },
            _ => return Err(misplaced(index)),
        });
    }
    Ok(Content::of(written))
}

/// OpenAI has no mark for a tool's failure: the text says it.
fn write_result(result: &ToolResult) -> Result<Content<'_>, BadRequest> {
    let mut written = Vec::with_capacity(result.content.len());
    for part in &result.content {
        let Part::Text(text) = part else {
            let path = "messages[].content[].content[].type".to_owned();
            let why = format!("a tool's result can only be text there, and that of `{}` is not", result.call_id);
            return Err(BadRequest::unsupported(path, &why));
        };
        written.push(PartOut::Text { text: Cow::Borrowed(text) });
    }
    if result.is_error {
        match written.first_mut() {
            Some(PartOut::Text { text }) => *text = Cow::Owned(format!("Error: {text}")),
            _ => written.push(PartOut::Text { text: Cow::Borrowed("Error: the tool failed") }),
        }
    }
    Ok(Content::of(written))
}

impl<'a> Content<'a> {
    /// A text alone is written as a string, which every compatible server takes.
    fn of(mut parts: Vec<PartOut<'a>>) -> Self {
        match parts.as_mut_slice() {
            [] => Self::Text(Cow::Borrowed("")),
            [PartOut::Text { text }] => Self::Text(std::mem::take(text)),
            _ => Self::Parts(parts),
        }
    }
}

fn write_image(image: &Image) -> ImageUrl<'_> {
    match image {
        Image::Url { url, detail } => ImageUrl { url: Cow::Borrowed(url), detail: detail.as_deref() },
        Image::Inline { media_type, data, detail } => {
            ImageUrl { url: Cow::Owned(format!("data:{media_type};base64,{data}")), detail: detail.as_deref() }
        }
    }
}

fn misplaced(index: usize) -> BadRequest {
    BadRequest::unsupported(format!("messages[{index}].content"), "a message of that role cannot have such a part")
}

fn write_tool_choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required => Some(json!("required")),
        ToolChoice::Named(name) => Some(json!({ "type": "function", "function": { "name": name } })),
    }
}

fn write_format(format: &ResponseFormat) -> Option<Value> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(json!({ "type": "json_object" })),
        ResponseFormat::JsonSchema { name, schema, strict } => {
            let mut written = json!({ "name": name, "schema": schema });
            if let Some(strict) = strict {
                written["strict"] = Value::Bool(*strict);
            }
            Some(json!({ "type": "json_schema", "json_schema": written }))
        }
    }
}

pub(in crate::dialect) fn write_effort(effort: ReasoningEffort) -> &'static str {
    match effort {
        ReasoningEffort::None => "none",
        ReasoningEffort::Minimal => "minimal",
        ReasoningEffort::Low | ReasoningEffort::Budget(..=2048) => "low",
        ReasoningEffort::Medium | ReasoningEffort::Budget(..=8192) => "medium",
        ReasoningEffort::High | ReasoningEffort::Budget(_) => "high",
    }
}
