//! Sentence embeddings inside this process: models of the BERT family, on candle.
//!
//! A text goes through the encoder, the mean of its tokens' last states is its embedding, scaled to length 1, as
//! sentence-transformers defines it for these models. Nothing is cut: a text that is longer than the model reads is refused. One batch is
//! computed at a time, in a turn that it shares with all local models, on threads of its own. Some of candle's operations use a pool of
//! candle's beside them, one after the other: [`crate::machine::bound_candle`] bounds it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use rayon::{ThreadPool, ThreadPoolBuilder};
use sha2::{Digest, Sha256};
use tokenizers::{Encoding, Tokenizer};
use tokio::sync::{Semaphore, oneshot};

use crate::engine::EngineOptions;
use crate::files::{Family, ModelFiles};
use crate::load::{self, Identity, Kind, LoadError, LoadFault, Size};
use crate::machine::{Hold, Seat};
use crate::schedule::Class;

#[cfg(test)]
mod tests;

/// Texts that are computed together, at most; more cost memory and gain nothing.
const BATCH: usize = 16;
/// Tokens that are computed together, at most, unless one text has more: other models wait for them.
const BATCH_TOKENS: usize = 512;
/// What turns a text into an embedding, in [`Identity::engine`].
pub(crate) const ENGINE: &str = concat!("backstop-models ", env!("CARGO_PKG_VERSION"), " mean-pooling 1 candle 0.11.1");

/// A loaded embedding model; clones share it.
#[derive(Clone)]
pub struct Embedder {
    shared: Arc<Shared>,
}

struct Shared {
    id: String,
    identity: Identity,
    model: BertModel,
    tokenizer: Tokenizer,
    /// The longest text, in tokens, with the two that stand around it.
    longest: usize,
    dimension: usize,
    threads: ThreadPool,
    seat: Seat,
    turn: Arc<Semaphore>,
    _hold: Hold,
    /// Calls that wait or are computed, and how many there may be.
    calls: AtomicUsize,
    most_calls: usize,
}

/// Embeddings of some texts, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// Of length 1, all of one dimension.
    pub vectors: Vec<Vec<f32>>,
    /// Of all texts, with the two around each.
    pub input_tokens: u64,
}

/// Why texts were not embedded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbedFault {
    #[error("as many calls as it takes are waiting for the local embedding model")]
    Busy,
    #[error("the text at {index} has {tokens} tokens, and the local embedding model reads {limit}")]
    TooLong { index: usize, tokens: usize, limit: usize },
    #[error("the text at {index} is empty")]
    Empty { index: usize },
    /// Our fault.
    #[error("the local embedding model failed: {0}")]
    Failed(String),
}

impl fmt::Debug for Embedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedder").field("model", &self.shared.id).finish_non_exhaustive()
    }
}

/// Names the model that `files` hold, without its weights.
///
/// # Errors
/// When a file cannot be read or is not one of such a model.
pub fn identify(files: &ModelFiles) -> Result<Identity, LoadError> {
    let (config, tokenizer) = (bytes(config_of(files)?)?, bytes(tokenizer_of(files)?)?);
    Ok(Identity {
        weights: files.weights_sha256.clone(),
        tokenizer: hex::encode(Sha256::digest(tokenizer)),
        // What stands in the place of a template: how the states are laid out.
        template: hex::encode(Sha256::digest(config)),
        // Nothing is drawn.
        generation_config: hex::encode(Sha256::digest([])),
        quantization: "F32".to_owned(),
        engine: ENGINE.to_owned(),
    })
}

impl Embedder {
    /// Loads the model, to be computed on the options' threads, for as many calls at a time as their queue has. Blocking.
    ///
    /// # Errors
    /// When the files are not a model of the family, or there is no memory for it.
    pub fn load(files: &ModelFiles, options: &EngineOptions) -> Result<Self, LoadError> {
        let at = |fault| LoadError::new(&files.weights, fault);
        let needs = options.needs(&size(files)?);
        let short = |short| at(LoadFault::NoMemory(short));
        let mut hold = options.machine.memory.take(needs.with_cache(0)).map_err(short)?;
        let config = read_config(config_of(files)?)?;
        let path = tokenizer_of(files)?;
        let tokenizer_fault = |error: tokenizers::Error| LoadError::new(path, LoadFault::Tokenizer(error.to_string()));
        let mut tokenizer = Tokenizer::from_file(path).map_err(tokenizer_fault)?;
        // Files bring settings that cut texts and fill them up; neither is wanted unasked.
        tokenizer.with_padding(None).with_truncation(None).map_err(tokenizer_fault)?;
        if tokenizer.get_vocab_size(true) > config.vocab_size {
            let why = format!("it has {} tokens and the model {}", tokenizer.get_vocab_size(true), config.vocab_size);
            return Err(LoadError::new(path, LoadFault::Tokenizer(why)));
        }
        let weights = bytes(&files.weights)?;
        let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)
            .map_err(|error| at(LoadFault::Weights(error)))?;
        let model = BertModel::load(weights, &config).map_err(|error| at(LoadFault::Weights(error)))?;
        let threads = ThreadPoolBuilder::new()
            .num_threads(options.threads())
            .thread_name(|index| format!("backstop-embed-{index}"))
            .build()
            .map_err(|error| at(LoadFault::Thread(std::io::Error::other(error))))?;
        // What the file's bytes took is free again.
        hold.keep(needs.running);
        let shared = Shared {
            id: files.id.clone(),
            identity: identify(files)?,
            model,
            tokenizer,
            longest: config.max_position_embeddings.min(files.context_tokens as usize),
            dimension: config.hidden_size,
            threads,
            seat: options.machine.turns.seat(),
            turn: Arc::new(Semaphore::new(1)),
            _hold: hold,
            calls: AtomicUsize::new(0),
            most_calls: options.queue.max(1),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// How many numbers an embedding has.
    pub fn dimension(&self) -> usize {
        self.shared.dimension
    }

    /// How many tokens a text has by itself. Tokenizes on the calling thread.
    pub fn tokens_in(&self, text: &str) -> Option<usize> {
        self.shared.tokenizer.encode_fast(text, false).ok().map(|encoded| encoded.len())
    }

    /// How many calls wait or are computed.
    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// Embeds texts. They wait their turn. A call that is given up costs nothing before its turn, and no more than the
    /// batch that is being computed after it.
    ///
    /// # Errors
    /// See [`EmbedFault`]. All texts are looked at before any is computed.
    pub async fn embed(&self, texts: Vec<String>) -> Result<Embedded, EmbedFault> {
        let ticket = self.ticket()?;
        let failed = |error: &dyn fmt::Display| EmbedFault::Failed(error.to_string());
        let turn = Arc::clone(&self.shared.turn).acquire_owned().await.map_err(|error| failed(&error))?;
        let shared = Arc::clone(&self.shared);
        let (caller, computed) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let place = (ticket, turn);
            let result = shared.embed(&texts, || caller.is_closed());
            drop(place);
            if let Some(result) = result.transpose() {
                // A caller who has gone need not hear it.
                let _ = caller.send(result);
            }
        });
        computed.await.map_err(|_| EmbedFault::Failed("it crashed".to_owned()))?
    }

    fn ticket(&self) -> Result<Ticket, EmbedFault> {
        let shared = Arc::clone(&self.shared);
        let before = shared.calls.fetch_add(1, Ordering::Relaxed);
        let full = before >= shared.most_calls;
        let ticket = Ticket(shared);
        if full { Err(EmbedFault::Busy) } else { Ok(ticket) }
    }
}

/// A call's place among those that wait.
struct Ticket(Arc<Shared>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// `None` when `given_up` says so between two batches.
    fn embed(&self, texts: &[String], given_up: impl Fn() -> bool) -> Result<Option<Embedded>, EmbedFault> {
        let encodings = texts.iter().enumerate().map(|(index, text)| self.encode(index, text));
        let encodings: Vec<Encoding> = encodings.collect::<Result<_, _>>()?;
        // Texts of about one length are computed together, so that little is filled up.
        let mut order: Vec<usize> = (0..encodings.len()).collect();
        order.sort_by_key(|index| encodings[*index].len());
        let mut vectors = vec![Vec::new(); texts.len()];
        for batch in batches(&order, |index| encodings[index].len()) {
            if given_up() {
                return Ok(None);
            }
            let rows: Vec<&[u32]> = batch.iter().map(|index| encodings[*index].get_ids()).collect();
            let turn = self.seat.turn(Class::Standard);
            let computed = self.threads.install(|| self.compute(&rows));
            drop(turn);
            let computed = computed.map_err(|error| EmbedFault::Failed(error.to_string()))?;
            for (index, vector) in batch.iter().zip(computed) {
                if vector.iter().any(|number| !number.is_finite()) {
                    return Err(EmbedFault::Failed("it computed what is no number".to_owned()));
                }
                vectors[*index] = vector;
            }
        }
        let input_tokens = encodings.iter().map(|encoding| encoding.len() as u64).sum();
        Ok(Some(Embedded { vectors, input_tokens }))
    }

    fn encode(&self, index: usize, text: &str) -> Result<Encoding, EmbedFault> {
        if text.trim().is_empty() {
            return Err(EmbedFault::Empty { index });
        }
        let encoding =
            self.tokenizer.encode(text, true).map_err(|error| EmbedFault::Failed(format!("tokenizing: {error}")))?;
        if encoding.len() > self.longest {
            return Err(EmbedFault::TooLong { index, tokens: encoding.len(), limit: self.longest });
        }
        Ok(encoding)
    }

    /// Embeddings of rows of tokens, none empty: the means of the last states, scaled to length 1.
    fn compute(&self, rows: &[&[u32]]) -> candle_core::Result<Vec<Vec<f32>>> {
        let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let shape = (rows.len(), width);
        let (mut ids, mut mask) = (Vec::with_capacity(rows.len() * width), Vec::with_capacity(rows.len() * width));
        for row in rows {
            ids.extend((0..width).map(|at| row.get(at).copied().unwrap_or(0)));
            mask.extend((0..width).map(|at| if at < row.len() { 1f32 } else { 0.0 }));
        }
        let ids = Tensor::from_vec(ids, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        let states = self.model.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        let sums = states.broadcast_mul(&mask.unsqueeze(2)?)?.sum(1)?;
        let means = sums.broadcast_div(&mask.sum_keepdim(1)?)?;
        means.broadcast_div(&means.sqr()?.sum_keepdim(1)?.sqrt()?)?.to_vec2()
    }
}

/// Cuts texts, the shortest first, into batches: each is filled up to its longest.
fn batches(order: &[usize], tokens: impl Fn(usize) -> usize) -> Vec<&[usize]> {
    let mut batches = Vec::new();
    let mut start = 0;
    for end in 1..=order.len() {
        let fits = |next: &usize| end - start < BATCH && (end - start + 1) * tokens(*next) <= BATCH_TOKENS;
        if !order.get(end).is_some_and(fits) {
            batches.push(&order[start..end]);
            start = end;
        }
    }
    batches
}

/// How much memory the model takes.
pub(crate) fn size(files: &ModelFiles) -> Result<Size, LoadError> {
    let config = read_config(config_of(files)?)?;
    let (weights, file) = load::in_floats(&files.weights)?;
    let tokenizer = bytes(tokenizer_of(files)?)?.len() as u64;
    let longest = config.max_position_embeddings.min(files.context_tokens as usize);
    let tokens = longest.max(BATCH_TOKENS);
    // Of a layer: its rows, most of them twice, and each head's scores, thrice.
    let rows = tokens * (16 * config.hidden_size + 4 * config.intermediate_size);
    let scores = 3 * config.num_attention_heads * tokens * longest;
    Ok(Size {
        // A tokenizer's tables take several times its text.
        kept: weights + 8 * tokenizer,
        loading: file,
        kind: Kind::Embeddings { batch: (size_of::<f32>() * (rows + scores)) as u64 },
    })
}

fn read_config(path: &Path) -> Result<Config, LoadError> {
    let wrong = |why: String| LoadError::new(path, LoadFault::Malformed(why));
    let config: Config = serde_json::from_slice(&bytes(path)?).map_err(|error| wrong(error.to_string()))?;
    if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
        return Err(wrong("its `hidden_size` is no multiple of its `num_attention_heads`".to_owned()));
    }
    Ok(config)
}

fn config_of(files: &ModelFiles) -> Result<&Path, LoadError> {
    named(files, files.config(), "config")
}

fn tokenizer_of(files: &ModelFiles) -> Result<&Path, LoadError> {
    named(files, files.tokenizer.as_deref(), "tokenizer")
}

fn named<'a>(files: &ModelFiles, file: Option<&'a Path>, name: &str) -> Result<&'a Path, LoadError> {
    let why = format!("a `[{name}]` file in its manifest, as models of the family `bert` do");
    match file {
        Some(file) if files.family == Family::Bert => Ok(file),
        _ => Err(LoadError::new(&files.weights, LoadFault::Unsupported(why))),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|source| LoadError::new(path, LoadFault::Io(source)))
}
