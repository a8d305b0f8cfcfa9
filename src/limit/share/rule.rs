//! What a share cap says, and of whom: plain data, made of the config.

use std::{collections::BTreeMap, sync::Arc};

use super::hours::HOUR_MS;
use crate::{
    config::{Settings, ShareUnit},
    domain::{VendorId, Volume},
};

/// The cap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// 0 to 1; 1: no cap.
    pub max: f64,
    /// From here on calls move elsewhere in proportion; at most `max`.
    pub soft: f64,
    pub unit: ShareUnit,
    /// The window, in whole hours, besides the one that has just begun.
    pub hours: i64,
    /// In the unit.
    pub min_volume: u64,
}

/// Whose volume a vendor's is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// Ours: it counts in the total and has no cap.
    Own,
    /// Whoever runs the models: all vendors of one operator have one share.
    Operator(Arc<str>),
}

/// Every configured vendor's party. One that is not here any more is an operator of its own name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parties {
    by_vendor: BTreeMap<VendorId, Party>,
}

impl Rule {
    pub fn of(settings: &Settings) -> Self {
        let cap = &settings.share_cap;
        let window_ms = i64::try_from(cap.window.as_millis()).unwrap_or(i64::MAX / 2);
        let hours = (window_ms.saturating_add(HOUR_MS - 1) / HOUR_MS).max(1);
        Self { max: cap.max, soft: cap.soft, unit: cap.unit, hours, min_volume: cap.min_volume }
    }

    /// Whether there is a cap at all.
    pub fn binds(&self) -> bool {
        self.max < 1.0
    }

    /// `volume` in the rule's unit.
    pub fn count(&self, volume: Volume) -> u64 {
        match self.unit {
            ShareUnit::Tokens => volume.tokens,
            ShareUnit::Requests => volume.requests,
            ShareUnit::Cost => volume.cost_micros,
        }
    }

    /// What a share is a part of: below the least volume, that. So nobody has more than its share already when the rule
    /// begins to bite.
    pub(super) fn base(&self, total: u64) -> f64 {
        total.max(self.min_volume) as f64
    }

    /// Whether `part` of `total` is within the cap.
    pub(super) fn allows(&self, part: u64, total: u64) -> bool {
        part as f64 <= self.max * self.base(total)
    }
}

impl Party {
    /// `None`: our own hardware.
    pub(super) fn name(&self) -> Option<Arc<str>> {
        match self {
            Self::Own => None,
            Self::Operator(name) => Some(Arc::clone(name)),
        }
    }
}

impl Parties {
    pub fn of(settings: &Settings) -> Self {
        let party = |vendor: &crate::config::Vendor| match vendor.self_hosted {
            true => Party::Own,
            false => Party::Operator(Arc::from(vendor.operator())),
        };
        Self { by_vendor: settings.vendors.iter().map(|(id, vendor)| (id.clone(), party(vendor))).collect() }
    }

    pub fn party(&self, vendor: &VendorId) -> Party {
        match self.by_vendor.get(vendor) {
            _ if vendor.is_local() => Party::Own,
            Some(party) => party.clone(),
            None => Party::Operator(Arc::from(vendor.as_str())),
        }
    }
}
