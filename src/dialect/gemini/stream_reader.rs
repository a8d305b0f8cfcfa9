//! The chunks of `streamGenerateContent?alt=sse` → [`Event`]s; each chunk has the form of a whole answer. The hot path:
//! borrows, and looks at every chunk once. There is no end mark: the reason to finish is the end.

use backstop_models::chat::{Delta, Event, Finish};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{UsageIn, read_finish};
use crate::{
    dialect::{
        ReadError, Wire,
        call_id::{self, Carried},
        counts,
        object::Text,
        sse,
    },
    domain::FaultKind,
};

/// Follows one stream.
#[derive(Debug, Default)]
pub(in crate::dialect) struct Reader {
    /// `responseId`, once it is known.
    id: Option<String>,
    started: bool,
    finished: bool,
    calls: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(borrow)]
    candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    prompt_feedback: Option<Feedback<'a>>,
    #[serde(default, deserialize_with = "counts::read")]
    usage_metadata: Option<UsageIn>,
    #[serde(borrow)]
    model_version: Option<Text<'a>>,
    #[serde(borrow)]
    response_id: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    parts: Option<Vec<PartIn<'a>>>,
}

/// What other parts hold (images, the vendor's own tools) is passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartIn<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(default)]
    thought: bool,
    #[serde(borrow)]
    thought_signature: Option<Text<'a>>,
    #[serde(borrow)]
    function_call: Option<Call<'a>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback<'a> {
    #[serde(borrow)]
    block_reason: Option<Text<'a>>,
}

impl Reader {
    pub(in crate::dialect) fn done(&self) -> bool {
        self.finished
    }

    pub(in crate::dialect) fn read(&mut self, frame: &sse::Event<'_>, out: &mut Vec<Event>) -> Result<(), ReadError> {
        if frame.keep_alive || frame.data.trim().is_empty() {
            return Ok(());
        }
        if frame.event == Some("error") {
            return Err(ReadError::error_object(Wire::Gemini, frame.data.as_bytes()));
        }
        self.read_chunk(&frame.data, out).map(|_| ())
    }

    /// How many candidates the chunk had.
    pub(super) fn read_chunk(&mut self, json: &str, out: &mut Vec<Event>) -> Result<usize, ReadError> {
        // An error may come wrapped in an array.
        if json.trim_start().starts_with('[') {
            return Err(ReadError::error_object(Wire::Gemini, json.as_bytes()));
        }
        let chunk: Chunk<'_> = serde_json::from_str(json).map_err(|error| ReadError::syntax(&error))?;
        if chunk.error.is_some() {
            return Err(ReadError::error_object(Wire::Gemini, json.as_bytes()));
        }
        if let Some(reason) = chunk.prompt_feedback.and_then(|feedback| feedback.block_reason)
            && !matches!(reason.0.as_ref(), "" | "BLOCKED_REASON_UNSPECIFIED" | "BLOCK_REASON_UNSPECIFIED")
        {
            let message = Some("the vendor's content policy blocked the prompt".to_owned());
            return Err(ReadError::ErrorObject { kind: FaultKind::ContentPolicy, message });
        }
        let (id, model) = (chunk.response_id.and_then(nonempty), chunk.model_version.and_then(nonempty));
        if !self.started && (id.is_some() || model.is_some()) {
            self.started = true;
            self.id.clone_from(&id);
            out.push(Event::Start { id, model });
        }
        let candidates = chunk.candidates.unwrap_or_default();
        let count = candidates.len();
        let mut finish = None;
        // Only the first is an answer.
        for candidate in candidates.into_iter().filter(|candidate| candidate.index == 0) {
            for part in candidate.content.and_then(|content| content.parts).into_iter().flatten() {
                self.read_part(part, json, out)?;
            }
            if let Some(Text(reason)) = candidate.finish_reason {
                finish = read_finish(&reason)?.or(finish);
            }
        }
        if let Some(usage) = chunk.usage_metadata {
            out.push(Event::Usage(usage.read()));
        }
        if let Some(finish) = finish.filter(|_| !self.finished) {
            self.finished = true;
            out.push(Event::Finish(match finish {
                Finish::Stop if self.calls > 0 => Finish::ToolCalls,
                finish => finish,
            }));
        }
        Ok(count)
    }

    fn read_part(&mut self, part: PartIn<'_>, json: &str, out: &mut Vec<Event>) -> Result<(), ReadError> {
        if let Some(text) = part.text.and_then(nonempty) {
            out.push(Event::Delta(if part.thought { Delta::Reasoning(text) } else { Delta::Text(text) }));
        }
        let Some(call) = part.function_call else { return Ok(()) };
        let Some(name) = call.name.and_then(nonempty) else {
            return Err(ReadError::Malformed { why: "a function call has no name".into() });
        };
        let carried = Carried { id: call.id.and_then(nonempty), signature: part.thought_signature.and_then(nonempty) };
        let index = self.calls;
        self.calls += 1;
        let id = call_id::make(self.id.as_deref().unwrap_or(json), index, &carried);
        let fragment = call.args.map_or("{}", RawValue::get).to_owned();
        out.push(Event::Delta(Delta::ToolCall { index, id, name }));
        out.push(Event::Delta(Delta::Arguments { index, fragment }));
        Ok(())
    }
}

fn nonempty(text: Text<'_>) -> Option<String> {
    Some(text.0.into_owned()).filter(|text| !text.is_empty())
}
