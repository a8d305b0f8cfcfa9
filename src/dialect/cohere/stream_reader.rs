//! The events of a streamed chat → [`Event`]s. The hot path: borrows, and looks at every event once.

use backstop_models::chat::{Delta, Event};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{UsageIn, read_finish};
use crate::dialect::{ReadError, Wire, counts, object::Text, sse};

/// Follows one stream.
#[derive(Debug, Default)]
pub(in crate::dialect) struct Reader {
    done: bool,
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    /// The vendor's index.
    index: u32,
    /// Whether any of its arguments have come.
    has_arguments: bool,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    delta: Option<DeltaIn<'a>>,
    /// What an error has instead.
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DeltaIn<'a> {
    #[serde(borrow)]
    message: Option<MessageIn<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<Text<'a>>,
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<UsageIn>,
}

/// What of a message the event adds; its fields have other forms in `message-start`, where they are empty.
#[derive(Deserialize)]
struct MessageIn<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ContentIn<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct CallIn<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

impl Reader {
    pub(in crate::dialect) fn done(&self) -> bool {
        self.done
    }

    pub(in crate::dialect) fn read(&mut self, frame: &sse::Event<'_>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        let data = frame.data.trim();
        if frame.keep_alive || data.is_empty() || data == "[DONE]" {
            return Ok(());
        }
        let error = || Err(ReadError::error_object(Wire::CohereChat, data.as_bytes()));
        if frame.event == Some("error") {
            return error();
        }
        let read: Frame<'_> = serde_json::from_str(data).map_err(|error| ReadError::syntax(&error))?;
        let kind = read.kind.as_ref().map(|kind| kind.0.as_ref()).or(frame.event).unwrap_or_default();
        if kind == "error" || (kind.is_empty() && read.message.is_some()) {
            return error();
        }
        let (message, end) = match read.delta {
            Some(DeltaIn { message, finish_reason, error, usage }) => (message, Some((finish_reason, error, usage))),
            None => (None, None),
        };
        match kind {
            "message-start" => out.push(Event::Start { id: read.id.map(owned), model: None }),
            "content-start" | "content-delta" => {
                let content: Option<ContentIn<'_>> = parse(message.and_then(|message| message.content))?;
                if let Some(ContentIn { text, thinking }) = content {
                    push(thinking, Delta::Reasoning, out);
                    push(text, Delta::Text, out);
                }
            }
            "tool-plan-delta" => push(message.and_then(|message| message.tool_plan), Delta::Text, out),
            "tool-call-start" => self.open(read.index, parse(message.and_then(|message| message.tool_calls))?, out)?,
            "tool-call-delta" => self.more(read.index, parse(message.and_then(|message| message.tool_calls))?, out),
            "tool-call-end" => self.close(read.index, out),
            "message-end" => {
                if let Some((reason, error, usage)) = end {
                    self.end(reason, error, usage, out)?;
                }
                self.done = true;
            }
            // Citations, and what comes later.
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, index: u32, call: Option<CallIn<'_>>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        let Some(CallIn { id, function: Some(Function { name: Some(name), arguments }) }) = call else {
            return Err(ReadError::Malformed { why: "a tool call begins without a name".into() });
        };
        let at = self.calls.len() as u32;
        let arguments = arguments.filter(|arguments| !arguments.0.is_empty());
        self.calls.push(Call { index, has_arguments: arguments.is_some() });
        let id = id.map(owned).unwrap_or_default();
        out.push(Event::Delta(Delta::ToolCall { index: at, id, name: owned(name) }));
        out.extend(arguments.map(|text| Event::Delta(Delta::Arguments { index: at, fragment: owned(text) })));
        Ok(())
    }

    fn more(&mut self, index: u32, call: Option<CallIn<'_>>, out: &mut Vec<Event>) {
        let arguments = call.and_then(|call| call.function).and_then(|function| function.arguments);
        let Some(text) = arguments.filter(|arguments| !arguments.0.is_empty()) else { return };
        let Some(at) = self.calls.iter().rposition(|call| call.index == index) else { return };
        self.calls[at].has_arguments = true;
        out.push(Event::Delta(Delta::Arguments { index: at as u32, fragment: owned(text) }));
    }

    /// Elsewhere arguments are JSON or they are broken.
    fn close(&mut self, index: u32, out: &mut Vec<Event>) {
        let Some(at) = self.calls.iter().position(|call| call.index == index && !call.has_arguments) else { return };
        self.calls[at].has_arguments = true;
        out.push(Event::Delta(Delta::Arguments { index: at as u32, fragment: "{}".into() }));
    }

    fn end(
        &mut self,
        reason: Option<Text<'_>>,
        error: Option<Text<'_>>,
        usage: Option<UsageIn>,
        out: &mut Vec<Event>,
    ) -> Result<(), ReadError> {
        out.extend(usage.map(|usage| Event::Usage(usage.read())));
        if let Some(Text(message)) = error.filter(|error| !error.0.is_empty()) {
            let object = serde_json::json!({ "message": message });
            return Err(ReadError::error_object(Wire::CohereChat, object.to_string().as_bytes()));
        }
        if let Some(reason) = reason {
            out.push(Event::Finish(read_finish(&reason.0)?));
        }
        Ok(())
    }
}

/// An object; a list, which `message-start` has, is none.
fn parse<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Result<Option<T>, ReadError> {
    let Some(raw) = raw.filter(|raw| raw.get().starts_with('{')) else { return Ok(None) };
    serde_json::from_str(raw.get()).map(Some).map_err(|error| ReadError::syntax(&error))
}

fn push(text: Option<Text<'_>>, make: fn(String) -> Delta, out: &mut Vec<Event>) {
    if let Some(Text(text)) = text
        && !text.is_empty()
    {
        out.push(Event::Delta(make(text.into_owned())));
    }
}

fn owned(text: Text<'_>) -> String {
    text.0.into_owned()
}
