//! A write with an `Idempotency-Key` is done once: whoever repeats it gets the first one's answer.
//!
//! As the IETF's draft has it (draft-ietf-httpapi-idempotency-key-header-07): the same key with something else is 422, one whose first
//! request is still under way 409. What was begun when a crash came stays 409: nobody can say whether it was done, and the audit log
//! can. Keys are an operator's own, are kept for a day, and so many at most.

use std::{collections::HashSet, sync::Mutex, time::Duration};

use sha2::{Digest as _, Sha256};

use super::refused::Refused;
use crate::{
    clock,
    store::{Claim, Claimed, Remembered, Store},
};

const KEPT_MS: i64 = 24 * 3600 * 1000;
/// How long a write waits for the database's word on its key: a rollback is not to wait for a database that takes no writes.
const PATIENCE: Duration = Duration::from_millis(500);
/// The longest key.
const LONGEST: usize = 255;
/// The longest answer that is remembered; of a longer one its status is.
const LONGEST_ANSWER: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Once {
    store: Store,
    /// Those that this process is at.
    under_way: Mutex<HashSet<(String, String)>>,
}

/// What is to be done with a write.
#[derive(Debug)]
pub(super) enum Turn<'a> {
    First(UnderWay<'a>),
    Repeated(Remembered),
}

/// A write that is being done; is no more when this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    once: &'a Once,
    place: (String, String),
    /// The database knows of it.
    stored: bool,
}

impl Once {
    pub(super) fn new(store: Store) -> Self {
        Self { store, under_way: Mutex::default() }
    }

    /// `request`: method, path and body. While the database is away, a write that can do without it (a rollback) is taken on all
    /// the same: it is known to this process then.
    pub(super) async fn begin(&self, operator: &str, key: &str, request: [&[u8]; 3]) -> Result<Turn<'_>, Refused> {
        if key.is_empty() || key.len() > LONGEST || !key.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
            return Err(Refused::invalid("an Idempotency-Key has 1 to 255 printable characters and no blanks"));
        }
        let place = (operator.to_owned(), key.to_owned());
        let busy = || Refused::conflict("in_progress", "a request with this Idempotency-Key is under way; ask again");
        if !self.lock().insert(place.clone()) {
            return Err(busy());
        }
        let mut under_way = UnderWay { once: self, place, stored: false };
        let now = clock::unix_ms();
        let claim = Claim {
            operator: operator.to_owned(),
            key: key.to_owned(),
            fingerprint: fingerprint(request),
            at_unix_ms: now,
        };
        let claimed = tokio::time::timeout(PATIENCE, self.store.claim_request(claim, now - KEPT_MS));
        let Ok(claimed) = claimed.await else {
            tracing::warn!("the database does not tell of an Idempotency-Key in time; the write is done without");
            return Ok(Turn::First(under_way));
        };
        match claimed {
            Ok(Claimed::New) => {
                under_way.stored = true;
                Ok(Turn::First(under_way))
            }
            Ok(Claimed::Answered(answer)) => Ok(Turn::Repeated(answer)),
            Ok(Claimed::OtherRequest) => {
                Err(Refused::other_request("this Idempotency-Key was used for another request; take a new one"))
            }
            Ok(Claimed::Begun) => Err(Refused::conflict(
                "outcome_unknown",
                "the first request with this Idempotency-Key was cut; see in the audit log whether it was done",
            )),
            Err(error) => {
                tracing::warn!(%error, "an Idempotency-Key cannot be looked up; the write is done without");
                Ok(Turn::First(under_way))
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<(String, String)>> {
        self.under_way.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl UnderWay<'_> {
    /// `None`: nothing was done.
    pub(super) async fn end(self, answer: Option<Remembered>) {
        if !self.stored {
            return;
        }
        let (operator, key) = self.place.clone();
        let answer = answer.map(|answer| match answer.body.len() {
            0..=LONGEST_ANSWER => answer,
            _ => Remembered { body: String::new(), ..answer },
        });
        if let Err(error) = self.once.store.settle_request(operator, key, answer).await {
            tracing::warn!(%error, "an answer cannot be remembered for its Idempotency-Key");
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.once.lock().remove(&self.place);
    }
}

fn fingerprint(request: [&[u8]; 3]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in request {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
