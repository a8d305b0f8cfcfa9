//! A request as a vendor takes it that speaks its dialect with manners of its own: fields renamed, left out or added,
//! messages plainer. Values stay the bytes they were; only what stands between top-level fields and messages may change.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::object::{Fields, Text};
use crate::config::{Manners, Messages};

/// Fields of a message that only its own vendor reads, see `LEFT_BEHIND`.
const NOTES: [&str; 3] = ["annotations", "reasoning_content", "reasoning"];
/// How long an id of a tool call is in Mistral's.
const ID: usize = 9;

/// The body, the caller's own or a translation, for a vendor of these manners; as it is, where it is no request.
pub fn suit<'a>(manners: &Manners, body: &'a [u8]) -> Cow<'a, [u8]> {
    let Ok(Fields(fields)) = serde_json::from_slice::<Fields<'a>>(body) else { return Cow::Borrowed(body) };
    let taken: Vec<&str> = manners.renamed.iter().filter(|(from, _)| has(&fields, from)).map(|(_, to)| *to).collect();
    let mut out = Vec::with_capacity(body.len() + 32);
    write_object(&mut out, fields, |name, raw, out| {
        // The newer name's value counts where a caller sends both.
        let ours = manners.fixed.iter().any(|(fixed, _)| *fixed == name);
        if ours || manners.unknown.contains(&name) || taken.contains(&name) {
            return;
        }
        let renamed = manners.renamed.iter().find(|(from, _)| *from == name).map(|(_, to)| *to);
        if renamed.is_some() && raw.get() == "null" {
            return;
        }
        write_name(out, renamed.unwrap_or(name));
        match name {
            "messages" if manners.messages != Messages::AsWritten => {
                write_list(out, raw, |message, out| write_message(manners.messages, message, out));
            }
            _ => out.extend_from_slice(raw.get().as_bytes()),
        }
    });
    for (name, text) in manners.fixed {
        let first = out.pop().is_some() && out.len() == 1;
        out.extend_from_slice(if first { b"" } else { b"," });
        write_name(&mut out, name);
        serde_json::to_writer(&mut out, text).expect("text is always JSON, and a vector takes it");
        out.push(b'}');
    }
    Cow::Owned(out)
}

fn has(fields: &[(Cow<'_, str>, &RawValue)], name: &str) -> bool {
    fields.iter().any(|(field, raw)| field == name && raw.get() != "null")
}

fn write_message(messages: Messages, raw: &RawValue, out: &mut Vec<u8>) {
    let strict = messages == Messages::Strict;
    write_fields(out, raw, |name, raw, out| {
        let null = raw.get() == "null" && name != "content";
        if strict && (null || NOTES.contains(&name)) {
            return;
        }
        write_name(out, name);
        match name {
            "role" if raw.get() == "\"developer\"" => out.extend_from_slice(b"\"system\""),
            "tool_call_id" if strict => write_id(raw, out),
            "tool_calls" if strict => write_list(out, raw, |call, out| {
                write_fields(out, call, |name, raw, out| {
                    write_name(out, name);
                    if name == "id" { write_id(raw, out) } else { out.extend_from_slice(raw.get().as_bytes()) }
                });
            }),
            _ => out.extend_from_slice(raw.get().as_bytes()),
        }
    });
}

/// An id that fits, or one that is always the same for the same id: its result finds its call.
fn write_id(raw: &RawValue, out: &mut Vec<u8>) {
    let Ok(Text(id)) = serde_json::from_str(raw.get()) else { return out.extend_from_slice(raw.get().as_bytes()) };
    let fits = id.len() == ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits {
        return out.extend_from_slice(raw.get().as_bytes());
    }
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let hash = Sha256::digest(id.as_bytes());
    out.push(b'"');
    out.extend(hash.iter().take(ID).map(|byte| LETTERS[usize::from(*byte) % LETTERS.len()]));
    out.push(b'"');
}

fn write_fields(out: &mut Vec<u8>, raw: &RawValue, write: impl FnMut(&str, &RawValue, &mut Vec<u8>)) {
    match serde_json::from_str::<Fields<'_>>(raw.get()) {
        Ok(Fields(fields)) => write_object(out, fields, write),
        Err(_) => out.extend_from_slice(raw.get().as_bytes()),
    }
}

/// What `write` writes nothing of is left out.
fn write_object(
    out: &mut Vec<u8>,
    fields: Vec<(Cow<'_, str>, &RawValue)>,
    mut write: impl FnMut(&str, &RawValue, &mut Vec<u8>),
) {
    out.push(b'{');
    let first = out.len();
    for (name, raw) in fields {
        let before = out.len();
        if before > first {
            out.push(b',');
        }
        let start = out.len();
        write(&name, raw, out);
        if out.len() == start {
            out.truncate(before);
        }
    }
    out.push(b'}');
}

fn write_list(out: &mut Vec<u8>, raw: &RawValue, mut write: impl FnMut(&RawValue, &mut Vec<u8>)) {
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return out.extend_from_slice(raw.get().as_bytes());
    };
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    serde_json::to_writer(&mut *out, name).expect("text is always JSON, and a vector takes it");
    out.push(b':');
}
