//! A vendor's model as the gate's subject: asked whole, over the same client and dialects that serve calls.

use std::{sync::Arc, time::Duration};

use backstop_eval::subject::{BoxFuture, Scored, Subject, SubjectError};
use backstop_models::chat::{Answer, Chat, Sampling, Usage};
use bytes::Bytes;
use reqwest::header::HeaderMap;

use crate::{
    clock,
    config::Vendor,
    dialect::{self, BadRequest, Outgoing},
    domain::{Dialect, Fault, FaultKind, Prices, TargetId, Task, TokenUsage, Wire},
    vault::Vault,
    vendor::{Client, HttpAsk, answer_fault, ask_whole},
};

/// When to ask again a vendor that is too busy and does not say when.
const BUSY: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct VendorSubject {
    /// What reports call it.
    pub name: String,
    pub target: TargetId,
    pub vendor: Arc<Vendor>,
    pub client: Client,
    pub vault: Vault,
    /// What its tokens cost, where that is known.
    pub prices: Option<Prices>,
}

impl Subject for VendorSubject {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn cost_micros(&self, usage: &Usage) -> Option<u64> {
        let quote = self.prices.as_ref()?.quote(&TokenUsage::from(usage), clock::unix_ms())?;
        u64::try_from(quote.cost.micros).ok()
    }

    fn ask(&self, chat: Chat) -> BoxFuture<'_, Result<Answer, SubjectError>> {
        Box::pin(async move {
            self.exchange(&chat).await.map_err(|fault| match fault.kind {
                FaultKind::Unsupported | FaultKind::BadRequest => SubjectError::Refused(Box::new(fault)),
                _ => failed(fault),
            })
        })
    }

    fn score(&self, text: String) -> BoxFuture<'_, Result<Scored, SubjectError>> {
        Box::pin(async move {
            if self.vendor.wire_for(Dialect::OpenaiCompletions) != Wire::OpenaiCompletions {
                let what = format!(
                    "it gives no log-likelihoods of a text: vendors of kind `{}` have no `/completions`",
                    self.vendor.kind
                );
                return Err(SubjectError::Refused(what.into()));
            }
            self.scored(&text).await.map_err(|fault| match fault.kind {
                // An endpoint that is not there, or does not echo.
                FaultKind::Unsupported | FaultKind::BadRequest | FaultKind::VendorNotFound => {
                    SubjectError::Refused(format!("it gives no log-likelihoods of a text: {fault}").into())
                }
                _ => failed(fault),
            })
        })
    }
}

fn failed(fault: Fault) -> SubjectError {
    match fault.kind {
        FaultKind::RateLimited | FaultKind::Overloaded => {
            SubjectError::Busy { retry_after: fault.retry_after().unwrap_or(BUSY).min(LONGEST_WAIT) }
        }
        _ => SubjectError::Failed(Box::new(fault)),
    }
}

impl VendorSubject {
    async fn scored(&self, text: &str) -> Result<Scored, Fault> {
        let body = dialect::write_scoring(&self.target.model, text);
        let body = self.send(Wire::OpenaiCompletions, body).await?;
        let (tokens, usage) = dialect::read_scoring(&body).map_err(answer_fault)?;
        Ok(Scored { tokens, usage })
    }

    async fn exchange(&self, chat: &Chat) -> Result<Answer, Fault> {
        let outgoing = Outgoing {
            model: &self.target.model,
            stream: false,
            max_tokens_field: self.vendor.max_tokens_field,
            include_usage: false,
            default_max_tokens: 1024,
        };
        // A seed is a wish, and a vendor that has no such setting is certified by what it answers all the same.
        let unseeded = |refused: BadRequest| match refused.param.as_deref() {
            Some("seed") => {
                let sampling = Sampling { seed: None, ..chat.sampling.clone() };
                dialect::write_request(self.vendor.wire, &Chat { sampling, ..chat.clone() }, &outgoing)
            }
            _ => Err(refused),
        };
        let body = dialect::write_request(self.vendor.wire, chat, &outgoing)
            .or_else(unseeded)
            .map_err(|error| Fault::new(FaultKind::Unsupported, error.message).with_param(error.param))?;
        let body = self.send(self.vendor.wire, body).await?;
        dialect::read_answer(self.vendor.wire, &body).map_err(answer_fault)
    }

    /// One question, whose whole answer is wanted.
    async fn send(&self, wire: Wire, body: Vec<u8>) -> Result<Bytes, Fault> {
        let ask = HttpAsk {
            vendor: &self.vendor,
            client: &self.client,
            model: &self.target.model,
            task: Task::Answer,
            wire,
            secret: self.vault.get(&self.vendor.secret),
            headers: &HeaderMap::new(),
            body: Bytes::from(body),
            listener: &(),
        };
        ask_whole(ask).await
    }
}
