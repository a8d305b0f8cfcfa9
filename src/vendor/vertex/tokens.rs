//! The access tokens in use, one for each vendor: bought once, shared by all calls, replaced shortly before their end.
//!
//! One exchange at a time for a vendor: whoever comes meanwhile waits for the same. It runs by itself, so that a caller who
//! gives up does not stop it for the others, and it is bounded in time. A failure is told to all who wait and not kept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::token::{Token, exchange};
use crate::{
    clock,
    domain::{Fault, FaultKind, VendorId},
};

type Exchange = Shared<BoxFuture<'static, Result<Arc<Token>, Fault>>>;

#[derive(Debug, Default)]
pub(in crate::vendor) struct Tokens {
    by_vendor: Mutex<HashMap<VendorId, Held>>,
}

#[derive(Debug)]
struct Held {
    /// Of the secret that the token is bought with: a new secret is a new token.
    secret: [u8; 32],
    exchange: Exchange,
}

impl Tokens {
    /// The vendor's token, which `secret` buys.
    ///
    /// # Errors
    /// Why there is none: [`FaultKind::NoSecret`] when the secret is no service account's key,
    /// [`FaultKind::VendorAuth`] when the endpoint refuses it, and whatever reaching the endpoint can end in.
    pub(super) async fn get(
        &self,
        vendor: &VendorId,
        secret: &SecretString,
        http: &reqwest::Client,
    ) -> Result<Arc<Token>, Fault> {
        self.exchange(vendor, secret, http).await
    }

    /// Forgets the vendor's token if `headers` carried it: the vendor refused it before its time. False when it is another
    /// by now, or none.
    pub(in crate::vendor) fn forget_refused(&self, vendor: &VendorId, headers: &HeaderMap) -> bool {
        let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let mut all = self.by_vendor.lock().unwrap_or_else(PoisonError::into_inner);
        let held = all.get(vendor).and_then(|held| held.exchange.peek());
        let Some(Ok(token)) = held else { return false };
        let is_it = sent == Some(token.value.expose_secret());
        if is_it {
            all.remove(vendor);
        }
        is_it
    }

    fn exchange(&self, vendor: &VendorId, secret: &SecretString, http: &reqwest::Client) -> Exchange {
        let fingerprint: [u8; 32] = Sha256::digest(secret.expose_secret()).into();
        let mut all = self.by_vendor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get(vendor)
            && held.secret == fingerprint
            && held.is_usable(clock::now())
        {
            return held.exchange.clone();
        }
        let task = tokio::spawn(exchange(secret.clone(), http.clone()));
        let exchange = async move {
            let ended =
                task.await.unwrap_or_else(|_| Err(Fault::new(FaultKind::ServerError, "the token exchange broke off")));
            ended.map(Arc::new)
        };
        let exchange = exchange.boxed().shared();
        all.insert(vendor.clone(), Held { secret: fingerprint, exchange: exchange.clone() });
        exchange
    }
}

impl Held {
    fn is_usable(&self, now: Instant) -> bool {
        match self.exchange.peek() {
            None => true,
            Some(Ok(token)) => now < token.fresh_until,
            Some(Err(_)) => false,
        }
    }
}
