//! Suites of other tools, taken over: lm-evaluation-harness tasks, promptfoo configs, OpenAI evals.
//!
//! What comes out is a suite of ours, in text, that means what the original meant. What cannot be carried is never dropped in silence:
//! it is refused by its name, and the item that needs it is left out with it. Reads what it is given and nothing else; no code of the
//! original is ever run.

mod draft;
mod lm_eval;
mod openai_evals;
mod promptfoo;
mod sources;

pub use draft::{Imported, Noted, Options};
pub use lm_eval::lm_eval;
pub use openai_evals::{Class, openai_evals};
pub use promptfoo::promptfoo;
pub use sources::Sources;

use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{place}: {what}")]
    Invalid { place: String, what: String },
    #[error("{what} cannot be carried: {why}")]
    Refused { what: String, why: String },
    #[error("nothing is left to ask: {0}")]
    Empty(String),
    #[error("the suite that came out cannot be read, which is a fault of the import: {0}")]
    Unreadable(#[from] crate::suite::SuiteError),
}

impl ImportError {
    fn refused(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), why: why.into() }
    }

    fn invalid(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Invalid { place: place.into(), what: what.into() }
    }
}

#[cfg(test)]
mod tests;
