//! Who is examined: anything that can be asked a [`Chat`].
//!
//! A subject answers as it would answer a caller, and says nothing about its own quality. Bounds on waiting are the run's.

use std::{error::Error, future::Future, pin::Pin, time::Duration};

use backstop_models::chat::{Answer, Chat, TokenLogprob, Usage};

mod local;

pub use local::LocalSubject;

/// A future that can be boxed behind [`Subject`].
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A model, near or far.
pub trait Subject: Send + Sync {
    /// The target: `vendor/model`.
    fn name(&self) -> String;

    /// What runs the model, where the subject can tell: name and version of the engine.
    fn engine(&self) -> Option<String> {
        None
    }

    /// What an answer cost, in millionths of a dollar, where the subject has a price.
    fn cost_micros(&self, _usage: &Usage) -> Option<u64> {
        None
    }

    fn ask(&self, chat: Chat) -> BoxFuture<'_, Result<Answer, SubjectError>>;

    /// The log-probabilities of a text's tokens, the text as it is, without a chat template.
    fn score(&self, _text: String) -> BoxFuture<'_, Result<Scored, SubjectError>> {
        let lacks = "it gives no log-likelihoods of a text (`/v1/completions` with `echo` and `logprobs`)";
        Box::pin(async move { Err(SubjectError::Refused(lacks.into())) })
    }
}

/// A text as a subject scored it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Of the whole text, in order; a server may have more before and after it.
    pub tokens: Vec<TokenLogprob>,
    pub usage: Usage,
}

/// Why a question got no answer. A refusal is a miss, everything else an error of the run; neither is ever a pass.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    #[error("the subject refused the question: {0}; it cannot be certified by this suite")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    #[error("the subject failed: {0}; mend it and run again")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    #[error("the subject is too busy; run again later, or with less --concurrency")]
    Busy {
        /// When to ask again.
        retry_after: Duration,
    },
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("the answer broke off without a finish; run again")]
    Truncated,
}
