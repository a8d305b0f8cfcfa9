//! A response as it is written: the object that begins and ends a stream and is the whole of an answer without one.

use std::borrow::Cow;

use backstop_models::chat::{Finish, Usage};
use serde::Serialize;

use super::{OWN_REASONING, UsageOut, asked::Asked, incomplete_reason};
use crate::dialect::Reply;

/// What is the same in every form of one response.
#[derive(Debug)]
pub(super) struct Head {
    id: String,
    /// The call's id without its prefix; the items' ids are made of it.
    stem: String,
    created_at: i64,
    model: String,
    asked: Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

/// One item of the output.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item<'a> {
    Reasoning {
        id: String,
        #[serde(skip)]
        status: Status,
        summary: Vec<Summary<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<Cow<'a, str>>,
    },
    Message {
        id: String,
        status: Status,
        role: &'static str,
        content: Vec<Content<'a>>,
    },
    FunctionCall {
        id: String,
        status: Status,
        call_id: Cow<'a, str>,
        name: Cow<'a, str>,
        arguments: Cow<'a, str>,
    },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "summary_text")]
pub(super) struct Summary<'a> {
    pub(super) text: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Content<'a> {
    OutputText { annotations: [(); 0], logprobs: [(); 0], text: Cow<'a, str> },
    Refusal { refusal: Cow<'a, str> },
}

/// A response at one moment.
#[derive(Serialize)]
pub(super) struct ResponseOut<'a> {
    id: &'a str,
    object: &'static str,
    created_at: i64,
    status: Status,
    background: bool,
    error: Option<Failure<'a>>,
    incomplete_details: Option<IncompleteDetails>,
    model: &'a str,
    output: &'a [Item<'a>],
    previous_response_id: Option<()>,
    /// Nobody can ask for it again.
    store: bool,
    #[serde(flatten)]
    asked: &'a Asked,
    usage: Option<UsageOut>,
}

#[derive(Serialize)]
pub(super) struct Failure<'a> {
    pub(super) code: &'static str,
    pub(super) message: &'a str,
}

#[derive(Serialize)]
struct IncompleteDetails {
    reason: &'static str,
}

impl Head {
    pub(super) fn of(reply: &Reply<'_>) -> Self {
        Self {
            id: reply.id_after("resp_"),
            stem: reply.id_after(""),
            created_at: reply.created_unix_s,
            model: reply.model.to_owned(),
            asked: Asked::of(reply.request),
        }
    }

    /// The id of the item that is the output's `index`th.
    fn item_id(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}{}_{index}", self.stem)
    }

    pub(super) fn message<'a>(&self, index: usize) -> Item<'a> {
        let id = self.item_id("msg_", index);
        Item::Message { id, status: Status::InProgress, role: "assistant", content: Vec::new() }
    }

    pub(super) fn reasoning<'a>(&self, index: usize) -> Item<'a> {
        let id = self.item_id(OWN_REASONING, index);
        Item::Reasoning { id, status: Status::InProgress, summary: Vec::new(), encrypted_content: None }
    }

    /// A call without an id of its own is known by its item's: results must find their call.
    pub(super) fn call<'a>(&self, index: usize, call_id: Cow<'a, str>, name: Cow<'a, str>) -> Item<'a> {
        let id = self.item_id("fc_", index);
        let call_id = if call_id.is_empty() { Cow::Owned(self.item_id("call_", index)) } else { call_id };
        Item::FunctionCall { id, status: Status::InProgress, call_id, name, arguments: Cow::Borrowed("") }
    }

    /// The response while `output` is in the making.
    pub(super) fn unfinished<'a>(&'a self, output: &'a [Item<'a>]) -> ResponseOut<'a> {
        ResponseOut {
            id: &self.id,
            object: "response",
            created_at: self.created_at,
            status: Status::InProgress,
            background: false,
            error: None,
            incomplete_details: None,
            model: &self.model,
            output,
            previous_response_id: None,
            store: false,
            asked: &self.asked,
            usage: None,
        }
    }

    /// The response that ended with `finish`.
    pub(super) fn finished<'a>(&'a self, output: &'a [Item<'a>], finish: &Finish, usage: &Usage) -> ResponseOut<'a> {
        let incomplete_details = incomplete_reason(finish).map(|reason| IncompleteDetails { reason });
        let status = if incomplete_details.is_some() { Status::Incomplete } else { Status::Completed };
        ResponseOut { status, incomplete_details, usage: UsageOut::of(usage), ..self.unfinished(output) }
    }

    pub(super) fn failed<'a>(&'a self, output: &'a [Item<'a>], error: Failure<'a>, usage: &Usage) -> ResponseOut<'a> {
        ResponseOut {
            status: Status::Failed,
            error: Some(error),
            usage: UsageOut::of(usage),
            ..self.unfinished(output)
        }
    }
}

impl Item<'_> {
    pub(super) fn is_open(&self) -> bool {
        let (Self::Reasoning { status, .. } | Self::Message { status, .. } | Self::FunctionCall { status, .. }) = self;
        *status == Status::InProgress
    }

    pub(super) fn close(&mut self, as_: Status) {
        let (Self::Reasoning { status, .. } | Self::Message { status, .. } | Self::FunctionCall { status, .. }) = self;
        *status = as_;
    }
}

impl<'a> Content<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::OutputText { annotations: [], logprobs: [], text: text.into() }
    }
}
