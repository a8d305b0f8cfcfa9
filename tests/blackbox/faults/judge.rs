//! What a caller got, read as strictly as an SDK would, and whether the ledger says the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fault::{Expect, Got, Mode, PRIMARY, RESCUED, THOUGHT, Wire};
use crate::client::Answer;

/// Half of a certain tool call's arguments, which no text holds.
const ARGUMENTS: &str = "city";

/// A stream as its caller understands it.
#[derive(Debug, Default)]
struct Heard {
    text: String,
    arguments: String,
    ids: BTreeSet<String>,
    starts: usize,
    finishes: usize,
    ends: usize,
    errors: usize,
    after_the_end: usize,
}

/// What the answer is; `Err`: nothing that a caller may ever get.
pub fn got(answer: &Answer, caller: Wire, mode: Mode) -> Result<Got, String> {
    for secret in ["127.0.0.1", "no-such-host.invalid", "canary", THOUGHT] {
        if answer.body.contains(secret) {
            return Err(format!("`{secret}` reaches the caller"));
        }
    }
    answer.header("x-request-id").ok_or("no request id")?;
    if answer.status != 200 {
        return refused(answer, caller);
    }
    match mode {
        Mode::Whole => whole(answer, caller),
        Mode::Streamed => streamed(answer, caller),
    }
}

fn refused(answer: &Answer, caller: Wire) -> Result<Got, String> {
    let body: Value = serde_json::from_str(&answer.body).map_err(|error| format!("no JSON in an error: {error}"))?;
    let error = &body["error"];
    let well_formed = match caller {
        Wire::Openai => ["message", "type", "param", "code"].iter().all(|field| error.get(field).is_some()),
        Wire::Anthropic => body["type"] == "error" && error["type"].is_string() && body["request_id"].is_string(),
    };
    if !well_formed || error["message"].as_str().is_none_or(str::is_empty) {
        return Err(format!("not an error of the caller's dialect: {body}"));
    }
    let callers = (400..429).contains(&answer.status);
    if callers != (error["type"] == "invalid_request_error") || callers == answer.header("retry-after").is_some() {
        return Err(format!("whose fault it is, and when to come back, do not go together: {body}"));
    }
    Ok(Got::Refused(answer.status))
}

fn whole(answer: &Answer, caller: Wire) -> Result<Got, String> {
    let body: Value = serde_json::from_str(&answer.body).map_err(|error| format!("no JSON in a 200: {error}"))?;
    let (text, finish) = match caller {
        Wire::Openai => (&body["choices"][0]["message"]["content"], &body["choices"][0]["finish_reason"]),
        Wire::Anthropic => (&body["content"][0]["text"], &body["stop_reason"]),
    };
    if !finish.is_string() || !body["usage"].is_object() {
        return Err(format!("a 200 without a finish reason or usage: {body}"));
    }
    by_text(text.as_str().unwrap_or_default())
}

fn by_text(text: &str) -> Result<Got, String> {
    match text {
        RESCUED => Ok(Got::Rescued),
        PRIMARY => Ok(Got::Answered),
        _ => Err(format!("a clean answer that is neither vendor's: {text:?}")),
    }
}

fn streamed(answer: &Answer, caller: Wire) -> Result<Got, String> {
    if !answer.expect_header("content-type").starts_with("text/event-stream") {
        return Err("a stream that does not call itself one".into());
    }
    let mut heard = Heard::default();
    for event in answer.events() {
        heard.after_the_end += heard.ends + heard.errors;
        if event.data == "[DONE]" && caller == Wire::Openai {
            heard.ends += 1;
            continue;
        }
        let data = serde_json::from_str(&event.data).map_err(|error| format!("{error} in {event:?}"))?;
        match caller {
            Wire::Openai => heard.openai(&data),
            Wire::Anthropic => heard.anthropic(event.name.as_deref().unwrap_or_default(), &data),
        }
    }
    heard.judge().map_err(|why| format!("{why}: {heard:?}"))
}

impl Heard {
    fn openai(&mut self, data: &Value) {
        if data["error"].is_object() {
            self.errors += 1;
            return;
        }
        self.starts = 1;
        self.ids.extend(data["id"].as_str().map(str::to_owned));
        let choice = &data["choices"][0];
        self.text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        let arguments = &choice["delta"]["tool_calls"][0]["function"]["arguments"];
        self.arguments.push_str(arguments.as_str().unwrap_or_default());
        self.finishes += usize::from(choice["finish_reason"].is_string());
    }

    fn anthropic(&mut self, name: &str, data: &Value) {
        match name {
            "error" => self.errors += 1,
            "message_start" => {
                self.starts += 1;
                self.ids.extend(data["message"]["id"].as_str().map(str::to_owned));
            }
            "content_block_delta" => {
                self.text.push_str(data["delta"]["text"].as_str().unwrap_or_default());
                self.arguments.push_str(data["delta"]["partial_json"].as_str().unwrap_or_default());
            }
            "message_delta" => self.finishes += usize::from(data["delta"]["stop_reason"].is_string()),
            "message_stop" => self.ends += 1,
            _ => {}
        }
    }

    fn judge(&self) -> Result<Got, &'static str> {
        if self.after_the_end > 0 {
            return Err("something comes after the end");
        }
        if self.starts != 1 || self.ids.len() != 1 {
            return Err("not one answer, but several or none");
        }
        if self.errors == 1 {
            let part = PRIMARY.starts_with(&self.text) && !self.text.is_empty();
            return match (part || self.arguments.contains(ARGUMENTS), self.finishes) {
                (true, 0) => Ok(Got::Interrupted),
                (true, _) => Ok(Got::ErrorAfterFinish),
                (false, _) => Err("an error after something that the primary has not said"),
            };
        }
        if (self.ends, self.finishes, self.arguments.is_empty()) != (1, 1, true) {
            return Err("neither a clean end nor an error");
        }
        by_text(&self.text).map_err(|_| "a clean end of what neither vendor has said")
    }
}

/// Whether the call's one row tells what the caller got, at `primary` first and at `good` then.
pub fn ledger(row: &Value, got: Got, expect: Expect, mode: Mode, primary: &str) -> Result<(), String> {
    let attempts = row["attempts"].as_array().ok_or("no attempts")?;
    let (ending, status) = match got {
        Got::Rescued | Got::Answered => ("answered", 200),
        Got::Interrupted | Got::ErrorAfterFinish => ("interrupted", 200),
        Got::Refused(status) => ("failed", status),
    };
    if row["ending"] != ending || row["status"] != status {
        return Err(format!("the ledger says {} with {}, not {ending} with {status}", row["ending"], row["status"]));
    }
    let at_primary = attempts.iter().take_while(|attempt| attempt["target"] == primary).count();
    let rest = &attempts[at_primary..];
    if rest.len() != usize::from(got == Got::Rescued) || at_primary == 0 {
        return Err(format!("{at_primary} attempts at the primary and {} after it", rest.len()));
    }
    if rest.iter().any(|attempt| attempt["target"] != "good/fake" || !attempt["fault"].is_null()) {
        return Err(format!("the fallback's attempt is told wrongly: {}", rest[0]));
    }
    for attempt in &attempts[..at_primary] {
        let kind = attempt["fault"].as_str();
        let right = match (got, kind) {
            (Got::Answered, kind) => kind.is_none(),
            (_, None) => false,
            (_, Some(kind)) => expect.allows(kind, mode),
        };
        if !right || attempt["duration_ms"].is_null() {
            return Err(format!("the ledger calls the fault {kind:?}, not {:?}", expect.kinds));
        }
    }
    let served = match got {
        Got::Refused(_) => Value::Null,
        _ => Value::from(attempts.len() - 1),
    };
    if row["served_by"] != served {
        return Err(format!("served by {} and not by {served}", row["served_by"]));
    }
    tokens(attempts, got)
}

/// What was said is paid for: by the vendor's own figures where the answer is whole, by an estimate where it broke off.
fn tokens(attempts: &[Value], got: Got) -> Result<(), String> {
    let Some(last) = attempts.last().filter(|_| !matches!(got, Got::Refused(_))) else { return Ok(()) };
    let (source, output) = (&last["usage_source"], last["usage"]["output"].as_u64());
    let right = match got {
        Got::Rescued | Got::Answered => source == "reported" && output == Some(7),
        _ => source != "none" && output > Some(0),
    };
    if right { Ok(()) } else { Err(format!("{output:?} tokens came out, {source}")) }
}
