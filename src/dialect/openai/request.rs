//! A chat completion request → [`Chat`]: the fields beside the messages.

use backstop_models::chat::{Chat, ReasoningEffort, ResponseFormat, Sampling, Tool, ToolChoice};
use serde_json::json;

use super::messages::read_messages;
use crate::dialect::{
    BadRequest,
    object::{Field, Object},
};

/// What [`crate::dialect::LEFT_BEHIND`] lists of the top level.
const ADVISORY: [&str; 7] = [
    "metadata",
    "store",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "prediction",
];

pub(in crate::dialect) fn read_request(body: &[u8]) -> Result<Chat, BadRequest> {
    let mut body = Object::root(body)?;
    // The envelope's.
    body.leave(&["model", "stream"]);
    body.leave(&ADVISORY);
    if let Some(options) = body.take("stream_options") {
        let mut options = options.object()?;
        options.leave(&["include_usage", "include_obfuscation"]);
        options.finish()?;
    }
    let messages = read_messages(body.require("messages")?)?;
    let tools = body.take("tools").map(read_tools).transpose()?.unwrap_or_default();
    let chat = Chat {
        messages,
        tools,
        tool_choice: body.take("tool_choice").map(read_tool_choice).transpose()?.unwrap_or_default(),
        parallel_tool_calls: body.boolean("parallel_tool_calls")?,
        sampling: read_sampling(&mut body)?,
        stop: body.take("stop").map(read_stop).transpose()?.unwrap_or_default(),
        max_tokens: read_max_tokens(&mut body)?,
        response_format: body.take("response_format").map(read_format).transpose()?.unwrap_or_default(),
        reasoning: body.take("reasoning_effort").map(read_effort).transpose()?,
        n: body.take("n").map(Field::positive).transpose()?,
        user: read_user(&mut body)?,
        completion: None,
    };
    if let Some(modalities) = body.take("modalities") {
        for modality in modalities.list()? {
            let path = modality.path.clone();
            if modality.text()? != "text" {
                return Err(BadRequest::unsupported(path, "only text can be carried there"));
            }
        }
    }
    for (old, new) in [("functions", "tools"), ("function_call", "tool_choice")] {
        if body.take(old).is_some() {
            return Err(BadRequest::unsupported(old.into(), &format!("it is deprecated; send `{new}`")));
        }
    }
    body.finish()?;
    Ok(chat)
}

fn read_max_tokens(body: &mut Object<'_>) -> Result<Option<u32>, BadRequest> {
    let old = body.take("max_tokens").map(Field::positive).transpose()?;
    let new = body.take("max_completion_tokens").map(Field::positive).transpose()?;
    if old.is_some() && new.is_some() {
        let why = "cannot stand beside `max_completion_tokens`; send that alone";
        return Err(BadRequest::invalid("max_tokens".into(), why));
    }
    Ok(new.or(old))
}

pub(in crate::dialect) fn read_user(body: &mut Object<'_>) -> Result<Option<String>, BadRequest> {
    let user = body.string("user")?;
    let safety_identifier = body.string("safety_identifier")?;
    Ok(user.or(safety_identifier))
}

/// What chat completions and completions have in common.
pub(super) fn read_common_sampling(body: &mut Object<'_>) -> Result<Sampling, BadRequest> {
    let mut within = |name: &str, low, high| body.take(name).map(|field| field.between(low, high)).transpose();
    let mut sampling = Sampling {
        temperature: within("temperature", 0.0, 2.0)?,
        top_p: within("top_p", 0.0, 1.0)?,
        min_p: within("min_p", 0.0, 1.0)?,
        frequency_penalty: within("frequency_penalty", -2.0, 2.0)?,
        presence_penalty: within("presence_penalty", -2.0, 2.0)?,
        ..Sampling::default()
    };
    sampling.top_k = body.take("top_k").map(Field::positive).transpose()?;
    // A negative seed is as good as any: the bits are kept.
    sampling.seed = body.take("seed").map(Field::integer).transpose()?.map(i64::cast_unsigned);
    if let Some(bias) = body.take("logit_bias") {
        sampling.logit_bias = read_logit_bias(bias)?;
    }
    Ok(sampling)
}

fn read_sampling(body: &mut Object<'_>) -> Result<Sampling, BadRequest> {
    let mut sampling = read_common_sampling(body)?;
    let wanted = body.boolean("logprobs")?.unwrap_or(false);
    let top = body.take("top_logprobs").map(|field| field.up_to(20)).transpose()?;
    sampling.logprobs = match (wanted, top) {
        (true, top) => Some(top.unwrap_or(0)),
        (false, None | Some(0)) => None,
        (false, Some(_)) => return Err(BadRequest::invalid("top_logprobs".into(), "needs `logprobs` to be true")),
    };
    Ok(sampling)
}

fn read_logit_bias(field: Field<'_>) -> Result<Vec<(u32, f32)>, BadRequest> {
    let mut read = Vec::new();
    for (token, bias) in field.object()?.into_fields() {
        let Ok(token) = token.parse() else {
            return Err(BadRequest::invalid(bias.path, "is not the id of a token"));
        };
        read.push((token, bias.between(-100.0, 100.0)? as f32));
    }
    Ok(read)
}

pub(super) fn read_stop(field: Field<'_>) -> Result<Vec<String>, BadRequest> {
    if field.is_string() {
        return Ok(vec![field.string()?]);
    }
    field.list()?.into_iter().map(Field::string).collect()
}

fn read_tools(field: Field<'_>) -> Result<Vec<Tool>, BadRequest> {
    field.list()?.into_iter().map(read_tool).collect()
}

fn read_tool(field: Field<'_>) -> Result<Tool, BadRequest> {
    let mut tool = field.object()?;
    if tool.tag()? != "function" {
        return Err(BadRequest::unsupported(tool.child("type"), "only function tools can be carried there"));
    }
    let mut function = tool.require("function")?.object()?;
    tool.finish()?;
    let read = Tool {
        name: function.require("name")?.string()?,
        description: function.string("description")?,
        parameters: match function.take("parameters") {
            Some(parameters) => parameters.object_value()?,
            None => json!({ "type": "object", "properties": {} }),
        },
        strict: function.boolean("strict")?,
    };
    function.finish()?;
    Ok(read)
}

fn read_tool_choice(field: Field<'_>) -> Result<ToolChoice, BadRequest> {
    let path = field.path.clone();
    if field.is_string() {
        return match field.text()?.as_ref() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(BadRequest::invalid(path, "must be `auto`, `none`, `required` or a function")),
        };
    }
    let mut choice = field.object()?;
    if choice.tag()? != "function" {
        return Err(BadRequest::unsupported(choice.child("type"), "only a function can be chosen there"));
    }
    let mut function = choice.require("function")?.object()?;
    choice.finish()?;
    let name = function.require("name")?.string()?;
    function.finish()?;
    Ok(ToolChoice::Named(name))
}

fn read_format(field: Field<'_>) -> Result<ResponseFormat, BadRequest> {
    let mut format = field.object()?;
    let read = match format.tag()?.as_ref() {
        "text" => ResponseFormat::Text,
        "json_object" => ResponseFormat::JsonObject,
        "json_schema" => {
            let mut schema = format.require("json_schema")?.object()?;
            schema.leave(&["description"]);
            let read = ResponseFormat::JsonSchema {
                name: schema.require("name")?.string()?,
                schema: schema.require("schema")?.object_value()?,
                strict: schema.boolean("strict")?,
            };
            schema.finish()?;
            read
        }
        _ => {
            let path = format.child("type");
            return Err(BadRequest::invalid(path, "must be `text`, `json_object` or `json_schema`"));
        }
    };
    format.finish()?;
    Ok(read)
}

pub(in crate::dialect) fn read_effort(field: Field<'_>) -> Result<ReasoningEffort, BadRequest> {
    let path = field.path.clone();
    Ok(match field.text()?.as_ref() {
        "none" => ReasoningEffort::None,
        "minimal" => ReasoningEffort::Minimal,
        "low" => ReasoningEffort::Low,
        "medium" => ReasoningEffort::Medium,
        // The strongest that all dialects know.
        "high" | "xhigh" | "max" => ReasoningEffort::High,
        _ => return Err(BadRequest::invalid(path, "must be one of `none`, `minimal`, `low`, `medium`, `high`")),
    })
}
