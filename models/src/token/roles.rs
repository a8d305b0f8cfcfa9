//! Which tokens begin and end what: from a GGUF's metadata, or from the files beside safetensors.

use super::{Parts, PieceKind};
use crate::load::{GgufHeader, Words};

/// Ids that the vocabulary has.
pub(super) struct Roles {
    /// Tokens that end an answer, the model's own first.
    pub ends: Vec<u32>,
    pub bos: Option<u32>,
    /// Whether `bos` stands before a bare text.
    pub begins_with_bos: bool,
}

impl Roles {
    pub(super) fn of_gguf(header: &GgufHeader, parts: &Parts) -> Self {
        let named = |key: &str| {
            let id = u32::try_from(header.number(&format!("tokenizer.ggml.{key}_token_id"))?).ok()?;
            parts.has(id).then_some(id)
        };
        // What llama.cpp takes where the file does not say: byte-pair vocabularies have none before a text.
        let bare = header.text("tokenizer.ggml.model").is_none_or(|model| model == "gpt2");
        Self {
            ends: ["eos", "eot", "eom"].into_iter().filter_map(named).collect(),
            bos: named("bos"),
            begins_with_bos: header.flag("tokenizer.ggml.add_bos_token").unwrap_or(!bare),
        }
    }

    pub(super) fn of_checkpoint(words: &Words, parts: &Parts) -> Self {
        let spelled = |text: &Option<String>| parts.spelled(text.as_deref()?);
        let ids = words.ends.iter().copied().filter(|id| parts.has(*id));
        let bos = spelled(&words.bos_text).or(words.bos.filter(|id| parts.has(*id)));
        // Where the config does not say, the tokenizer's own last step does: what it puts around nothing.
        let around = || parts.tokenizer.encode_fast("", true).ok()?.get_ids().first().copied();
        Self {
            ends: spelled(&words.end_text).into_iter().chain(ids).collect(),
            bos,
            begins_with_bos: words.adds_bos.unwrap_or_else(|| bos.is_some() && around() == bos),
        }
    }
}

impl Parts {
    /// The token of this text, a control token if there is one.
    fn spelled(&self, text: &str) -> Option<u32> {
        let same = (0u32..).zip(&self.pieces).filter(|(_, piece)| piece.bytes == text.as_bytes());
        same.max_by_key(|(_, piece)| piece.kind == PieceKind::Control).map(|(id, _)| id)
    }

    fn has(&self, id: u32) -> bool {
        (id as usize) < self.pieces.len()
    }
}
