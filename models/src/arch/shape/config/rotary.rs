//! Rotary positions as a config describes them: at the top with `rope_scaling`, or, in newer ones, in `rope_parameters`.

use std::f32::consts::TAU;

use super::Keys;
use crate::files::Family;
use crate::load::LoadFault;

pub(super) struct Rotation {
    pub base: f32,
    /// Of layers with a window, where it is another.
    pub local_base: Option<f32>,
    /// What positions are multiplied with.
    pub scale: f32,
    /// How much of a head is turned.
    pub part: f32,
    bands: Option<Bands>,
}

/// Llama 3.1's scaling: long waves are stretched, short ones are left, and those between are blended.
struct Bands {
    factor: f32,
    low: f32,
    high: f32,
    original_context: f32,
}

const PART: &str = "partial_rotary_factor";

pub(super) fn read(keys: &Keys<'_>, family: Family) -> Result<Rotation, LoadFault> {
    let gemma = family == Family::Gemma3;
    let (base, local_base, scaling) = match keys.object("rope_parameters")? {
        Some(parameters) if gemma => {
            let of = |kind: &str| parameters.object(kind)?.ok_or_else(|| LoadFault::MissingKey(kind.to_owned()));
            let (full, local) = (of("full_attention")?, of("sliding_attention")?);
            if let Some(kind @ ("linear" | "llama3")) = kind(&local)? {
                return Err(LoadFault::Unsupported(format!(
                    "windows with rotary positions that are scaled by `{kind}`"
                )));
            }
            (full.number("rope_theta")?, local.number("rope_theta")?, Some(full))
        }
        Some(parameters) => (parameters.number("rope_theta")?, None, Some(parameters)),
        None => (keys.number("rope_theta")?, keys.number("rope_local_base_freq")?, keys.object("rope_scaling")?),
    };
    let in_parameters = scaling.as_ref().map(|scaling| scaling.number(PART)).transpose()?.flatten();
    let mut rotation = Rotation {
        base: base.unwrap_or(if gemma { 1e6 } else { 1e4 }),
        local_base: gemma.then_some(local_base.unwrap_or(1e4)),
        scale: 1.0,
        part: keys.number(PART)?.or(in_parameters).unwrap_or(1.0),
        bands: None,
    };
    let Some(scaling) = scaling else { return Ok(rotation) };
    let need = |key: &str| scaling.number(key)?.ok_or_else(|| LoadFault::MissingKey(key.to_owned()));
    match kind(&scaling)? {
        Some("linear") => rotation.scale = 1.0 / need("factor")?,
        Some("llama3") => {
            let bands = Bands {
                factor: need("factor")?,
                low: need("low_freq_factor")?,
                high: need("high_freq_factor")?,
                original_context: need("original_max_position_embeddings")?,
            };
            if bands.low >= bands.high {
                return Err(Keys::bad("high_freq_factor", "it is not above `low_freq_factor`"));
            }
            rotation.bands = Some(bands);
        }
        _ => {}
    }
    Ok(rotation)
}

/// How positions are scaled: `linear`, `llama3`, or not at all.
fn kind<'a>(scaling: &Keys<'a>) -> Result<Option<&'a str>, LoadFault> {
    let named = match scaling.text("rope_type")? {
        Some(kind) => Some(kind),
        None => scaling.text("type")?,
    };
    match named {
        None | Some("default") => Ok(None),
        Some(known @ ("linear" | "llama3")) => Ok(Some(known)),
        Some(other) => Err(LoadFault::Unsupported(format!("rotary positions that are scaled by `{other}`"))),
    }
}

impl Rotation {
    /// What divides each frequency of heads whose first `width` values are turned.
    pub(super) fn factors(&self, width: usize) -> Option<Vec<f32>> {
        let bands = self.bands.as_ref()?;
        let wave = |pair: usize| TAU * self.base.powf(2.0 * pair as f32 / width as f32);
        Some((0..width / 2).map(|pair| bands.factor_of(wave(pair))).collect())
    }
}

impl Bands {
    /// `_compute_llama3_parameters` of `transformers`, as a divisor.
    fn factor_of(&self, wave: f32) -> f32 {
        let turns = self.original_context / wave;
        if turns > self.high {
            1.0
        } else if turns < self.low {
            self.factor
        } else {
            let smooth = (turns - self.low) / (self.high - self.low);
            1.0 / ((1.0 - smooth) / self.factor + smooth)
        }
    }
}
