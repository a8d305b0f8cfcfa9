//! The ledger against what callers saw: every call one row, and every row the truth.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{
    super::home::Home,
    caller::{Heard, Heeded},
    draw::ROUTES,
};

/// The most rows that `calls list` prints; a soak must not have more of one route and ending.
const MOST: &str = "10000";

const ENDINGS: [&str; 5] = ["open", "answered", "failed", "interrupted", "cancelled"];

/// How many rows each ending has, or what is wrong with them.
pub(super) fn compare(home: &Home, heard: &[Heard]) -> Result<BTreeMap<&'static str, usize>, Vec<String>> {
    let mut wrong = Vec::new();
    let mut rows: HashMap<String, (&str, Value)> = HashMap::new();
    let mut counts = BTreeMap::new();
    for (route, ..) in ROUTES {
        for ending in ENDINGS {
            let page = home.json(&["calls", "list", "--route", route, "--ending", ending, "--limit", MOST]);
            let page = page.as_array().expect("a list of calls");
            assert!(page.len() < 10_000, "{route}/{ending} has more rows than one list prints");
            *counts.entry(ending).or_default() += page.len();
            for row in page {
                let number = row["feature"].as_str().expect("every call of a soak bears its number").to_owned();
                if rows.insert(number, (ending, row.clone())).is_some() {
                    wrong.push(format!("a call has two rows: {row}"));
                }
            }
        }
    }
    let used = home.json(&["usage", "--by", "route"]);
    let used: u64 = used.as_array().expect("a row for each route").iter().filter_map(|row| row["calls"].as_u64()).sum();
    if used != rows.len() as u64 {
        wrong.push(format!("`usage` counts {used} calls, `calls list` has {}", rows.len()));
    }
    for call in heard {
        match rows.remove(&call.plan.number.to_string()) {
            Some((ending, row)) => wrong.extend(untrue(call, ending, &row)),
            // One that left at once may have done so before the gateway had the question.
            None if call.end == Heeded::Left && call.id.is_none() => {}
            None => wrong.push(format!("no row of {call:?}")),
        }
    }
    wrong.extend(rows.into_values().map(|(_, row)| format!("a row of a call that nobody made: {row}")));
    if wrong.is_empty() { Ok(counts) } else { Err(wrong) }
}

/// What a row says that its caller knows better.
fn untrue(call: &Heard, ending: &str, row: &Value) -> Option<String> {
    let endings: &[&str] = match call.end {
        Heeded::Whole => &["answered"],
        Heeded::Interrupted => &["interrupted"],
        Heeded::Refused => &["failed"],
        // The last byte may have been under way when it left.
        Heeded::Left => &["answered", "failed", "interrupted", "cancelled"],
        Heeded::Wrong(_) => &ENDINGS,
    };
    let attempts = row["attempts"].as_array().expect("attempts");
    let served = row["served_by"].as_u64().and_then(|index| attempts.get(usize::try_from(index).ok()?));
    let any = |role: &str| attempts.iter().any(|attempt| attempt["role"] == role);
    // A broken answer begins again at the next target, or at one that said how long to wait.
    let restarts = if call.restarts > 0 { any("restart") || any("retry") } else { !any("restart") };
    let told = call.id.as_ref().is_none_or(|id| row["id"] == id.as_str());
    let status = call.end == Heeded::Left || row["status"].as_u64() == call.status.map(u64::from);
    let holds = endings.contains(&ending)
        && told
        && status
        && (call.end != Heeded::Whole || served.is_some_and(|served| served["fault"].is_null()))
        && (call.end != Heeded::Whole || restarts)
        && served.is_none_or(|served| served["usage_source"] != "none");
    (!holds).then(|| format!("the caller saw {call:?}, the ledger says {ending}: {row}"))
}
