//! Other gateways' configs, turned into ours. What cannot be carried is said, never dropped in silence; secrets come out
//! beside the config, never in it.

mod draft;
mod litellm;

#[cfg(test)]
mod tests;

use secrecy::SecretString;

use super::Finding;

pub use litellm::read as litellm;

/// A config of ours, made from another gateway's.
#[derive(Debug)]
pub struct Imported {
    /// Loads without an error.
    pub yaml: String,
    /// What was not carried, with its place in the other file.
    pub notes: Vec<Finding>,
    /// What the vault needs, by name.
    pub secrets: Vec<NeededSecret>,
}

#[derive(Debug)]
pub struct NeededSecret {
    /// Its name in the vault.
    pub name: String,
    pub source: SecretSource,
}

#[derive(Debug)]
pub enum SecretSource {
    /// It stood in the other config in clear.
    Written(SecretString),
    /// The other gateway reads it from this environment variable; this one never does.
    Environment(String),
    /// It is somewhere else, described for people.
    Elsewhere(String),
}
