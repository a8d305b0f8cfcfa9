//! A byte-level BPE vocabulary from a GGUF's metadata.
//!
//! How text is cut before the merges depends on `tokenizer.ggml.pre`; a wrong cut gives wrong tokens without an error, so
//! an unknown one is refused. The cuts are those of llama.cpp's `llama-vocab.cpp` and of the models' own tokenizer.json.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, Tokenizer};

use super::{Parts, Piece, PieceKind, SpaceAtStart};
use crate::load::GgufHeader;

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// `llama_token_type` of llama.cpp.
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

/// Reads the vocabulary, or says why it cannot be used.
pub(super) fn read(header: &GgufHeader) -> Result<Parts, String> {
    match header.text("tokenizer.ggml.model") {
        Some("gpt2") => {}
        Some(other) => return Err(format!("its kind `{other}` cannot be read from GGUF metadata")),
        None => return Err("`tokenizer.ggml.model` is missing".to_owned()),
    }
    let tokens = texts(header, "tokenizer.ggml.tokens")?;
    let kinds = header.array("tokenizer.ggml.token_type").unwrap_or(&[]);
    if !kinds.is_empty() && kinds.len() != tokens.len() {
        return Err("`tokenizer.ggml.token_type` has another length than the tokens".to_owned());
    }
    let kind_of = |index: usize| kinds.get(index).and_then(crate::load::unsigned).unwrap_or(1);
    let mut tokenizer = bpe(header, &tokens)?;
    let mut pieces = Vec::with_capacity(tokens.len());
    let mut added = Vec::new();
    let bytes = byte_of_char();
    for (index, text) in tokens.iter().enumerate() {
        pieces.push(match kind_of(index) {
            UNKNOWN | CONTROL => {
                added.push(AddedToken::from(*text, true));
                Piece { bytes: text.as_bytes().to_vec(), kind: PieceKind::Control }
            }
            USER_DEFINED => {
                added.push(AddedToken::from(*text, false).normalized(false));
                Piece { bytes: text.as_bytes().to_vec(), kind: PieceKind::Text }
            }
            _ => {
                // A token outside the byte alphabet is padding of the vocabulary and stands for its own text.
                let decoded: Option<Vec<u8>> = text.chars().map(|c| bytes.get(&c).copied()).collect();
                Piece { bytes: decoded.unwrap_or_else(|| text.as_bytes().to_vec()), kind: PieceKind::Text }
            }
        });
    }
    tokenizer.add_tokens(added).map_err(|error| error.to_string())?;
    Ok(Parts { tokenizer, pieces, space: SpaceAtStart::Kept })
}

fn bpe(header: &GgufHeader, tokens: &[&str]) -> Result<Tokenizer, String> {
    let mut merges = Vec::new();
    for merge in texts(header, "tokenizer.ggml.merges")? {
        // The first half may itself start with a space-like piece, but never holds one inside.
        let (left, right) = merge.split_once(' ').ok_or_else(|| format!("the merge `{merge}` is not a pair"))?;
        merges.push((left.to_owned(), right.to_owned()));
    }
    let vocabulary: tokenizers::models::bpe::Vocab =
        tokens.iter().zip(0u32..).map(|(text, id)| ((*text).to_owned(), id)).collect();
    if vocabulary.len() != tokens.len() {
        return Err("a token is there twice".to_owned());
    }
    let pre = header.text("tokenizer.ggml.pre").unwrap_or("default");
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .ignore_merges(matches!(pre, "llama-bpe" | "llama3" | "llama-v3"))
        .build()
        .map_err(|error| error.to_string())?;
    let mut tokenizer = Tokenizer::new(model);
    let cut = match pre {
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" => {
            sequence(vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()])
        }
        "gpt-2" | "gpt2" | "default" => ByteLevel::new(false, true, true).into(),
        "llama-bpe" | "llama3" | "llama-v3" | "smaug-bpe" => split(LLAMA3)?,
        "qwen2" => {
            tokenizer.with_normalizer(Some(NFC)).map_err(|error| error.to_string())?;
            split(QWEN2)?
        }
        other => return Err(format!("its way to cut text, `{other}`, is unknown")),
    };
    tokenizer.with_pre_tokenizer(Some(cut));
    Ok(tokenizer)
}

fn split(regex: &str) -> Result<PreTokenizerWrapper, String> {
    let split = Split::new(SplitPattern::Regex(regex.to_owned()), SplitDelimiterBehavior::Isolated, false)
        .map_err(|error| error.to_string())?;
    Ok(sequence(vec![split.into(), ByteLevel::new(false, true, false).into()]))
}

fn sequence(steps: Vec<PreTokenizerWrapper>) -> PreTokenizerWrapper {
    Sequence::new(steps).into()
}

fn texts<'a>(header: &'a GgufHeader, key: &str) -> Result<Vec<&'a str>, String> {
    let values = header.array(key).ok_or_else(|| format!("`{key}` is missing"))?;
    values
        .iter()
        .map(|value| match value {
            Value::String(text) => Ok(text.as_str()),
            _ => Err(format!("`{key}` is not a list of strings")),
        })
        .collect()
}

/// GPT-2's alphabet: a printable character for each byte. <https://github.com/openai/gpt-2/blob/master/src/encoder.py>
pub(crate) fn byte_of_char() -> HashMap<char, u8> {
    let mut next = 0x100u32;
    (0..=u8::MAX)
        .filter_map(|byte| {
            let printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
            let c = if printable {
                Some(char::from(byte))
            } else {
                next += 1;
                char::from_u32(next - 1)
            };
            Some((c?, byte))
        })
        .collect()
}
