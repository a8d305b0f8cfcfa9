//! Limits for people to look at: what is used, what is left, when it begins anew. A running gateway writes its accounts to a
//! file in the state directory, whole and moved into place; a verb that finds none, or an old one, reads the ledger.

use std::{borrow::Cow, fs, io, path::Path};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Limiter,
    account::{Balance, Rate},
    subject::Subject,
    subjects::Limited,
};
use crate::{
    clock,
    config::BudgetKind,
    domain::{Money, Period},
};

/// The largest file that is read, in bytes.
const MOST: u64 = 256 << 20;
/// A file older than this was left by a gateway that does not run any more, in ms.
const FRESH_MS: i64 = 5000;

/// All accounts at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    pub at_unix_ms: i64,
    /// Who counts.
    process: u32,
    accounts: Vec<(Subject, Balance)>,
}

/// One limit, as `backstop limits show` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LimitView {
    /// `tenant`, `key`, `feature` or `model`.
    pub subject: Cow<'static, str>,
    pub name: String,
    pub limit: Cow<'static, str>,
    /// Of a budget: `hard` or `soft`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub kind: Option<BudgetKind>,
    /// `null`: it bounds each call by itself, so nothing is used up.
    pub used: Value,
    /// What calls under way have set aside.
    pub reserved: Value,
    pub left: Value,
    pub max: Value,
    /// When all of it is there again; `null` where nothing has to be waited for.
    pub resets_unix_ms: Option<i64>,
}

impl Counted {
    pub fn of(limiter: &Limiter) -> Self {
        let at_unix_ms = clock::unix_ms();
        Self { at_unix_ms, process: std::process::id(), accounts: limiter.balances(at_unix_ms) }
    }

    /// The limits of `limited` and what is used of them.
    pub fn view(&self, limited: &[Limited]) -> Vec<LimitView> {
        limited.iter().flat_map(|limited| self.view_of(limited)).collect()
    }

    fn view_of(&self, limited: &Limited) -> Vec<LimitView> {
        let Limited { subject, limits } = limited;
        let balance = self.accounts.iter().find(|(known, _)| known == subject).map(|(_, balance)| balance);
        let blank = |limit: &'static str, max: Value| LimitView {
            subject: subject.kind().into(),
            name: subject.name(),
            limit: limit.into(),
            kind: None,
            used: Value::Null,
            reserved: Value::Null,
            left: Value::Null,
            max,
            resets_unix_ms: None,
        };
        let mut views = Vec::new();
        for (rate, name) in Rate::ALL.into_iter().zip(["rpm", "tpm", "rpd", "tpd"]) {
            let Some(max) = rate.of(limits) else { continue };
            let (used, empty_at) = balance.map_or((0, self.at_unix_ms), |balance| balance.used[rate as usize]);
            let resets_unix_ms = (used > 0).then_some(empty_at);
            let left = json!(max.saturating_sub(used));
            views.push(LimitView { used: json!(used), left, resets_unix_ms, ..blank(name, json!(max)) });
        }
        if let Some(max) = limits.concurrency {
            let used = balance.map_or(0, |balance| balance.in_flight);
            let left = json!(max.saturating_sub(used));
            views.push(LimitView { used: json!(used), left, ..blank("concurrency", json!(max)) });
        }
        for (period, name) in
            Period::ALL.into_iter().zip(["budget_usd_per_day", "budget_usd_per_week", "budget_usd_per_month"])
        {
            let Some(max) = limits.budget(period) else { continue };
            let spent = balance.and_then(|balance| balance.spent.iter().find(|spent| spent.period == period));
            let (used, reserved) = spent.map_or((Money::ZERO, Money::ZERO), |spent| (spent.spent, spent.reserved));
            let left = Money::from_micros((max.micros - used.micros - reserved.micros).max(0));
            views.push(LimitView {
                kind: Some(if limits.has_hard_budget() { BudgetKind::Hard } else { BudgetKind::Soft }),
                used: json!(used.to_string()),
                reserved: json!(reserved.to_string()),
                left: json!(left.to_string()),
                resets_unix_ms: Some(period.end_ms(self.at_unix_ms)),
                ..blank(name, json!(max.to_string()))
            });
        }
        let ceilings = [
            ("max_body", limits.body_bytes.map(|bytes| json!(bytes))),
            ("max_tokens", limits.answer_tokens.map(|tokens| json!(tokens))),
            ("max_usd_per_call", limits.cost_per_call.map(|cost| json!(cost.to_string()))),
        ];
        views.extend(ceilings.into_iter().filter_map(|(name, max)| Some(blank(name, max?))));
        views
    }
}

/// Writes what a gateway has counted.
pub fn write_view(limiter: &Limiter, path: &Path) -> io::Result<()> {
    let bytes = serde_json::to_vec(&Counted::of(limiter)).map_err(io::Error::other)?;
    let new = path.with_extension("json.new");
    fs::write(&new, bytes)?;
    fs::rename(&new, path)
}

/// What a gateway that runs now has counted; `None`: none runs.
pub fn read_view(path: &Path) -> io::Result<Option<Counted>> {
    use std::io::Read as _;
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    let counted: Counted = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
    let is_fresh = (clock::unix_ms() - counted.at_unix_ms).abs() < FRESH_MS;
    Ok(Some(counted).filter(|counted| is_fresh && runs(counted.process)))
}

/// Where the system does not tell, a fresh file is believed.
fn runs(process: u32) -> bool {
    let processes = Path::new("/proc");
    !processes.join("self").exists() || processes.join(process.to_string()).exists()
}
