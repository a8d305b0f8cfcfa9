//! One request to a vendor in the making: which URL, which headers, whose credential. One file for each way of access.

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;

use super::{anthropic, openai};
use crate::{
    config::{Access, Vendor},
    domain::{Fault, FaultKind, Task, Wire},
};

/// What is to be asked of whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) vendor: &'a Vendor,
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
/// [`FaultKind::NoSecret`] when the secret is not of the form that the vendor's access needs.
pub(super) async fn prepare(asking: Asking<'_>) -> Result<Prepared, Fault> {
    match asking.vendor.access {
        Access::Openai => openai::prepare(asking),
        Access::Anthropic => anthropic::prepare(asking),
    }
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

/// Copies those of `names` that the caller sent.
pub(super) fn forward(from: &HeaderMap, names: &[&'static str], to: &mut HeaderMap) {
    for name in names {
        for value in from.get_all(*name) {
            to.append(HeaderName::from_static(name), value.clone());
        }
    }
}
