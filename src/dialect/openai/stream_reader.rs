//! The chunks of a streamed chat completion → [`Event`]s. The hot path: borrows, and looks at every chunk once.
//!
//! Tells the forms apart that compatible vendors give a stream: usage in any chunk or in `x_groq`, parallel calls that all
//! have index 0, calls without an index, errors as a chunk.

use std::borrow::Cow;

use backstop_models::chat::{Delta, Event, Finish, ServiceClass, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{UsageIn, content::Content, read_finish, read_service};
use crate::dialect::{ReadError, Wire, counts, object::Text, sse};

/// Follows one stream.
#[derive(Debug, Default)]
pub(in crate::dialect) struct Reader {
    started: bool,
    done: bool,
    /// The calls so far; a call's place here is its index in [`Delta`]s.
    calls: Vec<Call>,
    /// The first choice's, held until the other choices have theirs.
    finish: Option<Finish>,
    /// The choices that have begun and not ended.
    open: Vec<u32>,
    service: Option<ServiceClass>,
}

#[derive(Debug)]
struct Call {
    /// The vendor's index; not unique with every vendor.
    index: u32,
    id: String,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<UsageIn>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    x_groq: Option<XGroq>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct XGroq {
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<UsageIn>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    delta: Option<DeltaIn<'a>>,
    /// A completion's.
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
struct DeltaIn<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<CallIn<'a>>>,
}

#[derive(Deserialize)]
struct CallIn<'a> {
    index: Option<u32>,
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
        if data.starts_with("[DONE]") {
            self.done = true;
            return Ok(());
        }
        if frame.keep_alive || data.is_empty() {
            return Ok(());
        }
        let is_error_event = frame.event == Some("error");
        let chunk: Chunk<'_> = match serde_json::from_str(data) {
            Ok(chunk) => chunk,
            Err(_) if is_error_event => return Err(ReadError::error_object(Wire::OpenaiChat, data.as_bytes())),
            Err(error) => return Err(ReadError::syntax(&error)),
        };
        let is_error = is_error_event || chunk.object.is_some_and(|object| object.0 == "error");
        if is_error || chunk.error.is_some() {
            return Err(ReadError::error_object(Wire::OpenaiChat, data.as_bytes()));
        }
        let owned = |text: Text<'_>| Some(text.0.into_owned()).filter(|text| !text.is_empty());
        let (id, model) = (chunk.id.and_then(owned), chunk.model.and_then(owned));
        // Azure's first chunk holds nothing but what its filters say of the prompt.
        if !self.started && (id.is_some() || model.is_some()) {
            self.started = true;
            out.push(Event::Start { id, model });
        }
        for choice in chunk.choices.into_iter().flatten() {
            self.read_choice(choice, out)?;
        }
        if let Some(usage) = chunk.usage.or(chunk.x_groq.and_then(|groq| groq.usage)) {
            self.service = read_service(chunk.service_tier).or(self.service);
            out.push(Event::Usage(Usage { service: self.service, ..usage.read() }));
        } else if self.service.is_none() {
            // Some say it with the first chunk only.
            self.service = read_service(chunk.service_tier);
        }
        Ok(())
    }

    /// Only the first choice is content; of the others it matters that they end.
    fn read_choice(&mut self, choice: Choice<'_>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        let Choice { index, delta, text, finish_reason } = choice;
        let text = text.map(|text| DeltaIn {
            content: Some(Content { text: text.0, thinking: String::new() }),
            ..DeltaIn::default()
        });
        if let Some(delta) = delta.or(text) {
            if index == 0 {
                self.read_delta(delta, out)?;
            }
            if !self.open.contains(&index) && finish_reason.is_none() && !(index == 0 && self.finish.is_some()) {
                self.open.push(index);
            }
        }
        let Some(reason) = finish_reason.filter(|reason| !reason.0.is_empty()) else { return Ok(()) };
        self.open.retain(|open| *open != index);
        let finish = read_finish(&reason.0)?;
        if index == 0 {
            self.finish = Some(finish);
        }
        if self.open.is_empty()
            && let Some(finish) = &self.finish
        {
            out.push(Event::Finish(finish.clone()));
        }
        Ok(())
    }

    fn read_delta(&mut self, delta: DeltaIn<'_>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        let mut push = |text: Option<Text<'_>>, make: fn(String) -> Delta| {
            if let Some(Text(text)) = text
                && !text.is_empty()
            {
                out.push(Event::Delta(make(text.into_owned())));
            }
        };
        let Content { text, thinking } = delta.content.unwrap_or_default();
        push(delta.reasoning_content.or(delta.reasoning), Delta::Reasoning);
        push(Some(Text(Cow::Owned(thinking))), Delta::Reasoning);
        push(Some(Text(text)), Delta::Text);
        push(delta.refusal, Delta::Refusal);
        for call in delta.tool_calls.into_iter().flatten() {
            self.read_call(call, out)?;
        }
        Ok(())
    }

    fn read_call(&mut self, call: CallIn<'_>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        let (name, arguments) = call.function.map_or((None, None), |function| (function.name, function.arguments));
        let id = call.id.filter(|id| !id.0.is_empty());
        let known = match call.index {
            Some(index) => self.calls.iter().rposition(|known| known.index == index),
            None => self.calls.len().checked_sub(1),
        };
        let known = known.filter(|at| id.as_ref().is_none_or(|id| self.calls[*at].id == id.0) || name.is_none());
        let at = match known {
            Some(at) => at,
            None => {
                let Some(name) = name.filter(|name| !name.0.is_empty()) else {
                    return Err(ReadError::Malformed { why: "a tool call begins without a name".into() });
                };
                let at = self.calls.len();
                let id = id.map(|id| id.0.into_owned()).unwrap_or_default();
                self.calls.push(Call { index: call.index.unwrap_or(at as u32), id: id.clone() });
                let name = name.0.into_owned();
                out.push(Event::Delta(Delta::ToolCall { index: at as u32, id, name }));
                at
            }
        };
        if let Some(Text(fragment)) = arguments
            && !fragment.is_empty()
        {
            out.push(Event::Delta(Delta::Arguments { index: at as u32, fragment: fragment.into_owned() }));
        }
        Ok(())
    }
}
