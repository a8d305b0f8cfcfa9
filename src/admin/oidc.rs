//! Operators whom the company's identity provider knows: a token of the issuer that the config names lets in, with the role that a claim of
//! it gives. Nothing of a token is kept but digests; its first use in a session is an entry of the audit log before it opens anything.

mod claims;
mod code;
pub mod discovery;
mod issuer;
mod jwt;
mod keys;
mod refusal;
mod sessions;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwapOption;
use metrics::counter;
use reqwest::Client;
use serde_json::json;
use sha2::{Digest as _, Sha256};

pub(super) use self::code::Attempt;
use self::{
    claims::Person,
    issuer::{Issuer, NotTaken},
    refusal::Refusal,
    sessions::{Sessions, Standing},
};
use super::{asked::Operator, refused::Refused};
use crate::{
    audit::Audit,
    clock,
    config::OidcSettings,
    domain::{Act, Action, Actor},
    observe::metric,
};

/// The identity provider's side of the door.
#[derive(Debug)]
pub(super) struct Oidc {
    http: Client,
    audit: Audit,
    /// Of the config that was in force at the last request.
    issuer: ArcSwapOption<Issuer>,
    sessions: Mutex<Sessions>,
    /// Whoever holds it writes a login down; the next one then finds it.
    writing: tokio::sync::Mutex<()>,
}

impl Oidc {
    pub(super) fn new(http: Client, audit: Audit) -> Self {
        let (issuer, sessions, writing) = (ArcSwapOption::empty(), Mutex::default(), tokio::sync::Mutex::default());
        Self { http, audit, issuer, sessions, writing }
    }

    /// The operator whose token this is.
    pub(super) async fn operator(
        &self,
        settings: &OidcSettings,
        token: &str,
        from: IpAddr,
    ) -> Result<Operator, Refused> {
        let issuer = self.issuer(settings);
        let opened = match issuer.person(token).await {
            Ok(person) => self.open(settings, person, token, from).await,
            Err(not_taken) => Err(not_taken),
        };
        let result = opened.as_ref().map_or_else(|not| not.why.kind(), |_| "ok");
        counter!(metric::ADMIN_LOGINS, "result" => result).increment(1);
        match opened {
            Ok(operator) => Ok(operator),
            Err(not_taken) => {
                self.refused(settings, &not_taken, from).await;
                Err(not_taken.why.into())
            }
        }
    }

    /// Whether this may be a token of the identity provider.
    pub(super) fn takes(token: &str) -> bool {
        jwt::is_shaped(token)
    }

    /// Whether this token was taken before: whoever holds one is not one of those who guess.
    pub(super) fn knows(&self, token: &str) -> bool {
        Self::takes(token) && self.sessions().knows(&digest(token), now())
    }

    fn issuer(&self, settings: &OidcSettings) -> Arc<Issuer> {
        if let Some(issuer) = self.issuer.load_full().filter(|issuer| issuer.settings == *settings) {
            return issuer;
        }
        let issuer = Arc::new(Issuer::new(settings.clone(), self.http.clone()));
        self.issuer.store(Some(Arc::clone(&issuer)));
        issuer
    }

    async fn open(
        &self,
        settings: &OidcSettings,
        person: Person,
        token: &str,
        from: IpAddr,
    ) -> Result<Operator, NotTaken> {
        let actor = Actor::oidc_user(
            &settings.issuer,
            person.role,
            (person.name.as_deref(), &person.subject),
            from.to_string(),
        );
        if self.standing(&person) != Standing::Open {
            let _writing = self.writing.lock().await;
            match self.standing(&person) {
                Standing::Open => {}
                Standing::TooMany => return Err(Refusal::TooMany.into()),
                Standing::New => {
                    let session = hex::encode(clock::random_bytes::<8>());
                    let act = Act::new(actor.clone(), Action::AdminLogin, ("oidc_session", session));
                    let act = act.after(json!({ "role": person.role, "until_unix_ms": person.until_unix_s * 1000 }));
                    if let Err(error) = self.audit.record(&act).await {
                        tracing::error!(error = &error as &dyn std::error::Error, "a login is not in the audit log");
                        return Err(Refusal::NotRecorded.into());
                    }
                    self.sessions().open(person.session, person.id, person.until_unix_s, now());
                }
            }
        }
        self.sessions().took(digest(token), person.until_unix_s, now());
        let id = format!("oidc-{}", hex::encode(&person.id[..12]));
        Ok(Operator { id, role: person.role, actor })
    }

    fn standing(&self, person: &Person) -> Standing {
        self.sessions().standing(&person.session, &person.id, now())
    }

    /// The first of its kind in ten minutes is an entry, which says how many came since the last.
    async fn refused(&self, settings: &OidcSettings, not_taken: &NotTaken, from: IpAddr) {
        if !not_taken.why.is_the_tokens() {
            return;
        }
        let actor = Actor::refused(not_taken.subject.as_deref(), from.to_string());
        self.tell(actor, ("oidc_issuer", &settings.issuer), (not_taken.why.kind(), not_taken.why.to_string())).await;
    }

    /// An operator's token did not log in at the console; told as refusals of the identity provider's tokens are.
    pub(super) async fn refused_token(&self, from: IpAddr) {
        let why = ("console_token", "this token is not valid here".to_owned());
        self.tell(Actor::refused(None, from.to_string()), ("console", "login"), why).await;
    }

    async fn tell(&self, actor: Actor, object: (&'static str, &str), (kind, said): (&'static str, String)) {
        let Some(times) = self.sessions().refused(kind, now()) else { return };
        let act = Act::new(actor, Action::AdminLoginRefuse, object);
        let act = act.after(json!({ "why": kind, "times": times })).reason(said);
        if let Err(error) = self.audit.record(&act).await {
            tracing::error!(error = &error as &dyn std::error::Error, "refused logins are not in the audit log");
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> i64 {
    clock::unix_ms() / 1000
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
