//! What one attempt used: tokens by kind, the machine's time, and the class of service that it was answered in.

use backstop_models::chat::{ServiceClass, Usage};
use serde::{Deserialize, Serialize};

/// What one attempt used, as the ledger keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenUsage {
    pub input: u64,
    pub output: u64,
    /// Parts of `input`.
    pub cached_input: u64,
    pub cache_write: u64,
    /// The part of `cache_write` that is kept for an hour.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_1h: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_input: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub image_input: u64,
    /// What the vendor counts and sends no bill for.
    #[serde(skip_serializing_if = "is_zero")]
    pub unbilled_input: u64,
    /// Parts of `output`.
    pub reasoning: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_output: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub image_output: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub unbilled_output: u64,
    /// Its share of this machine's time, in microseconds; for the local tier.
    #[serde(skip_serializing_if = "is_zero")]
    pub machine_us: u64,
    /// How often the vendor's own tools were used.
    #[serde(flatten)]
    pub tools: ToolUses,
    #[serde(skip_serializing_if = "Service::is_standard")]
    pub service: Service,
}

/// Uses of the tools that a vendor runs itself and has a fee for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolUses {
    #[serde(skip_serializing_if = "is_zero")]
    pub web_searches: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub file_searches: u64,
    /// Machines on which code ran.
    #[serde(skip_serializing_if = "is_zero")]
    pub code_sessions: u64,
}

impl ToolUses {
    pub fn total(&self) -> u64 {
        self.web_searches.saturating_add(self.file_searches).saturating_add(self.code_sessions)
    }
}

impl TokenUsage {
    /// Whether anything is to be paid for.
    pub fn is_nothing(&self) -> bool {
        self.input == 0 && self.output == 0 && self.machine_us == 0 && self.tools.total() == 0
    }
}

/// The vendor's class of service, where that has its own price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    #[default]
    Standard,
    /// A batch, or OpenAI's flexible processing.
    Batch,
    Priority,
}

impl Service {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Priority => "priority",
        }
    }

    fn is_standard(&self) -> bool {
        *self == Self::Standard
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a vendor said, as the ledger has it; what it did not say is 0.
impl From<&Usage> for TokenUsage {
    fn from(said: &Usage) -> Self {
        Self {
            input: said.input_tokens.unwrap_or(0),
            output: said.output_tokens.unwrap_or(0),
            cached_input: said.cached_input_tokens.unwrap_or(0),
            cache_write: said.cache_write_tokens.unwrap_or(0),
            cache_write_1h: said.cache_write_1h_tokens.unwrap_or(0),
            audio_input: said.audio_input_tokens.unwrap_or(0),
            image_input: said.image_input_tokens.unwrap_or(0),
            unbilled_input: said.unbilled_input_tokens.unwrap_or(0),
            reasoning: said.reasoning_tokens.unwrap_or(0),
            audio_output: said.audio_output_tokens.unwrap_or(0),
            image_output: said.image_output_tokens.unwrap_or(0),
            unbilled_output: said.unbilled_output_tokens.unwrap_or(0),
            machine_us: 0,
            tools: ToolUses {
                web_searches: said.web_searches.unwrap_or(0),
                file_searches: said.file_searches.unwrap_or(0),
                code_sessions: said.code_sessions.unwrap_or(0),
            },
            service: match said.service {
                None | Some(ServiceClass::Standard) => Service::Standard,
                Some(ServiceClass::Batch) => Service::Batch,
                Some(ServiceClass::Priority) => Service::Priority,
            },
        }
    }
}
