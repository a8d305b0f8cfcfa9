//! What a certificate is to be for, on the command line: all that its suite is for, or a part of that.

use backstop_eval::{
    certificate::Scope,
    suite::{Suite, Tier},
};
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(super) struct ScopeArgs {
    /// Certify for routes of this criticality only; once for each [default: all that the suite is for]
    #[arg(long = "tier", value_enum, value_name = "TIER")]
    tiers: Vec<TierArg>,
    /// Certify for this use case only; once for each [default: all of the suite's]
    #[arg(long = "use-case", value_name = "NAME")]
    use_cases: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TierArg {
    Batch,
    Standard,
    Critical,
}

impl ScopeArgs {
    pub(super) fn is_given(&self) -> bool {
        !self.tiers.is_empty() || !self.use_cases.is_empty()
    }

    /// # Errors
    /// When the suite is not for what was named.
    pub(super) fn of(&self, suite: &Suite) -> anyhow::Result<Scope> {
        let tiers: Vec<Tier> = self.tiers.iter().map(|tier| tier.meant()).collect();
        Ok(Scope::narrowed(suite, &tiers, &self.use_cases)?)
    }
}

impl TierArg {
    fn meant(self) -> Tier {
        match self {
            Self::Batch => Tier::Batch,
            Self::Standard => Tier::Standard,
            Self::Critical => Tier::Critical,
        }
    }
}
