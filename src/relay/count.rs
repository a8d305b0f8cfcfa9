//! How many tokens a prompt has for whoever is asked first, where a limit of tokens wants to know before that vendor has counted.
//!
//! Counted once for each call, and not at all where no such limit applies. What takes longer than a call may hold up others (reading
//! a vocabulary for the first time, the tokenizer of a local model) runs where blocking is allowed.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::{Inbound, Relay, SnapshotRoute};
use crate::{
    config::Tokenizer,
    dialect,
    domain::Task,
    limit::{Encoding, Framing, Limited, prompt_tokens},
};

/// Which vocabularies have been read.
#[derive(Debug, Default)]
pub struct Counter {
    o200k: AtomicBool,
    cl100k: AtomicBool,
}

impl Counter {
    fn is_read(&self, encoding: Encoding) -> &AtomicBool {
        match encoding {
            Encoding::O200k => &self.o200k,
            Encoding::Cl100k => &self.cl100k,
        }
    }
}

/// `None`: nobody asks, or there is no tokenizer that could say.
pub(super) async fn count(relay: &Relay, route: &SnapshotRoute, inbound: &Inbound, limited: &[Limited]) -> Option<u64> {
    let asked = |limited: &Limited| limited.limits.tokens_per_minute.or(limited.limits.tokens_per_day).is_some();
    if inbound.task == Task::CountTokens || !limited.iter().any(asked) {
        return None;
    }
    match &route.route.targets.first()?.counted_by {
        Tokenizer::Estimate => None,
        Tokenizer::O200k => by(&relay.counter, Encoding::O200k, &inbound.body).await,
        Tokenizer::Cl100k => by(&relay.counter, Encoding::Cl100k, &inbound.body).await,
        Tokenizer::Local(model) => {
            let (body, words) = (inbound.body.clone(), relay.local.words(model)?);
            blocking(move || tokens(&body, |text| words.tokens_in(text))).await
        }
    }
}

async fn by(counter: &Counter, encoding: Encoding, body: &Bytes) -> Option<u64> {
    let count = move |body: &Bytes| tokens(body, |text| encoding.tokens_in(text));
    let is_read = counter.is_read(encoding);
    if is_read.load(Ordering::Relaxed) {
        return count(body);
    }
    let body = body.clone();
    let counted = blocking(move || count(&body)).await;
    is_read.store(counted.is_some(), Ordering::Relaxed);
    counted
}

async fn blocking(count: impl FnOnce() -> Option<u64> + Send + 'static) -> Option<u64> {
    // A tokenizer that panics counts nothing, and the estimate does.
    tokio::task::spawn_blocking(count).await.ok().flatten()
}

fn tokens(body: &Bytes, tokens_in: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let dialect::Prompt { texts, messages, images, small_images, tokens } = dialect::prompt(body);
    prompt_tokens(&texts, Framing { messages, images, small_images, tokens }, tokens_in)
}
