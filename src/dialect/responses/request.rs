//! A responses request → [`Chat`]: the fields beside the input.

use backstop_models::chat::{Chat, Message, ReasoningEffort, ResponseFormat, Role, Sampling, Tool, ToolChoice};
use serde_json::json;

use super::items::read_input;
use crate::dialect::{
    BadRequest,
    object::{Field, Object},
    openai,
};

/// What [`crate::dialect::LEFT_BEHIND`] lists of the top level.
const ADVISORY: [&str; 8] = [
    "max_tool_calls",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
    "store",
    "truncation",
];

/// What only the vendor's own servers know; none of it can be asked of another.
const ON_THE_VENDORS_SERVERS: [&str; 3] = ["conversation", "previous_response_id", "prompt"];

pub(in crate::dialect) fn read_request(body: &[u8]) -> Result<Chat, BadRequest> {
    let mut body = Object::root(body)?;
    // The envelope's.
    body.leave(&["model", "stream"]);
    body.leave(&ADVISORY);
    refuse_state(&mut body)?;
    if let Some(options) = body.take("stream_options") {
        let mut options = options.object()?;
        options.leave(&["include_obfuscation"]);
        options.finish()?;
    }
    let mut messages = Vec::new();
    if let Some(instructions) = body.string("instructions")? {
        messages.push(Message::text(Role::System, instructions));
    }
    read_input(body.require("input")?, &mut messages)?;
    refuse_logprobs(&mut body)?;
    let mut within = |name: &str, high| body.take(name).map(|field| field.between(0.0, high)).transpose();
    let sampling =
        Sampling { temperature: within("temperature", 2.0)?, top_p: within("top_p", 1.0)?, ..Sampling::default() };
    let chat = Chat {
        messages,
        tools: body.take("tools").map(read_tools).transpose()?.unwrap_or_default(),
        tool_choice: body.take("tool_choice").map(read_tool_choice).transpose()?.unwrap_or_default(),
        parallel_tool_calls: body.boolean("parallel_tool_calls")?,
        sampling,
        stop: Vec::new(),
        max_tokens: body.take("max_output_tokens").map(Field::positive).transpose()?,
        response_format: body.take("text").map(read_text).transpose()?.unwrap_or_default(),
        reasoning: body.take("reasoning").map(read_reasoning).transpose()?.flatten(),
        n: None,
        completion: None,
        user: openai::read_user(&mut body)?,
    };
    body.finish()?;
    Ok(chat)
}

fn refuse_state(body: &mut Object<'_>) -> Result<(), BadRequest> {
    if body.boolean("background")?.unwrap_or(false) {
        let why = "only a vendor that keeps responses can answer in the background";
        return Err(BadRequest::unsupported("background".into(), why));
    }
    for name in ON_THE_VENDORS_SERVERS {
        if body.take(name).is_some() {
            let why = "it is on the vendor's own servers; send the whole conversation in `input`";
            return Err(BadRequest::unsupported(name.into(), why));
        }
    }
    Ok(())
}

/// Most of `include` is about the vendor's own tools and reasoning; log-probabilities are the caller's to read.
fn refuse_logprobs(body: &mut Object<'_>) -> Result<(), BadRequest> {
    let why = "answers have no log-probabilities there";
    for included in body.take("include").map(Field::list).transpose()?.into_iter().flatten() {
        let path = included.path.clone();
        if included.text()? == "message.output_text.logprobs" {
            return Err(BadRequest::unsupported(path, why));
        }
    }
    let top = body.take("top_logprobs").map(|field| field.up_to(20)).transpose()?;
    if top.is_some_and(|top| top > 0) {
        return Err(BadRequest::unsupported("top_logprobs".into(), why));
    }
    Ok(())
}

fn read_tools(field: Field<'_>) -> Result<Vec<Tool>, BadRequest> {
    field.list()?.into_iter().map(read_tool).collect()
}

fn read_tool(field: Field<'_>) -> Result<Tool, BadRequest> {
    let mut tool = field.object()?;
    let kind = tool.tag()?;
    if kind != "function" {
        let why = format!("a `{kind}` tool is run by the vendor itself or has no place there");
        return Err(BadRequest::unsupported(tool.child("type"), &why));
    }
    for name in ["async", "defer_loading"] {
        if tool.boolean(name)?.unwrap_or(false) {
            return Err(BadRequest::unsupported(tool.child(name), "it has no such tools"));
        }
    }
    for caller in tool.take("allowed_callers").map(Field::list).transpose()?.into_iter().flatten() {
        let path = caller.path.clone();
        if caller.text()? != "direct" {
            return Err(BadRequest::unsupported(path, "only the model itself can call tools there"));
        }
    }
    let read = Tool {
        name: tool.require("name")?.string()?,
        description: tool.string("description")?,
        parameters: match tool.take("parameters") {
            Some(parameters) => parameters.object_value()?,
            None => json!({ "type": "object", "properties": {} }),
        },
        strict: tool.boolean("strict")?,
    };
    tool.finish()?;
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
    let name = choice.require("name")?.string()?;
    choice.finish()?;
    Ok(ToolChoice::Named(name))
}

fn read_text(field: Field<'_>) -> Result<ResponseFormat, BadRequest> {
    let mut text = field.object()?;
    // `medium` is what its absence means.
    if text.string("verbosity")?.is_some_and(|verbosity| verbosity != "medium") {
        return Err(BadRequest::unsupported(text.child("verbosity"), "it has no such setting"));
    }
    let format = text.take("format").map(read_format).transpose()?.unwrap_or_default();
    text.finish()?;
    Ok(format)
}

fn read_format(field: Field<'_>) -> Result<ResponseFormat, BadRequest> {
    let mut format = field.object()?;
    let read = match format.tag()?.as_ref() {
        "text" => ResponseFormat::Text,
        "json_object" => ResponseFormat::JsonObject,
        "json_schema" => {
            format.leave(&["description"]);
            ResponseFormat::JsonSchema {
                name: format.require("name")?.string()?,
                schema: format.require("schema")?.object_value()?,
                strict: format.boolean("strict")?,
            }
        }
        _ => {
            let path = format.child("type");
            return Err(BadRequest::invalid(path, "must be `text`, `json_object` or `json_schema`"));
        }
    };
    format.finish()?;
    Ok(read)
}

fn read_reasoning(field: Field<'_>) -> Result<Option<ReasoningEffort>, BadRequest> {
    let mut reasoning = field.object()?;
    reasoning.leave(&["summary", "generate_summary", "context"]);
    if reasoning.string("mode")?.is_some_and(|mode| mode != "standard") {
        return Err(BadRequest::unsupported(reasoning.child("mode"), "it has no such setting"));
    }
    let effort = reasoning.take("effort").map(openai::read_effort).transpose()?;
    reasoning.finish()?;
    Ok(effort)
}
