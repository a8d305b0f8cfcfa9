//! Whom a limit is about.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::domain::{FeatureId, KeyId, RouteId, TenantId};

/// Who has an account with the limiter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    Tenant(TenantId),
    Key(KeyId),
    /// Of one tenant.
    Feature(TenantId, FeatureId),
    /// A route, whoever asks for it.
    Model(RouteId),
    /// A route, as one tenant asks for it.
    TenantModel(TenantId, RouteId),
    /// One IPv4 address, or the /64 network of an IPv6 one.
    #[serde(skip)]
    Address(IpNet),
    /// Requests from there without a valid key.
    #[serde(skip)]
    Strangers(IpNet),
    /// Connections from there.
    #[serde(skip)]
    Lines(IpNet),
}

impl Subject {
    /// Whether it pays: it has budgets, and what it has used outlives the process.
    pub fn pays(&self) -> bool {
        matches!(self, Self::Tenant(_) | Self::Key(_) | Self::Feature(..))
    }

    /// Of an address.
    pub fn network(&self) -> Option<IpNet> {
        match self {
            Self::Address(network) | Self::Strangers(network) | Self::Lines(network) => Some(*network),
            _ => None,
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenant",
            Self::Key(_) => "key",
            Self::Feature(..) => "feature",
            Self::Model(_) | Self::TenantModel(..) => "model",
            Self::Address(_) | Self::Strangers(_) | Self::Lines(_) => "address",
        }
    }

    /// Its own name, without its tenant's.
    pub fn name(&self) -> String {
        match self {
            Self::Tenant(tenant) => tenant.to_string(),
            Self::Key(key) => key.to_string(),
            Self::Feature(_, feature) => feature.to_string(),
            Self::Model(route) | Self::TenantModel(_, route) => route.to_string(),
            Self::Address(network) | Self::Strangers(network) | Self::Lines(network) => {
                let one = network.prefix_len() == network.max_prefix_len();
                if one { network.addr().to_string() } else { network.to_string() }
            }
        }
    }
}

/// ``tenant `acme` ``
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind(), self.name())?;
        match self {
            Self::Feature(tenant, _) | Self::TenantModel(tenant, _) => write!(f, " of tenant `{tenant}`"),
            Self::Strangers(_) => f.write_str(" without a valid key"),
            _ => Ok(()),
        }
    }
}
