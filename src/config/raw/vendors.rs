//! `vendors:` and `models:` as they are written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{Price, UrlText};

/// One vendor. Its secret is in the vault, under the vendor's own name unless `secret` names another.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Vendor {
    /// Which API it speaks, and with which defaults.
    #[schemars(required)]
    pub(in crate::config) kind: Option<KindText>,
    /// Where its API is, version included [default: the kind's own].
    pub(in crate::config) base_url: Option<UrlText>,
    /// The region it runs in; part of what a certificate is bound to. Kinds `vertex` and `vertex_anthropic` are asked there.
    pub(in crate::config) region: Option<String>,
    /// The project of a `vertex` or `vertex_anthropic` vendor [default: the one that its service account belongs to].
    pub(in crate::config) project: Option<String>,
    /// The dated API version of an Azure resource whose base URL does not end in `/openai/v1` [default: 2024-10-21].
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$"))]
    pub(in crate::config) api_version: Option<String>,
    /// Who runs the models, when that is not this vendor: what different-vendor rules and share caps count by.
    pub(in crate::config) operated_by: Option<String>,
    /// What it costs of its kind's built-in prices, for a region's surcharge or a discount of yours: 1.1 for a tenth more [default: 1].
    /// Prices under `models` are taken as they stand.
    pub(in crate::config) price_factor: Option<f64>,
    /// Whether it is your own hardware: not a vendor to the share cap, and an end for critical routes.
    pub(in crate::config) self_hosted: Option<bool>,
    /// The name of its secret in the vault [default: the vendor's name].
    pub(in crate::config) secret: Option<String>,
    /// The request field that limits the answer's tokens [default: the kind's own].
    pub(in crate::config) max_tokens_field: Option<MaxTokensField>,
    /// Whether a stream may be asked for usage with `stream_options.include_usage` [default: the kind's own].
    pub(in crate::config) stream_usage: Option<bool>,
    /// Whether it has OpenAI's `/responses`. Then callers of `/v1/responses` are answered by it in that dialect, their
    /// requests forwarded as they come; else they are translated [default: true for kind `openai`, else false].
    pub(in crate::config) responses: Option<bool>,
    /// What prompts for its models are counted by, where limits of tokens need that before the vendor has counted: `o200k`, `cl100k`,
    /// `local:ID` (the tokenizer of a local model that a route names) or `estimate` [default: by the model's name].
    pub(in crate::config) tokenizer: Option<String>,
}

/// What is known of one model. Prices are in US dollars per million tokens; `prices` says more than the four keys here.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Model {
    /// Needs `output_per_mtok` too, but where `embedding_space` is declared.
    pub(in crate::config) input_per_mtok: Option<f64>,
    /// Needs `input_per_mtok` too.
    pub(in crate::config) output_per_mtok: Option<f64>,
    /// Input that the vendor had cached [default: `input_per_mtok`].
    pub(in crate::config) cached_input_per_mtok: Option<f64>,
    /// Input that the vendor put into its cache [default: `input_per_mtok`].
    pub(in crate::config) cache_write_per_mtok: Option<f64>,
    /// What it costs and when, instead of the four keys before.
    pub(in crate::config) prices: Option<Vec<Price>>,
    /// The longest prompt plus answer, in tokens.
    pub(in crate::config) context_tokens: Option<u32>,
    /// Whether it can call tools [default: true].
    pub(in crate::config) tools: Option<bool>,
    /// Whether it can be held to JSON or a JSON Schema [default: true].
    pub(in crate::config) json_schema: Option<bool>,
    /// Whether it sees images [default: true; the in-process models do not].
    pub(in crate::config) images: Option<bool>,
    /// Declares that it makes embeddings and no answers, and that they can be compared with those of every model of the
    /// same space: then it may take over for them without a certificate [default: its own name, not declared].
    pub(in crate::config) embedding_space: Option<String>,
    /// What prompts for it are counted by, as in `vendors` [default: its vendor's, else by its name].
    pub(in crate::config) tokenizer: Option<String>,
}

/// A field of OpenAI chat requests.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum MaxTokensField {
    MaxTokens,
    MaxCompletionTokens,
}

/// The name of a vendor kind; `vendor_kind` has the table.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct KindText(pub(in crate::config) String);

impl JsonSchema for KindText {
    fn schema_name() -> Cow<'static, str> {
        "Kind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "Which API a vendor speaks." })
    }
}
