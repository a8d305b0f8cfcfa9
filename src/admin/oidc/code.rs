//! Login by a browser: the authorization code flow with PKCE (RFC 6749, section 4.1; RFC 7636; OpenID Connect Core, section 3.1), as a
//! public client without a secret.
//!
//! One random value in a cookie of the browser is all that is kept of a login under way: state, nonce and the code's challenge are digests
//! of it. So nothing here grows with those who begin and never end.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Oidc, discovery, jwt::Unverified, refusal::Refusal};
use crate::{
    admin::{asked::Operator, refused::Refused},
    clock,
    config::{LoginToken, OidcSettings},
};

/// A login that a browser has begun.
#[derive(Debug, Clone)]
pub(in crate::admin) struct Attempt {
    /// RFC 7636's code verifier: 32 random bytes in base64url.
    verifier: String,
}

/// RFC 6749, sections 5.1 and 5.2.
#[derive(Deserialize)]
struct Granted {
    access_token: Option<String>,
    id_token: Option<String>,
    error: Option<String>,
}

impl Attempt {
    pub(in crate::admin) fn new() -> Self {
        Self { verifier: BASE64URL.encode(clock::random_bytes::<32>()) }
    }

    /// The one that the browser's cookie tells of.
    pub(in crate::admin) fn of(cookie: &str) -> Option<Self> {
        let is_ours = BASE64URL.decode(cookie).is_ok_and(|bytes| bytes.len() == 32);
        is_ours.then(|| Self { verifier: cookie.to_owned() })
    }

    pub(in crate::admin) fn cookie(&self) -> &str {
        &self.verifier
    }

    /// Whether `state` came back from a login that this browser has begun.
    pub(in crate::admin) fn began(&self, state: &str) -> bool {
        bool::from(self.state().as_bytes().ct_eq(state.as_bytes()))
    }

    fn state(&self) -> String {
        self.digest("state ")
    }

    fn nonce(&self) -> String {
        self.digest("nonce ")
    }

    fn challenge(&self) -> String {
        self.digest("")
    }

    fn digest(&self, what: &str) -> String {
        BASE64URL.encode(Sha256::digest(format!("{what}{}", self.verifier)))
    }
}

impl Oidc {
    /// Where the browser is to go, and to come back from to `redirect`.
    pub(in crate::admin) async fn login_at(
        &self,
        settings: &OidcSettings,
        attempt: &Attempt,
        redirect: &str,
    ) -> Result<String, Refused> {
        let found = self.issuer(settings).endpoints().await?;
        let endpoint = found.authorization_endpoint.ok_or_else(no_code_flow)?;
        let mut url = discovery::safe(&endpoint).map_err(|error| Refused::unavailable(error.to_string()))?;
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &settings.client_id),
            ("redirect_uri", redirect),
            ("scope", &scopes(settings)),
            ("state", &attempt.state()),
            ("nonce", &attempt.nonce()),
            ("code_challenge", &attempt.challenge()),
            ("code_challenge_method", "S256"),
        ]);
        Ok(url.into())
    }

    /// Changes the code for a token, which must let in; whom, and what is shown at each request from then on.
    pub(in crate::admin) async fn log_in(
        &self,
        settings: &OidcSettings,
        attempt: &Attempt,
        (code, redirect): (&str, &str),
        from: IpAddr,
    ) -> Result<(Operator, SecretString), Refused> {
        let endpoint = self.issuer(settings).endpoints().await?.token_endpoint.ok_or_else(no_code_flow)?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("client_id", &settings.client_id),
            ("code_verifier", &attempt.verifier),
        ];
        let asked: Result<(u16, Granted), _> = discovery::post_form(&self.http, &endpoint, &form).await;
        let (_, granted) = asked.map_err(|error| Refused::unavailable(error.to_string()))?;
        if granted.error.is_some() {
            return Err(Refused::unauthenticated("the identity provider does not take this login; begin it anew"));
        }
        let token = match settings.login_token {
            LoginToken::Id => granted.id_token,
            LoginToken::Access => granted.access_token,
        };
        let token = token.ok_or_else(|| {
            let kind = settings.login_token.as_str();
            Refused::unauthenticated(format!(
                "the identity provider gave no `{kind}_token`; see `admin.oidc.login_token`"
            ))
        })?;
        let token = SecretString::from(token);
        let operator = self.operator(settings, token.expose_secret(), from).await?;
        // An access token has no nonce; the code's challenge binds it to this browser as well.
        if settings.login_token == LoginToken::Id {
            let read = Unverified::read(token.expose_secret(), &settings.algorithms)?;
            if read.claims.get("nonce").and_then(serde_json::Value::as_str) != Some(&attempt.nonce()) {
                return Err(Refusal::Claim("nonce").into());
            }
        }
        Ok((operator, token))
    }
}

/// A session of a browser ends with its token, so it asks for none that renews it.
fn scopes(settings: &OidcSettings) -> String {
    let wanted = settings.scopes.iter().map(String::as_str).filter(|scope| *scope != "offline_access");
    wanted.collect::<Vec<_>>().join(" ")
}

fn no_code_flow() -> Refused {
    Refused::unavailable("the identity provider says of no place where browsers log in; use a token `bs-adm-…`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_known_by_its_cookie_alone() {
        let attempt = Attempt::new();
        let back = Attempt::of(attempt.cookie()).expect("is one of ours");
        assert!(back.began(&attempt.state()) && !back.began(&Attempt::new().state()) && !back.began(""));
        assert!(!back.began(&attempt.nonce()) && !back.began(&attempt.challenge()) && !back.began(attempt.cookie()));
        assert!(Attempt::of("short").is_none() && Attempt::of(&"A".repeat(200)).is_none());
    }

    /// RFC 7636, appendix B.
    #[test]
    fn the_published_challenge_is_made() {
        let attempt = Attempt::of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").expect("is 32 bytes");
        assert_eq!(attempt.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
