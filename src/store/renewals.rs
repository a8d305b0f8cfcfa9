//! Renewals of certificates, as the database keeps them: what came of each, when the next try may begin, and who is at one now.

use super::{Answer, StoreError};
use crate::domain::TargetId;

/// The renewals' side of the database.
pub trait Renewals {
    /// Takes the renewal of a certificate on; `false`, and nothing done, while another one is under way anywhere, or before its next
    /// try may begin. What is older than `forget_before_unix_ms` is forgotten first.
    fn claim_renewal(&self, claim: RenewalClaim, forget_before_unix_ms: i64) -> Answer<'_, bool>;

    /// Whoever took it on is alive until then.
    fn hold_renewal(&self, certificate: String, holder: String, until_unix_ms: i64) -> Answer<'_, ()>;

    /// It came to an end.
    fn settle_renewal(&self, end: RenewalEnd) -> Answer<'_, ()>;

    /// The latest first; a thousand at most.
    fn renewals(&self) -> Answer<'_, Vec<RenewalRow>>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalClaim {
    /// The digest of the certificate that ends.
    pub certificate: String,
    pub target: TargetId,
    pub suite: String,
    /// A name of the process that nobody else has.
    pub holder: String,
    pub at_unix_ms: i64,
    pub until_unix_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalEnd {
    pub certificate: String,
    pub at_unix_ms: i64,
    pub outcome: RenewalOutcome,
    /// For people.
    pub why: Option<String>,
    pub next_unix_ms: Option<i64>,
}

/// What came of the last try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalOutcome {
    Renewed,
    /// It passed, and what was made lacks signatures.
    Unsigned,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalRow {
    pub certificate: String,
    pub target: TargetId,
    pub suite: String,
    /// That came to an end.
    pub tries: u32,
    /// When the last one began, or ended.
    pub at_unix_ms: i64,
    /// `None`: none has ended.
    pub outcome: Option<RenewalOutcome>,
    pub why: Option<String>,
    pub next_unix_ms: Option<i64>,
    /// One is under way, and whoever is at it alive until then.
    pub held_until_unix_ms: Option<i64>,
}

impl RenewalOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Unsigned => "unsigned",
            Self::Failed => "failed",
        }
    }

    /// As [`Self::as_str`] writes it.
    pub fn of(word: &str) -> Result<Self, StoreError> {
        [Self::Renewed, Self::Unsigned, Self::Failed]
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
            .ok_or_else(|| StoreError::Unknown { what: "renewal's outcome", value: word.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn claim(certificate: &str, holder: &str, at_unix_ms: i64) -> RenewalClaim {
        RenewalClaim {
            certificate: certificate.to_owned(),
            target: TargetId::parse("openai/m").expect("a target"),
            suite: "echoes".to_owned(),
            holder: holder.to_owned(),
            at_unix_ms,
            until_unix_ms: at_unix_ms + 100,
        }
    }

    #[tokio::test]
    async fn one_renewal_is_under_way_in_all_processes_and_none_before_its_time() {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = Store::open_sqlite(&dir.path().join("db")).await.expect("opens");
        let other = Store::open_sqlite(&dir.path().join("db")).await.expect("opens");
        let took = async |store: &Store, claim| store.claim_renewal(claim, 0).await.expect("answers");
        assert!(took(&store, claim("a", "one", 1000)).await);
        assert!(!took(&other, claim("a", "two", 1050)).await, "it is under way");
        assert!(!took(&other, claim("b", "two", 1050)).await, "so is no other one");
        store.hold_renewal("a".to_owned(), "one".to_owned(), 1200).await.expect("holds");
        assert!(!took(&other, claim("a", "two", 1150)).await, "whoever is at it lives");
        assert!(took(&other, claim("a", "two", 1200)).await, "whoever was at it does not");
        // Who lost it, does not get it back by saying that he lives.
        store.hold_renewal("a".to_owned(), "one".to_owned(), 9000).await.expect("answers");
        let end = RenewalEnd {
            certificate: "a".to_owned(),
            at_unix_ms: 1250,
            outcome: RenewalOutcome::Failed,
            why: Some("FAIL".to_owned()),
            next_unix_ms: Some(2000),
        };
        other.settle_renewal(end).await.expect("settles");
        assert!(!took(&store, claim("a", "one", 1999)).await, "not before its time");
        assert!(took(&store, claim("b", "one", 1300)).await, "another one");
        let rows = store.renewals().await.expect("lists");
        let row = rows.iter().find(|row| row.certificate == "a").expect("is there");
        assert_eq!((row.tries, row.outcome, row.held_until_unix_ms), (1, Some(RenewalOutcome::Failed), None));
        assert_eq!(row.why.as_deref(), Some("FAIL"));
        assert!(took(&store, claim("a", "one", 2000)).await);
        let forgotten = store.claim_renewal(claim("c", "one", 5000), 4000).await.expect("answers");
        assert!(forgotten && store.renewals().await.expect("lists").len() == 1);
    }
}
