//! The vault's names. A value comes in and never goes out.

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::{
    asked::Asked,
    endpoint::{Endpoint, Nothing},
    refused::{Refused, chain},
};
use crate::{
    audit::AuditError,
    domain::{Act, Action, Right},
    vault::{Listed, SecretInputError, SecretName, VaultError, read_secret},
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let set = "Seal a secret, in the place of what was there; used at once";
    vec![
        Endpoint::read("/vault", Right::VaultNames, "Names, last four characters and age of all secrets", list),
        Endpoint::write((Method::PUT, "/vault/{name}"), Right::VaultChange, set, set_secret),
        Endpoint::write((Method::DELETE, "/vault/{name}"), Right::VaultChange, "Remove a secret", remove),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewSecret {
    value: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SecretView {
    name: String,
    /// Stars for a short one.
    last_four: String,
    set_at_unix_ms: i64,
    version: u64,
    /// `null`: it can be opened.
    fault: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum ChangeError {
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("the vault's task ended early")]
    Ended(#[from] tokio::task::JoinError),
}

impl From<ChangeError> for Refused {
    fn from(error: ChangeError) -> Self {
        match &error {
            ChangeError::Vault(VaultError::NoSuchSecret { .. }) => Self::not_found(error.to_string()),
            _ => Self::unavailable(chain(&error)),
        }
    }
}

impl From<Listed> for SecretView {
    fn from(listed: Listed) -> Self {
        let Listed { name, last_four, set_at_unix_ms, version } = listed;
        Self { name, last_four, set_at_unix_ms, version, fault: None }
    }
}

async fn list(asked: Asked, _: Nothing) -> Result<Vec<SecretView>, Refused> {
    let vault = &asked.admin.api.relay.vault;
    let mut listed: Vec<SecretView> = vault.list().into_iter().map(SecretView::from).collect();
    for (name, why) in vault.faults() {
        match listed.iter_mut().find(|view| view.name == name) {
            Some(view) => view.fault = Some(why),
            None => listed.push(SecretView {
                name,
                last_four: String::new(),
                set_at_unix_ms: 0,
                version: 0,
                fault: Some(why),
            }),
        }
    }
    Ok(listed)
}

fn name(asked: &Asked) -> Result<SecretName, Refused> {
    SecretName::parse(asked.param("name")).map_err(|error| Refused::invalid(error.to_string()))
}

async fn set_secret(asked: Asked, new: NewSecret) -> Result<SecretView, Refused> {
    let name = name(&asked)?;
    let value = read_secret(Zeroizing::new(new.value).as_bytes());
    let value = value.map_err(|error: SecretInputError| Refused::invalid(error.to_string()))?;
    let act = Act::new(asked.actor(), Action::VaultSet, ("secret", name.to_string()));
    let vault = asked.admin.api.relay.vault.clone();
    let set = async { Ok::<_, ChangeError>(tokio::task::spawn_blocking(move || vault.set(&name, &value)).await??) };
    Ok(asked.admin.audit.around(act, set).await?.into())
}

async fn remove(asked: Asked, _: Nothing) -> Result<Nothing, Refused> {
    let name = name(&asked)?;
    let act = Act::new(asked.actor(), Action::VaultRemove, ("secret", name.to_string()));
    let vault = asked.admin.api.relay.vault.clone();
    let remove = async { Ok::<_, ChangeError>(tokio::task::spawn_blocking(move || vault.remove(&name)).await??) };
    asked.admin.audit.around(act, remove).await?;
    Ok(Nothing {})
}
