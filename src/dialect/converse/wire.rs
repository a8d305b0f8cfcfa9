//! [`Chat`] → a Converse request. What is refused is named as OpenAI's dialect names it: that is who asks.

use std::borrow::Cow;

use backstop_models::chat::{Chat, Image, Part, ResponseFormat, Tool, ToolChoice};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use crate::dialect::{
    BadRequest, Outgoing,
    anthropic::{
        thinking,
        turns::{self, Source, Turns},
    },
    call_id, ids,
};

/// The longest name of a tool, and the longest id of a call, that Converse takes.
const MAX_NAME: usize = 64;

pub(in crate::dialect) fn write_request(chat: &Chat, to: &Outgoing<'_>) -> Result<Vec<u8>, BadRequest> {
    let family = Family::of(to.model);
    refuse_settings(chat, family)?;
    refuse_messages(chat)?;
    let Turns { system, turns } = Turns::of(&chat.messages)?;
    let body = Body {
        system: system.into_iter().map(Block::of).collect::<Result<_, _>>()?,
        messages: turns.into_iter().map(Turn::of).collect::<Result<_, _>>()?,
        inference_config: InferenceConfig::of(chat),
        tool_config: tool_config(chat)?,
        output_config: output_config(&chat.response_format)?,
        additional_model_request_fields: additional_fields(chat, family, to),
    };
    Ok(serde_json::to_vec(&body).expect("text, numbers and JSON values are always JSON"))
}

/// Who made the model, where its id says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Claude,
    Nova,
    Unknown,
}

impl Family {
    /// `anthropic.claude-…`, or the same behind a region's prefix or within an inference profile's ARN.
    fn of(model: &str) -> Self {
        if model.contains("anthropic.claude") {
            Self::Claude
        } else if model.contains("amazon.nova") {
            Self::Nova
        } else {
            Self::Unknown
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_config: Option<InferenceConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_request_fields: Option<Value>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

/// Which block it is, its only field says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Block<'a> {
    Text(&'a str),
    Image {
        format: &'a str,
        source: Bytes<'a>,
    },
    #[serde(rename_all = "camelCase")]
    ToolUse {
        tool_use_id: Cow<'a, str>,
        name: &'a str,
        input: &'a RawValue,
    },
    #[serde(rename_all = "camelCase")]
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
    },
    #[serde(rename_all = "camelCase")]
    ReasoningContent {
        reasoning_text: ReasoningText<'a>,
    },
}

/// Base64.
#[derive(Serialize)]
struct Bytes<'a> {
    bytes: &'a str,
}

#[derive(Serialize)]
struct ReasoningText<'a> {
    text: &'a str,
    signature: &'a str,
}

impl<'a> Turn<'a> {
    fn of(turn: turns::Turn<'a>) -> Result<Self, BadRequest> {
        let content = turn.content.into_iter().map(Block::of).collect::<Result<_, _>>()?;
        Ok(Self { role: turn.role, content })
    }
}

impl<'a> Block<'a> {
    fn of(block: turns::Block<'a>) -> Result<Self, BadRequest> {
        Ok(match block {
            turns::Block::Text { text } => Self::Text(text),
            turns::Block::Image { source: Source::Base64 { media_type, data } } => {
                let format = media_type.strip_prefix("image/").unwrap_or(media_type);
                Self::Image { format, source: Bytes { bytes: data } }
            }
            turns::Block::Image { source: Source::Url { .. } } => return Err(image_url("messages[].content[]".into())),
            turns::Block::ToolUse { id, name, input } => Self::ToolUse { tool_use_id: id, name, input },
            turns::Block::ToolResult { tool_use_id, content, is_error } => {
                let mut content = content.into_iter().map(Block::of).collect::<Result<Vec<_>, _>>()?;
                // An empty result is fine, an empty failure is refused.
                if is_error && content.is_empty() {
                    content.push(Self::Text("the tool failed"));
                }
                Self::ToolResult { tool_use_id, content, status: is_error.then_some("error") }
            }
            turns::Block::Thinking { thinking: text, signature } => {
                Self::ReasoningContent { reasoning_text: ReasoningText { text, signature } }
            }
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
}

impl<'a> InferenceConfig<'a> {
    fn of(chat: &'a Chat) -> Option<Self> {
        let config = Self {
            max_tokens: chat.max_tokens,
            temperature: chat.sampling.temperature,
            // 1 is what an absent field means, and newer models refuse it beside a temperature.
            top_p: chat.sampling.top_p.filter(|top_p| *top_p < 1.0),
            stop_sequences: &chat.stop,
        };
        let says = config.max_tokens.is_some() || config.temperature.is_some() || config.top_p.is_some();
        (says || !config.stop_sequences.is_empty()).then_some(config)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    tools: Vec<ToolOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ToolOut<'a> {
    #[serde(rename_all = "camelCase")]
    ToolSpec {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        input_schema: Schema<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
    },
}

#[derive(Serialize)]
struct Schema<'a> {
    json: Cow<'a, Value>,
}

impl<'a> ToolOut<'a> {
    /// A schema must say `"type": "object"`, and a description must not be empty.
    fn of(tool: &'a Tool) -> Self {
        let mut json = Cow::Borrowed(&tool.parameters);
        if let Some(schema) = tool.parameters.as_object()
            && !schema.contains_key("type")
        {
            json.to_mut()["type"] = json!("object");
        }
        let description = tool.description.as_deref().filter(|text| !text.is_empty());
        // Only enforcement that was asked for is said: models without it refuse the field.
        let strict = tool.strict.filter(|strict| *strict);
        Self::ToolSpec { name: &tool.name, description, input_schema: Schema { json }, strict }
    }
}

/// What Converse has no field for. A value that changes nothing is no reason to refuse.
fn refuse_settings(chat: &Chat, family: Family) -> Result<(), BadRequest> {
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
        ("parallel_tool_calls", chat.parallel_tool_calls == Some(false) && !chat.tools.is_empty()),
    ];
    if let Some((name, _)) = absent.iter().find(|(_, used)| *used) {
        return Err(BadRequest::unsupported((*name).into(), "it has no such setting"));
    }
    if sampling.top_k.is_some() && family == Family::Unknown {
        return Err(BadRequest::unsupported("top_k".into(), "whether its model has such a setting is not known"));
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
        return Err(BadRequest::unsupported(path, "it takes names of letters, digits, `_` and `-`, up to 64"));
    }
    Ok(())
}

/// What stands in a message and has no place there.
fn refuse_messages(chat: &Chat) -> Result<(), BadRequest> {
    for (index, message) in chat.messages.iter().enumerate() {
        let mut calls = 0;
        for (at, part) in message.content.iter().enumerate() {
            let place = format!("messages[{index}].content[{at}]");
            match part {
                Part::Image(Image::Url { .. }) => return Err(image_url(place)),
                Part::ToolCall(call) => {
                    fitting_id(&call.id, format!("messages[{index}].tool_calls[{calls}].id"))?;
                    calls += 1;
                }
                Part::ToolResult(result) => {
                    fitting_id(&result.call_id, format!("messages[{index}].tool_call_id"))?;
                    if result.content.iter().any(|part| matches!(part, Part::Image(Image::Url { .. }))) {
                        return Err(image_url(place));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn image_url(place: String) -> BadRequest {
    BadRequest::unsupported(format!("{place}.image_url.url"), "it fetches no images; send a `data:` URL")
}

fn fitting_id(id: &str, path: String) -> Result<(), BadRequest> {
    if ids::encode(call_id::short(id)).len() > MAX_NAME {
        return Err(BadRequest::unsupported(path, "it takes ids of letters, digits, `_` and `-`, up to 64"));
    }
    Ok(())
}

/// Converse wants tools beside a conversation that used some, and knows no `none`: that is said by leaving them out.
fn tool_config(chat: &Chat) -> Result<Option<ToolConfig<'_>>, BadRequest> {
    let used = chat.messages.iter().flat_map(|message| &message.content);
    let used = used.clone().any(|part| matches!(part, Part::ToolCall(_) | Part::ToolResult(_)));
    let tool_choice = match &chat.tool_choice {
        ToolChoice::Required | ToolChoice::Named(_) if chat.tools.is_empty() => {
            return Err(BadRequest::invalid("tool_choice".into(), "needs `tools`"));
        }
        _ if chat.tools.is_empty() && used => {
            let why = "a conversation with tool calls needs the tools that were called";
            return Err(BadRequest::unsupported("tools".into(), why));
        }
        _ if chat.tools.is_empty() => return Ok(None),
        ToolChoice::None if used => {
            let why = "it has no `none`, and a conversation with tool calls cannot be without tools";
            return Err(BadRequest::unsupported("tool_choice".into(), why));
        }
        ToolChoice::None => return Ok(None),
        ToolChoice::Auto => None,
        ToolChoice::Required => Some(json!({ "any": {} })),
        ToolChoice::Named(name) => Some(json!({ "tool": { "name": name } })),
    };
    Ok(Some(ToolConfig { tools: chat.tools.iter().map(ToolOut::of).collect(), tool_choice }))
}

/// The schema goes as text.
fn output_config(format: &ResponseFormat) -> Result<Option<Value>, BadRequest> {
    match format {
        ResponseFormat::Text => Ok(None),
        ResponseFormat::JsonSchema { name, schema, .. } => {
            let schema = json!({ "schema": schema.to_string(), "name": name });
            Ok(Some(json!({ "textFormat": { "type": "json_schema", "structure": { "jsonSchema": schema } } })))
        }
        ResponseFormat::JsonObject => {
            let why = "it only knows `json_schema`";
            Err(BadRequest::unsupported("response_format.type".into(), why))
        }
    }
}

/// What only this family of models knows.
fn additional_fields(chat: &Chat, family: Family, to: &Outgoing<'_>) -> Option<Value> {
    let mut fields = serde_json::Map::new();
    match family {
        Family::Claude => {
            fields.extend(chat.sampling.top_k.map(|top_k| ("top_k".to_owned(), json!(top_k))));
            let thinking = thinking(chat, chat.max_tokens.unwrap_or(to.default_max_tokens));
            fields.extend(thinking.map(|thinking| ("thinking".to_owned(), thinking)));
        }
        Family::Nova => {
            let top_k = chat.sampling.top_k.map(|top_k| json!({ "topK": top_k }));
            fields.extend(top_k.map(|config| ("inferenceConfig".to_owned(), config)));
        }
        Family::Unknown => {}
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}
