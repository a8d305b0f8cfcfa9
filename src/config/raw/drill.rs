//! `drill:` as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;

/// Game days: `backstop drill outage`. See docs/drills.md.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Drill {
    /// A critical route whose last drill is older than that is told of, by `drill status` and an alert [default: 35d].
    pub(in crate::config) warn_after: Option<DurationText>,
    /// How many questions of its suite a route is asked in a synthetic drill, 1 to 1000 [default: 40].
    pub(in crate::config) questions: Option<usize>,
}
