//! Text to tokens and back.
//!
//! A [`Vocabulary`] keeps the bytes of every token, so that an answer is put together from bytes and never splits or
//! guesses at a character. Plain text is never read as control tokens: `<|im_end|>` in it is seven harmless pieces. Only
//! [`Vocabulary::encode_prompt`] makes control tokens, and only of what the chat template itself wrote.

use std::collections::HashMap;

use tokenizers::Tokenizer;

use crate::files::ModelFiles;
use crate::load::{Header, Lexicon, LoadError, LoadFault};

mod gguf;
mod json;
mod roles;
mod stream;

#[cfg(test)]
pub(crate) use gguf::byte_of_char;
use roles::Roles;
pub(crate) use stream::Utf8Stream;

/// A model's tokens.
pub(crate) struct Vocabulary {
    /// Reads control tokens in its input as ordinary text.
    tokenizer: Tokenizer,
    pieces: Vec<Piece>,
    /// By first byte, the longest text first.
    controls: HashMap<u8, Vec<Control>>,
    ends: Vec<u32>,
    bos: Option<u32>,
    /// Whether `bos` stands before a bare text.
    begins_with_bos: bool,
    strips_first_space: SpaceAtStart,
}

/// What a token stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub bytes: Vec<u8>,
    pub kind: PieceKind,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum PieceKind {
    #[default]
    Text,
    /// Steers the model and is no part of what it says, such as `<|im_end|>`.
    Control,
}

/// Whether a tokenizer puts a space before a text that the decoder takes away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpaceAtStart {
    Kept,
    Stripped,
}

#[derive(Debug, Clone)]
struct Control {
    text: String,
    id: u32,
    strips_after: bool,
}

/// The text could not be tokenized.
#[derive(Debug, thiserror::Error)]
#[error("the text cannot be tokenized: {0}")]
pub(crate) struct TokenError(#[source] tokenizers::Error);

/// What each source of a vocabulary yields.
struct Parts {
    tokenizer: Tokenizer,
    pieces: Vec<Piece>,
    space: SpaceAtStart,
}

/// Names of tokens that end an answer, whatever the metadata says of them.
const WELL_KNOWN_ENDS: [&str; 6] =
    ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "<end_of_turn>"];

impl Vocabulary {
    /// Reads the vocabulary from the `tokenizer.json`, where there is one, else from the GGUF's metadata.
    pub(crate) fn load(files: &ModelFiles, header: &Header) -> Result<Self, LoadError> {
        let at = |why: String| LoadError::new(&files.weights, LoadFault::Tokenizer(why));
        let mut parts = match (&files.tokenizer, &header.lexicon) {
            (Some(path), _) => json::read(path)?,
            (None, Lexicon::Gguf(gguf)) => gguf::read(gguf).map_err(at)?,
            (None, Lexicon::Checkpoint(_)) => return Err(at("safetensors do not hold one".to_owned())),
        };
        let rows = header.shape.vocabulary;
        // Gemma's tokenizer has one control token more than its smallest models: it is for images, which they do not see.
        while parts.pieces.len() > rows && parts.pieces.last().is_some_and(|last| last.kind == PieceKind::Control) {
            parts.pieces.pop();
        }
        if parts.pieces.len() > rows {
            let why = format!("it has {} tokens and the model only {rows}", parts.pieces.len());
            return Err(at(why));
        }
        let roles = match &header.lexicon {
            Lexicon::Gguf(gguf) => Roles::of_gguf(gguf, &parts),
            Lexicon::Checkpoint(words) => Roles::of_checkpoint(words, &parts),
        };
        Self::assemble(parts, roles).map_err(at)
    }

    fn assemble(parts: Parts, roles: Roles) -> Result<Self, String> {
        let Parts { mut tokenizer, pieces, space } = parts;
        tokenizer.set_encode_special_tokens(true);
        let added = tokenizer.get_added_tokens_decoder();
        let mut controls: HashMap<u8, Vec<Control>> = HashMap::new();
        for (id, piece) in (0u32..).zip(&pieces).filter(|(_, piece)| piece.kind == PieceKind::Control) {
            let (Some(first), Ok(text)) = (piece.bytes.first(), String::from_utf8(piece.bytes.clone())) else {
                continue;
            };
            let strips_after = added.get(&id).is_some_and(|token| token.rstrip);
            controls.entry(*first).or_default().push(Control { text, id, strips_after });
        }
        for bucket in controls.values_mut() {
            bucket.sort_by_key(|control| std::cmp::Reverse(control.text.len()));
        }
        let well_known = (0u32..).zip(&pieces).filter(|(_, piece)| {
            piece.kind == PieceKind::Control && WELL_KNOWN_ENDS.iter().any(|name| name.as_bytes() == piece.bytes)
        });
        let Roles { mut ends, bos, begins_with_bos } = roles;
        ends.extend(well_known.map(|(id, _)| id));
        let mut seen = std::collections::HashSet::new();
        ends.retain(|id| seen.insert(*id));
        if ends.is_empty() {
            return Err("no token ends an answer".to_owned());
        }
        Ok(Self { tokenizer, pieces, controls, ends, bos, begins_with_bos, strips_first_space: space })
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Tokens that end an answer; the first is the model's own. Never empty.
    pub(crate) fn ends(&self) -> &[u32] {
        &self.ends
    }

    pub(crate) fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The bytes that a token adds to an answer: none, for a control token.
    pub(crate) fn spoken(&self, token: u32) -> &[u8] {
        match self.pieces.get(token as usize) {
            Some(Piece { bytes, kind: PieceKind::Text }) => bytes,
            _ => &[],
        }
    }

    /// The text of the token that begins a sequence, or "".
    pub(crate) fn bos_text(&self) -> &str {
        self.control_text(self.bos)
    }

    /// The text of the token that ends a turn.
    pub(crate) fn eos_text(&self) -> &str {
        self.control_text(self.ends.first().copied())
    }

    pub(crate) fn space_at_start(&self) -> SpaceAtStart {
        self.strips_first_space
    }

    /// The texts of all control tokens.
    pub(crate) fn control_texts(&self) -> impl Iterator<Item = &str> {
        self.controls.values().flatten().map(|control| control.text.as_str())
    }

    /// More bytes than any text of `tokens` tokens can have.
    pub(crate) fn most_bytes(&self, tokens: usize) -> usize {
        let longest = self.pieces.iter().map(|piece| piece.bytes.len()).max().unwrap_or(0);
        tokens.saturating_mul(longest)
    }

    /// Encodes text that no control token can come of.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, TokenError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.tokenizer.encode_fast(text, false).map_err(TokenError)?.get_ids().to_vec())
    }

    /// Encodes a rendered prompt: the texts of control tokens become these, and `guard`, which keeps a caller's text from
    /// being taken for one, vanishes.
    pub(crate) fn encode_prompt(&self, prompt: &str, guard: char) -> Result<Vec<u32>, TokenError> {
        self.encode_with_controls(prompt, Some(guard))
    }

    fn encode_with_controls(&self, prompt: &str, guard: Option<char>) -> Result<Vec<u32>, TokenError> {
        let mut tokens = Vec::new();
        let mut plain_from = 0;
        let mut at = 0;
        let encode_plain = |plain: &str, tokens: &mut Vec<u32>| -> Result<(), TokenError> {
            tokens.extend(match guard {
                Some(guard) => self.encode(&plain.replace(guard, ""))?,
                None => self.encode(plain)?,
            });
            Ok(())
        };
        while at < prompt.len() {
            let Some(control) = self.control_at(&prompt.as_bytes()[at..]) else {
                at += 1;
                continue;
            };
            // A control token's text is whole characters, and so are the positions where it is found.
            encode_plain(&prompt[plain_from..at], &mut tokens)?;
            tokens.push(control.id);
            at += control.text.len();
            if control.strips_after {
                at += prompt[at..].len() - prompt[at..].trim_start().len();
            }
            plain_from = at;
        }
        encode_plain(&prompt[plain_from..], &mut tokens)?;
        Ok(tokens)
    }

    /// Encodes a text as it is, with the token that begins a sequence where the model's own tokenizer adds one. Names of
    /// control tokens become these: whoever sends a bare prompt writes the template.
    pub(crate) fn encode_bare(&self, text: &str) -> Result<Vec<u32>, TokenError> {
        let mut tokens: Vec<u32> = self.bos.filter(|_| self.begins_with_bos).into_iter().collect();
        tokens.extend(self.encode_with_controls(text, None)?);
        Ok(tokens)
    }

    /// The bytes of any token, control tokens by their names.
    pub(crate) fn bytes(&self, token: u32) -> &[u8] {
        self.pieces.get(token as usize).map_or(&[], |piece| &piece.bytes)
    }

    fn control_at(&self, rest: &[u8]) -> Option<&Control> {
        let bucket = self.controls.get(rest.first()?)?;
        bucket.iter().find(|control| rest.starts_with(control.text.as_bytes()))
    }

    fn control_text(&self, id: Option<u32>) -> &str {
        let piece = id.and_then(|id| self.pieces.get(id as usize));
        piece.and_then(|piece| std::str::from_utf8(&piece.bytes).ok()).unwrap_or("")
    }
}

#[cfg(test)]
mod tests;
