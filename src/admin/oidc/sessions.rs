//! Which sessions of the identity provider have come in already, and how often what was refused is written down. Pure: time is an
//! argument, and everything here is bounded.

use std::collections::HashMap;

/// Sessions and tokens that are remembered; past it, those that end first are forgotten, and are new when they come again.
const MOST: usize = 10_000;
/// New sessions of one person in an hour: each is an entry of the audit log.
const PER_HOUR: u32 = 60;
const HOUR_S: i64 = 3600;
/// Refusals of one kind are one entry in so long.
const APART_S: i64 = 600;

type Digest = [u8; 32];

#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Until when, in seconds.
    open: HashMap<Digest, i64>,
    tokens: HashMap<Digest, i64>,
    /// The hour that began then, and how many there were in it.
    logins: HashMap<Digest, (i64, u32)>,
    /// By kind: when the last entry was, and how many there were since.
    refused: HashMap<&'static str, (i64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    /// To be written down, and then to be opened.
    New,
    TooMany,
}

impl Sessions {
    pub(super) fn standing(&self, session: &Digest, person: &Digest, now_unix_s: i64) -> Standing {
        if self.open.get(session).is_some_and(|until| *until > now_unix_s) {
            return Standing::Open;
        }
        match self.logins.get(person) {
            Some((from, count)) if now_unix_s - from < HOUR_S && *count >= PER_HOUR => Standing::TooMany,
            _ => Standing::New,
        }
    }

    /// It was written down.
    pub(super) fn open(&mut self, session: Digest, person: Digest, until_unix_s: i64, now_unix_s: i64) {
        remember(&mut self.open, session, until_unix_s, now_unix_s);
        if self.logins.len() >= MOST {
            self.logins.retain(|_, (from, _)| now_unix_s - *from < HOUR_S);
        }
        let (from, count) = self.logins.entry(person).or_insert((now_unix_s, 0));
        if now_unix_s - *from >= HOUR_S {
            (*from, *count) = (now_unix_s, 0);
        }
        *count += 1;
    }

    /// A token that was taken: it is known by its digest when it comes again.
    pub(super) fn took(&mut self, token: Digest, until_unix_s: i64, now_unix_s: i64) {
        remember(&mut self.tokens, token, until_unix_s, now_unix_s);
    }

    pub(super) fn knows(&self, token: &Digest, now_unix_s: i64) -> bool {
        self.tokens.get(token).is_some_and(|until| *until > now_unix_s)
    }

    /// How many refusals of this kind an entry is to tell of now; `None`: none is due.
    pub(super) fn refused(&mut self, kind: &'static str, now_unix_s: i64) -> Option<u64> {
        let Some((last, since)) = self.refused.get_mut(kind) else {
            self.refused.insert(kind, (now_unix_s, 0));
            return Some(1);
        };
        *since += 1;
        if now_unix_s - *last < APART_S {
            return None;
        }
        *last = now_unix_s;
        Some(std::mem::take(since))
    }
}

fn remember(known: &mut HashMap<Digest, i64>, what: Digest, until_unix_s: i64, now_unix_s: i64) {
    if known.len() >= MOST && !known.contains_key(&what) {
        known.retain(|_, until| *until > now_unix_s);
        if known.len() >= MOST {
            let mut ends: Vec<i64> = known.values().copied().collect();
            ends.sort_unstable();
            let early = ends[MOST / 10];
            known.retain(|_, until| *until > early);
        }
    }
    known.insert(what, until_unix_s);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u32) -> Digest {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        digest
    }

    #[test]
    fn a_session_is_new_once_and_ends() {
        let (mut sessions, person) = (Sessions::default(), digest(7));
        assert_eq!(sessions.standing(&digest(1), &person, 100), Standing::New);
        sessions.open(digest(1), person, 200, 100);
        assert_eq!(sessions.standing(&digest(1), &person, 199), Standing::Open);
        assert_eq!(sessions.standing(&digest(1), &person, 200), Standing::New);
        sessions.took(digest(2), 200, 100);
        assert!(
            sessions.knows(&digest(2), 199) && !sessions.knows(&digest(2), 200) && !sessions.knows(&digest(3), 100)
        );
    }

    #[test]
    fn one_person_opens_so_many_in_an_hour_and_others_are_not_kept_out() {
        let (mut sessions, person) = (Sessions::default(), digest(7));
        for number in 0..PER_HOUR {
            assert_eq!(sessions.standing(&digest(100 + number), &person, 1000), Standing::New);
            sessions.open(digest(100 + number), person, 9000, 1000);
        }
        assert_eq!(sessions.standing(&digest(1), &person, 1000), Standing::TooMany);
        assert_eq!(sessions.standing(&digest(100), &person, 1000), Standing::Open);
        assert_eq!(sessions.standing(&digest(1), &digest(8), 1000), Standing::New);
        assert_eq!(sessions.standing(&digest(1), &person, 1000 + HOUR_S), Standing::New);
    }

    #[test]
    fn however_many_come_memory_is_bounded() {
        let mut sessions = Sessions::default();
        for number in 0..3 * MOST as u32 {
            sessions.open(digest(number), digest(number), 1_000_000 + i64::from(number), 100);
            sessions.took(digest(number), 1_000_000 + i64::from(number), 100);
        }
        assert!(sessions.open.len() <= MOST && sessions.tokens.len() <= MOST);
        assert_eq!(sessions.standing(&digest(3 * MOST as u32 - 1), &digest(1), 100), Standing::Open);
    }

    #[test]
    fn refusals_of_one_kind_are_one_entry_with_their_number() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.refused("issuer", 100), Some(1));
        for _ in 0..9 {
            assert_eq!(sessions.refused("issuer", 101), None);
        }
        assert_eq!(sessions.refused("expired", 101), Some(1));
        assert_eq!(sessions.refused("issuer", 100 + APART_S), Some(10));
        assert_eq!(sessions.refused("issuer", 101 + APART_S), None);
    }
}
