//! Texts with a form of their own: durations, sizes, addresses, URLs, targets. The form is in the schema for editors; what
//! a text means is worked out in `resolve`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $description:literal, $pattern:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(transparent)]
        pub(in crate::config) struct $name(
            /// `None`: a faulty item of a list, already reported.
            Option<String>,
        );

        impl $name {
            pub(in crate::config) fn as_str(&self) -> Option<&str> {
                self.0.as_deref()
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).trim_end_matches("Text").into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string", "description": $description, "pattern": $pattern, "examples": [$example],
                })
            }
        }
    };
}

text!(
    /// `250ms`, `5s`, `1m 30s`, `30d`.
    DurationText,
    "A span of time with its unit: ms, s, m, h or d.",
    r"^([0-9]+(\.[0-9]+)?\s*(ms|s|sec|m|min|h|d)\s*)+$",
    "5s"
);
text!(
    /// `2026-01-31`.
    DateText,
    "A day, which begins at midnight UTC.",
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "2026-01-31"
);
text!(
    /// `32MiB`.
    SizeText,
    "A number of bytes with its unit: B, KB, KiB, MB, MiB, GB or GiB.",
    r"^[0-9]+\s*(B|KB|KiB|MB|MiB|GB|GiB)$",
    "32MiB"
);
text!(
    /// `cuda:0`.
    DeviceText,
    "`auto`, `cpu`, `cuda`, or a GPU by its number: `cuda:1`.",
    r"^(auto|cpu|cuda(:[0-9]{1,3})?)$",
    "auto"
);
text!(
    /// `127.0.0.1:8080`.
    SocketText,
    "An IP address and a port.",
    r"^(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]{1,5}$",
    "127.0.0.1:8080"
);
text!(
    /// `https://api.example.com/v1`.
    UrlText,
    "An http or https URL, without a user name, password or query.",
    r"^https?://[^\s@?#]+$",
    "https://api.example.com/v1"
);
text!(
    /// `openai/gpt-4o-mini`.
    TargetText,
    "`vendor/model`: a name under `vendors` (or `local`), and the vendor's own name of the model.",
    r"^[^/\s]+/\S+$",
    "openai/gpt-4o-mini"
);
