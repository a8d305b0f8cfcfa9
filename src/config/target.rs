//! A route's target, as its plan sees it: where it runs, what it can do, and whose embeddings its own compare with.

use std::sync::Arc;

use super::{Settings, Tokenizer};
use crate::domain::{TargetId, VendorId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub id: TargetId,
    /// Why strict enforcement leaves this target out of the route, whatever its certificate says: it stands where an
    /// invariant wants another vendor.
    pub breach: Option<String>,
    /// Whose failures go together with this target's.
    pub place: Place,
    pub can: Capabilities,
    /// The operator's word on which embedding space the model's vectors are of.
    pub declared_space: Option<Arc<str>>,
    /// What prompts for it are counted by before it has counted them.
    pub counted_by: Tokenizer,
}

impl Target {
    /// A target before anything is known of its vendor; the settings tell it once all sections are read.
    pub fn unlocated(id: TargetId) -> Self {
        let hosting = Hosting { operator: Arc::from(id.vendor.as_str()), kind: "" };
        Self {
            id,
            breach: None,
            place: Place { hosting, region: None },
            can: Capabilities::ALL,
            declared_space: None,
            counted_by: Tokenizer::Estimate,
        }
    }

    /// The space of its embeddings: as declared, or its model's name, since one model has one space whoever runs it.
    pub fn space(&self) -> &str {
        self.declared_space.as_deref().unwrap_or(&self.id.model)
    }
}

impl Settings {
    /// Where `target` runs.
    pub fn place(&self, target: &TargetId) -> Place {
        let vendor = self.vendor(target);
        let hosting = Hosting {
            operator: Arc::from(self.operator(target)),
            kind: vendor.map_or(VendorId::LOCAL, |vendor| vendor.kind),
        };
        Place { hosting, region: vendor.and_then(|vendor| vendor.region.as_deref()).map(Arc::from) }
    }
}

/// Where a target runs: an outage takes a region whole, and then a vendor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub hosting: Hosting,
    pub region: Option<Arc<str>>,
}

/// One vendor's machinery. Azure's is not OpenAI's, whoever is said to operate the models.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hosting {
    pub operator: Arc<str>,
    pub kind: &'static str,
}

/// What a call may need and a target may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    pub tools: bool,
    /// JSON mode and JSON Schema.
    pub json_schema: bool,
    pub images: bool,
    /// It answers questions; a model that is declared to make embeddings does not.
    pub answers: bool,
    /// It makes embeddings, as far as its vendor's API goes.
    pub embeddings: bool,
    /// It counts a question's tokens without answering.
    pub token_count: bool,
    /// The longest prompt plus answer, in tokens; `None`: not known.
    pub context_tokens: Option<u32>,
}

impl Capabilities {
    /// What is believed of a model of which nothing is said.
    pub const ALL: Self = Self {
        tools: true,
        json_schema: true,
        images: true,
        answers: true,
        embeddings: true,
        token_count: true,
        context_tokens: None,
    };
}
