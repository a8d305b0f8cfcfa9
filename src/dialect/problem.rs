//! What a caller is told when there is no answer: a kind, a status, and an error object in the caller's own dialect.

use serde::Serialize;

use super::Dialect;

/// An error for a caller; holds nothing that a caller must not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub kind: ProblemKind,
    pub message: String,
    /// The field at fault. Anthropic's dialect has no place for it but the message.
    pub param: Option<String>,
    /// `None`: what OpenAI says in such a case, see [`ProblemKind`].
    pub code: Option<String>,
}

/// What kind of error it is, by what a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    InvalidRequest,
    Authentication,
    Permission,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
    RateLimited,
    /// Nobody can answer now; a later try may.
    Unavailable,
    /// Whoever answered did not make sense.
    BadGateway,
    Timeout,
    Overloaded,
    Internal,
}

/// The HTTP status that a dialect's SDKs expect.
pub fn status(dialect: Dialect, kind: ProblemKind) -> u16 {
    match kind {
        ProblemKind::InvalidRequest => 400,
        ProblemKind::Authentication => 401,
        ProblemKind::Permission => 403,
        ProblemKind::NotFound => 404,
        ProblemKind::TooLarge => 413,
        ProblemKind::UnsupportedMediaType => 415,
        ProblemKind::RateLimited => 429,
        ProblemKind::Internal => 500,
        ProblemKind::BadGateway => 502,
        ProblemKind::Unavailable => 503,
        ProblemKind::Timeout => 504,
        ProblemKind::Overloaded => match dialect {
            Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::OpenaiCompletions => 503,
            Dialect::AnthropicMessages => 529,
        },
    }
}

/// The error body: OpenAI `{"error":{"message","type","param","code"}}` with null where nothing applies, Anthropic
/// `{"type":"error","error":{"type","message"},"request_id"}`.
pub fn write_problem(dialect: Dialect, problem: &Problem, request_id: &str) -> Vec<u8> {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::OpenaiCompletions => {
            to_json(&OpenaiBody { error: ErrorFields::of(problem) })
        }
        Dialect::AnthropicMessages => {
            let message = match &problem.param {
                Some(param) if !problem.message.contains(param.as_str()) => format!("{param}: {}", problem.message),
                _ => problem.message.clone(),
            };
            let error = AnthropicError { kind: anthropic_type(problem.kind), message: &message };
            to_json(&AnthropicBody { kind: "error", error, request_id })
        }
    }
}

#[derive(Serialize)]
struct OpenaiBody<'a> {
    error: ErrorFields<'a>,
}

/// OpenAI's error object.
#[derive(Serialize)]
pub(super) struct ErrorFields<'a> {
    pub(super) message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    pub(super) param: Option<&'a str>,
    pub(super) code: Option<&'a str>,
}

impl<'a> ErrorFields<'a> {
    pub(super) fn of(problem: &'a Problem) -> Self {
        Self {
            message: &problem.message,
            kind: match problem.code.as_deref() {
                // OpenAI itself says it twice.
                Some(code @ "insufficient_quota") => code,
                _ => openai_type(problem.kind),
            },
            param: problem.param.as_deref(),
            code: problem.code.as_deref().or(openai_code(problem.kind)),
        }
    }
}

#[derive(Serialize)]
struct AnthropicBody<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    error: AnthropicError<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    message: &'a str,
}

fn to_json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings are always JSON")
}

fn openai_type(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::InvalidRequest
        | ProblemKind::Authentication
        | ProblemKind::NotFound
        | ProblemKind::TooLarge
        | ProblemKind::UnsupportedMediaType => "invalid_request_error",
        ProblemKind::Permission => "permission_error",
        ProblemKind::RateLimited => "rate_limit_error",
        ProblemKind::Timeout => "timeout_error",
        ProblemKind::Unavailable | ProblemKind::BadGateway | ProblemKind::Overloaded | ProblemKind::Internal => {
            "server_error"
        }
    }
}

/// The code that OpenAI itself gives where a caller may look for it.
fn openai_code(kind: ProblemKind) -> Option<&'static str> {
    match kind {
        ProblemKind::Authentication => Some("invalid_api_key"),
        ProblemKind::RateLimited => Some("rate_limit_exceeded"),
        _ => None,
    }
}

fn anthropic_type(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::InvalidRequest | ProblemKind::UnsupportedMediaType => "invalid_request_error",
        ProblemKind::Authentication => "authentication_error",
        ProblemKind::Permission => "permission_error",
        ProblemKind::NotFound => "not_found_error",
        ProblemKind::TooLarge => "request_too_large",
        ProblemKind::RateLimited => "rate_limit_error",
        ProblemKind::Timeout => "timeout_error",
        ProblemKind::Unavailable | ProblemKind::Overloaded => "overloaded_error",
        ProblemKind::BadGateway | ProblemKind::Internal => "api_error",
    }
}
