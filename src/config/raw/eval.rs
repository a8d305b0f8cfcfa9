//! `eval:` as it is written: who judges the answers of a suite besides its own checks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, TargetText};

/// Whom `backstop eval run` asks about answers, where a suite wants it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Eval {
    /// The model that judges, as `vendor/model`: of another family than the model under test, and best a dated name.
    pub(in crate::config) judge: Option<TargetText>,
    /// The family of a model, where its name does not tell it, by `vendor/model`.
    pub(in crate::config) families: Option<BTreeMap<String, String>>,
    /// Commands that suites may call by these names.
    pub(in crate::config) scorers: Option<BTreeMap<String, ScorerEntry>>,
}

/// A command that reads requests and writes verdicts, as JSON lines.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ScorerEntry {
    /// The program and its arguments; no shell reads them.
    #[schemars(required, length(min = 1))]
    pub(in crate::config) command: Option<Vec<String>>,
    /// How long one verdict may take [default: 10s].
    pub(in crate::config) timeout: Option<DurationText>,
}
