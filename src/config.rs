//! One YAML file, read into checked [`Settings`]: everything behind this room can trust what it is given.

mod settings;
mod state_dir;

pub use settings::{
    AlertSink, Criticality, Deadlines, Enforcement, LocalTier, LogFormat, MidStream, OnCallerFault, Prices, Route,
    Settings, ShareCap, ShareUnit, Target, Telemetry, Tenant, TenantLimits, VaultSource, Vendor,
};
pub use state_dir::{StateDir, StateDirError, create_private};
