//! The caller's question: kept as the bytes it came in, and read into chat types only if a target needs it translated.

use std::sync::OnceLock;

use backstop_models::chat::Chat;
use bytes::Bytes;
use reqwest::header::HeaderMap;

use super::{call::Call, stream::Swallow};
use crate::{
    config::Vendor,
    dialect::{self, BadRequest, Envelope, Outgoing},
    domain::{Dialect, Fault, FaultKind},
};

/// What an answer may be long when the caller did not say and the vendor's dialect must.
const DEFAULT_MAX_TOKENS: u32 = 4096;

#[derive(Debug)]
pub(super) struct Question {
    pub dialect: Dialect,
    pub envelope: Envelope,
    pub body: Bytes,
    pub forwarded: HeaderMap,
    chat: OnceLock<Result<Chat, BadRequest>>,
}

impl Question {
    pub(super) fn new(dialect: Dialect, envelope: Envelope, body: Bytes, forwarded: HeaderMap) -> Self {
        Self { dialect, envelope, body, forwarded, chat: OnceLock::new() }
    }

    /// The question in chat types; the fault names the field that has no place in them.
    pub(super) fn chat(&self) -> Result<&Chat, Fault> {
        self.chat.get_or_init(|| dialect::read_request(self.dialect, &self.body)).as_ref().map_err(unsupported)
    }

    /// How an answer of `call` is labelled, and what it repeats of this.
    pub(super) fn reply<'a>(&'a self, call: &'a Call) -> dialect::Reply<'a> {
        dialect::Reply { request: &self.body, ..call.reply() }
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
            default_max_tokens: DEFAULT_MAX_TOKENS,
        };
        if self.is_native_to(vendor) {
            return Ok(Bytes::from(self.envelope.rewrite(&self.body, &outgoing)));
        }
        dialect::write_request(vendor.wire_for(self.dialect), self.chat()?, &outgoing)
            .map(Bytes::from)
            .map_err(|error| unsupported(&error.as_named_in(self.dialect)))
    }

    /// Whether a vendor of the caller's dialect sends usage that the caller did not ask for.
    pub(super) fn swallow(&self, vendor: &Vendor) -> Swallow {
        if vendor.stream_usage && !self.envelope.include_usage { Swallow::Usage } else { Swallow::Nothing }
    }
}

/// The target cannot carry the question; another one may.
fn unsupported(error: &BadRequest) -> Fault {
    let mut fault = Fault::new(FaultKind::Unsupported, error.message.clone()).with_param(error.param.clone());
    fault.code = error.code.map(str::to_owned);
    fault
}
