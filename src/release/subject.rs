//! A vendor's model as the gate's subject: asked whole, over the same client and dialects that serve calls.

use std::{sync::Arc, time::Duration};

use backstop_eval::subject::{BoxFuture, Subject, SubjectError};
use backstop_models::chat::{Answer, Chat};
use bytes::Bytes;
use reqwest::header::HeaderMap;

use crate::{
    config::Vendor,
    dialect::{self, Outgoing},
    domain::{Fault, FaultKind, TargetId, Task},
    vault::Vault,
    vendor::{Client, HttpAsk, answer_fault, ask_whole},
};

/// How long one answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct VendorSubject {
    pub target: TargetId,
    pub vendor: Arc<Vendor>,
    pub client: Client,
    pub vault: Vault,
}

impl Subject for VendorSubject {
    fn name(&self) -> String {
        self.target.to_string()
    }

    fn ask(&self, chat: Chat) -> BoxFuture<'_, Result<Answer, SubjectError>> {
        Box::pin(async move {
            let asked = tokio::time::timeout(ANSWER_DEADLINE, self.exchange(&chat)).await;
            asked.unwrap_or_else(|_| Err(Fault::new(FaultKind::AttemptTimeout, "no answer within a minute"))).map_err(
                |fault| match fault.kind {
                    FaultKind::Unsupported | FaultKind::BadRequest => SubjectError::Refused(Box::new(fault)),
                    _ => SubjectError::Failed(Box::new(fault)),
                },
            )
        })
    }
}

impl VendorSubject {
    async fn exchange(&self, chat: &Chat) -> Result<Answer, Fault> {
        let outgoing = Outgoing {
            model: &self.target.model,
            stream: false,
            max_tokens_field: self.vendor.max_tokens_field,
            include_usage: false,
            default_max_tokens: 1024,
        };
        let body = dialect::write_request(self.vendor.wire, chat, &outgoing)
            .map_err(|error| Fault::new(FaultKind::Unsupported, error.message).with_param(error.param))?;
        let ask = HttpAsk {
            vendor: &self.vendor,
            client: &self.client,
            model: &self.target.model,
            task: Task::Answer,
            wire: self.vendor.wire,
            secret: self.vault.get(&self.vendor.secret),
            headers: &HeaderMap::new(),
            body: Bytes::from(body),
            listener: &(),
        };
        let body = ask_whole(ask).await?;
        dialect::read_answer(self.vendor.wire, &body).map_err(answer_fault)
    }
}
