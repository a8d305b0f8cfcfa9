//! Whatever order asking, ending and giving up come in: a target, its region and its vendor are free again afterwards.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{Asked, Cell};
use crate::{
    config::load,
    domain::{Fault, FaultKind},
    relay::health::Health,
    route::{BreakerStanding, CallKind, Estimate},
};

const TOKENS: Estimate = Estimate { input: 1, output: 1 };

/// Two regions of one operator, two targets in each; breakers that open at once and close within milliseconds.
const CONFIG: &str = "
listen: 127.0.0.1:0
enforcement: warn
vendors:
  east: { kind: openai, base_url: 'http://127.0.0.1:9/v1', region: east, operated_by: acme-ai }
  west: { kind: openai, base_url: 'http://127.0.0.1:9/v1', region: west, operated_by: acme-ai }
routes:
  one: { targets: [east/x, west/x] }
  two: { targets: [east/y, west/y] }
tenants: { acme: {} }
breaker: { cooldown: 2ms, max_cooldown: 4ms, recovery: 2ms, min_calls: 4, consecutive: 2 }
";

#[derive(Debug, Clone)]
enum Act {
    Ask {
        which: prop::sample::Index,
        roll: f64,
    },
    AskAnyway {
        which: prop::sample::Index,
    },
    End {
        which: prop::sample::Index,
        fault: Option<FaultKind>,
    },
    GiveUp {
        which: prop::sample::Index,
    },
    /// Long enough for a cooldown.
    Pass,
}

fn act() -> impl Strategy<Value = Act> {
    let which = any::<prop::sample::Index>;
    let fault = prop_oneof![
        3 => Just(None),
        5 => Just(Some(FaultKind::ServerError)),
        1 => Just(Some(FaultKind::RateLimited)),
        1 => Just(Some(FaultKind::VendorAuth)),
        1 => Just(Some(FaultKind::BadRequest)),
        1 => Just(Some(FaultKind::ClientGone)),
    ];
    prop_oneof![
        8 => (which(), 0.0..1.0).prop_map(|(which, roll)| Act::Ask { which, roll }),
        1 => which().prop_map(|which| Act::AskAnyway { which }),
        6 => (which(), fault).prop_map(|(which, fault)| Act::End { which, fault }),
        2 => which().prop_map(|which| Act::GiveUp { which }),
        1 => Just(Act::Pass),
    ]
}

fn act_on(cells: &[Arc<Cell>], out: &mut Vec<Asked>, act: Act) {
    let kind = CallKind::FirstContent;
    match act {
        Act::Ask { which, roll } => out.extend(cells[which.index(cells.len())].admit(kind, roll, TOKENS).ok()),
        Act::AskAnyway { which } => out.push(cells[which.index(cells.len())].admit_anyway(kind)),
        Act::End { which, fault } if !out.is_empty() => {
            let asked = out.swap_remove(which.index(out.len()));
            let fault = fault.map(|kind| Fault::new(kind, "drawn"));
            asked.ended(fault.as_ref(), None, Duration::from_millis(1));
        }
        Act::GiveUp { which } if !out.is_empty() => drop(out.swap_remove(which.index(out.len()))),
        Act::End { .. } | Act::GiveUp { .. } => {}
        Act::Pass => std::thread::sleep(Duration::from_millis(5)),
    }
}

/// Asks with success until everything is closed, for at most five seconds.
fn recovers(cell: &Arc<Cell>) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if let Ok(asked) = cell.admit(CallKind::FirstContent, 0.0, TOKENS) {
            asked.ended(None, None, Duration::from_millis(1));
        }
        let standings = cell.standings();
        if standings.breaker == BreakerStanding::Closed && standings.outage.is_none() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_was_asked_every_target_can_be_asked_again(acts in proptest::collection::vec(act(), 1..200)) {
        let loaded = load(CONFIG, Path::new("backstop.yaml")).expect("the config is good");
        let health = Health::default();
        prop_assert_eq!(health.cells(&loaded.settings).len(), 4);
        // In the order of their names, so that a failure can be repeated.
        let cells = health.all();
        let mut out = Vec::new();
        for act in acts {
            act_on(&cells, &mut out, act);
        }
        drop(out);
        for cell in &cells {
            prop_assert!(recovers(cell), "{:?} never comes back: {:?}", cell.id(), cell.standings());
        }
    }
}
