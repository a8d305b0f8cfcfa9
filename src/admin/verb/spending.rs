//! The ledger's attempts one by one beside today's prices: what `usage --rerate`, `usage --format focus` and `prices check`
//! are made of. Reads a page at a time.

use std::collections::HashMap;

use crate::{
    config::Settings,
    domain::{Prices, Quote, TargetId},
    store::{Dimension, SpentRow, Store, StoreError, UsageFilter},
};

const PAGE: u32 = 5000;

/// Gives every attempt that used something to `look`, in order of time.
pub async fn each(
    store: &Store,
    filter: &UsageFilter,
    by: &[Dimension],
    mut look: impl FnMut(SpentRow),
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = store.spent(filter, by, (after.as_ref(), PAGE)).await?;
        let full = page.len() == PAGE as usize;
        after = page.last().map(|row| row.at.clone());
        page.into_iter().for_each(&mut look);
        if !full {
            return Ok(());
        }
    }
}

/// The prices as they are configured now, each looked up once.
pub struct Today<'a> {
    settings: &'a Settings,
    known: HashMap<TargetId, Option<Prices>>,
}

impl<'a> Today<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        Self { settings, known: HashMap::new() }
    }

    pub fn prices(&mut self, target: &TargetId) -> Option<&Prices> {
        if !self.known.contains_key(target) {
            self.known.insert(target.clone(), self.settings.prices_of(target));
        }
        self.known.get(target).and_then(Option::as_ref)
    }

    /// What the attempt costs by the row that is valid for its time today.
    pub fn quote(&mut self, row: &SpentRow) -> Option<Quote> {
        self.prices(&row.target)?.quote(&row.usage, row.at.started_unix_ms)
    }
}
