//! One exchange: a service account's assertion for an access token, each failure a typed fault.
//!
//! Redirects are not followed, the answer is bounded, and nothing the endpoint says is shown to anyone.

use std::time::{Duration, Instant};

use reqwest::{StatusCode, header::CONTENT_TYPE};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::service_account::ServiceAccount;
use crate::{
    clock,
    domain::{Fault, FaultKind},
    vendor::http::{read_bounded, transport_fault},
};

/// The most that is read of the endpoint's answer, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;
/// How long before its end a token is no longer used, so that it outlives the call it is used for.
const MARGIN: Duration = Duration::from_secs(120);
/// How long an exchange may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// An access token.
#[derive(Debug)]
pub(in crate::vendor) struct Token {
    pub(super) value: SecretString,
    /// When it is to be replaced.
    pub(super) fresh_until: Instant,
    /// The project that the account belongs to.
    pub(super) project: Option<String>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// In seconds.
    expires_in: u32,
}

pub(super) async fn exchange(secret: SecretString, http: reqwest::Client) -> Result<Token, Fault> {
    let asked = tokio::time::timeout(DEADLINE, ask(&secret, &http)).await;
    asked.unwrap_or_else(|_| Err(Fault::new(FaultKind::AttemptTimeout, "the token endpoint gave no answer in 10 s")))
}

async fn ask(secret: &SecretString, http: &reqwest::Client) -> Result<Token, Fault> {
    let account = ServiceAccount::read(secret).map_err(|error| {
        Fault::new(FaultKind::NoSecret, format!("the vendor's secret is no service account: {error}"))
    })?;
    let assertion = account.assertion(clock::unix_ms() / 1000);
    // A JWT needs no escapes in a form.
    let form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}",
        assertion.expose_secret()
    );
    let asked_at = clock::now();
    let request = http.post(account.token_uri).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
    let mut response = request.send().await.map_err(|error| transport_fault(&error))?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(refusal(status));
    }
    let body = read_bounded(&mut response, ANSWER_LIMIT).await?;
    let granted: Granted = serde_json::from_slice(&body)
        .map_err(|_| Fault::new(FaultKind::Malformed, "the token endpoint's answer holds no token"))?;
    let lifetime = Duration::from_secs(u64::from(granted.expires_in));
    // A token too short to spare the margin is used for half its time.
    let fresh = lifetime.checked_sub(MARGIN).unwrap_or_default().max(lifetime / 2);
    Ok(Token { value: granted.access_token.into(), fresh_until: asked_at + fresh, project: account.project })
}

fn refusal(status: StatusCode) -> Fault {
    let (kind, detail) = match status.as_u16() {
        300..=399 => (FaultKind::Redirected, "the token endpoint redirected; redirects are not followed"),
        429 => (FaultKind::RateLimited, "the token endpoint limits our rate"),
        400..=499 => (FaultKind::VendorAuth, "the token endpoint refused the service account"),
        _ => (FaultKind::ServerError, "the token endpoint failed"),
    };
    Fault::new(kind, detail).with_status(status.as_u16())
}
