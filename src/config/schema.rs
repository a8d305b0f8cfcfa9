//! The JSON Schema of the config file, derived from [`super::raw`]: for editors (`check --schema`), and for our own walk.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{raw, vendor_kind::VendorKind};

/// The schema as it is published: JSON Schema 2020-12, with every vendor kind that this version speaks to.
pub fn schema() -> Value {
    let mut schema = shape().clone();
    let kinds: Vec<&str> = VendorKind::names().collect();
    schema["$defs"]["Vendor"]["properties"]["kind"]["enum"] = json!(kinds);
    schema
}

/// The schema that a file is walked against. The kinds are left to the loader, which says more about a wrong one.
pub(super) fn shape() -> &'static Value {
    static SHAPE: LazyLock<Value> = LazyLock::new(|| {
        let settings = schemars::generate::SchemaSettings::draft2020_12();
        settings.into_generator().into_root_schema_for::<raw::File>().to_value()
    });
    &SHAPE
}
