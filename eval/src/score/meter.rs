//! Checks of what an answer took: time and money, as the run measured them.

use serde::Deserialize;

use super::Miss;
use crate::{report::AnswerRecord, run::dollars};

/// An amount in millionths of a dollar, written in dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Dollars {
    pub micros: u64,
}

impl TryFrom<f64> for Dollars {
    type Error = String;

    fn try_from(usd: f64) -> Result<Self, String> {
        if !(0.0..=1_000_000.0).contains(&usd) {
            return Err(format!("{usd} is not an amount of dollars from 0 to a million"));
        }
        Ok(Self { micros: (usd * 1e6).round() as u64 })
    }
}

pub(super) fn within(record: &AnswerRecord, most_ms: u64) -> Result<(), Miss> {
    if record.latency_ms <= most_ms {
        return Ok(());
    }
    Err(Miss(format!("it took {} ms, {most_ms} are allowed", record.latency_ms)))
}

pub(super) fn costs_at_most(record: &AnswerRecord, most: Dollars) -> Result<(), Miss> {
    match record.cost_micros {
        Some(cost) if cost <= most.micros => Ok(()),
        Some(cost) => Err(Miss(format!("it cost ${}, ${} is allowed", dollars(cost), dollars(most.micros)))),
        None => Err(Miss("the target has no price, so nobody knows what it cost; add one under `models`".into())),
    }
}
