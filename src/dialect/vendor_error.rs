//! What a vendor's error means: its kind, by status and by what the body says, and as much of it as a caller may see.
//!
//! The body's words go before the status, because vendors send a spent quota as 429 or 400, an unknown model as 400 and a
//! too long prompt as a plain invalid request. A vendor's message reaches a caller only where the question is at fault, and
//! then without addresses, keys and account names; what a vendor says of our key, our quota or itself never does.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Wire, cohere, converse, google_error::Details, object::Text};
use crate::domain::{FaultKind, Source};

/// The longest message of a vendor that is handed on, in bytes.
const MAX_MESSAGE: usize = 600;

/// An error that a vendor sent, classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorError {
    pub kind: FaultKind,
    /// The vendor's own code, or the error's type.
    pub code: Option<String>,
    /// Safe for a caller to see; only where the question is at fault.
    pub message: Option<String>,
    /// The field at fault, as the vendor names it.
    pub param: Option<String>,
    /// How long the vendor wants to be left alone, where the body says so.
    pub retry_after: Option<Duration>,
}

/// Classifies an error answer, by what its body says and then by its status.
///
/// The bodies of both dialects are read whichever one is expected: proxies and compatible servers mix them.
pub fn read_error(wire: Wire, status: u16, body: &[u8]) -> VendorError {
    read_named_error(wire, status, None, body)
}

/// [`read_error`] of an error whose type stands beside the body, as AWS's does in a header (`x-amzn-errortype`).
pub fn read_named_error(wire: Wire, status: u16, name: Option<&str>, body: &[u8]) -> VendorError {
    let said = Said::read(body).named(name);
    let kind = match said.kind(wire) {
        Some(kind) => kind,
        None if status == 400 && looks_like_html(body) => FaultKind::Malformed,
        None => by_status(wire, status),
    };
    said.into_error(kind)
}

/// Classifies an error object that came inside a 200 or a stream.
pub(super) fn read_error_object(wire: Wire, name: Option<&str>, body: &[u8]) -> VendorError {
    let said = Said::read(body).named(name);
    let by_code = || said.status.map(|status| by_status(wire, status));
    let kind = said.kind(wire).or_else(by_code).unwrap_or(FaultKind::ErrorInBody);
    said.into_error(kind)
}

/// What an error body says, whatever its form.
#[derive(Debug, Default)]
struct Said<'a> {
    kind: Option<Cow<'a, str>>,
    code: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
    param: Option<Cow<'a, str>>,
    /// A code that is a number is an HTTP status (OpenRouter, vLLM, Gemini's OpenAI endpoint).
    status: Option<u16>,
    /// Google's, with the status word as `kind`.
    details: Details,
}

/// The fields that an error object has in either dialect, at the top or below `error`.
#[derive(Deserialize)]
struct ErrorFields<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow, rename = "type", alias = "__type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow, alias = "Message")]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    param: Option<&'a RawValue>,
    /// Google's word, e.g. `RESOURCE_EXHAUSTED`.
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    details: Option<&'a RawValue>,
}

impl<'a> Said<'a> {
    fn read(body: &'a [u8]) -> Self {
        // Gemini's OpenAI endpoint wraps the object in an array.
        let object = serde_json::from_slice::<ErrorFields<'a>>(body)
            .ok()
            .or_else(|| serde_json::from_slice::<[ErrorFields<'a>; 1]>(body).ok().map(|[object]| object));
        let Some(outer) = object else { return Self::default() };
        let Some(raw) = outer.error else { return Self::from_fields(&outer) };
        match serde_json::from_str::<ErrorFields<'a>>(raw.get()) {
            Ok(inner) => Self::from_fields(&inner),
            Err(_) => Self { message: text(Some(raw)), ..Self::default() },
        }
    }

    fn from_fields(fields: &ErrorFields<'a>) -> Self {
        Self {
            kind: text(fields.kind).or_else(|| text(fields.status)),
            code: text(fields.code),
            message: text(fields.message).or_else(|| text(fields.detail)).or_else(|| list(fields)),
            param: text(fields.param),
            status: fields.code.and_then(|raw| raw.get().parse().ok()).filter(|status| (400..600).contains(status)),
            details: Details::read(fields.details),
        }
    }

    /// With the type that stands beside the body. AWS writes it as `Name:http://…`, and in a body as `com.amazon.x#Name`.
    fn named(mut self, name: Option<&'a str>) -> Self {
        let beside = name.and_then(|name| name.split(':').next()).map(Cow::Borrowed);
        self.kind = beside.or(self.kind.take()).map(|kind| match kind.rsplit_once('#') {
            Some((_, bare)) => Cow::Owned(bare.to_owned()),
            None => kind,
        });
        self
    }

    /// The kind, where the words tell one: a vendor's own first.
    fn kind(&self, wire: Wire) -> Option<FaultKind> {
        let own = match wire {
            Wire::BedrockConverse => {
                converse::error_kind(self.kind.as_deref().or(self.code.as_deref()), self.message.as_deref())
            }
            Wire::CohereChat => cohere::error_kind(self.message.as_deref()),
            _ => None,
        };
        match own {
            // What AWS calls only invalid, its words may tell better.
            Some(FaultKind::BadRequest) => self.common_kind().or(own),
            _ => own.or_else(|| self.common_kind()),
        }
    }

    fn common_kind(&self) -> Option<FaultKind> {
        let words = [self.code.as_deref(), self.kind.as_deref()];
        let by_word = |word| by_word(word).or_else(|| self.details.kind(word));
        words.into_iter().flatten().find_map(by_word).or_else(|| {
            let message = self.message.as_deref()?.to_ascii_lowercase();
            PHRASES.iter().find(|(phrase, _)| message.contains(phrase)).map(|(_, kind)| *kind)
        })
    }

    fn into_error(self, kind: FaultKind) -> VendorError {
        let callers = kind.source() == Source::Caller;
        let retry_after = self.details.retry_after();
        VendorError {
            kind,
            // A code or a path that reads like a secret or an address is none.
            code: self.code.or(self.kind).filter(|code| scrub(code) == **code).map(Cow::into_owned),
            message: self.message.filter(|_| callers).map(|message| scrub(&message)),
            param: self.param.filter(|param| callers && scrub(param) == **param).map(Cow::into_owned),
            retry_after,
        }
    }
}

/// OpenAI's and Azure's `code`s and `type`s and Anthropic's `type`s that tell more than the status does.
fn by_word(word: &str) -> Option<FaultKind> {
    Some(match word {
        "context_length_exceeded" | "exceed_context_size_error" | "model_max_prompt_tokens_exceeded" => {
            FaultKind::ContextLength
        }
        "content_policy_violation" | "content_filter" | "ResponsibleAIPolicyViolation" | "cyber_policy_violation" => {
            FaultKind::ContentPolicy
        }
        // What a response fails with.
        "invalid_prompt" | "bio_policy" | "image_content_policy_violation" => FaultKind::ContentPolicy,
        image if IMAGE_ERRORS.contains(&image) => FaultKind::BadRequest,
        "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" | "billing_error" => {
            FaultKind::QuotaExhausted
        }
        "invalid_api_key" | "authentication_error" | "permission_error" | "account_deactivated" => {
            FaultKind::VendorAuth
        }
        "model_not_found" | "not_found_error" | "DeploymentNotFound" | "OperationNotSupported" => {
            FaultKind::VendorNotFound
        }
        "rate_limit_exceeded" | "rate_limit_error" => FaultKind::RateLimited,
        "overloaded_error" | "overloaded" | "engine_overloaded" | "server_overloaded" => FaultKind::Overloaded,
        "server_error" | "api_error" | "timeout_error" | "internal_server_error" => FaultKind::ServerError,
        _ => return None,
    })
}

/// The codes of a response that failed because of an image of the caller's.
const IMAGE_ERRORS: [&str; 11] = [
    "invalid_image",
    "invalid_image_format",
    "invalid_base64_image",
    "invalid_image_url",
    "image_too_large",
    "image_too_small",
    "image_parse_error",
    "image_file_too_large",
    "unsupported_image_media_type",
    "empty_image_file",
    "failed_to_download_image",
];

/// Phrases of messages whose code and type say nothing of the kind; lower case.
const PHRASES: [(&str, FaultKind); 17] = [
    ("prompt is too long", FaultKind::ContextLength),
    ("maximum context length", FaultKind::ContextLength),
    ("exceed context limit", FaultKind::ContextLength),
    ("exceeds the context window", FaultKind::ContextLength),
    ("exceeds the available context size", FaultKind::ContextLength),
    ("exceeded model token limit", FaultKind::ContextLength),
    ("exceeds the maximum number of tokens", FaultKind::ContextLength),
    ("api key not valid", FaultKind::VendorAuth),
    // Gemini's older models have these and not what was asked for.
    ("function calling with a response mime type", FaultKind::Unsupported),
    // Mistral's and vLLM's word for a field that they do not know.
    ("extra_forbidden", FaultKind::Unsupported),
    ("penalty is not enabled", FaultKind::Unsupported),
    ("credit balance is too low", FaultKind::QuotaExhausted),
    ("specified api usage limits", FaultKind::QuotaExhausted),
    ("exceeded your current quota", FaultKind::QuotaExhausted),
    ("insufficient balance", FaultKind::QuotaExhausted),
    ("content filtering policy", FaultKind::ContentPolicy),
    ("content management policy", FaultKind::ContentPolicy),
];

fn by_status(wire: Wire, status: u16) -> FaultKind {
    match status {
        300..=399 => FaultKind::Redirected,
        401 | 403 => FaultKind::VendorAuth,
        402 => FaultKind::QuotaExhausted,
        404 | 405 | 410 => FaultKind::VendorNotFound,
        408 | 409 => FaultKind::ServerError,
        424 if wire == Wire::BedrockConverse => FaultKind::ServerError,
        // The question, or the answer, has something in it that Cohere's filter does not let through.
        498 if wire == Wire::CohereChat => FaultKind::ContentPolicy,
        // What it says when it has closed the request itself.
        499 if wire == Wire::CohereChat => FaultKind::ServerError,
        429 => FaultKind::RateLimited,
        400..=499 => FaultKind::BadRequest,
        529 => FaultKind::Overloaded,
        503 if !matches!(wire, Wire::AnthropicMessages | Wire::CohereChat) => FaultKind::Overloaded,
        500..=599 => FaultKind::ServerError,
        _ => FaultKind::Malformed,
    }
}

fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    let Text(text) = serde_json::from_str(raw?.get()).ok()?;
    Some(text).filter(|text| !text.is_empty())
}

/// A validator's list of what is wrong, as it stands.
fn list<'a>(fields: &ErrorFields<'a>) -> Option<Cow<'a, str>> {
    let raw = fields.message.or(fields.detail)?.get();
    raw.starts_with(['[', '{']).then_some(Cow::Borrowed(raw))
}

fn looks_like_html(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

/// The message without whatever names a host, a key or an account, on one line, bounded.
fn scrub(message: &str) -> String {
    let mut clean = String::with_capacity(message.len().min(MAX_MESSAGE));
    for word in message.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let word = if names_an_account(word) || word.contains("://") || is_host(bare) { "[…]" } else { word };
        if clean.len() + word.len() >= MAX_MESSAGE {
            clean.push_str(" […]");
            break;
        }
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(word);
    }
    clean
}

/// Whether something in the word begins as keys and accounts do.
fn names_an_account(word: &str) -> bool {
    ["sk-", "sk_", "gsk_", "xai-", "key-", "org-", "proj_", "ya29.", "projects/", "arn:", "AKIA", "ASIA"].iter().any(
        |start| word.match_indices(start).any(|(at, _)| !word[..at].ends_with(|before: char| before.is_alphanumeric())),
    )
}

/// An address with a port, or a name under a domain that hosts APIs. A field's path (`messages.0.content`) is neither.
fn is_host(word: &str) -> bool {
    let (name, port) = word.split_once(':').map_or((word, ""), |(name, rest)| (name, rest));
    let name = name.split('/').next().unwrap_or(name);
    let numeric = name.split('.').count() == 4 && name.split('.').all(|part| part.parse::<u8>().is_ok());
    let ported = name.contains('.') && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let domain = [".com", ".ai", ".net", ".org", ".io", ".cloud", ".dev", ".internal", ".local"];
    numeric || ported || domain.iter().any(|end| name.ends_with(end))
}
