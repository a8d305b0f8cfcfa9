//! Whose signatures count, how many are needed, and what a certificate's last days mean.

use time::{Duration, OffsetDateTime};

use super::{Certificate, PublicKey, Reason};

/// What this installation asks of a certificate, besides that it is about what runs here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Keys that count besides this installation's own.
    pub signers: Vec<PublicKey>,
    /// How many different keys must have signed: 2 for four eyes.
    pub signatures: usize,
    /// How long a certificate goes on after its end. Changed bytes never do.
    pub grace: Duration,
}

/// A certificate that holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    pub certificate: Certificate,
    pub warning: Option<Warning>,
}

/// It holds now, and will not for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warning {
    /// Its end is so many days ahead at most: 14, 7 or 1.
    Expires { at: OffsetDateTime, within_days: u16 },
    /// It has ended; the grace that the config gives ends then.
    Grace { expired_at: OffsetDateTime, ends_at: OffsetDateTime },
}

/// When someone is told of the end that comes, the last first.
const TOLD_BEFORE_DAYS: [u16; 3] = [1, 7, 14];

impl Default for Trust {
    fn default() -> Self {
        Self { signers: Vec::new(), signatures: 1, grace: Duration::ZERO }
    }
}

impl Trust {
    /// Whether enough of the keys that count have signed.
    pub fn is_signed(&self, certificate: &Certificate) -> Result<(), Reason> {
        let found = certificate.signers().len();
        if found >= self.signatures {
            return Ok(());
        }
        Err(Reason::TooFewSignatures { found, needed: self.signatures })
    }

    /// Whether it is in time, or in the grace after it, and what is to be said of that.
    pub fn in_time(&self, certificate: &Certificate, now: OffsetDateTime) -> Result<Option<Warning>, Reason> {
        let at = certificate.predicate().expires_at;
        match certificate.is_in_time(now) {
            Ok(()) => {
                let near = TOLD_BEFORE_DAYS.into_iter().find(|days| now + Duration::days(i64::from(*days)) >= at);
                Ok(near.map(|within_days| Warning::Expires { at, within_days }))
            }
            Err(reason) if reason.is_expiry() && now < at + self.grace => {
                Ok(Some(Warning::Grace { expired_at: at, ends_at: at + self.grace }))
            }
            Err(reason) => Err(reason),
        }
    }
}

impl Warning {
    /// One word of what it is, as alerts write it: the same for as long as nothing new is to be said.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Expires { within_days: 1, .. } => "certificate_expires_in_1_day",
            Self::Expires { within_days: 7, .. } => "certificate_expires_in_7_days",
            Self::Expires { .. } => "certificate_expires_in_14_days",
            Self::Grace { .. } => "certificate_in_grace",
        }
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Expires { at, .. } => write!(f, "its certificate expires at {}; certify again", super::shown(*at)),
            Self::Grace { expired_at, ends_at } => write!(
                f,
                "its certificate expired at {} and serves in the grace that the config gives, until {}; certify again now",
                super::shown(*expired_at),
                super::shown(*ends_at)
            ),
        }
    }
}
