//! The kinds of vendor that this version speaks to, as data: a new one is a new row.

use crate::domain::{Task, Wire};

/// What a vendor of this kind has unless its entry says otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VendorKind {
    pub name: &'static str,
    pub wire: Wire,
    pub access: Access,
    /// `None`: the entry must have one. With `{region}` in it, the entry must name a region.
    pub base_url: Option<&'static str>,
    /// Whether the vendor's own endpoint refuses calls without a secret.
    pub needs_secret: bool,
    pub max_tokens_field: &'static str,
    /// Whether `stream_options.include_usage` is understood.
    pub stream_usage: bool,
    /// Whether it has OpenAI's responses beside chat completions.
    pub responses: bool,
    pub self_hosted: bool,
    pub manners: Manners,
}

/// What of its dialect's requests a vendor does not take as the dialect's owner does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manners {
    /// Fields that it has under another name.
    pub renamed: &'static [(&'static str, &'static str)],
    /// Fields that it refuses and that do not change what is asked.
    pub unknown: &'static [&'static str],
    /// Fields that stand in every request, with their text.
    pub fixed: &'static [(&'static str, &'static str)],
    pub messages: Messages,
}

/// Which messages a vendor takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    AsWritten,
    /// Knows no `developer`, who is `system` there.
    WithoutDeveloper,
    /// And refuses fields that it does not know, null or not, and ids of tool calls that are not 9 letters and digits.
    Strict,
}

impl Manners {
    const PLAIN: Self = Self { renamed: &[], unknown: &[], fixed: &[], messages: Messages::AsWritten };
    /// Only ever heard of `max_tokens`.
    const OLDER: Self = Self { renamed: &[("max_completion_tokens", "max_tokens")], ..Self::PLAIN };
    /// Refuses whatever its reference does not list. <https://docs.mistral.ai/api/endpoint/chat>
    const MISTRAL: Self = Self {
        renamed: &[("max_completion_tokens", "max_tokens"), ("seed", "random_seed")],
        unknown: &[
            "stream_options",
            "store",
            "service_tier",
            "user",
            "safety_identifier",
            "prompt_cache_options",
            "prompt_cache_retention",
        ],
        messages: Messages::Strict,
        ..Self::PLAIN
    };
    /// The model stands in the path. <https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude>
    const CLAUDE_ON_VERTEX: Self =
        Self { unknown: &["model"], fixed: &[("anthropic_version", "vertex-2023-10-16")], ..Self::PLAIN };
}

/// How a vendor's address and credential are made: one file each in `vendor/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `Authorization: Bearer`, the model in the body.
    Openai,
    /// `x-api-key` and `anthropic-version`.
    Anthropic,
    /// `x-goog-api-key`, the model in the path.
    Gemini,
    /// A bearer token that a service account's key buys; project, region and model in the path.
    Vertex,
    /// The same, for Anthropic's models there.
    VertexAnthropic,
    /// `api-key`; the model is a deployment, in the path or in the body.
    Azure,
    /// A SigV4 signature or a bearer token, the model in the path.
    Bedrock,
    /// `Authorization: Bearer`, the model in the body, at `/chat`.
    Cohere,
}

impl Access {
    /// Whether such an API has an endpoint for the task. What a single model can do, its vendor says.
    pub fn has(self, task: Task) -> bool {
        match task {
            Task::Answer | Task::Stream => true,
            Task::CountTokens => matches!(self, Self::Anthropic | Self::Gemini),
            Task::Embed => matches!(self, Self::Openai | Self::Azure | Self::Gemini | Self::Cohere),
        }
    }
}

impl VendorKind {
    /// Whether such a vendor takes its dialect's requests as they are.
    pub fn has_plain_manners(&self) -> bool {
        self.manners == Manners::PLAIN
    }

    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|kind| kind.name == name)
    }

    /// Whether an entry must name its region: it is in the address, or in the signature.
    pub fn needs_region(&self) -> bool {
        self.access == Access::Bedrock || self.base_url.is_some_and(|url| url.contains("{region}"))
    }

    /// The base URL in a region. Vertex AI has two more forms of host than the one for a single region.
    pub fn base_url_in(&self, region: &str) -> Option<String> {
        self.base_url.map(|url| {
            let url = match region {
                "global" => url.replace("{region}-", ""),
                "us" | "eu" => url.replace("{region}-aiplatform", &format!("aiplatform.{region}.rep")),
                _ => url.to_owned(),
            };
            url.replace("{region}", region)
        })
    }

    /// Whether vendors of the kind `name` can do the task.
    pub fn has(name: &str, access: Access, task: Task) -> bool {
        access.has(task) && !(task == Task::Embed && WITHOUT_EMBEDDINGS.contains(&name))
    }

    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        ALL.iter().map(|kind| kind.name)
    }
}

/// Kinds that are known by name and have no adapter in this version.
pub(super) const WITHOUT_ADAPTER: [&str; 0] = [];

/// Kinds that speak OpenAI's dialect and have no embeddings.
const WITHOUT_EMBEDDINGS: [&str; 2] = ["groq", "deepseek"];

/// Base URLs and field names as the vendors' API references give them (2026-11).
pub(super) const ALL: [VendorKind; 19] = [
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
    VendorKind {
        access: Access::Azure,
        base_url: None,
        max_tokens_field: "max_completion_tokens",
        ..hosted("azure_openai", "")
    },
    VendorKind {
        wire: Wire::Gemini,
        access: Access::Gemini,
        ..hosted("gemini", "https://generativelanguage.googleapis.com/v1beta")
    },
    VendorKind {
        wire: Wire::Gemini,
        access: Access::Vertex,
        ..hosted("vertex", "https://{region}-aiplatform.googleapis.com/v1")
    },
    VendorKind {
        wire: Wire::BedrockConverse,
        access: Access::Bedrock,
        ..hosted("bedrock", "https://bedrock-runtime.{region}.amazonaws.com")
    },
    VendorKind { wire: Wire::CohereChat, access: Access::Cohere, ..hosted("cohere", "https://api.cohere.com/v2") },
    VendorKind {
        wire: Wire::AnthropicMessages,
        access: Access::VertexAnthropic,
        manners: Manners::CLAUDE_ON_VERTEX,
        ..hosted("vertex_anthropic", "https://{region}-aiplatform.googleapis.com/v1")
    },
    // Mistral sends usage with every stream and refuses fields that it does not know.
    VendorKind { stream_usage: false, manners: Manners::MISTRAL, ..hosted("mistral", "https://api.mistral.ai/v1") },
    hosted("groq", "https://api.groq.com/openai/v1"),
    VendorKind {
        manners: Manners { messages: Messages::WithoutDeveloper, ..Manners::OLDER },
        ..hosted("deepseek", "https://api.deepseek.com/v1")
    },
    VendorKind { manners: Manners::OLDER, ..hosted("together", "https://api.together.xyz/v1") },
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
        manners: Manners::PLAIN,
    }
}

/// An engine that people run themselves.
const fn own(name: &'static str, base_url: &'static str) -> VendorKind {
    VendorKind { needs_secret: false, self_hosted: true, ..hosted(name, base_url) }
}
