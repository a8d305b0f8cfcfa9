//! Why an operation was not done, as the API says it: `{"error": {"code", "message"}}`.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

pub(super) use crate::domain::chain;
use crate::{audit::AuditError, store::StoreError, vault::KeyAdminError};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    pub(super) status: StatusCode,
    /// For programs; does not change.
    pub(super) code: &'static str,
    /// For people.
    pub(super) message: String,
    /// For programs: what is missing, say.
    pub(super) detail: Option<Box<Value>>,
    pub(super) retry_after: Option<Duration>,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), detail: None, retry_after: None }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    pub(super) fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn wrong_method(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub(super) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(super) fn other_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", message)
    }

    pub(super) fn too_many(message: impl Into<String>, wait: Option<Duration>) -> Self {
        let wait = wait.unwrap_or(Duration::from_secs(1));
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message) }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        let again = Some(Duration::from_secs(5));
        Self { retry_after: again, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message) }
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// Whether nothing was done that a second try could do twice: such an answer is not remembered.
    pub(super) fn may_be_tried_again(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }

    pub(super) fn body(&self) -> String {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(detail) = &self.detail {
            error["detail"] = Value::clone(detail);
        }
        json!({ "error": error }).to_string()
    }

    pub fn detail(&self) -> Option<&Value> {
        self.detail.as_deref()
    }

    pub(super) fn with_detail(mut self, detail: Value) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], self.body()).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
        }
        response
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "an operator's request needs the database");
        Self::unavailable(error.to_string())
    }
}

impl From<AuditError> for Refused {
    fn from(error: AuditError) -> Self {
        Self::unavailable(chain(&error))
    }
}

impl From<KeyAdminError> for Refused {
    fn from(error: KeyAdminError) -> Self {
        match error {
            KeyAdminError::UnknownTenant { .. } | KeyAdminError::UnknownKey { .. } => {
                Self::not_found(error.to_string())
            }
            KeyAdminError::Name { .. } => Self::invalid(error.to_string()),
            KeyAdminError::TenantExists { .. } => Self::conflict("exists", error.to_string()),
            KeyAdminError::Store(error) => error.into(),
        }
    }
}
