//! Reads the header of a safetensors file that may be damaged or hostile.
//!
//! The header's length is believed only as far as there are bytes, and has a bound; so have the tensors. What comes out lies
//! inside the file, has the bytes that its shape needs, and together is all of the file: no overlap, no hole, nothing twice.
//! Format: <https://github.com/huggingface/safetensors#format>.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::LoadFault;

const MAX_HEADER: u64 = 16 << 20;
const MAX_TENSORS: usize = 65_536;
const MAX_DIMENSIONS: usize = 4;
const METADATA: &str = "__metadata__";

/// One tensor of a file.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: String,
    pub dtype: Dtype,
    pub dims: Vec<usize>,
    /// Its first byte in the file.
    pub start: u64,
}

/// Reads the header of a file of `length` bytes. The tensors are in the order of their bytes.
pub(super) fn read(mut file: impl Read, length: u64) -> Result<Vec<Entry>, LoadFault> {
    let mut opening = [0; 9];
    if length < opening.len() as u64 {
        return Err(LoadFault::NotSafetensors);
    }
    file.read_exact(&mut opening).map_err(LoadFault::Io)?;
    let [size @ .., brace] = opening;
    // Every header is a JSON object that begins at once.
    if brace != b'{' {
        return Err(LoadFault::NotSafetensors);
    }
    let claimed = u64::from_le_bytes(size);
    if claimed > MAX_HEADER {
        let what = "the length of its header".to_owned();
        return Err(LoadFault::Absurd { what, claimed, limit: MAX_HEADER });
    }
    let left = length - size.len() as u64;
    if claimed > left {
        return Err(LoadFault::Truncated { what: "the header".to_owned(), needed: claimed, left });
    }
    let mut header = vec![brace];
    file.take(claimed.saturating_sub(1)).read_to_end(&mut header).map_err(LoadFault::Io)?;
    let Listing(mut tensors) = serde_json::from_slice(&header).map_err(LoadFault::Json)?;
    tensors.sort_by(|a, b| (a.1.data_offsets, &a.0).cmp(&(b.1.data_offsets, &b.0)));
    check_extents(&tensors, left - claimed)?;
    let data = length - (left - claimed);
    Ok(tensors
        .into_iter()
        .map(|(name, TensorInfo { dtype, shape, data_offsets })| Entry {
            name,
            dtype,
            dims: shape,
            start: data + data_offsets.0 as u64,
        })
        .collect())
}

/// Holds the tensors, in the order of their bytes, against `length` bytes of data.
fn check_extents(tensors: &[(String, TensorInfo)], length: u64) -> Result<(), LoadFault> {
    let mut end = 0;
    for (name, TensorInfo { dtype, shape, data_offsets: (from, to) }) in tensors {
        let bad = |why: String| LoadFault::BadTensor { name: name.clone(), why };
        if shape.len() > MAX_DIMENSIONS {
            return Err(bad(format!("it has {} dimensions, more than {MAX_DIMENSIONS}", shape.len())));
        }
        let bits = shape.iter().try_fold(dtype.bitsize(), |product, side| product.checked_mul(*side));
        let Some(bits) = bits else { return Err(bad("its size overflows".to_owned())) };
        if to < from || bits % 8 != 0 || to - from != bits / 8 {
            return Err(bad(format!("{shape:?} weights of {dtype} do not lie from byte {from} to {to}")));
        }
        if *to as u64 > length {
            let left = length.saturating_sub(*from as u64);
            let needed = (to - from) as u64;
            return Err(LoadFault::Truncated { what: format!("the tensor `{name}`"), needed, left });
        }
        if *from < end {
            return Err(bad("it overlaps another".to_owned()));
        }
        if *from > end {
            return Err(bad("there is a hole before it".to_owned()));
        }
        end = *to;
    }
    match length - end as u64 {
        0 => Ok(()),
        rest => Err(LoadFault::Malformed(format!("it has {rest} bytes that belong to no tensor"))),
    }
}

/// The header's object, in the file's order.
struct Listing(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Listing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Tensors)
    }
}

struct Tensors;

impl<'de> Visitor<'de> for Tensors {
    type Value = Listing;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listing, A::Error> {
        let mut tensors = Vec::new();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if tensors.len() == MAX_TENSORS {
                return Err(A::Error::custom(format!("there are more than {MAX_TENSORS} tensors")));
            }
            let info = map.next_value().map_err(|error| A::Error::custom(format!("the tensor `{name}`: {error}")))?;
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("the tensor `{name}` is there twice")));
            }
            tensors.push((name, info));
        }
        Ok(Listing(tensors))
    }
}
