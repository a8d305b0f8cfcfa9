//! Newtypes for names, so that a route is never taken for a tenant.

use std::{borrow::Cow, fmt, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! name {
    ($(#[$doc:meta])* $id:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $id(Arc<str>);

        impl $id {
            pub fn new(name: impl AsRef<str>) -> Self {
                Self(Arc::from(name.as_ref()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $id {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($id).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                String::json_schema(generator)
            }
        }

        impl std::borrow::Borrow<str> for $id {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A key of `vendors:` in the config, or `local`.
    VendorId
);
name!(
    /// A key of `routes:` in the config: what applications send as `model`.
    RouteId
);
name!(
    /// A tenant: who pays.
    TenantId
);
name!(
    /// What of a tenant's the call was for.
    FeatureId
);
name!(
    /// The public part of a client key; finds it, does not open anything.
    KeyId
);

impl TenantId {
    /// Who pays for what is asked beside the callers' own questions; no tenant can be named so.
    pub fn shadow() -> Self {
        Self::new("(shadow)")
    }
}

/// Whether `text` may name a feature or a tenant that is made at run time: 1 to 64 letters, digits, dots, underscores or
/// dashes.
pub fn is_plain_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && text.len() <= 64 && text.bytes().all(fits)
}

impl VendorId {
    /// The in-process tier's name.
    pub const LOCAL: &str = "local";

    pub fn is_local(&self) -> bool {
        self.as_str() == Self::LOCAL
    }
}

/// `vendor/model`: one place that can answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetId {
    pub vendor: VendorId,
    /// The vendor's own name of the model; may itself have slashes.
    pub model: Arc<str>,
}

impl TargetId {
    /// Splits at the first slash. `None` when either side is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let (vendor, model) = text.split_once('/')?;
        if vendor.is_empty() || model.is_empty() {
            return None;
        }
        Some(Self { vendor: VendorId::new(vendor), model: Arc::from(model) })
    }

    pub fn is_local(&self) -> bool {
        self.vendor.is_local()
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vendor, self.model)
    }
}

impl JsonSchema for TargetId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TargetId".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

impl From<TargetId> for String {
    fn from(target: TargetId) -> Self {
        target.to_string()
    }
}

impl TryFrom<String> for TargetId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a target; write it as vendor/model"))
    }
}

/// A call's id: a UUIDv7, so ids sort by time. Shown to callers as `req_…`, and the ledger's primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub Uuid);

impl CallId {
    /// Reads `req_` and 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text.strip_prefix("req_")?).ok().map(Self)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req_{}", self.0.simple())
    }
}
