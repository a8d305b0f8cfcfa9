//! The model that runs in this process, as a subject: asked through the very engine that will serve it.

use std::time::{Duration, Instant};

use backstop_models::{
    chat::{Answer, Chat, Completion, Fold, Prompt, Sampling},
    engine::{Class, Engine, EngineFault},
};

use super::{BoxFuture, Scored, Subject, SubjectError};

/// An engine under examination. It may be serving meanwhile: a full queue is waited for, under the run's deadline.
#[derive(Clone)]
pub struct LocalSubject {
    engine: Engine,
    class: Class,
}

/// How long an answer may take at most; the run's deadline is what ends one.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl LocalSubject {
    pub fn new(engine: Engine) -> Self {
        Self { engine, class: Class::default() }
    }

    /// As [`Self::new`], of an engine whose callers come first.
    pub fn giving_way(engine: Engine) -> Self {
        Self { engine, class: Class::Batch }
    }

    async fn answer(&self, chat: Chat) -> Result<Answer, SubjectError> {
        let mut generation =
            self.engine.ask_as(chat, self.class, Instant::now() + LONGEST).map_err(refused_or_failed)?;
        let mut fold = Fold::default();
        while let Some(event) = generation.next().await {
            fold.push(event.map_err(refused_or_failed)?);
        }
        fold.into_answer().ok_or(SubjectError::Truncated)
    }
}

impl Subject for LocalSubject {
    fn name(&self) -> String {
        format!("local/{}", self.engine.model_id())
    }

    fn engine(&self) -> Option<String> {
        Some(self.engine.identity().engine.clone())
    }

    fn ask(&self, chat: Chat) -> BoxFuture<'_, Result<Answer, SubjectError>> {
        Box::pin(self.answer(chat))
    }

    fn score(&self, text: String) -> BoxFuture<'_, Result<Scored, SubjectError>> {
        let chat = Chat {
            completion: Some(Completion { prompts: vec![Prompt::Text(text)], echo: true }),
            sampling: Sampling { temperature: Some(0.0), logprobs: Some(1), ..Sampling::default() },
            max_tokens: Some(0),
            ..Chat::default()
        };
        Box::pin(async move {
            let Answer { logprobs, usage, .. } = self.answer(chat).await?;
            Ok(Scored { tokens: logprobs, usage })
        })
    }
}

fn refused_or_failed(fault: EngineFault) -> SubjectError {
    match fault {
        EngineFault::Unsupported { .. } | EngineFault::BadRequest { .. } | EngineFault::ContextLength { .. } => {
            SubjectError::Refused(Box::new(fault))
        }
        EngineFault::Busy { retry_after } => SubjectError::Busy { retry_after },
        EngineFault::OutOfTime | EngineFault::Failed { .. } | EngineFault::Stopped => {
            SubjectError::Failed(Box::new(fault))
        }
    }
}
