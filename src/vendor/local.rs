//! The in-process tier as a target: engines by model, and their generations as frames.
//!
//! What the tier accepts it finishes: the only clock that runs against it is the call's whole budget, and when that ends
//! the answer ends too, as one that reached its length.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use backstop_models::{
    chat::Chat,
    embed::{EmbedFault, Embedded, Embedder},
    engine::{Class, Engine, EngineFault},
};
use tokio::sync::Semaphore;

mod frames;

pub(super) use frames::LocalFrames;
use frames::{Single, singles};

use super::Machine;
use crate::{
    config::Criticality,
    domain::{Fault, FaultKind},
};

/// How long past its time an answer's last events may take: one token, on a slow machine.
const GRACE: Duration = Duration::from_secs(2);

/// All local models, by id. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LocalTier {
    models: Arc<ArcSwap<HashMap<String, LocalState>>>,
    /// The turn to count tokens.
    counting: Arc<Semaphore>,
    loads: Arc<AtomicU64>,
    machine: Machine,
}

impl Default for LocalTier {
    fn default() -> Self {
        Self {
            models: Arc::default(),
            counting: Arc::new(Semaphore::new(1)),
            loads: Arc::default(),
            machine: Machine::default(),
        }
    }
}

/// How one local model is.
#[derive(Debug, Clone)]
pub enum LocalState {
    Loading(Loading),
    Ready(Engine),
    /// One that makes embeddings, ready.
    Embedder(Embedder),
    Failed {
        why: Arc<str>,
        at: Instant,
    },
    /// The memory that local models may have does not suffice for it.
    NoRoom {
        why: Arc<str>,
    },
}

/// What a loaded model makes of texts.
#[derive(Debug)]
pub struct Words(LocalState);

impl Words {
    /// Tokens of a text by itself, on the calling thread.
    pub fn tokens_in(&self, text: &str) -> Option<u64> {
        let tokens = match &self.0 {
            LocalState::Ready(engine) => engine.tokens_in(text),
            LocalState::Embedder(embedder) => embedder.tokens_in(text),
            LocalState::Loading(_) | LocalState::Failed { .. } | LocalState::NoRoom { .. } => None,
        };
        tokens.map(|tokens| tokens as u64)
    }
}

/// A load that goes on.
#[derive(Debug, Clone)]
pub struct Loading {
    pub since: Instant,
    /// Why it has not begun yet.
    pub waits: Option<Arc<str>>,
    /// Tells it from others of the same model.
    number: u64,
}

impl LocalState {
    /// Why no call may be sent to it at `now`.
    pub fn refusal(&self, now: Instant) -> Option<String> {
        match self {
            Self::Ready(engine) => engine.refusal(now),
            Self::Embedder(_) => None,
            Self::Failed { why, .. } | Self::NoRoom { why } => Some(why.to_string()),
            Self::Loading(loading) => Some(loading.describe(now)),
        }
    }
}

impl Loading {
    /// The same, which has not begun yet.
    pub fn waiting(&self, why: String) -> Self {
        Self { waits: Some(why.into()), ..self.clone() }
    }

    fn describe(&self, now: Instant) -> String {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        match &self.waits {
            Some(why) => format!("waits to be loaded since {seconds} s: {why}"),
            None => format!("is being loaded since {seconds} s"),
        }
    }
}

impl LocalTier {
    /// What all local models compute on.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    pub fn set(&self, model: &str, state: LocalState) {
        self.models.rcu(|models| {
            let mut models = HashMap::clone(models);
            models.insert(model.to_owned(), state.clone());
            models
        });
    }

    /// Says that `model` is being loaded.
    pub fn load(&self, model: &str) -> Loading {
        let number = self.loads.fetch_add(1, Ordering::Relaxed);
        let loading = Loading { since: Instant::now(), waits: None, number };
        self.set(model, LocalState::Loading(loading.clone()));
        loading
    }

    /// Whether `loading` is still what is wanted of `model`.
    pub fn is_wanted(&self, model: &str, loading: &Loading) -> bool {
        matches!(self.models.load().get(model), Some(LocalState::Loading(current)) if current.number == loading.number)
    }

    /// Puts `state` in the place of `loading`, unless that is not wanted any more. Whether it did.
    pub fn put(&self, model: &str, loading: &Loading, state: &LocalState) -> bool {
        let mut done = false;
        self.models.rcu(|models| {
            let mut models = HashMap::clone(models);
            let current =
                |state: &LocalState| matches!(state, LocalState::Loading(current) if current.number == loading.number);
            done = models.get(model).is_some_and(current);
            if done {
                models.insert(model.to_owned(), state.clone());
            }
            models
        });
        done
    }

    pub fn remove(&self, model: &str) {
        self.models.rcu(|models| {
            let mut models = HashMap::clone(models);
            models.remove(model);
            models
        });
    }

    /// A snapshot of all models.
    pub fn models(&self) -> Arc<HashMap<String, LocalState>> {
        self.models.load_full()
    }

    /// Puts the answers that `chat` asks for into the model's queue, where they matter as much as `criticality` says. They end
    /// by `until`.
    pub fn ask(&self, model: &str, chat: Chat, criticality: Criticality, until: Instant) -> Result<LocalFrames, Fault> {
        let class = match criticality {
            Criticality::Critical => Class::Critical,
            Criticality::Standard => Class::Standard,
            Criticality::Batch => Class::Batch,
        };
        let engine = self.engine(model)?;
        let (count, most) = (frames::count(&chat), engine.capacity(class));
        if count > most {
            let detail = format!("it asks for {count} answers, and the local model takes {most} at a time at most");
            return Err(Fault::new(FaultKind::BadRequest, detail).with_param(Some("n".to_owned())));
        }
        // When one of them is refused, the others are let go with it.
        let ask = |single: Single| Ok((engine.ask_as(single.chat, class, until)?, single.counts_input));
        let generations = singles(chat).into_iter().map(ask).collect::<Result<_, _>>().map_err(engine_fault)?;
        Ok(LocalFrames::new(generations, until + GRACE))
    }

    /// How many tokens the model reads `chat` as. One count at a time, on a thread where that disturbs nobody; one that is
    /// given up keeps its turn until it is done.
    pub async fn count(&self, model: &str, chat: Chat) -> Result<u64, Fault> {
        let engine = self.engine(model)?;
        let closed = |_| Fault::new(FaultKind::Engine, "the local tier is going down");
        let turn = Arc::clone(&self.counting).acquire_owned().await.map_err(closed)?;
        let counted = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            engine.count(chat)
        });
        match counted.await {
            Ok(Ok(tokens)) => Ok(tokens as u64),
            Ok(Err(fault)) => Err(engine_fault(fault)),
            Err(_) => Err(Fault::new(FaultKind::Engine, "the local engine failed at the count")),
        }
    }

    /// The tokenizer of a model that is loaded.
    pub fn words(&self, model: &str) -> Option<Words> {
        self.models.load().get(model).filter(|state| state.refusal(Instant::now()).is_none()).cloned().map(Words)
    }

    /// Embeds texts with the model; they wait for their turn.
    pub async fn embed(&self, model: &str, texts: Vec<String>) -> Result<Embedded, Fault> {
        let state = self.models.load().get(model).cloned();
        match state {
            Some(LocalState::Embedder(embedder)) => embedder.embed(texts).await.map_err(embed_fault),
            Some(LocalState::Ready(_)) => {
                Err(Fault::new(FaultKind::Unsupported, "the local model makes no embeddings"))
            }
            other => Err(unusable(other.as_ref())),
        }
    }

    fn engine(&self, model: &str) -> Result<Engine, Fault> {
        let models = self.models.load();
        match models.get(model) {
            Some(LocalState::Ready(engine)) => match engine.refusal(Instant::now()) {
                None => Ok(engine.clone()),
                Some(why) => Err(not_ready(format!("the local model is not usable: {why}"))),
            },
            Some(LocalState::Embedder(_)) => {
                Err(Fault::new(FaultKind::Unsupported, "the local model makes embeddings and does not chat"))
            }
            other => Err(unusable(other)),
        }
    }
}

/// The code of a fault of an engine that was not asked, because it is not ready.
pub const NOT_READY: &str = "local_model_not_ready";

/// Of a model that is not there.
fn unusable(state: Option<&LocalState>) -> Fault {
    let why = match state {
        Some(LocalState::Loading(_)) => "the local model is still being loaded; try again soon".to_owned(),
        Some(state) => match state.refusal(Instant::now()) {
            Some(why) => format!("the local model is not usable: {why}"),
            None => "the local model is not loaded".to_owned(),
        },
        None => "the local model is not loaded".to_owned(),
    };
    not_ready(why)
}

/// The engine itself knows when it is well again, so nobody has to leave it alone for a while to find out.
fn not_ready(why: String) -> Fault {
    Fault::new(FaultKind::Engine, why).with_code(NOT_READY)
}

fn embed_fault(fault: EmbedFault) -> Fault {
    let kind = match &fault {
        EmbedFault::Busy => FaultKind::Busy,
        EmbedFault::TooLong { .. } => FaultKind::ContextLength,
        EmbedFault::Empty { .. } => FaultKind::BadRequest,
        EmbedFault::Failed(_) => FaultKind::Engine,
    };
    let said = Fault::new(kind, fault.to_string());
    match fault {
        EmbedFault::TooLong { .. } => said.with_param(Some("input".to_owned())).with_code("context_length_exceeded"),
        EmbedFault::Empty { index } => said.with_param(Some(format!("input[{index}]"))),
        EmbedFault::Busy | EmbedFault::Failed(_) => said,
    }
}

fn engine_fault(fault: EngineFault) -> Fault {
    match fault {
        EngineFault::Busy { retry_after } => {
            Fault::new(FaultKind::Busy, "the local model is busy").with_retry_after(Some(retry_after))
        }
        EngineFault::Unsupported { field, why } => {
            Fault::new(FaultKind::Unsupported, format!("the local model cannot do `{field}`: {why}"))
                .with_param(Some(field))
        }
        EngineFault::BadRequest { field, why } => {
            Fault::new(FaultKind::BadRequest, format!("`{field}`: {why}")).with_param(Some(field))
        }
        EngineFault::ContextLength { prompt_tokens, limit } => {
            let detail = format!("the prompt has {prompt_tokens} tokens, the local model takes {limit}");
            let mut fault = Fault::new(FaultKind::ContextLength, detail).with_param(Some("messages".to_owned()));
            fault.code = Some("context_length_exceeded".to_owned());
            fault
        }
        EngineFault::OutOfTime => {
            Fault::new(FaultKind::TotalTimeout, "the local model had no turn within the call's time")
        }
        EngineFault::Failed { why } => Fault::new(FaultKind::Engine, format!("the local engine failed: {why}")),
        EngineFault::Stopped => Fault::new(FaultKind::Engine, "the local engine has stopped"),
    }
}
