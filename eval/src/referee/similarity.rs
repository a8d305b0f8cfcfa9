//! How alike two texts are in meaning: the cosine of their embeddings, by a model in this process.

use std::fmt;

use backstop_models::embed::{EmbedFault, Embedder};

use super::EmbedderRecord;
use crate::subject::BoxFuture;

/// The catalog's id of the embedding model: the only one, so that thresholds mean the same everywhere.
pub const EMBEDDER: &str = "all-minilm-l6-v2";

/// What makes embeddings.
pub trait Embeds: Send + Sync {
    fn record(&self) -> EmbedderRecord;

    /// One for each text.
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedFault>>;
}

/// The catalog's embedding model.
pub struct LocalEmbedder {
    model: String,
    embedder: Embedder,
}

impl LocalEmbedder {
    pub fn new(model: &str, embedder: Embedder) -> Self {
        Self { model: model.to_owned(), embedder }
    }
}

impl fmt::Debug for LocalEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEmbedder").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Embeds for LocalEmbedder {
    fn record(&self) -> EmbedderRecord {
        let identity = self.embedder.identity();
        EmbedderRecord {
            model: self.model.clone(),
            weights: identity.weights.clone(),
            tokenizer: identity.tokenizer.clone(),
            config: identity.template.clone(),
            engine: identity.engine.clone(),
        }
    }

    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedFault>> {
        Box::pin(async move { Ok(self.embedder.embed(texts).await?.vectors) })
    }
}

/// The cosine of the angle between two vectors, to six decimals; `None` where one has no direction or they are of different
/// spaces.
pub fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = dot(a, a).sqrt() * dot(b, b).sqrt();
    if a.len() != b.len() || !lengths.is_finite() || lengths <= 0.0 {
        return None;
    }
    Some(((dot(a, b) / lengths).clamp(-1.0, 1.0) * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles() {
        assert_eq!(cosine(&[1.0, 0.0], &[2.0, 0.0]), Some(1.0));
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 3.0]), Some(0.0));
        assert_eq!(cosine(&[3.0, 4.0], &[1.0, 0.0]), Some(0.6));
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), None);
        assert_eq!(cosine(&[1.0], &[1.0, 0.0]), None);
    }
}
