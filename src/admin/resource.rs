//! The table of operations: what there is, and what right each needs. One file a noun.

mod alerts;
mod audit;
mod certificates;
mod drills;
mod gateway;
mod incidents;
mod keys;
mod kpis;
mod ledger;
mod releases;
mod shares;
mod tenants;
mod tokens;
mod vault;
mod vendors;
mod webhook;

pub(super) use ledger::sums as usage;
pub(super) use webhook::{PATHS as WEBHOOKS, webhooks};

use super::endpoint::Endpoint;

/// Every operation.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let nouns = [
        gateway::endpoints(),
        tenants::endpoints(),
        keys::endpoints(),
        ledger::endpoints(),
        audit::endpoints(),
        alerts::endpoints(),
        certificates::endpoints(),
        vault::endpoints(),
        tokens::endpoints(),
        releases::endpoints(),
        vendors::endpoints(),
        drills::endpoints(),
        shares::endpoints(),
        incidents::endpoints(),
        kpis::endpoints(),
    ];
    nouns.into_iter().flatten().collect()
}
