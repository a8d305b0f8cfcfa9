//! The issuer's keys: asked for when they are needed, kept, asked for again as they age or when a token names one that is not among
//! them; and a token checked under them.
//!
//! However many tokens come, the issuer is asked at most once in five seconds, by one of us at a time. While it cannot be asked, the keys
//! that it had count for `max_stale`, and then no more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use reqwest::Client;
use tokio::sync::Mutex;

use super::{
    claims::{self, Person},
    discovery::{self, Discovery, DiscoveryError},
    jwt::Unverified,
    keys::{Key, KeySet},
    refusal::Refusal,
};
use crate::{clock, config::OidcSettings};

/// Keys younger than this are used without a thought.
const FRESH: Duration = Duration::from_secs(600);
/// The least time between two askings.
const APART: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) settings: OidcSettings,
    http: Client,
    held: ArcSwapOption<Held>,
    /// When it was asked last. Whoever holds this asks; the others wait for what is said.
    asked: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Held {
    keys: KeySet,
    found: Discovery,
    at: Instant,
}

/// A token that is not taken, with whose it is, where its signature holds.
#[derive(Debug)]
pub(super) struct NotTaken {
    pub(super) why: Refusal,
    pub(super) subject: Option<String>,
}

impl From<Refusal> for NotTaken {
    fn from(why: Refusal) -> Self {
        Self { why, subject: None }
    }
}

impl Issuer {
    pub(super) fn new(settings: OidcSettings, http: Client) -> Self {
        Self { settings, http, held: ArcSwapOption::empty(), asked: Mutex::new(None) }
    }

    /// Whose token this is, and what they may here.
    pub(super) async fn person(self: &Arc<Self>, token: &str) -> Result<Person, NotTaken> {
        let unverified = Unverified::read(token, &self.settings.algorithms)?;
        if !claims::is_of(&self.settings, &unverified.claims) {
            return Err(Refusal::Issuer.into());
        }
        let key = self.key(&unverified).await?;
        if !key.signed(unverified.signed, &unverified.signature) {
            return Err(Refusal::Signature.into());
        }
        claims::person(&self.settings, &unverified.claims, clock::unix_ms() / 1000).map_err(|why| {
            let subject = claims::subject(&unverified.claims).map(str::to_owned);
            NotTaken { why, subject }
        })
    }

    /// Where it takes logins.
    pub(super) async fn endpoints(self: &Arc<Self>) -> Result<Discovery, Refusal> {
        Ok(self.held().await?.found.clone())
    }

    async fn key(self: &Arc<Self>, token: &Unverified<'_>) -> Result<Key, Refusal> {
        let held = self.held().await?;
        let find = |held: &Held| held.keys.find(token.algorithm, token.key_id.as_deref()).cloned();
        if let Some(key) = find(&held) {
            return Ok(key);
        }
        // It may be newer than what is held.
        let newer = self.ask(Some(held.at)).await.ok_or(Refusal::UnknownKey)?;
        find(&newer).ok_or(Refusal::UnknownKey)
    }

    async fn held(self: &Arc<Self>) -> Result<Arc<Held>, Refusal> {
        let held = self.held.load_full();
        let age = held.as_ref().map(|held| held.at.elapsed());
        match (held, age) {
            (Some(held), Some(age)) if age < FRESH.min(self.settings.max_stale) => Ok(held),
            (Some(held), Some(age)) if age < self.settings.max_stale => {
                let issuer = Arc::clone(self);
                tokio::spawn(async move { issuer.ask(Some(held.at)).await });
                self.held.load_full().ok_or(Refusal::IssuerAway)
            }
            (held, _) => self.ask(held.map(|held| held.at)).await.ok_or(Refusal::IssuerAway),
        }
    }

    /// Keys that are newer than `known`. `None`: it was asked a moment ago, or does not answer.
    async fn ask(&self, known: Option<Instant>) -> Option<Arc<Held>> {
        let mut asked = self.asked.lock().await;
        let newer = self.held.load_full().filter(|held| known.is_none_or(|known| held.at > known));
        if newer.is_some() {
            return newer;
        }
        if asked.is_some_and(|at| at.elapsed() < APART) {
            return None;
        }
        *asked = Some(clock::now());
        match self.fetch().await {
            Ok((keys, found)) => {
                let held = Arc::new(Held { keys, found, at: clock::now() });
                self.held.store(Some(Arc::clone(&held)));
                Some(held)
            }
            Err(error) => {
                let age_s = self.held.load().as_ref().map(|held| held.at.elapsed().as_secs());
                tracing::warn!(%error, age_s, "the identity provider's keys cannot be read; those that it had count for a while");
                None
            }
        }
    }

    async fn fetch(&self) -> Result<(KeySet, Discovery), DiscoveryError> {
        let found = Discovery::ask(&self.http, &self.settings.issuer).await?;
        let url = found.jwks_uri.clone().ok_or_else(|| DiscoveryError::Unreadable(self.settings.issuer.clone()))?;
        let keys = KeySet::read(&discovery::get(&self.http, &url).await?).ok_or(DiscoveryError::Unreadable(url))?;
        Ok((keys, found))
    }
}
