//! The responses dialect: what others hear of it, and it of them.

mod answers;
mod bodies;
mod requests;
mod streams;

pub(super) use requests::advisory;

use super::*;

/// A request as the vendors of the other dialects get it, one after the other.
fn translated_to_all(body: &serde_json::Value) -> Result<String, BadRequest> {
    let body = body.to_string();
    open(RESPONSES, body.as_bytes())?;
    let chat = read_request(RESPONSES, body.as_bytes())?;
    let mut all = String::new();
    for wire in [Wire::OpenaiChat, Wire::AnthropicMessages] {
        let written =
            write_request(wire, &chat, &outgoing("vendor-model")).map_err(|error| error.as_named_in(RESPONSES))?;
        all.push_str(&format!("{wire:?} {}\n", pretty(&written)));
    }
    Ok(all)
}
