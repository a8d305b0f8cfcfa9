//! The model that runs in this process, as a subject: asked through the very engine that will serve it.

use backstop_models::{
    chat::{Answer, Chat, Fold},
    engine::{Engine, EngineFault},
};

use super::{BoxFuture, Subject, SubjectError};

/// An engine under examination. It may be serving meanwhile: a full queue is waited for, under the run's deadline.
#[derive(Clone)]
pub struct LocalSubject {
    engine: Engine,
}

impl LocalSubject {
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }

    async fn answer(&self, chat: Chat) -> Result<Answer, SubjectError> {
        let mut generation = self.engine.ask(chat).map_err(refused_or_failed)?;
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
