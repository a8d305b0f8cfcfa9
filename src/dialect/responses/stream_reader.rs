//! The events of a streamed response → [`Event`]s. The hot path: borrows, and looks at every frame once.
//!
//! The frame that says how the response ended (`response.completed`, `.incomplete`, `.failed`) is the last one; there is
//! no other end mark. Frames of the vendor's own tools are passed over.

use backstop_models::chat::{Delta, Event};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Held,
    acts::Acts,
    answer::{BETWEEN_SUMMARIES, ItemIn, ItemKind, ResponseIn, read_kind},
};
use crate::dialect::{ReadError, Wire, object::Text, sse};

/// Follows one stream.
#[derive(Debug, Default)]
pub(in crate::dialect) struct Reader {
    done: bool,
    /// The calls so far; a call's place here is its index in [`Delta`]s.
    calls: Vec<Call>,
    held: Held,
    acts: Acts,
}

#[derive(Debug)]
struct Call {
    /// The item's place in the output.
    output: u32,
    /// Whether any of its arguments have come.
    has_arguments: bool,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(default)]
    output_index: u32,
    #[serde(default)]
    summary_index: u32,
    /// A text in all events that are read here.
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
}

impl Reader {
    pub(in crate::dialect) fn done(&self) -> bool {
        self.done
    }

    pub(in crate::dialect) fn read(&mut self, frame: &sse::Event<'_>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        let data = frame.data.trim();
        if frame.keep_alive || data.is_empty() {
            return Ok(());
        }
        // Compatible servers may end as chat completions do; it says nothing of how the response ended.
        if data.starts_with("[DONE]") {
            self.done = true;
            return Ok(());
        }
        if frame.event == Some("error") {
            return Err(ReadError::error_object(Wire::OpenaiResponses, data.as_bytes()));
        }
        let read: Frame<'_> = serde_json::from_str(data).map_err(|error| ReadError::syntax(&error))?;
        let Some(kind) = read.kind.as_ref().map(|kind| kind.0.as_ref()).or(frame.event) else {
            // An error that a proxy put in.
            return Err(ReadError::error_object(Wire::OpenaiResponses, data.as_bytes()));
        };
        match kind {
            "response.created" => {
                let response = parse::<ResponseIn<'_>>(read.response)?;
                let owned = |text: Text<'_>| text.0.into_owned();
                out.push(Event::Start { id: response.id.map(owned), model: response.model.map(owned) });
            }
            "response.output_text.delta" => self.say(read.delta, Delta::Text, out)?,
            "response.refusal.delta" => self.say(read.delta, Delta::Refusal, out)?,
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                push(text(read.delta)?, Delta::Reasoning, out);
            }
            "response.reasoning_summary_part.added" if read.summary_index > 0 => {
                push(BETWEEN_SUMMARIES.to_owned(), Delta::Reasoning, out);
            }
            "response.output_item.added" => self.open(&read, out)?,
            "response.function_call_arguments.delta" => self.arguments(read.output_index, text(read.delta)?, out),
            "response.function_call_arguments.done" => self.close(read.output_index, read.arguments, out)?,
            "response.output_item.done" => self.done_item(&read, out)?,
            "response.completed" | "response.incomplete" | "response.failed" => self.end(kind, read.response, out)?,
            "error" => return Err(ReadError::error_object(Wire::OpenaiResponses, data.as_bytes())),
            // Parts that begin and end, annotations, the vendor's own tools, and what comes later.
            _ => {}
        }
        Ok(())
    }

    fn say(
        &mut self,
        delta: Option<&RawValue>,
        make: fn(String) -> Delta,
        out: &mut Vec<Event>,
    ) -> Result<(), ReadError> {
        self.held.said = true;
        push(text(delta)?, make, out);
        Ok(())
    }

    fn open(&mut self, frame: &Frame<'_>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        let Some(item) = frame.item else { return Ok(()) };
        match read_kind(item)? {
            ItemKind::Call => {}
            ItemKind::Act => {
                self.held.acted = true;
                return Ok(());
            }
            ItemKind::Message | ItemKind::Reasoning => return Ok(()),
        }
        let item = parse::<ItemIn<'_>>(Some(item))?;
        let Some(Text(name)) = item.name else {
            return Err(ReadError::Malformed { why: "a tool call begins without a name".into() });
        };
        self.held.called = true;
        let id = item.call_id.or(item.id).map(|id| id.0.into_owned()).unwrap_or_default();
        let index = self.calls.len() as u32;
        self.calls.push(Call { output: frame.output_index, has_arguments: false });
        out.push(Event::Delta(Delta::ToolCall { index, id, name: name.into_owned() }));
        if let Some(Text(arguments)) = item.arguments {
            self.arguments(frame.output_index, arguments.into_owned(), out);
        }
        Ok(())
    }

    fn arguments(&mut self, output: u32, fragment: String, out: &mut Vec<Event>) {
        let Some(index) = self.calls.iter().rposition(|call| call.output == output) else { return };
        if !fragment.is_empty() {
            self.calls[index].has_arguments = true;
            out.push(Event::Delta(Delta::Arguments { index: index as u32, fragment }));
        }
    }

    /// Some servers send arguments only when they are whole.
    fn close(&mut self, output: u32, whole: Option<&RawValue>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        if self.calls.iter().any(|call| call.output == output && !call.has_arguments) {
            self.arguments(output, text(whole)?, out);
        }
        Ok(())
    }

    fn done_item(&mut self, frame: &Frame<'_>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        let Some(item) = frame.item else { return Ok(()) };
        match read_kind(item)? {
            ItemKind::Call if !self.calls.iter().any(|call| call.output == frame.output_index) => {
                self.open(frame, out)?
            }
            ItemKind::Call => {
                let item = parse::<ItemIn<'_>>(Some(item))?;
                let waits = self.calls.iter().any(|call| call.output == frame.output_index && !call.has_arguments);
                if let Some(Text(arguments)) = item.arguments.filter(|_| waits) {
                    self.arguments(frame.output_index, arguments.into_owned(), out);
                }
            }
            ItemKind::Reasoning => {
                let signature = parse::<ItemIn<'_>>(Some(item))?.signature();
                out.extend(signature.map(|signature| Event::Delta(Delta::ReasoningSignature(signature))));
            }
            ItemKind::Act => {
                self.held.acted = true;
                self.acts.see(item);
            }
            ItemKind::Message => {}
        }
        Ok(())
    }

    fn end(&mut self, kind: &str, raw: Option<&RawValue>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        if kind == "response.failed" {
            let response = raw.map_or("{}", RawValue::get);
            return Err(ReadError::error_object(Wire::OpenaiResponses, response.as_bytes()));
        }
        let response = parse::<ResponseIn<'_>>(raw)?;
        out.extend(response.usage(&self.acts).map(Event::Usage));
        let completed = kind == "response.completed";
        out.push(Event::Finish(if completed { self.held.completed() } else { response.incomplete() }));
        self.done = true;
        Ok(())
    }
}

fn parse<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Result<T, ReadError> {
    serde_json::from_str(raw.map_or("{}", RawValue::get)).map_err(|error| ReadError::syntax(&error))
}

fn text(raw: Option<&RawValue>) -> Result<String, ReadError> {
    match raw {
        Some(raw) => serde_json::from_str(raw.get()).map_err(|error| ReadError::syntax(&error)),
        None => Ok(String::new()),
    }
}

fn push(text: String, make: fn(String) -> Delta, out: &mut Vec<Event>) {
    if !text.is_empty() {
        out.push(Event::Delta(make(text)));
    }
}
