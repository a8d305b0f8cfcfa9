//! What a certificate is about: a target, what runs behind it, and the suite it passed, each to the byte.

use std::collections::BTreeMap;

use crate::{
    digest::{sha256_hex, sha256_hex_of_parts},
    report::Report,
    suite::SuiteId,
};

use super::statement::{Limits, RunsOn};

/// What is on disk or in the config now; a certificate holds only for exactly this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// `vendor/model`.
    pub target: String,
    pub subject: BoundSubject,
    pub suite: SuiteId,
}

/// What answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundSubject {
    /// A model in this process. Digests are hex SHA-256.
    Local {
        weights: String,
        tokenizer: String,
        template: String,
        /// How an answer is drawn and ends where a caller says nothing.
        generation_config: String,
        engine: String,
        /// How the weights are stored.
        quantization: String,
        limits: Limits,
    },
    /// A model behind someone's API.
    Vendor {
        /// The vendor's `kind`, as the config writes it.
        kind: String,
        /// See [`BoundSubject::vendor`].
        base_url_sha256: String,
        region: Option<String>,
        model: String,
    },
}

impl Binding {
    /// A digest over everything of the target that an answer depends on. The suite is not part of it.
    pub fn key(&self) -> String {
        sha256_hex(format!("{}\n{:?}", self.target, self.subject).as_bytes())
    }
}

impl BoundSubject {
    /// A vendor's model, by the base URL as the config resolves it, without its trailing slash.
    pub fn vendor(kind: &str, base_url: &str, region: Option<&str>, model: &str) -> Self {
        Self::Vendor {
            kind: kind.to_owned(),
            base_url_sha256: sha256_hex(base_url.trim_end_matches('/').as_bytes()),
            region: region.map(str::to_owned),
            model: model.to_owned(),
        }
    }

    /// The statement's subjects: name → hex SHA-256.
    pub(super) fn digests(&self) -> BTreeMap<&'static str, String> {
        match self {
            Self::Local { weights, tokenizer, template, generation_config, .. } => BTreeMap::from([
                ("weights", weights.clone()),
                ("tokenizer", tokenizer.clone()),
                ("template", template.clone()),
                ("generation-config", generation_config.clone()),
            ]),
            Self::Vendor { kind, base_url_sha256, region, model } => {
                let region = region.as_deref().map_or("-".to_owned(), |region| format!("={region}"));
                let parts = [kind.as_bytes(), base_url_sha256.as_bytes(), region.as_bytes(), model.as_bytes()];
                BTreeMap::from([("vendor-target", sha256_hex_of_parts(&parts))])
            }
        }
    }

    /// What is written into the certificate of a run.
    pub(super) fn runs_on(&self, report: &Report) -> RunsOn {
        match self.clone() {
            Self::Local { engine, quantization, limits, .. } => RunsOn::Local { engine, quantization, limits },
            Self::Vendor { kind, base_url_sha256, region, model } => {
                let (answered_as, fingerprints) = (report.answered_as.clone(), report.fingerprints.clone());
                RunsOn::Vendor { kind, base_url_sha256, region, model, answered_as, fingerprints }
            }
        }
    }
}
