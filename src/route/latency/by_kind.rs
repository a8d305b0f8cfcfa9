//! All of a target's baselines, one for each kind of call. Its serde form is an object by the kinds' labels; a label of
//! another version is passed over.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Baseline, CallKind, Sample, Threshold};
use crate::config::LatencyPolicy;

/// What is known of one target's times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baselines {
    by_kind: BTreeMap<CallKind, Baseline>,
}

impl Baselines {
    /// Adds one attempt's time. `now_unix_ms`: when it ended.
    pub fn record(
        &mut self,
        kind: CallKind,
        now_unix_ms: i64,
        (took, sample): (Duration, Sample),
        policy: &LatencyPolicy,
    ) {
        self.by_kind.entry(kind).or_default().record(now_unix_ms, took, sample, policy);
    }

    pub fn threshold(&self, kind: CallKind, now_unix_ms: i64, policy: &LatencyPolicy) -> Threshold {
        match self.by_kind.get(&kind) {
            Some(baseline) => baseline.threshold(now_unix_ms, policy),
            None => Threshold { samples: 0, cut_short: 0, p95: None, p99: None, after: None },
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (CallKind, &Baseline)> {
        self.by_kind.iter().map(|(kind, baseline)| (*kind, baseline))
    }

    pub fn is_empty(&self) -> bool {
        self.by_kind.is_empty()
    }
}

impl Serialize for Baselines {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.by_kind.iter().map(|(kind, baseline)| (kind.label(), baseline)))
    }
}

impl<'de> Deserialize<'de> for Baselines {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let by_label = BTreeMap::<String, Baseline>::deserialize(from)?;
        let by_kind =
            by_label.into_iter().filter_map(|(label, baseline)| Some((CallKind::from_label(&label)?, baseline)));
        Ok(Self { by_kind: by_kind.collect() })
    }
}
