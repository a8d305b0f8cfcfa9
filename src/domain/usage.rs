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
    /// No question and no answer has as many tokens: a vendor that says so has no count.
    pub const MOST_SAID: u64 = 1_000_000_000;

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

/// What a vendor said, as the ledger has it; what it did not say, or cannot be, is 0.
impl From<&Usage> for TokenUsage {
    fn from(said: &Usage) -> Self {
        let count = |said: Option<u64>| said.filter(|count| *count <= TokenUsage::MOST_SAID).unwrap_or(0);
        Self {
            input: count(said.input_tokens),
            output: count(said.output_tokens),
            cached_input: count(said.cached_input_tokens),
            cache_write: count(said.cache_write_tokens),
            cache_write_1h: count(said.cache_write_1h_tokens),
            audio_input: count(said.audio_input_tokens),
            image_input: count(said.image_input_tokens),
            unbilled_input: count(said.unbilled_input_tokens),
            reasoning: count(said.reasoning_tokens),
            audio_output: count(said.audio_output_tokens),
            image_output: count(said.image_output_tokens),
            unbilled_output: count(said.unbilled_output_tokens),
            machine_us: 0,
            tools: ToolUses {
                web_searches: count(said.web_searches),
                file_searches: count(said.file_searches),
                code_sessions: count(said.code_sessions),
            },
            service: match said.service {
                None | Some(ServiceClass::Standard) => Service::Standard,
                Some(ServiceClass::Batch) => Service::Batch,
                Some(ServiceClass::Priority) => Service::Priority,
            },
        }
    }
}
