//! [`Chat`] → a responses request. What is refused is named as chat completions name it.
//!
//! Nothing is left on the vendor's servers (`store` is false), and a tool is only strict when the chat says so, which is
//! not what an absent field means here.

use std::borrow::Cow;

use backstop_models::chat::{Chat, Image, Message, Part, ResponseFormat, Role, Tool, ToolChoice, ToolResult};
use serde::Serialize;
use serde_json::{Value, json};

use crate::dialect::{BadRequest, Outgoing, call_id, openai};

/// The longest name of a function that OpenAI takes.
const MAX_NAME: usize = 64;

pub(in crate::dialect) fn write_request(chat: &Chat, to: &Outgoing<'_>) -> Result<Vec<u8>, BadRequest> {
    refuse(chat)?;
    let mut input = Vec::with_capacity(chat.messages.len());
    for (index, message) in chat.messages.iter().enumerate() {
        write_message(index, message, &mut input)?;
    }
    let with_tools = !chat.tools.is_empty();
    let body = Body {
        model: to.model,
        input,
        tools: chat.tools.iter().map(ToolOut::of).collect(),
        tool_choice: with_tools.then(|| write_tool_choice(&chat.tool_choice)).flatten(),
        parallel_tool_calls: chat.parallel_tool_calls.filter(|_| with_tools),
        max_output_tokens: chat.max_tokens,
        temperature: chat.sampling.temperature,
        top_p: chat.sampling.top_p,
        text: write_format(&chat.response_format).map(|format| json!({ "format": format })),
        reasoning: chat.reasoning.map(|effort| json!({ "effort": openai::write_effort(effort) })),
        user: chat.user.as_deref(),
        store: false,
        stream: to.stream,
    };
    Ok(serde_json::to_vec(&body).expect("text, numbers and JSON values are always JSON"))
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Vec<ItemOut<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    store: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ItemOut<'a> {
    Message { role: &'static str, content: Content<'a> },
    FunctionCall { call_id: &'a str, name: &'a str, arguments: &'a str },
    FunctionCallOutput { call_id: &'a str, output: Content<'a> },
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
    InputText { text: Cow<'a, str> },
    OutputText { text: Cow<'a, str> },
    Refusal { refusal: &'a str },
    InputImage { image_url: Cow<'a, str>, detail: &'a str },
}

#[derive(Serialize)]
struct ToolOut<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a Value,
    strict: bool,
}

impl<'a> ToolOut<'a> {
    fn of(tool: &'a Tool) -> Self {
        let Tool { name, description, parameters, strict } = tool;
        let strict = strict.unwrap_or(false);
        Self { kind: "function", name, description: description.as_deref(), parameters, strict }
    }
}

/// What a responses request has no field for. A value that changes nothing is no reason to refuse.
fn refuse(chat: &Chat) -> Result<(), BadRequest> {
    let sampling = &chat.sampling;
    let nonzero = |value: Option<f64>| value.is_some_and(|value| value != 0.0);
    let absent = [
        ("n", chat.n.is_some_and(|n| n > 1)),
        ("stop", !chat.stop.is_empty()),
        ("frequency_penalty", nonzero(sampling.frequency_penalty)),
        ("presence_penalty", nonzero(sampling.presence_penalty)),
        ("logit_bias", !sampling.logit_bias.is_empty()),
        ("logprobs", sampling.logprobs.is_some()),
        ("seed", sampling.seed.is_some()),
        ("top_k", sampling.top_k.is_some()),
        ("min_p", nonzero(sampling.min_p)),
    ];
    if let Some((name, _)) = absent.iter().find(|(_, used)| *used) {
        return Err(BadRequest::unsupported((*name).into(), "it has no such setting"));
    }
    if let Some(index) = chat.tools.iter().position(|tool| tool.name.len() > MAX_NAME) {
        let path = format!("tools[{index}].function.name");
        return Err(BadRequest::unsupported(path, &format!("it takes names of at most {MAX_NAME} bytes")));
    }
    match chat.tool_choice {
        ToolChoice::Required | ToolChoice::Named(_) if chat.tools.is_empty() => {
            Err(BadRequest::invalid("tool_choice".into(), "needs `tools`"))
        }
        _ => Ok(()),
    }
}

fn write_message<'a>(index: usize, message: &'a Message, out: &mut Vec<ItemOut<'a>>) -> Result<(), BadRequest> {
    if message.name.is_some() {
        let path = format!("messages[{index}].name");
        return Err(BadRequest::unsupported(path, "its messages have no names"));
    }
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => return write_assistant(index, message, out),
        Role::Tool => {
            for part in &message.content {
                let Part::ToolResult(result) = part else { return Err(misplaced(index)) };
                out.push(ItemOut::FunctionCallOutput {
                    call_id: call_id::short(&result.call_id),
                    output: write_result(index, result)?,
                });
            }
            return Ok(());
        }
    };
    let parts = message.content.iter().map(|part| write_part(index, part)).collect::<Result<Vec<_>, _>>()?;
    out.push(ItemOut::Message { role, content: Content::of(parts) });
    Ok(())
}

/// One turn: what was said, then what was called. Reasoning stays here: only its own vendor could read it.
fn write_assistant<'a>(index: usize, message: &'a Message, out: &mut Vec<ItemOut<'a>>) -> Result<(), BadRequest> {
    let mut said = Vec::new();
    let mut calls = Vec::new();
    for part in &message.content {
        match part {
            Part::Text(text) => said.push(PartOut::OutputText { text: Cow::Borrowed(text) }),
            Part::Refusal(refusal) => said.push(PartOut::Refusal { refusal }),
            Part::ToolCall(call) => calls.push(ItemOut::FunctionCall {
                call_id: call_id::short(&call.id),
                name: &call.name,
                arguments: &call.arguments,
            }),
            Part::Reasoning(_) => {}
            Part::Image(_) | Part::ToolResult(_) => return Err(misplaced(index)),
        }
    }
    if !said.is_empty() {
        out.push(ItemOut::Message { role: "assistant", content: Content::of(said) });
    }
    out.append(&mut calls);
    Ok(())
}

fn write_part(index: usize, part: &Part) -> Result<PartOut<'_>, BadRequest> {
    match part {
        Part::Text(text) => Ok(PartOut::InputText { text: Cow::Borrowed(text) }),
        Part::Image(image) => Ok(write_image(image)),
        _ => Err(misplaced(index)),
    }
}

/// There is no mark for a tool's failure: the text says it.
fn write_result(index: usize, result: &ToolResult) -> Result<Content<'_>, BadRequest> {
    let mut written = result.content.iter().map(|part| write_part(index, part)).collect::<Result<Vec<_>, _>>()?;
    if result.is_error {
        match written.first_mut() {
            Some(PartOut::InputText { text }) => *text = Cow::Owned(format!("Error: {text}")),
            _ => written.insert(0, PartOut::InputText { text: Cow::Borrowed("Error: the tool failed") }),
        }
    }
    Ok(Content::of(written))
}

fn write_image(image: &Image) -> PartOut<'_> {
    let (Image::Url { detail, .. } | Image::Inline { detail, .. }) = image;
    let image_url = match image {
        Image::Url { url, .. } => Cow::Borrowed(url.as_str()),
        Image::Inline { media_type, data, .. } => Cow::Owned(format!("data:{media_type};base64,{data}")),
    };
    PartOut::InputImage { image_url, detail: detail.as_deref().unwrap_or("auto") }
}

impl<'a> Content<'a> {
    /// A text alone is written as a string.
    fn of(mut parts: Vec<PartOut<'a>>) -> Self {
        match parts.as_mut_slice() {
            [] => Self::Text(Cow::Borrowed("")),
            [PartOut::InputText { text } | PartOut::OutputText { text }] => Self::Text(std::mem::take(text)),
            _ => Self::Parts(parts),
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
        ToolChoice::Named(name) => Some(json!({ "type": "function", "name": name })),
    }
}

fn write_format(format: &ResponseFormat) -> Option<Value> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(json!({ "type": "json_object" })),
        ResponseFormat::JsonSchema { name, schema, strict } => {
            let mut written = json!({ "type": "json_schema", "name": name, "schema": schema });
            if let Some(strict) = strict {
                written["strict"] = Value::Bool(*strict);
            }
            Some(written)
        }
    }
}
