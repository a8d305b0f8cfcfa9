//! HashiCorp Vault's transit engine: wraps and unwraps the vault's key, which it never stores.
//!
//! <https://developer.hashicorp.com/vault/api-docs/secret/transit>. The token is read at each use and is in no error.

use std::{fs, path::Path, time::Duration};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::VaultError;

const TIMEOUT: Duration = Duration::from_secs(5);
const LARGEST_ANSWER: usize = 64 << 10;

pub(super) struct Transit<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) address: &'a str,
    pub(super) mount: &'a str,
    pub(super) key: &'a str,
    pub(super) token_file: &'a Path,
}

#[derive(Deserialize)]
struct Reply {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    ciphertext: Option<String>,
    plaintext: Option<String>,
}

impl Transit<'_> {
    /// Base64 in, `vault:v1:…` out.
    pub(super) async fn wrap(&self, plaintext: &str) -> Result<String, VaultError> {
        let body = Zeroizing::new(format!(r#"{{"plaintext":"{plaintext}"}}"#));
        self.ask("encrypt", &body).await?.ciphertext.ok_or(VaultError::NotTransit)
    }

    /// `vault:v1:…` in, base64 out.
    pub(super) async fn unwrap(&self, ciphertext: &str) -> Result<Zeroizing<String>, VaultError> {
        let body = serde_json::json!({ "ciphertext": ciphertext }).to_string();
        self.ask("decrypt", &body).await?.plaintext.map(Zeroizing::new).ok_or(VaultError::NotTransit)
    }

    async fn ask(&self, act: &str, body: &str) -> Result<Data, VaultError> {
        let token = fs::read_to_string(self.token_file)
            .map(Zeroizing::new)
            .map_err(|source| VaultError::Token { path: self.token_file.to_owned(), source })?;
        let url = format!("{}/v1/{}/{act}/{}", self.address.trim_end_matches('/'), self.mount, self.key);
        let mut response = self
            .http
            .post(url)
            .timeout(TIMEOUT)
            .header("x-vault-token", token.trim())
            .header("content-type", "application/json")
            .body(body.to_owned())
            .send()
            .await
            .map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(VaultError::Refused { status: response.status().as_u16() });
        }
        let mut bytes = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LARGEST_ANSWER {
                return Err(VaultError::NotTransit);
            }
        }
        serde_json::from_slice(&bytes).map(|reply: Reply| reply.data).map_err(|_| VaultError::NotTransit)
    }
}

fn unreachable(source: reqwest::Error) -> VaultError {
    VaultError::Unreachable { source }
}
