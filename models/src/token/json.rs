//! A vocabulary from a `tokenizer.json`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use llguidance::token_bytes_from_tokenizer_json;
use llguidance::toktrie::TokTrie;
use serde_json::Value;
use tokenizers::Tokenizer;

use super::{Parts, Piece, PieceKind, SpaceAtStart};
use crate::load::{LoadError, LoadFault};

const MAX_BYTES: u64 = 256 << 20;

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<Parts, LoadError> {
    let at = |fault| LoadError::new(path, fault);
    let length = std::fs::metadata(path).map_err(|source| at(LoadFault::Io(source)))?.len();
    if length > MAX_BYTES {
        return Err(at(LoadFault::Absurd { what: "its size".to_owned(), claimed: length, limit: MAX_BYTES }));
    }
    let bytes = std::fs::read(path).map_err(|source| at(LoadFault::Io(source)))?;
    parse(&bytes).map_err(|why| at(LoadFault::Tokenizer(why)))
}

fn parse(bytes: &[u8]) -> Result<Parts, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| error.to_string())?;
    // It asserts on odd vocabularies, and this file may be odd.
    let table = catch_unwind(AssertUnwindSafe(|| token_bytes_from_tokenizer_json(&value)))
        .map_err(|_| "its vocabulary is malformed".to_owned())?
        .map_err(|error| error.to_string())?;
    let pieces = table
        .into_iter()
        .map(|bytes| match bytes.strip_prefix(&[TokTrie::SPECIAL_TOKEN_MARKER]) {
            Some(text) => Piece { bytes: text.to_vec(), kind: PieceKind::Control },
            None => Piece { bytes, kind: PieceKind::Text },
        })
        .collect();
    Ok(Parts { tokenizer, pieces, space: space(&value["decoder"]) })
}

/// SentencePiece's decoders strip the space that its tokenizers put before a text.
fn space(decoder: &Value) -> SpaceAtStart {
    let strips = |step: &Value| match step["type"].as_str() {
        Some("Strip") => step["start"].as_u64().unwrap_or(0) > 0,
        Some("Metaspace") => step["prepend_scheme"].as_str() != Some("never"),
        _ => false,
    };
    let steps = decoder["decoders"].as_array().map_or(std::slice::from_ref(decoder), Vec::as_slice);
    if steps.iter().any(strips) { SpaceAtStart::Stripped } else { SpaceAtStart::Kept }
}
