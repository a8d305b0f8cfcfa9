//! A response ⇄ [`Answer`]. Lenient in: unknown fields are no fault, and items of the vendor's own tools are passed over.

use std::borrow::Cow;

use backstop_models::chat::{Answer, Finish, Part, Reasoning, ToolCall, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Held, OWN_REASONING, UsageIn,
    acts::Acts,
    output::{Content, Head, Item, Status, Summary},
    read_incomplete,
};
use crate::{
    dialect::{ReadError, Reply, Wire, counts, object::Text, openai::read_service},
    domain::FaultKind,
};

/// What parts of a summary are joined by.
pub(super) const BETWEEN_SUMMARIES: &str = "\n\n";

/// A response, in a body or in a stream's frame.
#[derive(Deserialize)]
pub(super) struct ResponseIn<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    incomplete_details: Option<IncompleteIn<'a>>,
    #[serde(borrow)]
    output: Option<Vec<&'a RawValue>>,
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<UsageIn>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct IncompleteIn<'a> {
    #[serde(borrow)]
    reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

/// An item of a kind that the chat types have.
#[derive(Deserialize)]
pub(super) struct ItemIn<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) call_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) arguments: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Vec<ContentIn<'a>>>,
    #[serde(borrow)]
    summary: Option<Vec<ContentIn<'a>>>,
    #[serde(borrow)]
    encrypted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ContentIn<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
}

/// What kind of item it is, as far as the chat types tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemKind {
    Message,
    Call,
    Reasoning,
    /// A tool's doing that the chat types do not have.
    Act,
}

pub(in crate::dialect) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let read: ResponseIn<'_> = serde_json::from_slice(body).map_err(|error| ReadError::syntax(&error))?;
    if read.error.is_some_and(|error| error.get() != "null") {
        return Err(ReadError::error_object(Wire::OpenaiResponses, body));
    }
    let mut content = Vec::new();
    let mut held = Held::default();
    let Some(output) = &read.output else { return Err(ReadError::Empty) };
    for raw in output {
        match read_kind(raw)? {
            ItemKind::Act => held.acted = true,
            kind => read_item(kind, raw, &mut content)?,
        }
    }
    for part in &content {
        held.called |= matches!(part, Part::ToolCall(_));
        held.said |= matches!(part, Part::Text(_) | Part::Refusal(_));
    }
    let (finish, usage) = (read.finish(held)?, read.usage(&Acts::default()).unwrap_or_default());
    let owned = |text: Text<'_>| text.0.into_owned();
    Ok(Answer {
        id: read.id.map(owned),
        model: read.model.map(owned),
        fingerprint: None,
        content,
        finish,
        usage,
        logprobs: Vec::new(),
    })
}

impl ResponseIn<'_> {
    /// How the response ended, as its `status` says.
    fn finish(&self, held: Held) -> Result<Finish, ReadError> {
        match self.status.as_ref().map(|status| status.0.as_ref()) {
            Some("completed") => Ok(held.completed()),
            Some("incomplete") => Ok(self.incomplete()),
            Some("failed" | "cancelled") => Err(ReadError::ErrorObject { kind: FaultKind::ErrorInBody, message: None }),
            _ => Err(ReadError::NoFinish),
        }
    }

    pub(super) fn incomplete(&self) -> Finish {
        let details = self.incomplete_details.as_ref();
        read_incomplete(details.and_then(|details| details.reason.as_ref()).map(|reason| reason.0.as_ref()))
    }

    /// `seen`: what a stream has said of the output, where that is not told again.
    pub(super) fn usage(&self, seen: &Acts) -> Option<Usage> {
        let service = read_service(self.service_tier);
        let told = self.output.as_ref().filter(|output| !output.is_empty()).map(|output| Acts::of(output));
        let acts = told.as_ref().unwrap_or(seen);
        self.usage.map(|usage| acts.beside(Usage { service, ..usage.read() }))
    }
}

pub(super) fn read_kind(item: &RawValue) -> Result<ItemKind, ReadError> {
    let Kind { kind } = serde_json::from_str(item.get()).map_err(|error| ReadError::syntax(&error))?;
    Ok(match kind.0.as_ref() {
        "message" => ItemKind::Message,
        "function_call" => ItemKind::Call,
        "reasoning" => ItemKind::Reasoning,
        _ => ItemKind::Act,
    })
}

fn read_item(kind: ItemKind, raw: &RawValue, out: &mut Vec<Part>) -> Result<(), ReadError> {
    let item: ItemIn<'_> = serde_json::from_str(raw.get()).map_err(|error| ReadError::syntax(&error))?;
    match kind {
        ItemKind::Message => {
            for part in item.content.into_iter().flatten() {
                let text =
                    |text: Option<Text<'_>>| text.map(|text| text.0.into_owned()).filter(|text| !text.is_empty());
                out.extend(text(part.text).map(Part::Text));
                out.extend(text(part.refusal).map(Part::Refusal));
            }
        }
        ItemKind::Call => {
            let Some(name) = item.name else {
                return Err(ReadError::Malformed { why: "a tool call has no name".into() });
            };
            out.push(Part::ToolCall(ToolCall {
                id: item.call_id.or(item.id).map(|id| id.0.into_owned()).unwrap_or_default(),
                name: name.0.into_owned(),
                arguments: item.arguments.map(|text| text.0.into_owned()).unwrap_or_default(),
            }));
        }
        ItemKind::Reasoning => {
            let signature = item.signature();
            let text = item.reasoning();
            if !text.is_empty() || signature.is_some() {
                out.push(Part::Reasoning(Reasoning { text, signature }));
            }
        }
        ItemKind::Act => {}
    }
    Ok(())
}

impl ItemIn<'_> {
    /// The reasoning itself where the vendor shows it, else its summary.
    fn reasoning(&self) -> String {
        let texts = |parts: &Option<Vec<ContentIn<'_>>>| {
            let texts = parts.iter().flatten().filter_map(|part| part.text.as_ref());
            texts.map(|text| text.0.as_ref()).collect::<Vec<_>>().join(BETWEEN_SUMMARIES)
        };
        let own = texts(&self.content);
        if own.is_empty() { texts(&self.summary) } else { own }
    }

    /// What an item of our own carries for whoever signed it. What others encrypt only they can read.
    pub(super) fn signature(&self) -> Option<String> {
        self.id.as_ref().filter(|id| id.0.starts_with(OWN_REASONING))?;
        self.encrypted_content.as_ref().map(|text| text.0.clone().into_owned())
    }
}

pub(in crate::dialect) fn write_answer(answer: &Answer, as_: &Reply<'_>) -> Vec<u8> {
    let head = Head::of(as_);
    let mut output: Vec<Item<'_>> = Vec::with_capacity(answer.content.len());
    for part in &answer.content {
        match part {
            Part::Text(text) => message(&head, &mut output).push(Content::text(text.as_str())),
            Part::Refusal(text) => {
                message(&head, &mut output).push(Content::Refusal { refusal: Cow::Borrowed(text) });
            }
            Part::Reasoning(reasoning) => {
                let mut item = head.reasoning(output.len());
                if let Item::Reasoning { summary, encrypted_content, .. } = &mut item {
                    let text = Some(reasoning.text.as_str()).filter(|text| !text.is_empty());
                    summary.extend(text.map(|text| Summary { text: Cow::Borrowed(text) }));
                    *encrypted_content = reasoning.signature.as_deref().map(Cow::Borrowed);
                }
                output.push(item);
            }
            Part::ToolCall(call) => {
                let (call_id, name) = (Cow::Borrowed(call.id.as_str()), Cow::Borrowed(call.name.as_str()));
                let mut item = head.call(output.len(), call_id, name);
                if let Item::FunctionCall { arguments, .. } = &mut item {
                    *arguments = Cow::Borrowed(if call.arguments.is_empty() { "{}" } else { &call.arguments });
                }
                output.push(item);
            }
            Part::Image(_) | Part::ToolResult(_) => {}
        }
    }
    for item in &mut output {
        item.close(Status::Completed);
    }
    if let (Finish::Length | Finish::ContentFilter, Some(last)) = (&answer.finish, output.last_mut()) {
        last.close(Status::Incomplete);
    }
    let response = head.finished(&output, &answer.finish, &answer.usage);
    serde_json::to_vec(&response).expect("text, numbers and JSON values are always JSON")
}

/// The content of the message that is being written: texts that follow one another are parts of one.
fn message<'a, 'b>(head: &Head, output: &'b mut Vec<Item<'a>>) -> &'b mut Vec<Content<'a>> {
    if !matches!(output.last(), Some(Item::Message { .. })) {
        output.push(head.message(output.len()));
    }
    match output.last_mut() {
        Some(Item::Message { content, .. }) => content,
        _ => unreachable!("the last item was made a message just above"),
    }
}
