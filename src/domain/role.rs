//! What operators may do: a role has every right of the lesser ones, and security stands beside them with rights of its own.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose duty what is. `security` reads as `viewer` does, and alone handles secrets and who may operate: nobody can both
/// release a model and let another release it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum OperatorRole {
    Viewer,
    Operator,
    ReleaseManager,
    CoeLead,
    Security,
}

/// What an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Everything that is no secret and tells of no person.
    Read,
    TenantChange,
    KeyChange,
    AlertTest,
    KpiReport,
    IncidentReport,
    /// One act that makes things as they were.
    RollBack,
    /// Calls are moved off a vendor.
    VendorEvacuate,
    /// Vendors are seen as down for some calls, on purpose.
    DrillStart,
    ReleasePropose,
    ReleasePromote,
    ReleaseApprove,
    CertificateRevoke,
    /// The share cap refuses nothing for a while.
    ShareOverride,
    /// Names of secrets; no right shows a value.
    VaultNames,
    VaultChange,
    TokenRead,
    TokenChange,
    /// The audit log with what it knows of persons.
    AuditPersonal,
    /// What it knows of a person is erased.
    AuditForget,
}

impl Right {
    pub const ALL: [Self; 20] = [
        Self::Read,
        Self::TenantChange,
        Self::KeyChange,
        Self::AlertTest,
        Self::KpiReport,
        Self::IncidentReport,
        Self::RollBack,
        Self::VendorEvacuate,
        Self::DrillStart,
        Self::ReleasePropose,
        Self::ReleasePromote,
        Self::ReleaseApprove,
        Self::CertificateRevoke,
        Self::ShareOverride,
        Self::VaultNames,
        Self::VaultChange,
        Self::TokenRead,
        Self::TokenChange,
        Self::AuditPersonal,
        Self::AuditForget,
    ];

    /// The least role that has it.
    pub fn least(self) -> OperatorRole {
        match self {
            Self::Read => OperatorRole::Viewer,
            Self::TenantChange
            | Self::KeyChange
            | Self::AlertTest
            | Self::KpiReport
            | Self::IncidentReport
            | Self::RollBack
            | Self::VendorEvacuate => OperatorRole::Operator,
            Self::DrillStart | Self::ReleasePropose | Self::ReleasePromote => OperatorRole::ReleaseManager,
            Self::ReleaseApprove | Self::CertificateRevoke | Self::ShareOverride => OperatorRole::CoeLead,
            Self::VaultNames
            | Self::VaultChange
            | Self::TokenRead
            | Self::TokenChange
            | Self::AuditPersonal
            | Self::AuditForget => OperatorRole::Security,
        }
    }
}

impl OperatorRole {
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Operator, Self::ReleaseManager, Self::CoeLead, Self::Security];

    pub fn may(self, right: Right) -> bool {
        match (self, right.least()) {
            (Self::Security, least) => matches!(least, Self::Viewer | Self::Security),
            (_, Self::Security) => false,
            (role, least) => role >= least,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::ReleaseManager => "release-manager",
            Self::CoeLead => "coe-lead",
            Self::Security => "security",
        }
    }
}

impl fmt::Display for OperatorRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OperatorRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found
            .ok_or_else(|| format!("`{text}` is no role; roles: viewer, operator, release-manager, coe-lead, security"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who may what, written out: one line a right, one column a role, in the order of [`OperatorRole::ALL`].
    const TABLE: [(Right, [bool; 5]); 20] = {
        const X: bool = true;
        const O: bool = false;
        [
            (Right::Read, [X, X, X, X, X]),
            (Right::TenantChange, [O, X, X, X, O]),
            (Right::KeyChange, [O, X, X, X, O]),
            (Right::AlertTest, [O, X, X, X, O]),
            (Right::KpiReport, [O, X, X, X, O]),
            (Right::IncidentReport, [O, X, X, X, O]),
            (Right::RollBack, [O, X, X, X, O]),
            (Right::VendorEvacuate, [O, X, X, X, O]),
            (Right::DrillStart, [O, O, X, X, O]),
            (Right::ReleasePropose, [O, O, X, X, O]),
            (Right::ReleasePromote, [O, O, X, X, O]),
            (Right::ReleaseApprove, [O, O, O, X, O]),
            (Right::CertificateRevoke, [O, O, O, X, O]),
            (Right::ShareOverride, [O, O, O, X, O]),
            (Right::VaultNames, [O, O, O, O, X]),
            (Right::VaultChange, [O, O, O, O, X]),
            (Right::TokenRead, [O, O, O, O, X]),
            (Right::TokenChange, [O, O, O, O, X]),
            (Right::AuditPersonal, [O, O, O, O, X]),
            (Right::AuditForget, [O, O, O, O, X]),
        ]
    };

    #[test]
    fn every_role_has_exactly_these_rights() {
        assert_eq!(TABLE.map(|(right, _)| right), Right::ALL, "each right has its line");
        for (right, may) in TABLE {
            assert_eq!(OperatorRole::ALL.map(|role| role.may(right)), may, "{right:?}");
        }
    }

    #[test]
    fn roles_are_read_as_they_are_written() {
        for role in OperatorRole::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).expect("is JSON"), role.as_str());
        }
        assert!("admin".parse::<OperatorRole>().is_err());
    }
}
