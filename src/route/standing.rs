//! What the gate said of each fallback target: certified for its route's suite, or why not.
//!
//! Fail closed: what is not in the table is not certified.

use std::{collections::HashMap, sync::Arc};

use crate::domain::TargetId;

/// One target's standing before one suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Certified,
    Uncertified { reason: Arc<str> },
}

/// A snapshot of every standing, by target and suite.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standings {
    table: HashMap<(TargetId, Arc<str>), Standing>,
}

impl Standings {
    pub fn set(&mut self, target: TargetId, suite: &str, standing: Standing) {
        self.table.insert((target, Arc::from(suite)), standing);
    }

    /// Why `target` may not serve under `suite`; `None` when it may.
    pub fn objection(&self, target: &TargetId, suite: &str) -> Option<Arc<str>> {
        match self.table.get(&(target.clone(), Arc::from(suite))) {
            Some(Standing::Certified) => None,
            Some(Standing::Uncertified { reason }) => Some(Arc::clone(reason)),
            None => Some(Arc::from("its certificate has not been checked yet")),
        }
    }

    /// Whether the gate looked at `target` under `suite`: a first target at a vendor needs no certificate, so it does not.
    pub fn has_looked_at(&self, target: &TargetId, suite: &str) -> bool {
        self.table.contains_key(&(target.clone(), Arc::from(suite)))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TargetId, &str, &Standing)> {
        self.table.iter().map(|((target, suite), standing)| (target, &**suite, standing))
    }
}
