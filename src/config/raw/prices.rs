//! `models: … prices:` as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::DateText;

/// What a model costs during one span of time, in US dollars per million tokens. A kind of token without a price counts as
/// what it is a part of: cached, audio and image input as input, reasoning and audio and image output as output.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Price {
    /// The first day of it, UTC [default: it always was].
    pub(in crate::config) from: Option<DateText>,
    /// The first day on which it is no more [default: until further notice]. A call after it counts as priced by a stale row.
    pub(in crate::config) until: Option<DateText>,
    #[schemars(required)]
    pub(in crate::config) input_per_mtok: Option<f64>,
    /// Left out only where `embedding_space` is declared.
    pub(in crate::config) output_per_mtok: Option<f64>,
    pub(in crate::config) cached_input_per_mtok: Option<f64>,
    /// Written to a cache for five minutes, or for as long as the vendor usually keeps it.
    pub(in crate::config) cache_write_per_mtok: Option<f64>,
    /// Written to a cache for an hour.
    pub(in crate::config) cache_write_1h_per_mtok: Option<f64>,
    pub(in crate::config) reasoning_per_mtok: Option<f64>,
    pub(in crate::config) audio_input_per_mtok: Option<f64>,
    pub(in crate::config) audio_output_per_mtok: Option<f64>,
    pub(in crate::config) image_input_per_mtok: Option<f64>,
    pub(in crate::config) image_output_per_mtok: Option<f64>,
    /// For each request that is answered, besides its tokens.
    pub(in crate::config) per_request: Option<f64>,
    /// For each search of the web that the vendor makes while it answers. A call that makes one where no fee is known is priced in part.
    pub(in crate::config) per_web_search: Option<f64>,
    /// For each search of files that the vendor keeps.
    pub(in crate::config) per_file_search: Option<f64>,
    /// For each machine on which the vendor runs code.
    pub(in crate::config) per_code_session: Option<f64>,
    /// What a call costs of that in a batch or in flexible processing: 0.5 for half.
    pub(in crate::config) batch_factor: Option<f64>,
    /// What a call costs of that in the vendor's faster class of service: 2 for twice as much.
    pub(in crate::config) priority_factor: Option<f64>,
    /// Hours of the day in which all of that is multiplied, for vendors that are dearer at peak times or cheaper at night. The moment at
    /// which a call begins counts.
    pub(in crate::config) hours: Option<Vec<Hours>>,
    /// Other prices for the whole call when its prompt is long.
    pub(in crate::config) tiers: Option<Vec<Tier>>,
    /// Where it was read, for `backstop prices show`.
    pub(in crate::config) source: Option<String>,
}

/// A span of every day, in UTC.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Hours {
    /// Its first minute, as `08:30`.
    #[schemars(required)]
    pub(in crate::config) from: Option<String>,
    /// The first minute after it; one before `from` is on the next day, and `24:00` is midnight.
    #[schemars(required)]
    pub(in crate::config) until: Option<String>,
    /// What everything costs of the usual price: 2 for twice as much.
    #[schemars(required)]
    pub(in crate::config) factor: Option<f64>,
}

/// What is not said here is as without the tier.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tier {
    /// It applies to prompts of more tokens than this.
    #[schemars(required)]
    pub(in crate::config) above_tokens: Option<u64>,
    pub(in crate::config) input_per_mtok: Option<f64>,
    pub(in crate::config) output_per_mtok: Option<f64>,
    pub(in crate::config) cached_input_per_mtok: Option<f64>,
    pub(in crate::config) cache_write_per_mtok: Option<f64>,
    pub(in crate::config) cache_write_1h_per_mtok: Option<f64>,
    pub(in crate::config) reasoning_per_mtok: Option<f64>,
    pub(in crate::config) audio_input_per_mtok: Option<f64>,
    pub(in crate::config) audio_output_per_mtok: Option<f64>,
    pub(in crate::config) image_input_per_mtok: Option<f64>,
    pub(in crate::config) image_output_per_mtok: Option<f64>,
}

/// Rates by the keys that they are written with.
pub(in crate::config) type RatesOf = [(&'static str, Option<f64>); 10];

macro_rules! rates_of {
    ($of:ident) => {
        [
            ("input_per_mtok", $of.input_per_mtok),
            ("cached_input_per_mtok", $of.cached_input_per_mtok),
            ("cache_write_per_mtok", $of.cache_write_per_mtok),
            ("cache_write_1h_per_mtok", $of.cache_write_1h_per_mtok),
            ("audio_input_per_mtok", $of.audio_input_per_mtok),
            ("image_input_per_mtok", $of.image_input_per_mtok),
            ("output_per_mtok", $of.output_per_mtok),
            ("reasoning_per_mtok", $of.reasoning_per_mtok),
            ("audio_output_per_mtok", $of.audio_output_per_mtok),
            ("image_output_per_mtok", $of.image_output_per_mtok),
        ]
    };
}

impl Price {
    /// In the order of `Meter::ALL`.
    pub(in crate::config) fn rates(&self) -> RatesOf {
        rates_of!(self)
    }
}

impl Tier {
    /// In the order of `Meter::ALL`.
    pub(in crate::config) fn rates(&self) -> RatesOf {
        rates_of!(self)
    }
}
