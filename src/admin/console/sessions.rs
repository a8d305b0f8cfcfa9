//! Who is logged in at the console: bounded in number, in time unused and in time altogether. Pure: time is an argument.
//!
//! A session opens nothing by itself. It keeps what its owner showed, which is checked anew at each request, and is found by the digest
//! of its cookie alone, so that what is in memory lets nobody in.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use secrecy::SecretString;

/// How long a session lasts while it is not used, and altogether.
const UNUSED: Duration = Duration::from_secs(30 * 60);
const WHOLE: Duration = Duration::from_secs(12 * 3600);
/// Past so many, the one that was unused the longest is over: of all, and of one operator.
const MOST: usize = 1000;
const MOST_OF_ONE: usize = 8;

pub(super) type Digest = [u8; 32];

/// What was shown at the login.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    /// An operator's token by its id and its digest.
    Token { id: String, hash: Digest },
    /// A token of the identity provider. Its signature and claims are looked at each time, so it is kept whole.
    Oidc(SecretString),
}

#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) shown: Shown,
    /// Whose it is.
    pub(super) operator: String,
    /// What it is called in the audit log; opens nothing.
    pub(super) name: String,
    /// What each form of this session carries.
    pub(super) form_token: String,
    /// What the next page says first.
    pub(super) said: Option<String>,
    began: Instant,
    used: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<Digest, Session>);

impl Session {
    pub(super) fn new(shown: Shown, operator: String, (name, form_token): (String, String), now: Instant) -> Self {
        Self { shown, operator, name, form_token, said: None, began: now, used: now }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.used) >= UNUSED || now.duration_since(self.began) >= WHOLE
    }
}

impl Sessions {
    pub(super) fn open(&mut self, digest: Digest, session: Session, now: Instant) {
        self.0.retain(|_, one| !one.is_over(now));
        let operator = session.operator.clone();
        while self.0.values().filter(|one| one.operator == operator).count() >= MOST_OF_ONE {
            self.drop_unused(|one| one.operator == operator);
        }
        while self.0.len() >= MOST {
            self.drop_unused(|_| true);
        }
        self.0.insert(digest, session);
    }

    /// The session, which is used now.
    pub(super) fn using(&mut self, digest: &Digest, now: Instant) -> Option<&mut Session> {
        if self.0.get(digest)?.is_over(now) {
            self.0.remove(digest);
            return None;
        }
        let session = self.0.get_mut(digest)?;
        session.used = now;
        Some(session)
    }

    pub(super) fn knows(&self, digest: &Digest, now: Instant) -> bool {
        self.0.get(digest).is_some_and(|session| !session.is_over(now))
    }

    pub(super) fn close(&mut self, digest: &Digest) -> Option<Session> {
        self.0.remove(digest)
    }

    fn drop_unused(&mut self, among: impl Fn(&Session) -> bool) {
        let oldest = self.0.iter().filter(|(_, one)| among(one)).min_by_key(|(_, one)| one.used).map(|(id, _)| *id);
        if let Some(oldest) = oldest {
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        digest
    }

    fn session(operator: &str, now: Instant) -> Session {
        let shown = Shown::Token { id: operator.to_owned(), hash: [0; 32] };
        Session::new(shown, operator.to_owned(), ("a".to_owned(), "b".to_owned()), now)
    }

    #[test]
    fn a_session_ends_unused_and_at_its_age_however_it_is_used() {
        let (mut sessions, begin) = (Sessions::default(), Instant::now());
        sessions.open(digest(1), session("alice", begin), begin);
        assert!(sessions.using(&digest(1), begin + UNUSED - Duration::from_secs(1)).is_some());
        let used = begin + UNUSED - Duration::from_secs(1);
        assert!(sessions.knows(&digest(1), used + UNUSED - Duration::from_secs(1)));
        assert!(!sessions.knows(&digest(1), used + UNUSED));
        assert!(sessions.using(&digest(1), used + UNUSED).is_none());
        sessions.open(digest(2), session("alice", begin), begin);
        let mut now = begin;
        while now + UNUSED / 2 < begin + WHOLE {
            now += UNUSED / 2;
            assert!(sessions.using(&digest(2), now).is_some());
        }
        assert!(sessions.using(&digest(2), begin + WHOLE).is_none());
        assert!(sessions.using(&digest(2), begin + WHOLE).is_none(), "it does not come back");
    }

    #[test]
    fn one_operator_has_so_many_and_pushes_nobody_else_out() {
        let (mut sessions, begin) = (Sessions::default(), Instant::now());
        sessions.open(digest(0), session("bob", begin), begin);
        for number in 1..=3 * MOST_OF_ONE {
            let now = begin + Duration::from_secs(number as u64);
            sessions.open(digest(number), session("alice", now), now);
        }
        let now = begin + Duration::from_secs(100);
        assert!(sessions.knows(&digest(0), now) && sessions.knows(&digest(3 * MOST_OF_ONE), now));
        assert_eq!((1..=3 * MOST_OF_ONE).filter(|number| sessions.knows(&digest(*number), now)).count(), MOST_OF_ONE);
    }

    #[test]
    fn however_many_come_memory_is_bounded() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        for number in 0..MOST + 100 {
            sessions.open(digest(number), session(&number.to_string(), now), now);
        }
        assert_eq!(sessions.0.len(), MOST);
        assert!(sessions.knows(&digest(MOST + 99), now));
    }
}
