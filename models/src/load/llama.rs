//! What a file must have to be run by candle's llama: checked here by name, since candle would panic, or worse, answer
//! nonsense.

use candle_transformers::models::quantized_llama::MAX_SEQ_LEN;

use super::{Header, LoadFault};
use crate::files::Family;

/// How far candle's table of rotary positions reaches.
pub(crate) const MAX_CONTEXT: usize = MAX_SEQ_LEN;

/// Checks architecture, shape and completeness.
pub(crate) fn check(header: &Header, family: Family) -> Result<(), LoadFault> {
    let found = header.text("general.architecture").ok_or_else(|| missing("general.architecture"))?;
    let expected = match family {
        Family::Llama => "llama",
        Family::Qwen2 => "qwen2",
        Family::Qwen3 => "qwen3",
        Family::Gemma3 => "gemma3",
        Family::Phi3 => "phi3",
    };
    if found != "llama" {
        return Err(LoadFault::UnknownArchitecture { found: found.to_owned() });
    }
    if found != expected {
        return Err(LoadFault::WrongFamily { found: found.to_owned(), expected: expected.to_owned() });
    }
    refuse_unsupported(header)?;
    check_tensors(header, &Shape::read(header)?)
}

struct Shape {
    layers: usize,
    width: usize,
    key_width: usize,
    hidden: usize,
}

impl Shape {
    fn read(header: &Header) -> Result<Self, LoadFault> {
        let layers = positive(header, "llama.block_count", 1024)?;
        let width = positive(header, "llama.embedding_length", 1 << 20)?;
        let heads = positive(header, "llama.attention.head_count", 4096)?;
        let key_heads = positive(header, "llama.attention.head_count_kv", 4096)?;
        let hidden = positive(header, "llama.feed_forward_length", 1 << 24)?;
        let rotary = positive(header, "llama.rope.dimension_count", 4096)?;
        positive(header, "llama.context_length", 1 << 32)?;
        if !matches!(
            header.content.metadata.get("llama.attention.layer_norm_rms_epsilon"),
            Some(candle_core::quantized::gguf_file::Value::F32(_))
        ) {
            return Err(missing("llama.attention.layer_norm_rms_epsilon"));
        }
        let bad = |key: &str, why: &str| LoadFault::BadMetadata { key: key.to_owned(), why: why.to_owned() };
        if !width.is_multiple_of(heads) {
            return Err(bad("llama.attention.head_count", "it does not divide the embedding length"));
        }
        if !heads.is_multiple_of(key_heads) {
            return Err(bad("llama.attention.head_count_kv", "it does not divide the number of heads"));
        }
        if rotary != width / heads || !rotary.is_multiple_of(2) {
            return Err(bad("llama.rope.dimension_count", "it is not the (even) width of a head"));
        }
        Ok(Self { layers, width, key_width: width / heads * key_heads, hidden })
    }
}

fn check_tensors(header: &Header, shape: &Shape) -> Result<(), LoadFault> {
    let &Shape { layers, width, key_width, hidden } = shape;
    let vocabulary = match header.content.tensor_infos.get("token_embd.weight").map(|info| info.shape.dims()) {
        Some(&[rows, columns]) if columns == width => rows,
        Some(dims) => return Err(misshapen("token_embd.weight", dims, &[0, width])),
        None => return Err(LoadFault::MissingTensor("token_embd.weight".to_owned())),
    };
    expect(header, "output_norm.weight", &[width])?;
    if header.content.tensor_infos.contains_key("output.weight") {
        expect(header, "output.weight", &[vocabulary, width])?;
    }
    for layer in 0..layers {
        for (part, dims) in [
            ("attn_norm", &[width][..]),
            ("ffn_norm", &[width]),
            ("attn_q", &[width, width]),
            ("attn_k", &[key_width, width]),
            ("attn_v", &[key_width, width]),
            ("attn_output", &[width, width]),
            ("ffn_gate", &[hidden, width]),
            ("ffn_up", &[hidden, width]),
            ("ffn_down", &[width, hidden]),
        ] {
            expect(header, &format!("blk.{layer}.{part}.weight"), dims)?;
        }
    }
    Ok(())
}

/// What candle's llama would silently ignore, and so answer wrongly.
fn refuse_unsupported(header: &Header) -> Result<(), LoadFault> {
    let unsupported = |what: &str| Err(LoadFault::Unsupported(what.to_owned()));
    if header.number("llama.expert_count").unwrap_or(0) > 1 {
        return unsupported("a mixture of experts");
    }
    if header.content.tensor_infos.contains_key("rope_freqs.weight")
        || header.text("llama.rope.scaling.type").is_some_and(|kind| kind != "none")
    {
        return unsupported("scaled rotary positions");
    }
    match header.content.tensor_infos.keys().find(|name| name.ends_with(".bias")) {
        Some(name) => unsupported(&format!("biases (`{name}`)")),
        None => Ok(()),
    }
}

fn positive(header: &Header, key: &str, limit: u64) -> Result<usize, LoadFault> {
    let value = header.content.metadata.get(key).ok_or_else(|| missing(key))?;
    match super::gguf::unsigned(value) {
        Some(n) if (1..=limit).contains(&n) => Ok(n as usize),
        _ => Err(LoadFault::BadMetadata { key: key.to_owned(), why: format!("it is not in 1..={limit}") }),
    }
}

fn expect(header: &Header, name: &str, dims: &[usize]) -> Result<(), LoadFault> {
    match header.content.tensor_infos.get(name) {
        None => Err(LoadFault::MissingTensor(name.to_owned())),
        Some(info) if info.shape.dims() == dims => Ok(()),
        Some(info) => Err(misshapen(name, info.shape.dims(), dims)),
    }
}

fn misshapen(name: &str, found: &[usize], expected: &[usize]) -> LoadFault {
    LoadFault::BadTensor { name: name.to_owned(), why: format!("its shape is {found:?} where {expected:?} is needed") }
}

fn missing(key: &str) -> LoadFault {
    LoadFault::MissingMetadata(key.to_owned())
}
