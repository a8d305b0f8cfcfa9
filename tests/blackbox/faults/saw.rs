//! What a caller saw, by the rules of its own dialect: a whole answer, half of one with an error behind it, or an error.
//!
//! Strict: a caller's SDK is not lenient either. Nothing here knows what should have come.

use serde_json::Value;

use super::speech::Speech;
use crate::kit::client::Answer;

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Saw {
    /// A whole answer, its end and all.
    Whole(Said),
    /// A stream that says itself that it is not whole.
    Broken(Said),
    /// An error instead of an answer.
    Refused(u16),
}

/// What an answer says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    pub text: String,
    /// The arguments of its tool calls, as far as they came.
    pub arguments: String,
}

/// How an answer was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Whole,
    Streamed,
}

/// Reads an answer; the error says which rule of the dialect it breaks.
pub fn read(caller: Speech, mode: Mode, answer: &Answer) -> Result<Saw, String> {
    let media_type = answer.header("content-type").unwrap_or_default();
    if answer.status != 200 {
        is_error(caller, &json(&answer.body)?)?;
        return match media_type {
            "application/json" => Ok(Saw::Refused(answer.status)),
            other => Err(format!("an error of type {other:?}")),
        };
    }
    match mode {
        Mode::Whole => {
            ensure(media_type == "application/json", || format!("an answer of type {media_type:?}"))?;
            read_whole(caller, &json(&answer.body)?).map(Saw::Whole)
        }
        Mode::Streamed => {
            ensure(media_type.starts_with("text/event-stream"), || format!("a stream of type {media_type:?}"))?;
            read_stream(caller, &answer.body)
        }
    }
}

/// Reads the body of a stream, from its first byte to its last.
pub fn read_stream(caller: Speech, body: &str) -> Result<Saw, String> {
    let events = events(body);
    ensure(!events.is_empty(), || "a stream without an event".to_owned())?;
    match caller {
        Speech::OpenAi => read_chunks(&events),
        Speech::Anthropic => read_messages(&events),
    }
}

fn read_whole(caller: Speech, answer: &Value) -> Result<Said, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match caller {
        Speech::OpenAi => {
            ensure(answer["object"] == "chat.completion", || "no `chat.completion`".to_owned())?;
            let choices = answer["choices"].as_array().filter(|choices| choices.len() == 1);
            let choice = &choices.ok_or("not exactly one choice")?[0];
            ensure(choice["finish_reason"].is_string(), || "no finish reason".to_owned())?;
            let text = text(&choice["message"]["content"]).ok_or("no content")?;
            Ok(Said { text, ..Said::default() })
        }
        Speech::Anthropic => {
            ensure(answer["type"] == "message" && answer["role"] == "assistant", || "no `message`".to_owned())?;
            ensure(answer["stop_reason"].is_string(), || "no stop reason".to_owned())?;
            let blocks = answer["content"].as_array().filter(|blocks| blocks.len() == 1);
            let text = text(&blocks.ok_or("not exactly one block")?[0]["text"]).ok_or("no text")?;
            Ok(Said { text, ..Said::default() })
        }
    }
}

/// A stream of chat completions: one id, one role at its beginning, one finish reason, `[DONE]`; or an error and nothing after.
fn read_chunks(events: &[(String, String)]) -> Result<Saw, String> {
    let (mut said, mut id, mut finish, mut roles) = (Said::default(), None, 0, 0);
    for (at, (_, data)) in events.iter().enumerate() {
        let last = at + 1 == events.len();
        if data == "[DONE]" {
            ensure(last, || format!("{} events after [DONE]", events.len() - at - 1))?;
            ensure(finish == 1, || format!("[DONE] after {finish} finish reasons"))?;
            ensure(roles == 1, || format!("{roles} chunks begin the message"))?;
            return Ok(Saw::Whole(said));
        }
        let chunk = json(data)?;
        if chunk.get("error").is_some() {
            ensure(last, || "something comes after the error".to_owned())?;
            is_error(Speech::OpenAi, &chunk)?;
            return Ok(Saw::Broken(said));
        }
        ensure(chunk["object"] == "chat.completion.chunk", || format!("no chunk: {data}"))?;
        let here = chunk["id"].as_str().ok_or("a chunk without an id")?;
        ensure(*id.get_or_insert(here.to_owned()) == here, || format!("two ids in one stream: {here}"))?;
        for choice in chunk["choices"].as_array().ok_or("a chunk without choices")? {
            let delta = &choice["delta"];
            let text = delta["content"].as_str().unwrap_or_default();
            roles += usize::from(delta["role"].is_string());
            ensure(text.is_empty() || finish == 0, || "content after the finish reason".to_owned())?;
            said.text.push_str(text);
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                said.arguments.push_str(call["function"]["arguments"].as_str().unwrap_or_default());
            }
            finish += usize::from(choice["finish_reason"].is_string());
        }
    }
    Err(format!("the stream just ends, after {finish} finish reasons"))
}

/// A streamed message: start, blocks that open and close in turn, one stop reason, stop; or an error and nothing after.
fn read_messages(events: &[(String, String)]) -> Result<Saw, String> {
    let (mut said, mut started, mut open, mut stopped) = (Said::default(), false, None, false);
    for (at, (name, data)) in events.iter().enumerate() {
        let last = at + 1 == events.len();
        let event = json(data)?;
        ensure(event["type"] == name.as_str(), || format!("event `{name}` holds {data}"))?;
        ensure(started || matches!(name.as_str(), "message_start" | "error" | "ping"), || {
            format!("begins with {name}")
        })?;
        match name.as_str() {
            "message_start" => {
                ensure(!started, || "a second message_start".to_owned())?;
                started = true;
            }
            "content_block_start" => {
                ensure(open.is_none() && !stopped, || "a block opens where none can".to_owned())?;
                open = Some(event["index"].clone());
            }
            "content_block_delta" => {
                ensure(open.as_ref() == Some(&event["index"]), || "a delta outside its block".to_owned())?;
                said.text.push_str(event["delta"]["text"].as_str().unwrap_or_default());
                said.arguments.push_str(event["delta"]["partial_json"].as_str().unwrap_or_default());
            }
            "content_block_stop" => {
                ensure(open.take().as_ref() == Some(&event["index"]), || "a block closes that is not open".to_owned())?;
            }
            "message_delta" => stopped |= event["delta"]["stop_reason"].is_string(),
            "message_stop" => {
                ensure(last, || format!("{} events after message_stop", events.len() - at - 1))?;
                ensure(stopped && open.is_none(), || "message_stop without an end".to_owned())?;
                return Ok(Saw::Whole(said));
            }
            "error" => {
                ensure(last, || "something comes after the error".to_owned())?;
                let error = &event["error"];
                let told = error["type"].is_string() && error["message"].is_string();
                return if told { Ok(Saw::Broken(said)) } else { Err(format!("an error that says nothing: {data}")) };
            }
            "ping" => {}
            other => return Err(format!("an event `{other}`")),
        }
    }
    Err("the stream just ends".to_owned())
}

fn is_error(caller: Speech, body: &Value) -> Result<(), String> {
    let error = &body["error"];
    let told = error["message"].as_str().is_some_and(|message| !message.is_empty()) && error["type"].is_string();
    let shaped = match caller {
        Speech::OpenAi => error.get("param").is_some() && error.get("code").is_some(),
        Speech::Anthropic => body["type"] == "error" && body["request_id"].is_string(),
    };
    ensure(told && shaped, || format!("no error of its dialect: {body}"))
}

/// Name and data of each event that has data, whichever way its lines end.
fn events(body: &str) -> Vec<(String, String)> {
    let body = body.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let (whole, _) = body.rsplit_once("\n\n").unwrap_or(("", ""));
    whole.split("\n\n").filter_map(event).collect()
}

fn event(text: &str) -> Option<(String, String)> {
    let (mut name, mut data) = ("message".to_owned(), Vec::new());
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value.to_owned(),
            "data" => data.push(value),
            _ => {}
        }
    }
    (!data.is_empty()).then(|| (name, data.join("\n")))
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| {
        let excerpt: String = text.chars().take(200).collect();
        format!("no JSON ({error}): {excerpt}")
    })
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
