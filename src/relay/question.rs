//! The caller's question: kept as the bytes it came in, and read into chat types only if a target needs it translated.

use std::sync::OnceLock;

use backstop_models::chat::Chat;
use bytes::Bytes;
use reqwest::header::HeaderMap;

use super::{Inbound, stream::Swallow};
use crate::{
    clock,
    config::{Criticality, Route, Vendor},
    dialect::{self, BadRequest, EmbedRequest, Envelope, Outgoing},
    domain::{Dialect, Fault, FaultKind, RouteId, Task},
    route::{CallKind, Need},
};

/// What an answer may be long when the caller did not say and the vendor's dialect must.
const DEFAULT_MAX_TOKENS: u32 = 4096;

#[derive(Debug)]
pub(super) struct Question {
    pub dialect: Dialect,
    task: Task,
    pub envelope: Envelope,
    pub body: Bytes,
    pub forwarded: HeaderMap,
    /// How its answer is named.
    label: Label,
    chat: OnceLock<Result<Chat, BadRequest>>,
    /// What is to be embedded, where that is the task.
    embed: Option<EmbedRequest>,
    /// The gateway asks it itself.
    is_rehearsed: bool,
}

/// What an answer is called in the caller's dialect.
#[derive(Debug)]
pub(super) struct Label {
    /// 32 hex digits, for the dialect's own prefix.
    pub id: String,
    pub route: RouteId,
    pub created_unix_s: i64,
}

impl Question {
    pub(super) fn new((envelope, embed): (Envelope, Option<EmbedRequest>), inbound: Inbound, route: RouteId) -> Self {
        let Inbound { id, dialect, task, body, forwarded, received_unix_ms, drill, .. } = inbound;
        let label = Label { id: id.0.simple().to_string(), route, created_unix_s: received_unix_ms / 1000 };
        let (chat, is_rehearsed) = (OnceLock::new(), drill.is_some());
        Self { dialect, task, envelope, body, forwarded, label, chat, embed, is_rehearsed }
    }

    /// What a target is asked to do.
    pub(super) fn task(&self) -> Task {
        if self.envelope.stream { Task::Stream } else { self.task }
    }

    /// How soon it is given up on `route` where our own machine has not room for all.
    pub(super) fn criticality(&self, route: &Route) -> Criticality {
        if self.is_rehearsed { Criticality::Batch } else { route.criticality }
    }

    /// How an answer is named in the caller's dialect.
    pub(super) fn reply(&self) -> dialect::Reply<'_> {
        let Label { id, route, created_unix_s } = &self.label;
        dialect::Reply { id, model: route.as_str(), created_unix_s: *created_unix_s, request: &self.body }
    }

    /// The answer that follows is another one than the caller has seen the beginning of.
    pub(super) fn rename(&mut self) {
        self.label.id = clock::call_id().0.simple().to_string();
    }

    /// Which of a target's baselines it is measured by.
    pub(super) fn kind(&self) -> CallKind {
        match self.task() {
            Task::Stream => CallKind::FirstContent,
            Task::Answer => CallKind::total(self.envelope.max_tokens),
            Task::CountTokens => CallKind::CountTokens,
            Task::Embed => CallKind::Embed,
        }
    }

    /// The question in chat types; the fault names the field that has no place in them.
    pub(super) fn chat(&self) -> Result<&Chat, Fault> {
        let read = || match self.task {
            Task::CountTokens => dialect::read_counted(&self.body),
            _ => dialect::read_request(self.dialect, &self.body)
                .map(|chat| Chat { max_tokens: chat.max_tokens.or(self.envelope.extent.bound()), ..chat }),
        };
        self.chat.get_or_init(read).as_ref().map_err(unsupported)
    }

    /// What is to be embedded.
    pub(super) fn embed(&self) -> Result<&EmbedRequest, Fault> {
        self.embed.as_ref().ok_or_else(|| Fault::new(FaultKind::BadRequest, "there is nothing to embed"))
    }

    /// What a model of our own is to embed.
    pub(super) fn own_texts(&self) -> Result<Vec<String>, Fault> {
        self.embed()?.own_texts().map(<[String]>::to_vec).map_err(|error| unsupported(&error))
    }

    /// Whether `vendor` is asked in the caller's own dialect.
    pub(super) fn is_native_to(&self, vendor: &Vendor) -> bool {
        vendor.wire_for(self.dialect) == self.dialect.into()
    }

    /// The body for `vendor`: the caller's own bytes where both speak one dialect, a translation otherwise.
    pub(super) fn body_for(&self, vendor: &Vendor, model: &str) -> Result<Bytes, Fault> {
        let outgoing = Outgoing {
            model,
            stream: self.envelope.stream,
            max_tokens_field: vendor.max_tokens_field,
            include_usage: self.envelope.stream && vendor.stream_usage,
            default_max_tokens: self.envelope.extent.bound().unwrap_or(DEFAULT_MAX_TOKENS),
        };
        if self.is_native_to(vendor) {
            return Ok(Bytes::from(self.envelope.rewrite(&self.body, &outgoing)));
        }
        let wire = vendor.wire_for(self.dialect);
        let written = match self.task {
            Task::CountTokens => dialect::write_counted(wire, self.chat()?, &outgoing),
            Task::Embed => dialect::write_embed(wire, self.embed()?, model),
            Task::Answer | Task::Stream => dialect::write_request(wire, self.chat()?, &outgoing),
        };
        written.map(Bytes::from).map_err(|error| unsupported(&error.as_named_in(self.dialect)))
    }

    /// Whether a vendor of the caller's dialect sends usage that the caller did not ask for.
    pub(super) fn swallow(&self, vendor: &Vendor) -> Swallow {
        if vendor.stream_usage && !self.envelope.include_usage { Swallow::Usage } else { Swallow::Nothing }
    }
}

/// What a question needs of a target. A bound on the answer that the caller has not named takes no room in a context.
pub(super) fn need(envelope: &Envelope, task: Task, body_bytes: usize) -> Need {
    Need {
        task: if envelope.stream { Task::Stream } else { task },
        tools: envelope.has_tools,
        json_schema: envelope.wants_json_schema,
        images: envelope.images > 0,
        input_tokens: Need::tokens_in(body_bytes, envelope.images > 0),
        max_tokens: envelope.max_tokens,
        more_context_than: None,
    }
}

/// The target cannot carry the question; another one may.
fn unsupported(error: &BadRequest) -> Fault {
    let mut fault = Fault::new(FaultKind::Unsupported, error.message.clone()).with_param(error.param.clone());
    fault.code = error.code.map(str::to_owned);
    fault
}
