//! The one way from who asks, for what, with which body and key, to an operation of the table: the API and the console both go it, so that
//! rights, bounds, repetition and the audit log are the same for a token and for a button.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::http::{Method, StatusCode};
use serde_json::Value;

use super::{
    Admin,
    asked::{Asked, Operator},
    door,
    endpoint::{Endpoint, Given},
    once::Turn,
    refused::Refused,
    resource,
};
use crate::store::Remembered;

/// How long an operation may take.
const DONE_WITHIN: Duration = Duration::from_secs(120);

/// The table of operations, by method and path.
#[derive(Clone)]
pub(super) struct Operations(Arc<Vec<Arc<Endpoint>>>);

impl Operations {
    pub(super) fn all() -> Self {
        Self(Arc::new(resource::endpoints().into_iter().map(Arc::new).collect()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.0.iter()
    }

    /// `path` as the table has it, below `/admin/v1`.
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<&Endpoint, Refused> {
        let found = self.iter().find(|endpoint| endpoint.method == *method && endpoint.path == path);
        found.map(Arc::as_ref).ok_or_else(|| Refused::not_found(format!("there is no operation {method} {path}")))
    }
}

/// An operation that its operator may ask for. Nothing of it is done yet.
pub(super) struct Admitted<'t> {
    endpoint: &'t Endpoint,
    asked: Asked,
}

/// What a write was answered with.
pub(super) struct Done {
    pub(super) status: StatusCode,
    pub(super) body: String,
    /// It was done before, for a request with the same key.
    pub(super) replayed: bool,
}

/// Counts the request for its operator, whose role must have the right that the operation needs.
pub(super) fn admit<'t>(
    admin: &Arc<Admin>,
    endpoint: &'t Endpoint,
    operator: Operator,
    params: HashMap<String, String>,
) -> Result<Admitted<'t>, Refused> {
    door::count(admin, &operator)?;
    door::may(&operator, endpoint.right)?;
    Ok(Admitted { endpoint, asked: Asked { admin: Arc::clone(admin), operator, params } })
}

impl Admitted<'_> {
    pub(super) async fn read(self, query: String) -> Result<Value, Refused> {
        within((self.endpoint.handler)(self.asked, Given::Query(query))).await
    }

    /// `path`: the whole one that was asked for, which a repeated `key` must be about again.
    pub(super) async fn write(self, path: &str, body: Vec<u8>, key: Option<&str>) -> Result<Done, Refused> {
        let Self { endpoint, asked } = self;
        let status = StatusCode::from_u16(endpoint.status).unwrap_or(StatusCode::OK);
        let Some(key) = key else {
            let value = write(endpoint, asked, body).await?;
            return Ok(Done { status, body: value.to_string(), replayed: false });
        };
        let admin = Arc::clone(&asked.admin);
        let request = [endpoint.method.as_str().as_bytes(), path.as_bytes(), &body];
        let operator = asked.operator.id.clone();
        match admin.once.begin(&operator, key, request).await? {
            Turn::Repeated(answer) => {
                let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
                Ok(Done { status, body: answer.body, replayed: true })
            }
            Turn::First(under_way) => {
                let done = write(endpoint, asked, body).await;
                under_way.end(remembered(endpoint, &done)).await;
                Ok(Done { status, body: done?.to_string(), replayed: false })
            }
        }
    }
}

fn remembered(endpoint: &Endpoint, done: &Result<Value, Refused>) -> Option<Remembered> {
    match done {
        Ok(value) => {
            let mut kept = value.clone();
            if let Some(member) = endpoint.shown_once {
                kept[member] = Value::Null;
            }
            Some(Remembered { status: endpoint.status, body: kept.to_string() })
        }
        Err(refused) if refused.may_be_tried_again() => None,
        Err(refused) => Some(Remembered { status: refused.status.as_u16(), body: refused.body() }),
    }
}

/// Runs a write on a task of its own: whoever hangs up does not stop it half way.
async fn write(endpoint: &Endpoint, asked: Asked, body: Vec<u8>) -> Result<Value, Refused> {
    let admin = Arc::clone(&asked.admin);
    let handled = (endpoint.handler)(asked, Given::Body(body));
    let done = tokio::spawn(within(handled)).await;
    sign_soon(&admin);
    done.unwrap_or_else(|_| Err(Refused::internal("the gateway failed at this; its log has the reason")))
}

/// The log is signed soon after, as after a verb of the command line. A failure is told by the log's own upkeep.
pub(super) fn sign_soon(admin: &Arc<Admin>) {
    let (audit, vault) = (admin.audit.clone(), admin.api.relay.vault.clone());
    tokio::spawn(async move {
        if let Err(error) = crate::audit::sign(&audit, &vault).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the audit log is not signed yet");
        }
    });
}

async fn within(handled: impl Future<Output = Result<Value, Refused>>) -> Result<Value, Refused> {
    let done = tokio::time::timeout(DONE_WITHIN, handled).await;
    done.unwrap_or_else(|_| Err(Refused::unavailable("it takes longer than two minutes")))
}
