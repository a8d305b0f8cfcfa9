//! [`Chat`] → a `generateContent` request. The model stands in the URL, and so does whether it is a stream.
//!
//! What is refused is named as both callers' dialects name it, and as OpenAI's does where they differ.

use backstop_models::chat::{Chat, ResponseFormat, Tool, ToolChoice};
use serde::Serialize;
use serde_json::Value;

use super::{
    contents::{Content, Contents, PartOut},
    thinking::{Generation, Thinking, thinking},
};
use crate::dialect::{BadRequest, Outgoing};

/// The most stop sequences that Gemini takes.
const MAX_STOP: usize = 5;
/// The longest name of a function that Gemini takes.
const MAX_NAME: usize = 128;

pub(in crate::dialect) fn write_request(chat: &Chat, to: &Outgoing<'_>) -> Result<Vec<u8>, BadRequest> {
    refuse(chat)?;
    let mut contents = Contents::of(&chat.messages)?;
    let generation = Generation::of(to.model);
    if generation == Generation::Levels {
        contents.excuse_unsigned_calls();
    }
    let Contents { system, contents, .. } = contents;
    let function_declarations: Vec<_> = chat.tools.iter().map(Declaration::of).collect();
    let body = Body {
        system_instruction: (!system.is_empty()).then_some(System { parts: system }),
        contents,
        tools: if chat.tools.is_empty() { Vec::new() } else { vec![Tools { function_declarations }] },
        tool_config: calling(chat, generation).map(|function_calling_config| ToolConfig { function_calling_config }),
        generation_config: GenerationConfig::of(chat, to.model)?,
    };
    Ok(serde_json::to_vec(&body).expect("text, numbers and JSON values are always JSON"))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<System<'a>>,
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tools<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    generation_config: GenerationConfig<'a>,
}

#[derive(Serialize)]
struct System<'a> {
    parts: Vec<PartOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters_json_schema: &'a Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: Calling<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_function_names: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<Thinking>,
}

impl<'a> Declaration<'a> {
    fn of(tool: &'a Tool) -> Self {
        Self { name: &tool.name, description: tool.description.as_deref(), parameters_json_schema: &tool.parameters }
    }
}

impl<'a> GenerationConfig<'a> {
    fn of(chat: &'a Chat, model: &str) -> Result<Self, BadRequest> {
        let sampling = &chat.sampling;
        // Some models refuse a penalty even where it is none.
        let penalty = |penalty: Option<f64>| penalty.filter(|penalty| *penalty != 0.0);
        let seed = sampling.seed.map(|seed| i32::try_from(seed.cast_signed())).transpose();
        let (response_mime_type, response_json_schema) = match &chat.response_format {
            ResponseFormat::Text => (None, None),
            ResponseFormat::JsonObject => (Some("application/json"), None),
            ResponseFormat::JsonSchema { schema, .. } => (Some("application/json"), Some(schema)),
        };
        Ok(Self {
            max_output_tokens: chat.max_tokens,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k,
            frequency_penalty: penalty(sampling.frequency_penalty),
            presence_penalty: penalty(sampling.presence_penalty),
            seed: seed.map_err(|_| BadRequest::unsupported("seed".into(), "it takes seeds of 32 bits"))?,
            stop_sequences: &chat.stop,
            response_mime_type,
            response_json_schema,
            thinking_config: chat.reasoning.and_then(|effort| thinking(model, effort)),
        })
    }
}

/// What Gemini has no field for, or what its answer could not carry back. A value that changes nothing is no reason to
/// refuse.
fn refuse(chat: &Chat) -> Result<(), BadRequest> {
    let sampling = &chat.sampling;
    let absent = [
        ("n", chat.n.is_some_and(|n| n > 1)),
        ("logit_bias", !sampling.logit_bias.is_empty()),
        ("logprobs", sampling.logprobs.is_some()),
        ("min_p", sampling.min_p.is_some_and(|min_p| min_p != 0.0)),
        ("parallel_tool_calls", chat.parallel_tool_calls == Some(false) && !chat.tools.is_empty()),
    ];
    if let Some((name, _)) = absent.iter().find(|(_, used)| *used) {
        return Err(BadRequest::unsupported((*name).into(), "it has no such setting"));
    }
    if chat.stop.len() > MAX_STOP {
        return Err(BadRequest::unsupported("stop_sequences".into(), &format!("it takes at most {MAX_STOP}")));
    }
    let fits = |name: &str| {
        name.len() <= MAX_NAME
            && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':'))
    };
    if let Some(index) = chat.tools.iter().position(|tool| !fits(&tool.name)) {
        let why = "it takes names that begin with a letter or `_` and have letters, digits, `_`, `-`, `.` and `:`";
        return Err(BadRequest::unsupported(format!("tools[{index}].function.name"), why));
    }
    match chat.tool_choice {
        ToolChoice::Required | ToolChoice::Named(_) if chat.tools.is_empty() => {
            Err(BadRequest::invalid("tool_choice".into(), "needs `tools`"))
        }
        _ => Ok(()),
    }
}

/// `VALIDATED` is `AUTO` with arguments that keep to their schema: what `strict` asks for.
fn calling(chat: &Chat, generation: Generation) -> Option<Calling<'_>> {
    let strict = generation != Generation::Plain && chat.tools.iter().any(|tool| tool.strict == Some(true));
    let (mode, allowed_function_names) = match &chat.tool_choice {
        _ if chat.tools.is_empty() => return None,
        ToolChoice::Auto if strict => ("VALIDATED", Vec::new()),
        ToolChoice::Auto => return None,
        ToolChoice::None => ("NONE", Vec::new()),
        ToolChoice::Required => ("ANY", Vec::new()),
        ToolChoice::Named(name) => ("ANY", vec![name.as_str()]),
    };
    Some(Calling { mode, allowed_function_names })
}
