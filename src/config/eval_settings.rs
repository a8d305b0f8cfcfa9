//! `eval:`, checked: who is asked about answers while a suite is run.

use std::collections::BTreeMap;

use backstop_eval::referee::ScorerCommand;

use crate::domain::TargetId;

/// Whom `backstop eval run` asks about answers, where a suite wants it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EvalSettings {
    /// The model that judges.
    pub judge: Option<TargetId>,
    /// Families of models whose names do not tell them.
    pub families: BTreeMap<TargetId, String>,
    /// By the names that suites call them.
    pub scorers: BTreeMap<String, ScorerCommand>,
}
