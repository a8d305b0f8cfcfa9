//! What is wrong with a caller's body, told by the field's path, as in `messages[2].content[0].type`.

use super::Dialect;

/// A body that is refused. Changes nothing, goes nowhere; the caller can mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadRequest {
    /// For the caller: names the field.
    pub message: String,
    /// The field's path in the caller's own dialect; `None` when the body as a whole is wrong.
    pub param: Option<String>,
    pub code: Option<&'static str>,
}

impl BadRequest {
    /// The [`BadRequest::code`] of a field that is fine by itself but cannot be carried to the target at hand.
    pub const UNSUPPORTED: &str = "unsupported_parameter";

    /// Whether another target, one that speaks the caller's dialect, could take the body.
    pub fn is_unsupported(&self) -> bool {
        self.code == Some(Self::UNSUPPORTED)
    }

    /// A vendor's side names fields as chat completions do; in responses some are called otherwise.
    #[must_use]
    pub fn as_named_in(self, dialect: Dialect) -> Self {
        let Some(param) = self.param.as_deref().filter(|_| dialect == Dialect::OpenaiResponses) else { return self };
        let named = match param.strip_prefix("response_format") {
            Some(rest) => format!("text.format{rest}"),
            // Items are not messages one for one.
            None if param.starts_with("messages") => "input".to_owned(),
            None => param.replace(".function.", "."),
        };
        Self { message: self.message.replace(&format!("`{param}`"), &format!("`{named}`")), param: Some(named), ..self }
    }

    pub(super) fn body(message: String) -> Self {
        Self { message, param: None, code: Some("invalid_body") }
    }

    pub(super) fn syntax(error: &serde_json::Error) -> Self {
        Self { message: format!("the body is not valid JSON: {error}"), param: None, code: Some("invalid_json") }
    }

    pub(super) fn missing(path: String) -> Self {
        Self { message: format!("`{path}` is required"), param: Some(path), code: Some("missing_required_parameter") }
    }

    pub(super) fn wrong_type(path: String, expected: &str, found: &str) -> Self {
        let message = format!("`{path}` must be {expected}, not {found}");
        Self { message, param: Some(path), code: Some("invalid_type") }
    }

    /// `what` continues the field's name: `must be at least 1`.
    pub(super) fn invalid(path: String, what: &str) -> Self {
        Self { message: format!("`{path}` {what}"), param: Some(path), code: Some("invalid_value") }
    }

    /// `why` says what the other side lacks.
    pub(super) fn unsupported(path: String, why: &str) -> Self {
        let message = format!("`{path}` is not supported by the target that was to answer: {why}; leave it out");
        Self { message, param: Some(path), code: Some(Self::UNSUPPORTED) }
    }
}
