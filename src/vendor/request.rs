//! One request to a vendor in the making: which URL, which headers, whose credential. One file for each way of access.

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;

use super::{Client, anthropic, azure, bedrock, cohere, gemini, openai, vertex};
use crate::{
    config::{Access, Vendor},
    domain::{Fault, FaultKind, Task, Wire},
};

/// What is to be asked of whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) vendor: &'a Vendor,
    /// Some vendors want a token, which has to be bought first.
    pub(super) client: &'a Client,
    /// The vendor's own name of the model.
    pub(super) model: &'a str,
    pub(super) task: Task,
    /// What `body` is in.
    pub(super) wire: Wire,
    pub(super) secret: Option<&'a SecretString>,
    /// What of the caller's headers goes along.
    pub(super) forwarded: &'a HeaderMap,
    /// Some vendors sign it.
    pub(super) body: &'a Bytes,
}

/// Where the body goes, and beside which headers; `content-type` is there already.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) url: String,
    pub(super) headers: HeaderMap,
}

/// The request's address and headers.
///
/// # Errors
/// [`FaultKind::NoSecret`] when the secret is not of the form that the vendor's access needs; where a token has to be bought,
/// what that ended in.
pub(super) async fn prepare(asking: Asking<'_>) -> Result<Prepared, Fault> {
    match asking.vendor.access {
        Access::Openai => openai::prepare(asking),
        Access::Anthropic => anthropic::prepare(asking),
        Access::Azure => azure::prepare(asking),
        Access::Gemini => gemini::prepare(asking),
        Access::Vertex | Access::VertexAnthropic => vertex::prepare(asking).await,
        Access::Bedrock => bedrock::prepare(asking),
        Access::Cohere => cohere::prepare(asking),
    }
}

/// The API has no endpoint for the task.
pub(super) fn lacks(asking: Asking<'_>) -> Fault {
    let what = match asking.task {
        Task::Answer | Task::Stream => "answers",
        Task::CountTokens => "`/messages/count_tokens`",
        Task::Embed => "`/embeddings`",
    };
    Fault::new(
        FaultKind::Unsupported,
        format!("{what}: vendors of kind `{}` have no endpoint for it", asking.vendor.kind),
    )
}

/// A credential as a header's value, which no log shows.
pub(super) fn credential(value: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Fault::new(
            FaultKind::NoSecret,
            "the vendor's secret cannot stand in a header; set it again with `backstop vault set`",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A model's name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    let mut written = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@') {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
    }
    // A path resolves these two, encoded or not.
    match written.as_str() {
        "." | ".." => "_".repeat(written.len()),
        _ => written,
    }
}

/// Copies those of `names` that the caller sent.
pub(super) fn forward(from: &HeaderMap, names: &[&'static str], to: &mut HeaderMap) {
    for name in names {
        for value in from.get_all(*name) {
            to.append(HeaderName::from_static(name), value.clone());
        }
    }
}
