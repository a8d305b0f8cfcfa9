//! The input items of a request → [`Message`]s.
//!
//! What one turn of the model came out as (reasoning, a message, calls) becomes one message again; what a tool said becomes a
//! message of its own. An item that only points at the vendor's own servers is refused.

use std::ops::Range;

use backstop_models::chat::{Message, Part, Reasoning, Role, ToolCall, ToolResult};

use super::OWN_REASONING;
use crate::dialect::{
    BadRequest,
    object::{Field, Object},
    openai,
};

/// What of an item only its vendor knows what to do with.
const LABELS: [&str; 3] = ["id", "status", "phase"];

/// A string, or a list of items.
pub(super) fn read_input(field: Field<'_>, out: &mut Vec<Message>) -> Result<(), BadRequest> {
    if field.is_string() {
        out.push(Message::text(Role::User, field.string()?));
        return Ok(());
    }
    for item in field.list()? {
        read_item(item.object()?, out)?;
    }
    Ok(())
}

fn read_item(mut item: Object<'_>, out: &mut Vec<Message>) -> Result<(), BadRequest> {
    let kind = item.take("type").map(Field::text).transpose()?;
    match kind.as_deref() {
        Some("message") => read_message(&mut item, out)?,
        Some("function_call") => {
            item.leave(&LABELS);
            require_direct(&mut item)?;
            let call = ToolCall {
                id: item.require("call_id")?.string()?,
                name: item.require("name")?.string()?,
                arguments: item.require("arguments")?.string()?,
            };
            turn(out, |_| true).push(Part::ToolCall(call));
        }
        Some("function_call_output") => {
            item.leave(&LABELS);
            item.leave(&["name"]);
            require_direct(&mut item)?;
            let result = ToolResult {
                call_id: item.require("call_id")?.string()?,
                content: read_content(item.require("output")?, Role::Tool)?,
                is_error: false,
            };
            out.push(Message { role: Role::Tool, content: vec![Part::ToolResult(result)], name: None });
        }
        Some("reasoning") => return read_reasoning(&mut item, out),
        None if item.entry("role").is_some() => read_message(&mut item, out)?,
        Some("item_reference") | None => {
            let why = "it points at what the vendor has stored; send the item itself";
            return Err(BadRequest::unsupported(item.child("id"), why));
        }
        Some(kind) => {
            let why = format!("a `{kind}` item cannot be carried there");
            return Err(BadRequest::unsupported(item.child("type"), &why));
        }
    }
    item.finish()
}

fn read_message(item: &mut Object<'_>, out: &mut Vec<Message>) -> Result<(), BadRequest> {
    item.leave(&LABELS);
    let role = item.require("role")?;
    let path = role.path.clone();
    let role = match role.text()?.as_ref() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(BadRequest::invalid(path, "must be `user`, `assistant`, `system` or `developer`")),
    };
    let content = read_content(item.require("content")?, role)?;
    if role == Role::Assistant {
        // Its own reasoning came before it.
        turn(out, |part| matches!(part, Part::Reasoning(_))).extend(content);
    } else {
        out.push(Message { role, content, name: None });
    }
    Ok(())
}

/// The content of the last message, where that is the model's and all its parts are such ones; else of a new one.
fn turn(out: &mut Vec<Message>, goes_on: impl Fn(&Part) -> bool) -> &mut Vec<Part> {
    let open = out.last().is_some_and(|last| last.role == Role::Assistant && last.content.iter().all(goes_on));
    if !open {
        out.push(Message { role: Role::Assistant, content: Vec::new(), name: None });
    }
    &mut out.last_mut().expect("one was pushed where there was none").content
}

/// Reasoning of our own making comes back to whoever signed it; any other can only be read by its own vendor.
fn read_reasoning(item: &mut Object<'_>, out: &mut Vec<Message>) -> Result<(), BadRequest> {
    let own = item.string("id")?.is_some_and(|id| id.starts_with(OWN_REASONING));
    let signature = item.take("encrypted_content").filter(|_| own).map(Field::string).transpose()?;
    let Some(signature) = signature else { return Ok(()) };
    let mut text = String::new();
    for part in item.take("summary").map(Field::list).transpose()?.into_iter().flatten() {
        text.push_str(&part.object()?.require("text")?.text()?);
    }
    turn(out, |part| matches!(part, Part::Reasoning(_)))
        .push(Part::Reasoning(Reasoning { text, signature: Some(signature) }));
    Ok(())
}

/// Only the model itself may have called a tool, not code that the vendor runs.
fn require_direct(item: &mut Object<'_>) -> Result<(), BadRequest> {
    let Some(caller) = item.take("caller") else { return Ok(()) };
    let mut caller = caller.object()?;
    if caller.tag()? != "direct" {
        return Err(BadRequest::unsupported(caller.child("type"), "only the model itself can call tools there"));
    }
    caller.finish()
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
        ("input_text", _) => Part::Text(part.require("text")?.string()?),
        ("output_text", Role::Assistant) => {
            part.leave(&["annotations", "logprobs"]);
            Part::Text(part.require("text")?.string()?)
        }
        ("refusal", Role::Assistant) => Part::Refusal(part.require("refusal")?.string()?),
        ("input_image", Role::User | Role::Tool) => {
            if part.take("file_id").is_some() {
                let why = "it points at what the vendor has stored; send `image_url`";
                return Err(BadRequest::unsupported(part.child("file_id"), why));
            }
            let url = part.require("image_url")?;
            Part::Image(openai::read_image_url(url, part.string("detail")?)?)
        }
        ("input_file" | "input_audio", Role::User | Role::Tool) => {
            return Err(BadRequest::unsupported(part.child("type"), "only text and images can be carried there"));
        }
        _ => return Err(BadRequest::invalid(part.child("type"), "is not a part that such an item can have")),
    };
    part.finish()?;
    Ok(read)
}

/// Where in `text`, a whole request, the reasoning items stand that are of our own making, each with the comma that goes
/// with it. None when the input would be empty without them.
pub(in crate::dialect) fn own_reasoning(text: &str) -> Result<Vec<Range<usize>>, BadRequest> {
    if !text.contains(OWN_REASONING) {
        return Ok(Vec::new());
    }
    let Some(input) = Object::root(text.as_bytes())?.take("input").filter(|input| !input.is_string()) else {
        return Ok(Vec::new());
    };
    let mut items = Vec::new();
    for item in input.list()? {
        let at = item.range_in(text);
        let mut item = item.object()?;
        let mut says = |name: &str| item.take(name).filter(Field::is_string).map(Field::string).transpose();
        let reasoning = says("type")?.is_some_and(|kind| kind == "reasoning");
        let own = reasoning && says("id")?.is_some_and(|id| id.starts_with(OWN_REASONING));
        items.push((at, own));
    }
    let Some(last) = items.iter().rposition(|(_, own)| !own) else { return Ok(Vec::new()) };
    let mut cuts: Vec<Range<usize>> = Vec::new();
    for pair in items[..=last].windows(2).filter(|pair| pair[0].1) {
        cuts.push(pair[0].0.start..pair[1].0.start);
    }
    if last + 1 < items.len() {
        cuts.push(items[last].0.end..items[items.len() - 1].0.end);
    }
    Ok(cuts)
}
