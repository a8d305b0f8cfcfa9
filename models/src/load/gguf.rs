//! Reads the header of a GGUF file that may be damaged or hostile.
//!
//! Every length is checked against the bytes that are really left before it is believed, nothing is allocated by what the
//! file claims, and the whole header has a budget. What comes out is candle's own header type, in which every tensor lies
//! inside the file and none overlaps another. Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use candle_core::Shape;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, TensorInfo, Value, VersionedMagic};
use sha2::{Digest, Sha256};

use super::{LoadFault, Names, Stored, Tensors};

const MAX_METADATA: u64 = 16_384;
const MAX_TENSORS: u64 = 65_536;
const MAX_STRING: u64 = 16 << 20;
/// Of all arrays together; the largest vocabularies with their merges and scores have about two million.
const MAX_ELEMENTS: u64 = 8 << 20;
const MAX_DIMENSIONS: u32 = 4;
const MAX_ALIGNMENT: u64 = 1 << 16;

/// A validated header.
pub(crate) struct Header {
    pub content: Content,
    /// Hex SHA-256 over the raw bytes of the `tokenizer.ggml.*` entries, in file order.
    pub tokenizer_sha256: String,
}

impl Header {
    /// Where the tensors of the file at `path` lie.
    pub(super) fn tensors(&self, path: &Path) -> Tensors {
        let stored = self.content.tensor_infos.iter().map(|(name, info)| {
            let start = self.content.tensor_data_offset + info.offset;
            let dims = info.shape.dims().to_vec();
            (name.clone(), Stored { dtype: info.ggml_dtype, dims, file: 0, start })
        });
        Tensors::new(vec![path.to_owned()], Names::Gguf, stored.collect())
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.content.metadata.get(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.content.metadata.get(key).and_then(unsigned)
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.content.metadata.get(key) {
            Some(Value::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// What it says of how an answer is drawn and ends, a line each, in the order of the keys.
    pub(super) fn generation(&self) -> Vec<String> {
        let says = |key: &str| key.starts_with("general.sampling.") || is_of_special_token(key);
        let entries = self.content.metadata.iter().filter(|(key, _)| says(key));
        let mut lines: Vec<String> = entries.map(|(key, value)| format!("{key}={value:?}")).collect();
        lines.sort_unstable();
        lines
    }

    pub(crate) fn array(&self, key: &str) -> Option<&[Value]> {
        match self.content.metadata.get(key) {
            Some(Value::Array(values)) => Some(values),
            _ => None,
        }
    }
}

/// `tokenizer.ggml.eos_token_id` and the like, and whether such a token is added.
fn is_of_special_token(key: &str) -> bool {
    let Some(name) = key.strip_prefix("tokenizer.ggml.") else { return false };
    name.ends_with("_token_id") || name.ends_with("_token_ids") || name.starts_with("add_")
}

/// A non-negative integer of any width.
pub(crate) fn unsigned(value: &Value) -> Option<u64> {
    match *value {
        Value::U8(n) => Some(n.into()),
        Value::U16(n) => Some(n.into()),
        Value::U32(n) => Some(n.into()),
        Value::U64(n) => Some(n),
        Value::I8(n) => n.try_into().ok(),
        Value::I16(n) => n.try_into().ok(),
        Value::I32(n) => n.try_into().ok(),
        Value::I64(n) => n.try_into().ok(),
        _ => None,
    }
}

/// Reads the header of a file of `length` bytes.
pub(crate) fn read(file: impl Read, length: u64) -> Result<Header, LoadFault> {
    let mut reader =
        Reader { file, position: 0, length, elements_left: MAX_ELEMENTS, digest: Sha256::new(), digesting: false };
    if length < 4 || reader.bytes::<4>("the magic")? != *b"GGUF" {
        return Err(LoadFault::NotGguf);
    }
    let magic = match reader.u32("the version")? {
        2 => VersionedMagic::GgufV2,
        3 => VersionedMagic::GgufV3,
        other => return Err(LoadFault::Version(other)),
    };
    // A tensor's entry has at least 24 bytes, a metadata entry 13.
    let tensors = reader.count("tensors", MAX_TENSORS, 24)?;
    let entries = reader.count("metadata entries", MAX_METADATA, 13)?;
    let metadata = reader.metadata(entries)?;
    let tensor_infos = reader.tensors(tensors)?;
    let alignment = match metadata.get("general.alignment") {
        None => 32,
        Some(value) => match unsigned(value) {
            Some(n) if n.is_power_of_two() && n <= MAX_ALIGNMENT => n,
            _ => {
                let why = format!("an alignment is a power of two up to {MAX_ALIGNMENT}");
                return Err(LoadFault::BadMetadata { key: "general.alignment".to_owned(), why });
            }
        },
    };
    let tensor_data_offset = reader.position.next_multiple_of(alignment);
    check_extents(&tensor_infos, tensor_data_offset, length)?;
    let tokenizer_sha256 = hex::encode(reader.digest.finalize());
    Ok(Header { content: Content { magic, metadata, tensor_infos, tensor_data_offset }, tokenizer_sha256 })
}

/// Refuses tensors that reach past the file's end, or into one another: what is read is then never more than the file.
fn check_extents(tensors: &HashMap<String, TensorInfo>, start: u64, length: u64) -> Result<(), LoadFault> {
    let mut extents = Vec::with_capacity(tensors.len());
    for (name, info) in tensors {
        let bad = |why: &str| LoadFault::BadTensor { name: name.clone(), why: why.to_owned() };
        let row = info.shape.dims().last().copied().unwrap_or(1);
        if !row.is_multiple_of(info.ggml_dtype.block_size()) {
            return Err(bad("its rows are not whole blocks of its type"));
        }
        let size = info
            .shape
            .dims()
            .iter()
            .try_fold(1usize, |product, n| product.checked_mul(*n))
            .and_then(|elements| (elements / info.ggml_dtype.block_size()).checked_mul(info.ggml_dtype.type_size()))
            .ok_or_else(|| bad("its size overflows"))? as u64;
        let end = start.checked_add(info.offset).and_then(|begin| begin.checked_add(size));
        match end {
            Some(end) if end <= length => extents.push((info.offset, size, name)),
            _ => {
                let left = length.saturating_sub(start.saturating_add(info.offset));
                return Err(LoadFault::Truncated { what: format!("the tensor `{name}`"), needed: size, left });
            }
        }
    }
    extents.sort_unstable();
    match extents.windows(2).find(|pair| pair[0].0 + pair[0].1 > pair[1].0) {
        Some(pair) => Err(LoadFault::BadTensor { name: pair[1].2.clone(), why: "it overlaps another".to_owned() }),
        None => Ok(()),
    }
}

struct Reader<R> {
    file: R,
    position: u64,
    length: u64,
    elements_left: u64,
    digest: Sha256,
    digesting: bool,
}

impl<R: Read> Reader<R> {
    fn metadata(&mut self, entries: u64) -> Result<HashMap<String, Value>, LoadFault> {
        let mut metadata = HashMap::new();
        for _ in 0..entries {
            let key = self.string("a metadata key")?;
            let kind = self.u32(&key)?;
            self.digesting = key.starts_with("tokenizer.ggml.");
            if self.digesting {
                self.digest.update((key.len() as u64).to_le_bytes());
                self.digest.update(key.as_bytes());
                self.digest.update(kind.to_le_bytes());
            }
            let value = if kind == ARRAY { self.array(&key)? } else { self.scalar(kind, &key)? };
            self.digesting = false;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(LoadFault::Malformed(format!("the metadata `{key}` is there twice")));
            }
        }
        Ok(metadata)
    }

    fn tensors(&mut self, count: u64) -> Result<HashMap<String, TensorInfo>, LoadFault> {
        let mut tensors = HashMap::new();
        for _ in 0..count {
            let name = self.string("a tensor's name")?;
            let dimensions = self.u32(&name)?;
            if dimensions > MAX_DIMENSIONS {
                let what = format!("dimensions of the tensor `{name}`");
                return Err(LoadFault::Absurd { what, claimed: dimensions.into(), limit: MAX_DIMENSIONS.into() });
            }
            let mut dims = Vec::new();
            for _ in 0..dimensions {
                let claimed = self.u64(&name)?;
                // The largest block type packs eight elements into a byte at most.
                let limit = self.length.saturating_mul(8);
                if claimed == 0 || claimed > limit {
                    return Err(LoadFault::Absurd { what: format!("a side of `{name}`"), claimed, limit });
                }
                dims.insert(0, claimed as usize);
            }
            let kind = self.u32(&name)?;
            let Some(ggml_dtype) = dtype(kind) else {
                return Err(LoadFault::BadTensor { name, why: format!("its type {kind} is not supported") });
            };
            let offset = self.u64(&name)?;
            let info = TensorInfo { ggml_dtype, shape: Shape::from(dims), offset };
            if tensors.insert(name.clone(), info).is_some() {
                return Err(LoadFault::Malformed(format!("the tensor `{name}` is there twice")));
            }
        }
        Ok(tensors)
    }

    fn array(&mut self, key: &str) -> Result<Value, LoadFault> {
        let kind = self.u32(key)?;
        let Some(size) = smallest(kind) else {
            return Err(LoadFault::BadMetadata { key: key.to_owned(), why: format!("an array of type {kind}") });
        };
        let count = self.count(key, self.elements_left, size)?;
        self.elements_left -= count;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.scalar(kind, key)?);
        }
        Ok(Value::Array(values))
    }

    fn scalar(&mut self, kind: u32, key: &str) -> Result<Value, LoadFault> {
        Ok(match kind {
            0 => Value::U8(u8::from_le_bytes(self.bytes(key)?)),
            1 => Value::I8(i8::from_le_bytes(self.bytes(key)?)),
            2 => Value::U16(u16::from_le_bytes(self.bytes(key)?)),
            3 => Value::I16(i16::from_le_bytes(self.bytes(key)?)),
            4 => Value::U32(self.u32(key)?),
            5 => Value::I32(i32::from_le_bytes(self.bytes(key)?)),
            6 => Value::F32(f32::from_le_bytes(self.bytes(key)?)),
            7 => match self.bytes::<1>(key)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [n] => return Err(LoadFault::BadMetadata { key: key.to_owned(), why: format!("the bool {n}") }),
            },
            8 => Value::String(self.string(key)?),
            10 => Value::U64(self.u64(key)?),
            11 => Value::I64(i64::from_le_bytes(self.bytes(key)?)),
            12 => Value::F64(f64::from_le_bytes(self.bytes(key)?)),
            _ => {
                return Err(LoadFault::BadMetadata { key: key.to_owned(), why: format!("its type {kind} is unknown") });
            }
        })
    }

    /// A count of things that take at least `size` bytes each.
    fn count(&mut self, what: &str, limit: u64, size: u64) -> Result<u64, LoadFault> {
        let claimed = self.u64(what)?;
        if claimed > limit {
            return Err(LoadFault::Absurd { what: format!("the number of {what}"), claimed, limit });
        }
        self.need(what, claimed * size)?;
        Ok(claimed)
    }

    fn string(&mut self, what: &str) -> Result<String, LoadFault> {
        let claimed = self.u64(what)?;
        if claimed > MAX_STRING {
            return Err(LoadFault::Absurd { what: format!("the length of {what}"), claimed, limit: MAX_STRING });
        }
        self.need(what, claimed)?;
        let mut bytes = Vec::new();
        let read = self.file.by_ref().take(claimed).read_to_end(&mut bytes).map_err(LoadFault::Io)?;
        if read as u64 != claimed {
            return Err(LoadFault::Truncated { what: what.to_owned(), needed: claimed, left: read as u64 });
        }
        self.seen(&bytes);
        // Not always UTF-8 in the wild, and the tokenizer's pieces are checked where they are used.
        Ok(String::from_utf8(bytes).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()))
    }

    fn u32(&mut self, what: &str) -> Result<u32, LoadFault> {
        Ok(u32::from_le_bytes(self.bytes(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, LoadFault> {
        Ok(u64::from_le_bytes(self.bytes(what)?))
    }

    fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N], LoadFault> {
        self.need(what, N as u64)?;
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(LoadFault::Io)?;
        self.seen(&bytes);
        Ok(bytes)
    }

    fn need(&self, what: &str, needed: u64) -> Result<(), LoadFault> {
        let left = self.length.saturating_sub(self.position);
        if needed > left {
            return Err(LoadFault::Truncated { what: what.to_owned(), needed, left });
        }
        Ok(())
    }

    fn seen(&mut self, bytes: &[u8]) {
        self.position += bytes.len() as u64;
        if self.digesting {
            self.digest.update(bytes);
        }
    }
}

const ARRAY: u32 = 9;

/// The fewest bytes that a value of this type takes; `None` for what is no element of an array.
fn smallest(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        8 | 10..=12 => Some(8),
        _ => None,
    }
}

fn dtype(kind: u32) -> Option<GgmlDType> {
    Some(match kind {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}
