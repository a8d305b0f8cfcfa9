//! The messages of a messages request → [`Message`]s. A user message's tool results become messages of their own.

use backstop_models::chat::{Image, Message, Part, Reasoning, Role, ToolCall, ToolResult};

use super::request::require_direct;
use crate::dialect::{
    BadRequest, ids,
    object::{Field, Object},
};

pub(super) fn read_messages(field: Field<'_>, out: &mut Vec<Message>) -> Result<(), BadRequest> {
    for message in field.list()? {
        let mut message = message.object()?;
        let role = message.require("role")?;
        let path = role.path.clone();
        let role = role.text()?;
        let content = message.require("content")?;
        match role.as_ref() {
            "user" => read_user(content, out)?,
            "assistant" => out.push(Message { role: Role::Assistant, content: read_assistant(content)?, name: None }),
            "system" => out.push(Message { role: Role::System, content: read_text_blocks(content)?, name: None }),
            _ => return Err(BadRequest::invalid(path, "must be `user` or `assistant`")),
        }
        message.finish()?;
    }
    Ok(())
}

/// A string, or a list of text blocks.
pub(super) fn read_text_blocks(field: Field<'_>) -> Result<Vec<Part>, BadRequest> {
    read_blocks(field, |kind, block| match kind {
        "text" => read_text(block).map(Some),
        _ => Ok(None),
    })
}

fn read_user(field: Field<'_>, out: &mut Vec<Message>) -> Result<(), BadRequest> {
    let parts = read_blocks(field, |kind, block| match kind {
        "text" => read_text(block).map(Some),
        "image" => read_image(block).map(Some),
        "tool_result" => read_tool_result(block).map(Some),
        _ => Ok(None),
    })?;
    let mut said = Vec::new();
    for part in parts {
        if !matches!(part, Part::ToolResult(_)) {
            said.push(part);
            continue;
        }
        if !said.is_empty() {
            out.push(Message { role: Role::User, content: std::mem::take(&mut said), name: None });
        }
        out.push(Message { role: Role::Tool, content: vec![part], name: None });
    }
    if !said.is_empty() {
        out.push(Message { role: Role::User, content: said, name: None });
    }
    Ok(())
}

fn read_assistant(field: Field<'_>) -> Result<Vec<Part>, BadRequest> {
    read_blocks(field, |kind, block| match kind {
        "text" => read_text(block).map(Some),
        "tool_use" => read_tool_use(block).map(Some),
        "thinking" => read_thinking(block).map(Some),
        _ => Ok(None),
    })
}

/// Reads a content; `read` gives `None` for a block that such a message cannot have or that nobody else knows.
fn read_blocks<F>(field: Field<'_>, read: F) -> Result<Vec<Part>, BadRequest>
where
    F: Fn(&str, &mut Object<'_>) -> Result<Option<Part>, BadRequest>,
{
    if field.is_string() {
        return Ok(vec![Part::Text(field.string()?)]);
    }
    let mut parts = Vec::new();
    for block in field.list()? {
        let mut block = block.object()?;
        let kind = block.tag()?;
        // See `LEFT_BEHIND`.
        if kind == "redacted_thinking" {
            continue;
        }
        block.leave(&["cache_control"]);
        let Some(part) = read(&kind, &mut block)? else {
            let why = format!("a `{kind}` block cannot be carried there");
            return Err(BadRequest::unsupported(block.child("type"), &why));
        };
        block.finish()?;
        parts.push(part);
    }
    Ok(parts)
}

fn read_text(block: &mut Object<'_>) -> Result<Part, BadRequest> {
    block.leave(&["citations"]);
    Ok(Part::Text(block.require("text")?.string()?))
}

fn read_thinking(block: &mut Object<'_>) -> Result<Part, BadRequest> {
    let text = block.require("thinking")?.string()?;
    let signature = block.string("signature")?.filter(|signature| !signature.is_empty());
    Ok(Part::Reasoning(Reasoning { text, signature }))
}

fn read_tool_use(block: &mut Object<'_>) -> Result<Part, BadRequest> {
    let id = ids::decode(&block.require("id")?.text()?).into_owned();
    let name = block.require("name")?.string()?;
    let input = block.require("input")?;
    let arguments = input.json().to_owned();
    input.object()?;
    if let Some(caller) = block.take("caller") {
        require_direct(caller.object()?.require("type")?)?;
    }
    Ok(Part::ToolCall(ToolCall { id, name, arguments }))
}

fn read_tool_result(block: &mut Object<'_>) -> Result<Part, BadRequest> {
    let call_id = ids::decode(&block.require("tool_use_id")?.text()?).into_owned();
    let is_error = block.boolean("is_error")?.unwrap_or(false);
    let content = match block.take("content") {
        Some(content) => read_blocks(content, |kind, block| match kind {
            "text" => read_text(block).map(Some),
            "image" => read_image(block).map(Some),
            _ => Ok(None),
        })?,
        None => Vec::new(),
    };
    Ok(Part::ToolResult(ToolResult { call_id, content, is_error }))
}

fn read_image(block: &mut Object<'_>) -> Result<Part, BadRequest> {
    let mut source = block.require("source")?.object()?;
    let image = match source.tag()?.as_ref() {
        "base64" => Image::Inline {
            media_type: source.require("media_type")?.string()?,
            data: source.require("data")?.string()?,
            detail: None,
        },
        "url" => Image::Url { url: source.require("url")?.string()?, detail: None },
        _ => {
            let path = source.child("type");
            return Err(BadRequest::unsupported(path, "only `base64` and `url` images can be carried there"));
        }
    };
    source.finish()?;
    Ok(Part::Image(image))
}
