//! Values of a config by their keys, checked; `null` is what is not there.

use serde_json::{Map, Value};

use crate::load::LoadFault;

pub(super) struct Keys<'a>(pub &'a Map<String, Value>);

impl<'a> Keys<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, LoadFault> {
        self.get(key).map(|value| value.as_str().ok_or_else(|| Self::bad(key, "it is no text"))).transpose()
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, LoadFault> {
        let flag = |value: &Value| value.as_bool().ok_or_else(|| Self::bad(key, "it is neither true nor false"));
        self.get(key).map(flag).transpose()
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<Keys<'a>>, LoadFault> {
        let object = |value: &'a Value| value.as_object().map(Keys).ok_or_else(|| Self::bad(key, "it is no object"));
        self.get(key).map(object).transpose()
    }

    /// A whole number from zero.
    pub(super) fn whole(&self, key: &str) -> Result<Option<u64>, LoadFault> {
        let whole = |value: &Value| value.as_u64().ok_or_else(|| Self::bad(key, "it is no whole number"));
        self.get(key).map(whole).transpose()
    }

    /// A number in `1..=limit`.
    pub(super) fn count(&self, key: &str, limit: u64) -> Result<usize, LoadFault> {
        self.optional_count(key, limit)?.ok_or_else(|| LoadFault::MissingKey(key.to_owned()))
    }

    pub(super) fn optional_count(&self, key: &str, limit: u64) -> Result<Option<usize>, LoadFault> {
        match self.get(key).map(Value::as_u64) {
            None => Ok(None),
            Some(Some(n)) if (1..=limit).contains(&n) => Ok(Some(n as usize)),
            Some(_) => Err(Self::bad(key, &format!("it is not in 1..={limit}"))),
        }
    }

    /// A positive number that 32 bits hold.
    pub(super) fn number(&self, key: &str) -> Result<Option<f32>, LoadFault> {
        match self.get(key).map(|value| value.as_f64().map(|x| x as f32)) {
            None => Ok(None),
            Some(Some(x)) if x.is_normal() && x > 0.0 => Ok(Some(x)),
            Some(_) => Err(Self::bad(key, "it is not a positive number")),
        }
    }

    /// By layer, whether it sees only a window.
    pub(super) fn layer_types(&self, layers: usize) -> Result<Option<Vec<bool>>, LoadFault> {
        let key = "layer_types";
        let Some(types) = self.get(key) else { return Ok(None) };
        let types = types.as_array().filter(|types| types.len() == layers);
        let types = types.ok_or_else(|| Self::bad(key, "it does not have one entry for each layer"))?;
        let slides = |kind: &Value| match kind.as_str() {
            Some("full_attention") => Ok(false),
            Some("sliding_attention") => Ok(true),
            _ => Err(LoadFault::Unsupported(format!("layers of the type {kind} (`{key}`)"))),
        };
        types.iter().map(slides).collect::<Result<_, _>>().map(Some)
    }

    pub(super) fn bad(key: &str, why: &str) -> LoadFault {
        LoadFault::BadMetadata { key: key.to_owned(), why: why.to_owned() }
    }
}
