//! A messages request → [`Chat`]: the fields beside the messages.

use backstop_models::chat::{Chat, Message, ReasoningEffort, ResponseFormat, Role, Sampling, Tool, ToolChoice};

use super::messages::{read_messages, read_text_blocks};
use crate::dialect::{
    BadRequest,
    object::{Field, Object},
};

/// What a schema is called in a dialect that wants a name.
const FORMAT_NAME: &str = "output";

pub(in crate::dialect) fn read_request(body: &[u8]) -> Result<Chat, BadRequest> {
    let chat = read_counted(body)?;
    if chat.max_tokens.is_none() {
        return Err(BadRequest::missing("max_tokens".into()));
    }
    Ok(chat)
}

/// A request whose tokens are only counted: its answer needs no limit.
pub(in crate::dialect) fn read_counted(body: &[u8]) -> Result<Chat, BadRequest> {
    let mut body = Object::root(body)?;
    // The envelope's.
    body.leave(&["model", "stream"]);
    body.leave(&["cache_control", "service_tier"]);
    let mut messages = Vec::new();
    if let Some(system) = body.take("system") {
        messages.push(Message { role: Role::System, content: read_text_blocks(system)?, name: None });
    }
    read_messages(body.require("messages")?, &mut messages)?;
    let (tool_choice, parallel_tool_calls) = match body.take("tool_choice") {
        Some(choice) => read_tool_choice(choice)?,
        None => (ToolChoice::Auto, None),
    };
    let (response_format, effort) = match body.take("output_config") {
        Some(config) => read_output_config(config)?,
        None => (ResponseFormat::Text, None),
    };
    let chat = Chat {
        messages,
        tools: body.take("tools").map(read_tools).transpose()?.unwrap_or_default(),
        tool_choice,
        parallel_tool_calls,
        sampling: Sampling {
            temperature: body.take("temperature").map(|field| field.between(0.0, 1.0)).transpose()?,
            top_p: body.take("top_p").map(|field| field.between(0.0, 1.0)).transpose()?,
            top_k: body.take("top_k").map(Field::positive).transpose()?,
            ..Sampling::default()
        },
        stop: match body.take("stop_sequences") {
            Some(stop) => stop.list()?.into_iter().map(Field::string).collect::<Result<_, _>>()?,
            None => Vec::new(),
        },
        max_tokens: body.take("max_tokens").map(Field::positive).transpose()?,
        response_format,
        reasoning: body.take("thinking").map(read_thinking).transpose()?.flatten().or(effort),
        n: None,
        completion: None,
        user: body.take("metadata").map(read_metadata).transpose()?.flatten(),
    };
    body.finish()?;
    Ok(chat)
}

fn read_metadata(field: Field<'_>) -> Result<Option<String>, BadRequest> {
    let mut metadata = field.object()?;
    let user = metadata.string("user_id")?;
    metadata.finish()?;
    Ok(user)
}

fn read_tools(field: Field<'_>) -> Result<Vec<Tool>, BadRequest> {
    field.list()?.into_iter().map(read_tool).collect()
}

fn read_tool(field: Field<'_>) -> Result<Tool, BadRequest> {
    let mut tool = field.object()?;
    tool.leave(&["cache_control", "eager_input_streaming"]);
    if tool.string("type")?.is_some_and(|kind| kind != "custom") {
        return Err(BadRequest::unsupported(tool.child("type"), "it is a tool of the vendor's own"));
    }
    if tool.boolean("defer_loading")?.unwrap_or(false) {
        return Err(BadRequest::unsupported(tool.child("defer_loading"), "it has no tool search"));
    }
    if let Some(callers) = tool.take("allowed_callers") {
        for caller in callers.list()? {
            require_direct(caller)?;
        }
    }
    let read = Tool {
        name: tool.require("name")?.string()?,
        description: tool.string("description")?,
        parameters: tool.require("input_schema")?.object_value()?,
        strict: tool.boolean("strict")?,
    };
    tool.finish()?;
    Ok(read)
}

/// Only the model itself may call a tool, not code that the vendor runs.
pub(super) fn require_direct(caller: Field<'_>) -> Result<(), BadRequest> {
    let path = caller.path.clone();
    if caller.text()? != "direct" {
        return Err(BadRequest::unsupported(path, "only the model itself can call tools there"));
    }
    Ok(())
}

fn read_tool_choice(field: Field<'_>) -> Result<(ToolChoice, Option<bool>), BadRequest> {
    let mut choice = field.object()?;
    let read = match choice.tag()?.as_ref() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(choice.require("name")?.string()?),
        _ => return Err(BadRequest::invalid(choice.child("type"), "must be `auto`, `any`, `tool` or `none`")),
    };
    let parallel = choice.boolean("disable_parallel_tool_use")?.map(|disabled| !disabled);
    choice.finish()?;
    Ok((read, parallel))
}

fn read_output_config(field: Field<'_>) -> Result<(ResponseFormat, Option<ReasoningEffort>), BadRequest> {
    let mut config = field.object()?;
    let effort = match config.take("effort") {
        Some(effort) => {
            let path = effort.path.clone();
            Some(match effort.text()?.as_ref() {
                "low" => ReasoningEffort::Low,
                "medium" => ReasoningEffort::Medium,
                // The strongest that all dialects know.
                "high" | "xhigh" | "max" => ReasoningEffort::High,
                _ => return Err(BadRequest::invalid(path, "must be `low`, `medium`, `high`, `xhigh` or `max`")),
            })
        }
        None => None,
    };
    let format = match config.take("format") {
        Some(format) => {
            let mut format = format.object()?;
            if format.tag()? != "json_schema" {
                return Err(BadRequest::invalid(format.child("type"), "must be `json_schema`"));
            }
            let schema = format.require("schema")?.object_value()?;
            format.finish()?;
            ResponseFormat::JsonSchema { name: FORMAT_NAME.into(), schema, strict: Some(true) }
        }
        None => ResponseFormat::Text,
    };
    config.finish()?;
    Ok((format, effort))
}

/// `disabled` is what an absent field means, and `adaptive` leaves the effort to the model.
fn read_thinking(field: Field<'_>) -> Result<Option<ReasoningEffort>, BadRequest> {
    let mut thinking = field.object()?;
    thinking.leave(&["display"]);
    let read = match thinking.tag()?.as_ref() {
        "enabled" => Some(ReasoningEffort::Budget(thinking.require("budget_tokens")?.positive()?)),
        "adaptive" | "disabled" => None,
        _ => {
            let path = thinking.child("type");
            return Err(BadRequest::invalid(path, "must be `enabled`, `disabled` or `adaptive`"));
        }
    };
    thinking.finish()?;
    Ok(read)
}
