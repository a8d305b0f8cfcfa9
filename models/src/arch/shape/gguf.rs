//! The shape that a GGUF file's metadata describe. Names: `gguf-py/gguf/constants.py` of llama.cpp.

use candle_core::quantized::gguf_file::Value;

use super::{FAMILIES, RotaryShape, Shape, Sliding, name};
use crate::files::Family;
use crate::kernel::{Gate, Pairs};
use crate::load::{GgufHeader, LoadFault, unsigned};

impl Shape {
    /// Reads and checks architecture and shape; that the tensors are as it says is for [`crate::arch::check`].
    pub(crate) fn of_gguf(header: &GgufHeader, family: Family) -> Result<Self, LoadFault> {
        let found = header.text("general.architecture").ok_or_else(|| missing("general.architecture"))?;
        if !FAMILIES.iter().any(|(_, name)| *name == found) {
            return Err(LoadFault::UnknownArchitecture { found: found.to_owned() });
        }
        let expected = name(family);
        if found != expected {
            return Err(LoadFault::WrongFamily { found: found.to_owned(), expected: expected.to_owned() });
        }
        refuse_unsupported(header, expected)?;
        Self::numbers(header, family)
    }

    fn numbers(header: &GgufHeader, family: Family) -> Result<Self, LoadFault> {
        let key = |rest: &str| format!("{}.{rest}", name(family));
        let count = |rest: &str, limit: u64| positive(header, &key(rest), limit);
        let layers = count("block_count", 1024)?;
        let width = count("embedding_length", 1 << 20)?;
        let heads = count("attention.head_count", 4096)?;
        let kv_heads = count("attention.head_count_kv", 4096)?;
        let hidden = count("feed_forward_length", 1 << 24)?;
        let context = count("context_length", 1 << 32)?;
        let bad = |rest: &str, why: &str| LoadFault::BadMetadata { key: key(rest), why: why.to_owned() };
        let head_width = match header.content.metadata.contains_key(&key("attention.key_length")) {
            true => count("attention.key_length", 4096)?,
            false if width.is_multiple_of(heads) => width / heads,
            false => return Err(bad("attention.head_count", "it does not divide the embedding length")),
        };
        if header.number(&key("attention.value_length")).is_some_and(|values| values != head_width as u64) {
            return Err(bad("attention.value_length", "it is not the width of the keys"));
        }
        if !heads.is_multiple_of(kv_heads) {
            return Err(bad("attention.head_count_kv", "it does not divide the number of heads"));
        }
        let rotary_width = match family {
            Family::Llama | Family::Phi3 => count("rope.dimension_count", 4096)?,
            _ => header.number(&key("rope.dimension_count")).map_or(head_width, |width| width as usize),
        };
        let whole = family == Family::Phi3 || rotary_width == head_width;
        if !whole || rotary_width > head_width || rotary_width == 0 || !rotary_width.is_multiple_of(2) {
            return Err(bad("rope.dimension_count", "it is not the (even) width of a head"));
        }
        let gemma = family == Family::Gemma3;
        let rotary = RotaryShape {
            width: rotary_width,
            base: number(header, &key("rope.freq_base"))?.unwrap_or(if gemma { 1e6 } else { 10_000.0 }),
            scale: rotary_scale(header, key)?,
            // Converters of llama's weights reorder their rows for this.
            pairs: if family == Family::Llama { Pairs::Interleaved } else { Pairs::Halves },
        };
        let sliding = match gemma {
            false => None,
            true => {
                let every = header.number(&key("attention.sliding_window_type")).unwrap_or(6).clamp(1, 1024) as usize;
                Some(Sliding {
                    window: count("attention.sliding_window", 1 << 32)?,
                    base: Some(number(header, &key("rope.local_freq_base"))?.unwrap_or(10_000.0)),
                    layers: (1..=layers).map(|layer| !layer.is_multiple_of(every)).collect(),
                })
            }
        };
        Ok(Self {
            family,
            layers,
            width,
            heads,
            kv_heads,
            head_width,
            hidden,
            vocabulary: vocabulary(header, width)?,
            context,
            epsilon: number(header, &key("attention.layer_norm_rms_epsilon"))?
                .ok_or_else(|| missing(&key("attention.layer_norm_rms_epsilon")))?,
            rotary,
            rotary_factors: None,
            gate: if gemma { Gate::Gelu } else { Gate::Silu },
            embedding_scale: if gemma { (width as f32).sqrt() } else { 1.0 },
            attention_scale: attention_scale(family, layers, (width, heads, head_width)),
            norm_shift: 0.0,
            separate_output: header.content.tensor_infos.contains_key("output.weight"),
            sliding,
        })
    }
}

/// `gemma_pytorch`'s configuration of 27 B has a query scalar of its own.
const GEMMA_27B_LAYERS: usize = 62;

/// Of Gemma 3 the largest, which is told by its layers, scales by what a head has of the width.
fn attention_scale(family: Family, layers: usize, (width, heads, head_width): (usize, usize, usize)) -> f32 {
    let largest = family == Family::Gemma3 && layers == GEMMA_27B_LAYERS;
    1.0 / (if largest { width / heads } else { head_width } as f32).sqrt()
}

fn rotary_scale(header: &GgufHeader, key: impl Fn(&str) -> String) -> Result<f32, LoadFault> {
    match header.text(&key("rope.scaling.type")) {
        None | Some("none") => Ok(1.0),
        Some("linear") => {
            let factor = key("rope.scaling.factor");
            Ok(1.0 / number(header, &factor)?.ok_or_else(|| missing(&factor))?)
        }
        Some(other) => Err(LoadFault::Unsupported(format!("rotary positions that are scaled by `{other}`"))),
    }
}

/// What this forward pass would silently ignore, and so answer wrongly.
fn refuse_unsupported(header: &GgufHeader, family: &str) -> Result<(), LoadFault> {
    let unsupported = |what: &str| Err(LoadFault::Unsupported(what.to_owned()));
    if header.number(&format!("{family}.expert_count")).unwrap_or(0) > 1 {
        return unsupported("a mixture of experts");
    }
    let tensors = || header.content.tensor_infos.keys();
    if tensors().any(|name| name.starts_with("rope_factors")) {
        return unsupported("rotary positions that are scaled by `longrope`");
    }
    let biased = |name: &&String| {
        let known =
            family == "qwen2" && ["attn_q.bias", "attn_k.bias", "attn_v.bias"].iter().any(|b| name.ends_with(b));
        name.ends_with(".bias") && !known
    };
    match tensors().find(biased) {
        Some(name) => unsupported(&format!("biases (`{name}`)")),
        None => Ok(()),
    }
}

/// The rows of the token embeddings.
fn vocabulary(header: &GgufHeader, width: usize) -> Result<usize, LoadFault> {
    let name = "token_embd.weight";
    match header.content.tensor_infos.get(name).map(|info| info.shape.dims()) {
        Some(&[rows, columns]) if columns == width && rows > 0 => Ok(rows),
        Some(dims) => {
            let why = format!("its shape is {dims:?} where rows of {width} are needed");
            Err(LoadFault::BadTensor { name: name.to_owned(), why })
        }
        None => Err(LoadFault::MissingTensor(name.to_owned())),
    }
}

fn positive(header: &GgufHeader, key: &str, limit: u64) -> Result<usize, LoadFault> {
    let value = header.content.metadata.get(key).ok_or_else(|| missing(key))?;
    match unsigned(value) {
        Some(n) if (1..=limit).contains(&n) => Ok(n as usize),
        _ => Err(LoadFault::BadMetadata { key: key.to_owned(), why: format!("it is not in 1..={limit}") }),
    }
}

fn number(header: &GgufHeader, key: &str) -> Result<Option<f32>, LoadFault> {
    match header.content.metadata.get(key) {
        None => Ok(None),
        Some(Value::F32(x)) if x.is_finite() && *x > 0.0 => Ok(Some(*x)),
        Some(_) => {
            Err(LoadFault::BadMetadata { key: key.to_owned(), why: "it is not a positive 32-bit float".to_owned() })
        }
    }
}

fn missing(key: &str) -> LoadFault {
    LoadFault::MissingMetadata(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tiny::Tiny;

    #[test]
    fn the_largest_gemma_scales_attention_by_its_width() {
        assert_eq!(attention_scale(Family::Gemma3, 26, (1152, 4, 256)), 1.0 / 16.0);
        assert_eq!(attention_scale(Family::Gemma3, 62, (5376, 32, 128)), 1.0 / 168f32.sqrt());
        assert_eq!(attention_scale(Family::Llama, 62, (5376, 32, 64)), 1.0 / 8.0);
    }

    #[test]
    fn positions_that_are_scaled_by_nothing_known_are_refused() {
        let linear = || Tiny::new().set("llama.rope.scaling.type", Value::String("linear".into()));
        let fault = |tiny: Tiny| crate::load::read_header(&tiny.write().files).err().map(|error| error.fault);
        let lacking = fault(linear());
        assert!(matches!(&lacking, Some(LoadFault::MissingMetadata(key)) if key == "llama.rope.scaling.factor"));
        for bad in [0.0, -2.0, f32::NAN, f32::INFINITY] {
            let fault = fault(linear().set("llama.rope.scaling.factor", Value::F32(bad)));
            assert!(matches!(&fault, Some(LoadFault::BadMetadata { .. })), "{bad}: {fault:?}");
        }
        assert!(fault(linear().set("llama.rope.scaling.factor", Value::F32(2.0))).is_none());
    }
}
