//! The text that a model's own template puts before anything that a caller says: its keys and values are stored once and copied
//! into the first blocks of every prompt that begins with it, where it does not fill them.
//!
//! On the CPU only: a GPU reads so few tokens in no time.
//!
//! Nothing else is shared in less than whole blocks: of what callers say, finer sharing would let one of them find out another's
//! prompt token by token, by what their own calls found stored.

use super::{BLOCK, Blocks, Cache, Sequence, Store, lock};

/// The opening of one model's prompts.
#[derive(Default)]
pub(super) struct Opening {
    /// Of all prompts; empty: nothing is to be copied.
    tokens: Vec<u32>,
    /// Where the tokens behind its last whole block are stored, in the block's first places.
    kept: Option<u32>,
}

impl Opening {
    /// How many tokens lie behind its whole blocks.
    fn rest(&self) -> usize {
        self.tokens.len() % BLOCK
    }
}

impl Blocks {
    /// A block that only the opening holds can be had by a sequence: an opening can be computed again.
    pub(super) fn kept_alone(&self) -> Option<u32> {
        self.opening.kept.filter(|block| self.held[*block as usize].holders == 1)
    }

    pub(super) fn give_up_opening(&mut self) {
        if let Some(block) = self.opening.kept.take() {
            self.release(block);
        }
    }
}

impl Cache {
    /// Says with what prompts begin.
    pub(crate) fn open_with(&mut self, tokens: Vec<u32>) {
        let mut blocks = lock(&self.blocks);
        blocks.give_up_opening();
        blocks.opening.tokens = tokens;
    }

    /// Copies the rest of the opening to a sequence that has its whole blocks and no more of `prompt`. How many tokens that is.
    pub(crate) fn lend_opening(&mut self, sequence: &mut Sequence, prompt: &[u32]) -> usize {
        let Store::Cpu(store) = &mut self.store else { return 0 };
        if !sequence.tail.is_empty() {
            return 0;
        }
        let mut blocks = lock(&self.blocks);
        let Opening { tokens, kept } = &blocks.opening;
        let (Some(kept), rest) = (*kept, blocks.opening.rest()) else { return 0 };
        // Never all of the prompt: the logits after its last token are wanted.
        let begins_so = prompt.len() > tokens.len() && prompt.starts_with(tokens);
        if !begins_so || sequence.len + rest != tokens.len() {
            return 0;
        }
        let tail = tokens[sequence.len..].to_vec();
        let own = match sequence.table.get(sequence.len / BLOCK) {
            Some(reserved) => *reserved,
            None => match blocks.empty.is_empty() && blocks.idle.is_empty() {
                true => return 0,
                false => {
                    let Some(block) = blocks.take() else { return 0 };
                    sequence.table.push(block);
                    block
                }
            },
        };
        store.copy(kept, own);
        sequence.len += rest;
        sequence.tail = tail;
        rest
    }

    /// Keeps the opening of a sequence that has stored `prompt` that far, when none is kept.
    pub(crate) fn keep_opening(&self, sequence: &Sequence, prompt: &[u32]) {
        if !matches!(self.store, Store::Cpu(_)) {
            return;
        }
        let mut blocks = lock(&self.blocks);
        let Opening { tokens, kept } = &blocks.opening;
        let length = tokens.len();
        if kept.is_some() || blocks.opening.rest() == 0 || sequence.len < length || !prompt.starts_with(tokens) {
            return;
        }
        let block = sequence.table[length / BLOCK];
        blocks.hold(block);
        blocks.opening.kept = Some(block);
    }
}
