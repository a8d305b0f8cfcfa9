//! What LiteLLM says that a model costs, per token, as rates per million.

use super::{Node, Value};
use crate::config::import::draft::{Model, Rates};

/// Rates of tokens: LiteLLM's key, and ours.
const RATES: [(&str, &str); 10] = [
    ("input_cost_per_token", "input_per_mtok"),
    ("output_cost_per_token", "output_per_mtok"),
    ("cache_read_input_token_cost", "cached_input_per_mtok"),
    ("cache_creation_input_token_cost", "cache_write_per_mtok"),
    ("cache_creation_input_token_cost_above_1hr", "cache_write_1h_per_mtok"),
    ("output_cost_per_reasoning_token", "reasoning_per_mtok"),
    ("input_cost_per_audio_token", "audio_input_per_mtok"),
    ("output_cost_per_audio_token", "audio_output_per_mtok"),
    ("input_cost_per_image_token", "image_input_per_mtok"),
    ("output_cost_per_image_token", "image_output_per_mtok"),
];

/// Rates of prompts of more tokens than that.
const TIERS: [(u64, &str, &str); 8] = [
    (128_000, "input_cost_per_token_above_128k_tokens", "input_per_mtok"),
    (128_000, "output_cost_per_token_above_128k_tokens", "output_per_mtok"),
    (200_000, "input_cost_per_token_above_200k_tokens", "input_per_mtok"),
    (200_000, "output_cost_per_token_above_200k_tokens", "output_per_mtok"),
    (200_000, "cache_read_input_token_cost_above_200k_tokens", "cached_input_per_mtok"),
    (200_000, "cache_creation_input_token_cost_above_200k_tokens", "cache_write_per_mtok"),
    (272_000, "input_cost_per_token_above_272k_tokens", "input_per_mtok"),
    (272_000, "output_cost_per_token_above_272k_tokens", "output_per_mtok"),
];

/// The input's rate in another class of service, of which we keep the factor.
const FACTORS: [(&str, &str); 3] = [
    ("input_cost_per_token_flex", "batch_factor"),
    ("input_cost_per_token_batches", "batch_factor"),
    ("input_cost_per_token_priority", "priority_factor"),
];
/// The output's, which the same factor is taken to make.
const WITH_FACTORS: [&str; 3] =
    ["output_cost_per_token_flex", "output_cost_per_token_batches", "output_cost_per_token_priority"];
const PER_REQUEST: &str = "input_cost_per_request";
const CONTEXT: &str = "max_input_tokens";

/// Every key that is carried.
pub(super) fn keys() -> Vec<&'static str> {
    let rates = RATES.iter().map(|(theirs, _)| *theirs);
    let tiers = TIERS.iter().map(|(_, theirs, _)| *theirs);
    let factors = FACTORS.iter().map(|(theirs, _)| *theirs);
    rates.chain(tiers).chain(factors).chain(WITH_FACTORS).chain([PER_REQUEST, CONTEXT]).collect()
}

/// `model_info` says more than `litellm_params`, where both say it.
pub(super) fn of(params: &Node, info: Option<&Node>) -> Model {
    let given = |key: &str| info.and_then(|info| info.get(key)).or_else(|| params.get(key));
    let number = |key: &str| given(key).filter(|node| !matches!(node.value, Value::Null)).and_then(Node::as_number);
    let context_tokens = number(CONTEXT).filter(|tokens| *tokens >= 1.0).map(|tokens| tokens as u32);
    let per_mtok = |(theirs, ours): &(&str, &'static str)| Some((*ours, number(theirs)? * 1e6));
    let rates: Rates = RATES.iter().filter_map(per_mtok).collect();
    let has = |ours: &str| rates.iter().any(|(key, _)| *key == ours);
    if !has("input_per_mtok") || !has("output_per_mtok") {
        return Model { context_tokens, ..Model::default() };
    }
    let mut model = Model { context_tokens, ..Model::default() };
    for (above, theirs, ours) in &TIERS {
        if let Some((ours, usd)) = per_mtok(&(*theirs, *ours)) {
            model.tiers.entry(*above).or_default().push((ours, usd));
        }
    }
    model.besides.extend(number(PER_REQUEST).map(|usd| ("per_request", usd)));
    let usual = rates[0].1;
    for (theirs, ours) in FACTORS {
        let factor = number(theirs).map(|usd| usd * 1e6 / usual).filter(|factor| factor.is_finite());
        if let Some(factor) = factor.filter(|_| !model.besides.iter().any(|(key, _)| *key == ours)) {
            model.besides.push((ours, factor));
        }
    }
    Model { rates, ..model }
}
