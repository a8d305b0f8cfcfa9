//! What a certificate is for: use cases and tiers. A route that is not within it is closed to the target.

use serde::{Deserialize, Serialize};

use super::{Certificate, IssueError, Reason};
use crate::suite::{Suite, Tier};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// What it may be used for; a route that names a use case needs it among these.
    pub use_cases: Vec<String>,
    /// How much may hang on the calls. One that does not say is for all, as those before there were tiers are.
    #[serde(default = "Tier::all")]
    pub tiers: Vec<Tier>,
}

/// What a route wants of a certificate, besides that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose<'a> {
    pub tier: Tier,
    /// `None`: the route names none, and any will do.
    pub use_case: Option<&'a str>,
}

impl Scope {
    /// All that passing `suite` shows.
    pub fn of(suite: &Suite) -> Self {
        Self { use_cases: suite.use_cases.clone(), tiers: suite.tiers.clone() }
    }

    /// A part of what passing `suite` shows; nothing named means all of it.
    pub fn narrowed(suite: &Suite, tiers: &[Tier], use_cases: &[String]) -> Result<Self, IssueError> {
        let whole = Self::of(suite);
        let outside = |what: &'static str, found: &str, known: String| IssueError::OutsideSuite {
            what,
            found: found.to_owned(),
            suite: suite.name().to_owned(),
            known,
        };
        if let Some(tier) = tiers.iter().find(|tier| !whole.tiers.contains(tier)) {
            return Err(outside("tier", tier.name(), whole.tiers_listed()));
        }
        if let Some(case) = use_cases.iter().find(|case| !whole.use_cases.contains(case)) {
            return Err(outside("use case", case, whole.use_cases_listed()));
        }
        let chosen = |tier: &Tier| tiers.is_empty() || tiers.contains(tier);
        let named = |case: &String| use_cases.is_empty() || use_cases.contains(case);
        Ok(Self {
            use_cases: whole.use_cases.into_iter().filter(named).collect(),
            tiers: whole.tiers.into_iter().filter(chosen).collect(),
        })
    }

    /// `critical, standard`
    pub fn tiers_listed(&self) -> String {
        listed(self.tiers.iter().map(|tier| tier.name()))
    }

    pub fn use_cases_listed(&self) -> String {
        listed(self.use_cases.iter().map(String::as_str))
    }

    fn covers(&self, purpose: Purpose<'_>) -> Result<(), Reason> {
        if !self.tiers.contains(&purpose.tier) {
            let wanted = purpose.tier.name().to_owned();
            return Err(Reason::OutOfScope { what: "tier", wanted, certified: self.tiers_listed() });
        }
        match purpose.use_case {
            Some(case) if !self.use_cases.iter().any(|certified| certified == case) => Err(Reason::OutOfScope {
                what: "use case",
                wanted: case.to_owned(),
                certified: self.use_cases_listed(),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

impl Certificate {
    /// Whether a route with this purpose lies within its scope.
    pub fn is_for(&self, purpose: Purpose<'_>) -> Result<(), Reason> {
        self.predicate().scope.covers(purpose)
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
