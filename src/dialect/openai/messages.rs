//! The messages of a chat completion request → [`Message`]s, one for one, so that an index means the same in both.

use backstop_models::chat::{Image, Message, Part, Role, ToolCall, ToolResult};

use crate::dialect::{
    BadRequest,
    object::{Field, Object},
};

pub(super) fn read_messages(field: Field<'_>) -> Result<Vec<Message>, BadRequest> {
    field.list()?.into_iter().map(read_message).collect()
}

fn read_message(field: Field<'_>) -> Result<Message, BadRequest> {
    let mut message = field.object()?;
    let role = message.require("role")?;
    let path = role.path.clone();
    let role = match role.text()?.as_ref() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        "function" => return Err(BadRequest::unsupported(path, "it is deprecated; send the role `tool`")),
        _ => {
            let roles = "must be `system`, `developer`, `user`, `assistant` or `tool`";
            return Err(BadRequest::invalid(path, roles));
        }
    };
    let name = message.string("name")?;
    let content = match role {
        Role::System | Role::User => read_content(message.require("content")?, role)?,
        Role::Assistant => read_assistant(&mut message)?,
        Role::Tool => vec![Part::ToolResult(ToolResult {
            call_id: message.require("tool_call_id")?.string()?,
            content: read_content(message.require("content")?, role)?,
            is_error: false,
        })],
    };
    message.finish()?;
    Ok(Message { role, content, name })
}

fn read_assistant(message: &mut Object<'_>) -> Result<Vec<Part>, BadRequest> {
    message.leave(&["annotations", "reasoning_content", "reasoning"]);
    let mut parts = match message.take("content") {
        Some(content) => read_content(content, Role::Assistant)?,
        None => Vec::new(),
    };
    if let Some(refusal) = message.string("refusal")? {
        parts.push(Part::Refusal(refusal));
    }
    if let Some(calls) = message.take("tool_calls") {
        for call in calls.list()? {
            parts.push(Part::ToolCall(read_call(call)?));
        }
    }
    if message.take("function_call").is_some() {
        let path = message.child("function_call");
        return Err(BadRequest::unsupported(path, "it is deprecated; send `tool_calls`"));
    }
    Ok(parts)
}

fn read_call(field: Field<'_>) -> Result<ToolCall, BadRequest> {
    let mut call = field.object()?;
    if call.tag()? != "function" {
        return Err(BadRequest::unsupported(call.child("type"), "only function calls can be carried there"));
    }
    // Some clients send back what they gathered from a stream.
    call.leave(&["index"]);
    let id = call.require("id")?.string()?;
    let mut function = call.require("function")?.object()?;
    call.finish()?;
    let name = function.require("name")?.string()?;
    let arguments = function.string("arguments")?.unwrap_or_default();
    function.finish()?;
    Ok(ToolCall { id, name, arguments })
}

fn read_content(field: Field<'_>, role: Role) -> Result<Vec<Part>, BadRequest> {
    if field.is_string() {
        return Ok(vec![Part::Text(field.string()?)]);
    }
    field.list()?.into_iter().map(|part| read_part(part, role)).collect()
}

fn read_part(field: Field<'_>, role: Role) -> Result<Part, BadRequest> {
    let mut part = field.object()?;
    part.leave(&["prompt_cache_breakpoint"]);
    let read = match (part.tag()?.as_ref(), role) {
        ("text", _) => Part::Text(part.require("text")?.string()?),
        ("refusal", Role::Assistant) => Part::Refusal(part.require("refusal")?.string()?),
        ("image_url", Role::User) => Part::Image(read_image(part.require("image_url")?)?),
        ("input_audio" | "file", Role::User) => {
            return Err(BadRequest::unsupported(part.child("type"), "only text and images can be carried there"));
        }
        _ => return Err(BadRequest::invalid(part.child("type"), "is not a part that such a message can have")),
    };
    part.finish()?;
    Ok(read)
}

fn read_image(field: Field<'_>) -> Result<Image, BadRequest> {
    let mut image = field.object()?;
    let url = image.require("url")?;
    let detail = image.string("detail")?;
    image.finish()?;
    read_image_url(url, detail)
}

/// An image by its address, or within it as a `data:` URL.
pub(in crate::dialect) fn read_image_url(url: Field<'_>, detail: Option<String>) -> Result<Image, BadRequest> {
    let path = url.path.clone();
    let url = url.string()?;
    let Some(data) = url.strip_prefix("data:") else {
        return Ok(Image::Url { url, detail });
    };
    match data.split_once(";base64,") {
        Some((media_type, data)) if !media_type.is_empty() && !data.is_empty() => {
            Ok(Image::Inline { media_type: media_type.to_owned(), data: data.to_owned(), detail })
        }
        _ => Err(BadRequest::invalid(path, "must be `data:<media type>;base64,<data>`")),
    }
}
