//! LiteLLM's providers that this version can speak to, as data.

/// What a provider is here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Provider {
    /// LiteLLM's name, the part of `model` before the first slash.
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    /// What LiteLLM puts between `api_base` and the path that we add ourselves.
    pub(super) version_path: &'static str,
    /// Where LiteLLM looks for a key that the config does not give; empty: it needs none.
    pub(super) variable: &'static str,
}

impl Provider {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|provider| provider.name == name)
    }

    /// The provider that LiteLLM takes a bare model name to be of.
    pub(super) fn guess(model: &str) -> Option<&'static Self> {
        let name = match model {
            _ if ["gpt-", "chatgpt-", "o1", "o3", "o4", "ft:gpt-"].iter().any(|start| model.starts_with(start)) => {
                "openai"
            }
            _ if model.starts_with("claude-") => "anthropic",
            _ => return None,
        };
        Self::find(name)
    }
}

const ALL: [Provider; 20] = [
    row("openai", "openai", "", "OPENAI_API_KEY"),
    row("anthropic", "anthropic", "/v1", "ANTHROPIC_API_KEY"),
    row("azure", "azure_openai", "", "AZURE_API_KEY"),
    row("gemini", "gemini", "", "GEMINI_API_KEY"),
    row("mistral", "mistral", "", "MISTRAL_API_KEY"),
    row("groq", "groq", "", "GROQ_API_KEY"),
    row("deepseek", "deepseek", "", "DEEPSEEK_API_KEY"),
    row("together_ai", "together", "", "TOGETHERAI_API_KEY"),
    row("fireworks_ai", "fireworks", "", "FIREWORKS_AI_API_KEY"),
    row("xai", "xai", "", "XAI_API_KEY"),
    row("openrouter", "openrouter", "", "OPENROUTER_API_KEY"),
    row("hosted_vllm", "vllm", "", ""),
    row("vllm", "vllm", "", ""),
    row("ollama", "ollama", "/v1", ""),
    row("ollama_chat", "ollama", "/v1", ""),
    row("llamafile", "llama_server", "", ""),
    row("lm_studio", "openai_compatible", "", ""),
    row("openai_like", "openai_compatible", "", ""),
    row("custom_openai", "openai_compatible", "", ""),
    row("litellm_proxy", "openai_compatible", "", ""),
];

const fn row(name: &'static str, kind: &'static str, version_path: &'static str, variable: &'static str) -> Provider {
    Provider { name, kind, version_path, variable }
}
