//! One load of a local model: waits for its memory, loads on a thread of its own, and says when that takes long.
//!
//! Loads go one after the other, in the order in which models get memory; one that waits or takes long does not hold up the next. A
//! thread that hangs in a load cannot be stopped; what it brings when it wakes is thrown away if nobody wants it any more.

use std::{sync::Arc, time::Duration};

use backstop_models::{
    embed::Embedder,
    engine::{Engine, EngineOptions},
    files::{Family, ModelFiles},
    load::{LoadError, LoadFault},
    machine::{Bytes, Memory},
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, sleep, timeout},
};

use super::room::Room;
use crate::vendor::{Loading, LocalState, LocalTier};

/// A load that takes longer is said in the log, and does not hold up the next.
const LONG: Duration = Duration::from_secs(20);
/// How often one that waits for memory looks.
const EVERY: Duration = Duration::from_millis(100);

/// What a load needs.
#[derive(Debug)]
pub(super) struct Load {
    pub tier: LocalTier,
    pub turn: Arc<Semaphore>,
    pub files: ModelFiles,
    pub options: EngineOptions,
    pub room: Room,
}

impl Load {
    /// Brings the model into the tier, in the place of `loading`.
    pub(super) async fn run(mut self, loading: Loading) {
        let model = self.files.id.clone();
        self.options.cache_bytes = self.room.cache_bytes as usize;
        let mut turn = Arc::clone(&self.turn).acquire_owned().await.ok();
        let begun = Instant::now();
        let state = loop {
            if !self.wait_for_memory(&loading, begun, || drop(turn.take())).await {
                return;
            }
            let mut loaded = start(self.files.clone(), self.options.clone());
            let ended = match timeout(LONG, &mut loaded).await {
                Ok(ended) => ended,
                Err(_) => {
                    tracing::warn!(
                        %model,
                        seconds = LONG.as_secs(),
                        "the local model is still being loaded; the others do not wait for it. Does its disk answer?"
                    );
                    turn = None;
                    loaded.await
                }
            };
            match ended {
                // Somebody else was faster.
                Ok(Err(LoadError { fault: LoadFault::NoMemory(_), .. })) => sleep(EVERY).await,
                Ok(Ok(state)) => break state,
                Ok(Err(error)) => break failed(error.to_string()),
                Err(_) => break failed("loading it panicked; the log has the reason".to_owned()),
            }
        };
        if !self.tier.put(&model, &loading, &state) {
            return;
        }
        let seconds = begun.elapsed().as_secs_f32();
        match state {
            LocalState::Failed { why, .. } => tracing::error!(%model, %why, "the local model cannot be loaded"),
            LocalState::Ready(_) => {
                let (device, cache) = (self.options.device, Bytes(self.room.cache_bytes));
                tracing::info!(%model, seconds, %device, %cache, "the local model is loaded");
            }
            _ => tracing::info!(%model, seconds, cache = %Bytes(self.room.cache_bytes), "the local model is loaded"),
        }
    }

    /// Waits until the memory is free that unloaded models still have. `false`: nobody wants the model any more.
    async fn wait_for_memory(&self, loading: &Loading, begun: Instant, gives_way: impl FnOnce()) -> bool {
        let (memory, model) = (&self.options.machine.memory, &self.files.id);
        let mut gives_way = Some(gives_way);
        let mut told = false;
        while memory.left() < self.room.bytes {
            if !self.tier.is_wanted(model, loading) {
                return false;
            }
            let why = short(memory, self.room.bytes);
            if !std::mem::replace(&mut told, true) {
                tracing::info!(%model, %why, "the local model waits to be loaded");
            }
            self.tier.put(model, loading, &LocalState::Loading(loading.waiting(why)));
            if begun.elapsed() > LONG
                && let Some(gives_way) = gives_way.take()
            {
                gives_way();
            }
            sleep(EVERY).await;
        }
        self.tier.put(model, loading, &LocalState::Loading(loading.clone()));
        self.tier.is_wanted(model, loading)
    }
}

fn short(memory: &Memory, needs: u64) -> String {
    let (needs, left, total) = (Bytes(needs), Bytes(memory.left()), Bytes(memory.total()));
    format!("it needs {needs}, {left} of {total} are left until what was unloaded has answered its last calls")
}

fn failed(why: String) -> LocalState {
    LocalState::Failed { why: why.into(), at: std::time::Instant::now() }
}

/// On a thread that nobody waits for when the process ends.
fn start(files: ModelFiles, options: EngineOptions) -> oneshot::Receiver<Result<LocalState, LoadError>> {
    let (sender, loaded) = oneshot::channel();
    let load = move || {
        let state = match files.family {
            Family::Bert => Embedder::load(&files, &options).map(LocalState::Embedder),
            _ => Engine::start(files, options).map(LocalState::Ready),
        };
        // An error means that the gateway is going down.
        let _ = sender.send(state);
    };
    // Without a thread the sender is dropped, which is told as a load that ended early.
    if let Err(error) = std::thread::Builder::new().name("backstop-load".to_owned()).spawn(load) {
        tracing::error!(%error, "no thread can be started to load a local model");
    }
    loaded
}
