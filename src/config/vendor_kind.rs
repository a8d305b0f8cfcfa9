//! The kinds of vendor that this version speaks to, as data: a new one is a new row.

use crate::domain::Wire;

/// What a vendor of this kind has unless its entry says otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VendorKind {
    pub name: &'static str,
    pub wire: Wire,
    pub access: Access,
    /// `None`: the entry must have one.
    pub base_url: Option<&'static str>,
    /// Whether the vendor's own endpoint refuses calls without a secret.
    pub needs_secret: bool,
    pub max_tokens_field: &'static str,
    /// Whether `stream_options.include_usage` is understood.
    pub stream_usage: bool,
    /// Whether it has OpenAI's responses beside chat completions.
    pub responses: bool,
    pub self_hosted: bool,
}

/// How a vendor's address and credential are made: one file each in `vendor/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `Authorization: Bearer`, the model in the body.
    Openai,
    /// `x-api-key` and `anthropic-version`.
    Anthropic,
}

impl VendorKind {
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|kind| kind.name == name)
    }

    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        ALL.iter().map(|kind| kind.name)
    }
}

/// Kinds that are known by name and have no adapter in this version.
pub(super) const WITHOUT_ADAPTER: [&str; 5] = ["azure_openai", "bedrock", "cohere", "gemini", "vertex"];

/// Base URLs and field names as the vendors' API references give them (2026-11).
pub(super) const ALL: [VendorKind; 13] = [
    VendorKind {
        max_tokens_field: "max_completion_tokens",
        responses: true,
        ..hosted("openai", "https://api.openai.com/v1")
    },
    VendorKind {
        wire: Wire::AnthropicMessages,
        access: Access::Anthropic,
        ..hosted("anthropic", "https://api.anthropic.com/v1")
    },
    // Mistral sends usage with every stream and refuses fields that it does not know.
    VendorKind { stream_usage: false, ..hosted("mistral", "https://api.mistral.ai/v1") },
    hosted("groq", "https://api.groq.com/openai/v1"),
    hosted("deepseek", "https://api.deepseek.com/v1"),
    hosted("together", "https://api.together.xyz/v1"),
    hosted("fireworks", "https://api.fireworks.ai/inference/v1"),
    hosted("xai", "https://api.x.ai/v1"),
    hosted("openrouter", "https://openrouter.ai/api/v1"),
    own("vllm", "http://127.0.0.1:8000/v1"),
    own("llama_server", "http://127.0.0.1:8080/v1"),
    own("ollama", "http://127.0.0.1:11434/v1"),
    VendorKind { base_url: None, needs_secret: false, ..hosted("openai_compatible", "") },
];

/// Somebody else's service that speaks OpenAI chat.
const fn hosted(name: &'static str, base_url: &'static str) -> VendorKind {
    VendorKind {
        name,
        wire: Wire::OpenaiChat,
        access: Access::Openai,
        base_url: Some(base_url),
        needs_secret: true,
        max_tokens_field: "max_tokens",
        stream_usage: true,
        responses: false,
        self_hosted: false,
    }
}

/// An engine that people run themselves.
const fn own(name: &'static str, base_url: &'static str) -> VendorKind {
    VendorKind { needs_secret: false, self_hosted: true, ..hosted(name, base_url) }
}
