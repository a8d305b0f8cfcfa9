//! Which sequence's keys and values lie in which blocks, and which of them can be used again.
//!
//! A full block is known by the tokens that lead to its end, so a prompt that begins like an earlier one starts from the
//! blocks that are there already. A block that nobody holds stays findable until its place is needed, the least recently
//! used first. Only full blocks are shared and full blocks are never written again, so sharing needs no copies; what is copied
//! is the text that all prompts of a model open with ([`opening`]). Memory is bounded by the number of blocks; [`Sequence`] gives its blocks back when it is dropped.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Error};
use sha2::{Digest, Sha256};

use crate::kernel::{BLOCK, KvStore};

mod opening;
mod tensors;

use opening::Opening;
pub(crate) use tensors::TensorStore;

/// What one token's keys and values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheShape {
    pub layers: usize,
    pub kv_heads: usize,
    pub head_width: usize,
}

/// The keys and values of all sequences of one model.
pub(crate) struct Cache {
    pub(crate) store: Store,
    blocks: Arc<Mutex<Blocks>>,
}

/// Where keys and values lie: where they are computed with.
pub(crate) enum Store {
    Cpu(KvStore),
    Device(TensorStore),
}

/// One sequence's blocks.
pub(crate) struct Sequence {
    blocks: Arc<Mutex<Blocks>>,
    table: Vec<u32>,
    /// Tokens whose keys and values are stored.
    len: usize,
    /// The tokens of the last, unfinished block.
    tail: Vec<u32>,
    /// Names all tokens of the whole blocks before it.
    key: Key,
}

/// No block is free.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cache of keys and values is full")]
pub(crate) struct Full;

/// SHA-256 over the key of the blocks before and the block's own tokens: one sequence cannot be made to read another's
/// blocks by a collision.
type Key = [u8; 32];

struct Blocks {
    held: Vec<Block>,
    /// Never used, or forgotten.
    empty: Vec<u32>,
    /// Whole blocks, by what led to them.
    known: HashMap<Key, u32>,
    /// Known blocks that nobody holds, the least recently used first.
    idle: BTreeMap<u64, u32>,
    clock: u64,
    opening: Opening,
}

#[derive(Clone, Default)]
struct Block {
    holders: u32,
    key: Option<Key>,
    /// Its place in `idle`.
    idle_since: u64,
}

impl CacheShape {
    /// Bytes of one block.
    pub(crate) fn block_bytes(&self) -> usize {
        KvStore::block_bytes(self.layers, self.kv_heads, self.head_width)
    }

    /// How many blocks a cache of about `bytes` has, with room for one sequence of `context_tokens` at least.
    fn blocks(&self, bytes: usize, context_tokens: usize) -> usize {
        (bytes / self.block_bytes()).max(context_tokens.div_ceil(BLOCK)).min(u32::MAX as usize / BLOCK)
    }
}

impl Cache {
    /// A cache of about `bytes`, but with room for one sequence of `context_tokens` at least.
    pub(crate) fn new(shape: CacheShape, bytes: usize, context_tokens: usize) -> Self {
        let count = shape.blocks(bytes, context_tokens);
        let store = KvStore::new(count, shape.layers, shape.kv_heads, shape.head_width);
        Self::of(Store::Cpu(store), count)
    }

    /// As [`Self::new`], in the memory of `device`, which is taken at once.
    ///
    /// # Errors
    /// When the device has not so much.
    pub(crate) fn on(device: &Device, shape: CacheShape, bytes: usize, context_tokens: usize) -> Result<Self, Error> {
        let count = shape.blocks(bytes, context_tokens);
        Ok(Self::of(Store::Device(TensorStore::new(device, count, shape)?), count))
    }

    fn of(store: Store, count: usize) -> Self {
        let blocks = Blocks {
            held: vec![Block::default(); count],
            empty: (0..count as u32).rev().collect(),
            known: HashMap::new(),
            idle: BTreeMap::new(),
            clock: 0,
            opening: Opening::default(),
        };
        Self { store, blocks: Arc::new(Mutex::new(blocks)) }
    }

    /// A sequence that has of `prompt` what is stored already: whole blocks, and never all of the prompt, since the logits
    /// after its last token are wanted.
    pub(crate) fn begin(&self, prompt: &[u32]) -> Sequence {
        let mut sequence =
            Sequence { blocks: Arc::clone(&self.blocks), table: Vec::new(), len: 0, tail: Vec::new(), key: [0; 32] };
        sequence.catch_up(prompt);
        sequence
    }

    /// Blocks that nobody holds.
    #[cfg(test)]
    pub(crate) fn free_blocks(&self) -> usize {
        lock(&self.blocks).free()
    }

    #[cfg(test)]
    pub(crate) fn total_blocks(&self) -> usize {
        lock(&self.blocks).held.len()
    }
}

impl Sequence {
    /// Tokens whose keys and values are stored.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn blocks(&self) -> &[u32] {
        &self.table
    }

    /// Takes over what others have stored of `prompt` meanwhile, and says how many tokens that is.
    pub(crate) fn catch_up(&mut self, prompt: &[u32]) -> usize {
        let (before, most) = (self.len, prompt.len().saturating_sub(1) / BLOCK * BLOCK);
        if !self.tail.is_empty() || before >= most {
            return 0;
        }
        let mut blocks = lock(&self.blocks);
        for tokens in prompt[before..most].chunks_exact(BLOCK) {
            let key = next_key(&self.key, tokens);
            let Some(block) = blocks.known.get(&key).copied() else { break };
            blocks.hold(block);
            match self.table.get_mut(self.len / BLOCK) {
                // It was reserved, and nothing is in it.
                Some(reserved) => blocks.release(std::mem::replace(reserved, block)),
                None => self.table.push(block),
            }
            self.len += BLOCK;
            self.key = key;
        }
        self.len - before
    }

    /// How many blocks are lacking for `tokens` more.
    pub(crate) fn lacks(&self, tokens: usize) -> usize {
        (self.len + tokens).div_ceil(BLOCK).saturating_sub(self.table.len())
    }

    /// Takes blocks for `tokens` more tokens; all or none.
    pub(crate) fn reserve(&mut self, tokens: usize) -> Result<(), Full> {
        let lacking = self.lacks(tokens);
        let mut blocks = lock(&self.blocks);
        if blocks.free() < lacking {
            return Err(Full);
        }
        self.table.extend((0..lacking).filter_map(|_| blocks.take()));
        Ok(())
    }

    /// Says that the next `tokens` are stored now.
    ///
    /// # Panics
    /// When there was no room reserved for them.
    pub(crate) fn advance(&mut self, tokens: &[u32]) {
        assert!(self.lacks(tokens.len()) == 0, "room for the tokens was reserved");
        for token in tokens {
            self.tail.push(*token);
            self.len += 1;
            if self.tail.len() == BLOCK {
                self.key = next_key(&self.key, &self.tail);
                self.tail.clear();
                lock(&self.blocks).publish(self.table[self.len / BLOCK - 1], self.key);
            }
        }
    }
}

impl Drop for Sequence {
    fn drop(&mut self) {
        let mut blocks = lock(&self.blocks);
        // The last first, so that the beginnings of sequences, which others may share, are the last to be forgotten.
        self.table.iter().rev().for_each(|block| blocks.release(*block));
    }
}

impl Blocks {
    fn hold(&mut self, block: u32) {
        let held = &mut self.held[block as usize];
        if held.holders == 0 {
            self.idle.remove(&held.idle_since);
        }
        held.holders += 1;
    }

    /// How many blocks can be taken.
    fn free(&self) -> usize {
        self.empty.len() + self.idle.len() + usize::from(self.kept_alone().is_some())
    }

    /// A block for new tokens.
    fn take(&mut self) -> Option<u32> {
        if self.empty.is_empty() && self.idle.is_empty() && self.kept_alone().is_some() {
            self.give_up_opening();
        }
        let block = match self.empty.pop() {
            Some(block) => block,
            None => {
                let (_, block) = self.idle.pop_first()?;
                if let Some(key) = self.held[block as usize].key.take() {
                    self.known.remove(&key);
                }
                block
            }
        };
        self.held[block as usize].holders = 1;
        Some(block)
    }

    /// Makes a whole block findable. When another with the same tokens is, that one stays.
    fn publish(&mut self, block: u32, key: Key) {
        if let Entry::Vacant(place) = self.known.entry(key) {
            place.insert(block);
            self.held[block as usize].key = Some(key);
        }
    }

    fn release(&mut self, block: u32) {
        let held = &mut self.held[block as usize];
        held.holders -= 1;
        if held.holders > 0 {
            return;
        }
        if held.key.is_some() {
            self.clock += 1;
            held.idle_since = self.clock;
            self.idle.insert(self.clock, block);
        } else {
            self.empty.push(block);
        }
    }
}

fn lock(blocks: &Mutex<Blocks>) -> MutexGuard<'_, Blocks> {
    // Nothing under the lock can panic half way.
    blocks.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_key(before: &Key, tokens: &[u32]) -> Key {
    let mut digest = Sha256::new_with_prefix(before);
    tokens.iter().for_each(|token| digest.update(token.to_le_bytes()));
    digest.finalize().into()
}

#[cfg(test)]
mod tests;
