//! `admin.oidc:`.

use std::{net::IpAddr, time::Duration};

use reqwest::Url;

use super::Resolver;
use crate::config::{
    OidcSettings,
    oidc::{LoginToken, SigningAlgorithm},
    path::Path,
    raw, words,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

impl Resolver<'_, '_> {
    pub(super) fn oidc(&mut self, raw: &raw::Oidc) -> Option<OidcSettings> {
        let path = Path::root().key("admin").key("oidc");
        let issuer = raw.issuer.as_ref()?;
        self.url(&path.key("issuer"), issuer)?;
        // A slash at its end is part of its name.
        let issuer = issuer.as_str()?.to_owned();
        if !is_safe(&issuer) {
            let message = format!("keys would come unencrypted from `{}`", words::cut(&issuer));
            self.error(&path.key("issuer"), message, "use https; http is for an issuer on this machine");
        }
        let audience = raw.audience.clone()?;
        self.name(&path.key("audience"), &audience);
        let client_id = raw.client_id.clone().unwrap_or_else(|| audience.clone());
        self.name(&path.key("client_id"), &client_id);
        let roles = raw.roles.clone()?;
        if roles.is_empty() {
            let help = "e.g. `roles: { gateway-operators: operator }`";
            self.error(&path.key("roles"), "no value gives a role, so nobody could come in", help);
        }
        let role_claim = raw.role_claim.clone().unwrap_or_else(|| "groups".to_owned());
        self.name(&path.key("role_claim"), &role_claim);
        let name_claim = raw.name_claim.clone().unwrap_or_else(|| "email".to_owned());
        self.name(&path.key("name_claim"), &name_claim);
        let scopes = raw.scopes.clone().unwrap_or_else(|| SCOPES.map(str::to_owned).to_vec());
        for (index, scope) in scopes.iter().enumerate() {
            self.name(&path.key("scopes").index(index), scope);
        }
        Some(OidcSettings {
            issuer,
            audience,
            client_id,
            scopes,
            login_token: match raw.login_token {
                Some(raw::LoginToken::Access) => LoginToken::Access,
                Some(raw::LoginToken::Id) | None => LoginToken::Id,
            },
            algorithms: self.algorithms(&path.key("algorithms"), raw.algorithms.as_deref()),
            role_claim,
            roles,
            name_claim,
            max_stale: self.a_day_or(&path.key("max_stale"), raw.max_stale.as_ref()),
            max_lifetime: self.a_day_or(&path.key("max_lifetime"), raw.max_lifetime.as_ref()),
        })
    }

    fn algorithms(&mut self, path: &Path, raw: Option<&[raw::SigningAlgorithm]>) -> Vec<SigningAlgorithm> {
        let Some(raw) = raw else { return SigningAlgorithm::ALL.to_vec() };
        if raw.is_empty() {
            self.error(path, "no signature would be taken", "name the algorithm that your issuer signs with");
        }
        let read = |raw: &raw::SigningAlgorithm| match raw {
            raw::SigningAlgorithm::Rs256 => SigningAlgorithm::Rs256,
            raw::SigningAlgorithm::Es256 => SigningAlgorithm::Es256,
            raw::SigningAlgorithm::EdDsa => SigningAlgorithm::EdDsa,
        };
        raw.iter().map(read).collect()
    }

    fn a_day_or(&mut self, path: &Path, text: Option<&raw::DurationText>) -> Duration {
        text.and_then(|text| self.duration(path, text)).unwrap_or(DAY)
    }
}

/// Over TLS, or without leaving this machine.
fn is_safe(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || url.scheme() == "http" && is_here
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{config::load, domain::OperatorRole};

    fn read(oidc: &str) -> Result<OidcSettings, String> {
        let text = format!("routes: {{ a: {{ targets: [local/m] }} }}\nadmin: {{ oidc: {oidc} }}\n");
        match load(&text, Path::new("backstop.yaml")) {
            Ok(loaded) => Ok(loaded.settings.oidc.expect("is there")),
            Err(findings) => Err(findings.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn an_issuer_is_named_as_it_names_itself_and_the_rest_is_usual() {
        let oidc = read("{ issuer: \"https://id.example/\", audience: gw, roles: { ops: operator } }").expect("loads");
        assert_eq!((oidc.issuer.as_str(), oidc.client_id.as_str()), ("https://id.example/", "gw"));
        assert_eq!((oidc.role_claim.as_str(), oidc.roles.get("ops")), ("groups", Some(&OperatorRole::Operator)));
        assert_eq!(oidc.algorithms, SigningAlgorithm::ALL);
        assert_eq!((oidc.max_stale, oidc.login_token), (DAY, LoginToken::Id));
    }

    #[test]
    fn what_would_let_nobody_or_anybody_in_is_refused() {
        let with = |more: &str| {
            format!("{{ issuer: \"https://id.example\", audience: gw, roles: {{ ops: operator }}{more} }}")
        };
        for (bad, why) in [
            ("{ issuer: \"http://id.example\", audience: gw, roles: { a: viewer } }".to_owned(), "unencrypted"),
            ("{ issuer: \"https://id.example\", audience: gw, roles: {} }".to_owned(), "nobody could come in"),
            ("{ issuer: \"https://id.example\", audience: gw, roles: { a: root } }".to_owned(), "root"),
            ("{ issuer: \"https://id.example\", roles: { a: viewer } }".to_owned(), "audience"),
            (with(", algorithms: [HS256]"), "HS256"),
            (with(", algorithms: [none]"), "none"),
            (with(", algorithms: []"), "no signature"),
            (with(", audience2: x"), "audience2"),
        ] {
            let said = read(&bad).expect_err(&bad);
            assert!(said.contains(why), "{bad}: {said}");
        }
        assert!(read("{ issuer: \"http://127.0.0.1:9\", audience: gw, roles: { a: viewer } }").is_ok());
    }
}
