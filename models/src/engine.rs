//! The model that answers inside this process.
//!
//! One thread owns the weights and the cache and computes for all calls at once, a step at a time ([`crate::schedule`]);
//! everything else holds an [`Engine`], which only checks a call and queues it. A call that would come too late, or finds the
//! line full, is refused before its prompt is even tokenized; what is accepted is finished. An answer's events are bounded by
//! its tokens, and a caller that goes away is noticed within one step. A panic or a hang of a step is told to every caller
//! whose answer was in it, the weights are loaded anew, and those who wait are served; when that happens too often the
//! engine gives up and says so. An idle engine draws a token now and then, so that its health is a fact and not a hope.
//! Nothing that was said is ever logged.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as std_mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::arch::Forward;
use crate::chat::{Chat, Event};
use crate::files::ModelFiles;
use crate::load::{self, Identity, LoadError, LoadFault};
use crate::machine::{Hold, Seat};
pub use crate::schedule::Class;
use crate::schedule::Limits;

mod admit;
mod answer;
mod batch;
mod calls;
mod health;
mod lookup;
mod model;
mod odds;
mod options;
mod pace;
mod queue;
mod running;
mod stop;
mod voice;
mod watch;
mod worker;

pub use health::{Health, State};
pub use lookup::Guesses;
use model::Model;
pub use options::EngineOptions;
use pace::{Ahead, Pace};
use queue::{Queue, Refused};

/// A handle to a running engine; clones share it. The engine ends when the last is dropped and what was queued is answered.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    _closer: Arc<Closer>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("model", &self.model_id()).finish_non_exhaustive()
    }
}

/// An answer on its way. Dropping it cancels it.
#[derive(Debug)]
pub struct Generation {
    events: mpsc::Receiver<Result<Event, EngineFault>>,
    ended: bool,
}

/// Why a call was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineFault {
    #[error("the local model is busy; try again in {} s", retry_after.as_secs().max(1))]
    Busy {
        /// When the call is likely to be taken, by the answers given so far.
        retry_after: Duration,
    },
    /// The model, or this engine, cannot do it.
    #[error("the local model does not support `{field}`: {why}")]
    Unsupported { field: String, why: String },
    #[error("the prompt has {prompt_tokens} tokens, and the local model takes {limit} with the answer")]
    ContextLength {
        /// At least this many, where counting on would have been waste.
        prompt_tokens: usize,
        limit: usize,
    },
    #[error("`{field}` is invalid: {why}")]
    BadRequest { field: String, why: String },
    /// The call's time was over before its answer could begin.
    #[error("the local model had no turn within the call's time")]
    OutOfTime,
    /// Our fault, and this call's only.
    #[error("the local model failed: {why}")]
    Failed { why: String },
    #[error("the local model is not running")]
    Stopped,
}

impl Engine {
    /// Loads the model and starts its thread. Blocks until the model can answer.
    ///
    /// # Errors
    /// When the files are not a model that this engine can run; nothing is left behind then.
    pub fn start(files: ModelFiles, options: EngineOptions) -> Result<Self, LoadError> {
        let header = load::read_header(&files)?;
        let needs = options.needs(&load::size_of_header(&files, &header));
        let short = |short| LoadError::new(&files.weights, LoadFault::NoMemory(short));
        let memory = &options.machine.memory;
        let cache = needs.cache_within(memory.left()).unwrap_or(needs.least_cache);
        let hold = memory.take(needs.with_cache(cache)).map_err(short)?;
        let model = Model::open(&files, &header, options.context_tokens, options.device)?;
        // The loader reads its own, without what tokens are called.
        drop(header);
        let (context, threads, device) = (model.context_tokens.get(), options.threads(), options.device);
        let path = files.weights.clone();
        let loader = move || load::load_weights(&files, context, threads, device);
        Self::spawn(model, options, (cache, hold), Box::new(loader)).map_err(|fault| match fault {
            SpawnFault::Load(error) => error,
            SpawnFault::Thread(source) => LoadError::new(&path, LoadFault::Thread(source)),
            SpawnFault::Died => LoadError::new(&path, LoadFault::ThreadDied),
        })
    }

    /// Queues a call. Never blocks; what cannot be done is refused here where that shows without tokenizing, else as the
    /// answer's first item.
    ///
    /// Without `max_tokens` an answer has at most 1024 tokens, and none is longer than the context leaves room for.
    ///
    /// # Errors
    /// See [`EngineFault`].
    pub fn ask(&self, chat: Chat) -> Result<Generation, EngineFault> {
        self.queue(chat, Class::default(), None)
    }

    /// As [`Self::ask`], for a caller who waits no longer than `until`: an answer that is not whole by then ends as one
    /// that reached its length, and one that has not begun is [`EngineFault::OutOfTime`].
    pub fn ask_until(&self, chat: Chat, until: Instant) -> Result<Generation, EngineFault> {
        self.queue(chat, Class::default(), Some(until))
    }

    /// As [`Self::ask_until`], for a call that matters as much as `class` says.
    pub fn ask_as(&self, chat: Chat, class: Class, until: Instant) -> Result<Generation, EngineFault> {
        self.queue(chat, class, Some(until))
    }

    /// How many tokens the prompt of `chat` has, whether or not they fit the context: what an answer's usage would say.
    /// Takes no place in the queue; renders and tokenizes on the calling thread.
    ///
    /// # Errors
    /// What [`Self::ask`] would refuse but for its length.
    pub fn count(&self, chat: Chat) -> Result<usize, EngineFault> {
        let model = &self.shared.model;
        let call = admit::admit_of_any_length(chat, model)?;
        Ok(answer::prompt(&call, model, OffsetDateTime::now_utc())?.len())
    }

    /// How many tokens a text has by itself. Tokenizes on the calling thread.
    pub fn tokens_in(&self, text: &str) -> Option<usize> {
        self.shared.model.vocabulary.encode(text).ok().map(|tokens| tokens.len())
    }

    fn queue(&self, chat: Chat, class: Class, until: Option<Instant>) -> Result<Generation, EngineFault> {
        let shared = &self.shared;
        let call = admit::admit(chat, &shared.model)?;
        let tokens = call.likely_tokens;
        shared.refuse_late(class, tokens, until)?;
        let span = tracing::info_span!(
            "generation",
            model = %shared.model.id,
            prompt_tokens = tracing::field::Empty,
            cached_tokens = tracing::field::Empty,
            output_tokens = tracing::field::Empty,
            guessed_tokens = tracing::field::Empty,
            finish = tracing::field::Empty,
        );
        let (sender, events) = mpsc::channel(voice::most_events(call.max_tokens));
        let job = worker::Job { call, class, until, events: sender, span };
        match shared.queue.push(job, (class, tokens), |waiting| waiting.events.is_closed()) {
            Ok(()) => Ok(Generation { events, ended: false }),
            Err(Refused::Full { before }) => {
                Err(EngineFault::Busy { retry_after: shared.pace().retry_after(before, shared.limits.running) })
            }
            Err(Refused::Closed) => Err(EngineFault::Stopped),
        }
    }

    /// How many calls of `class` it takes over at most, before any of them is answered.
    pub fn capacity(&self, class: Class) -> usize {
        class.share_of(self.shared.options.queue) + self.shared.limits.running
    }

    pub fn identity(&self) -> &Identity {
        &self.shared.model.identity
    }

    /// The catalog id.
    pub fn model_id(&self) -> &str {
        &self.shared.model.id
    }

    /// The most tokens that a prompt and its answer may have together.
    pub fn context_tokens(&self) -> usize {
        self.shared.model.context_tokens.get()
    }

    /// How many bytes of keys and values it keeps.
    pub fn cache_bytes(&self) -> u64 {
        self.shared.cache_bytes
    }

    fn spawn(
        model: Model,
        options: EngineOptions,
        (cache, hold): (u64, Hold),
        loader: Loader,
    ) -> Result<Self, SpawnFault> {
        let running = options.running.max(1);
        let shared = Arc::new(Shared {
            model: Arc::new(model),
            queue: Queue::new(options.queue, options.queue_tokens),
            limits: Limits { running, chunk: CHUNK, chunk_alone: CHUNK_ALONE },
            seat: options.machine.turns.seat(),
            cache_bytes: cache,
            held_bytes: hold.bytes(),
            options,
            status: Mutex::new(Status {
                state: State::Loading,
                progress_at: Instant::now(),
                last_token_at: None,
                guesses: Guesses::default(),
                generation: 0,
                step_since: None,
                load: Default::default(),
                told: HashMap::new(),
            }),
            pace: Mutex::new(Pace::default()),
            loader: Mutex::new(loader),
        });
        let (ready, loaded) = std_mpsc::sync_channel(1);
        let closer = Arc::new(Closer(Arc::clone(&shared)));
        worker::start(&shared, 0, (hold, Some(ready))).map_err(SpawnFault::Thread)?;
        loaded.recv().map_err(|_| SpawnFault::Died)?.map_err(SpawnFault::Load)?;
        watch::start(&shared).map_err(SpawnFault::Thread)?;
        Ok(Self { shared, _closer: closer })
    }
}

impl Generation {
    /// The next event; `None` after the last. An answer ends in [`Event::Finish`] or in a fault, never just so.
    pub async fn next(&mut self) -> Option<Result<Event, EngineFault>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Self::next`], for who waits for several at once.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, EngineFault>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = std::task::ready!(self.events.poll_recv(context)).unwrap_or(Err(EngineFault::Stopped));
        self.ended = matches!(item, Err(_) | Ok(Event::Finish(_)));
        Poll::Ready(Some(item))
    }
}

/// Loads the weights, at the start and after each panic.
type Loader = Box<dyn FnMut() -> Result<Box<dyn Forward>, LoadError> + Send>;

/// Tokens of prompts in a step in which others write; these wait for it, so it is short.
const CHUNK: usize = 64;
/// Tokens of prompts in a step in which nobody writes: short enough that a caller who leaves is noticed soon.
const CHUNK_ALONE: usize = 256;
/// Tokens of prompts after which logits are wanted, in a step: each is a row as wide as the vocabulary.
const SCORED: usize = 64;

struct Shared {
    model: Arc<Model>,
    queue: Queue<worker::Job>,
    limits: Limits,
    seat: Seat,
    cache_bytes: u64,
    /// What each of its threads takes of the memory.
    held_bytes: u64,
    options: EngineOptions,
    status: Mutex<Status>,
    pace: Mutex<Pace>,
    loader: Mutex<Loader>,
}

struct Status {
    state: State,
    /// When it was last loaded, or a step of it ended.
    progress_at: Instant,
    last_token_at: Option<Instant>,
    guesses: Guesses,
    /// Counts the threads that ran the engine; only the newest one's word counts.
    generation: u64,
    /// When the step that is being computed began.
    step_since: Option<Instant>,
    /// By class: what goes before a new call of it.
    load: [Load; Class::ALL.len()],
    /// Whom to tell when the engine's thread cannot.
    told: HashMap<u64, answer::Events>,
}

/// What the engine has accepted and not finished, of one class and all that matter more.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    running: usize,
    /// Tokens of their prompts that are still to be read.
    unread: usize,
}

/// Ends the engine's thread when the last handle goes.
struct Closer(Arc<Shared>);

enum SpawnFault {
    Load(LoadError),
    Thread(std::io::Error),
    Died,
}

impl Shared {
    /// Refuses a call whose first token would come too late, before anything is done for it.
    fn refuse_late(&self, class: Class, tokens: usize, until: Option<Instant>) -> Result<(), EngineFault> {
        let (waiting, their_tokens) = self.queue.ahead(class);
        let Load { running, unread } = self.status().load[class as usize];
        let places = self.limits.running;
        let ahead = Ahead {
            tokens: tokens + their_tokens + unread,
            calls: waiting,
            places,
            free: places.saturating_sub(running),
        };
        let Some(wait) = self.pace().first_token(ahead) else { return Ok(()) };
        let patience = until
            .map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()))
            .min(self.options.max_wait);
        if wait <= patience {
            return Ok(());
        }
        Err(EngineFault::Busy { retry_after: pace::later(wait - patience) })
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        // Each holder writes whole values, so a panic in one leaves nothing half done.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

#[cfg(test)]
mod tests;
