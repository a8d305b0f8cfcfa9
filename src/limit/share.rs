//! The share cap: no vendor may serve more than its part of the volume, at any concurrency.
//!
//! A thin shell around [`Book`]: one short lock (a few sums over as many vendors as the config has), never held across a
//! wait. What a call may use at most is set aside before a target is asked ([`Hold`], which gives back when dropped) and
//! becomes what was used when the attempt is over. All is kept in memory and read back from the ledger's hourly sums at a
//! start; other processes on the same database are followed at intervals.

mod book;
mod forecast;
mod guess;
mod hours;
mod rule;
#[cfg(test)]
mod tests;

pub use book::{Book, Denied, Draw, Figures, Look, Parts, Reach, Taken};
pub use forecast::{OperatorShare, ShareView};
pub use hours::{HOUR_MS, Hours, hour_of};
pub use rule::{Parties, Party, Rule};

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, futures::Notified};

use super::estimate::Shape;
use crate::{
    clock,
    config::{Settings, ShareUnit},
    domain::{Fault, FaultKind, Prices, VendorId, Volume},
    store::ShareRow,
};

/// How long a caller is told to wait where calls under way hold what is left.
const SOON: Duration = Duration::from_secs(1);

/// All shares. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Share {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    book: Mutex<Book>,
    /// Told whenever something that was set aside is given back or used.
    settled: Notify,
}

/// A call's volume with one vendor while it is asked. Dropped: nothing was used there.
#[derive(Debug)]
pub struct Hold {
    share: Share,
    vendor: VendorId,
    taken: Option<Taken>,
}

impl Share {
    pub fn new(settings: &Settings) -> Self {
        let book = Mutex::new(Book::new(Rule::of(settings), Parties::of(settings)));
        Self { inner: Arc::new(Inner { book, settled: Notify::new() }) }
    }

    pub fn configure(&self, settings: &Settings) {
        self.book().configure(Rule::of(settings), Parties::of(settings));
        self.inner.settled.notify_waiters();
    }

    /// How a target of `vendor` stands for a call; see [`Book::look`].
    pub fn look(&self, vendor: &VendorId, draw: Draw, roll: f64) -> Look {
        self.book().look(vendor, draw, roll, clock::unix_ms())
    }

    /// Sets aside what a call may use there, or says why not.
    pub fn take(&self, vendor: &VendorId, draw: Draw, reach: Reach) -> Result<Hold, Fault> {
        match self.book().take(vendor, draw, reach, clock::unix_ms()) {
            Ok(taken) => Ok(Hold { share: self.clone(), vendor: vendor.clone(), taken: Some(taken) }),
            Err(denied) => Err(denied.fault()),
        }
    }

    /// Resolves when calls under way have given back or used what they had set aside. Enable it before looking.
    pub fn settled(&self) -> Notified<'_> {
        self.inner.settled.notified()
    }

    /// What all others have served, by their rows in the database; see [`Book::replace_others`].
    pub fn follow(&self, rows: Vec<ShareRow>, override_until_unix_ms: Option<i64>) {
        // Made and thrown away outside of the lock.
        let mut others: BTreeMap<VendorId, Hours> = BTreeMap::new();
        for row in rows {
            others.entry(row.vendor).or_default().add(hour_of(row.hour_unix_ms), row.volume);
        }
        let mut book = self.book();
        book.advance(clock::unix_ms());
        let before = book.replace_others(others);
        book.override_until(override_until_unix_ms);
        drop(book);
        drop(before);
        self.inner.settled.notify_waiters();
    }

    /// From when on rows count, in ms since 1970-01-01 UTC.
    pub fn since_unix_ms(&self) -> i64 {
        let mut book = self.book();
        book.advance(clock::unix_ms());
        book.oldest().saturating_mul(HOUR_MS)
    }

    /// Every vendor's part and what is set aside with it, in that unit.
    pub fn parts(&self) -> (ShareUnit, Parts) {
        let mut book = self.book();
        (book.rule().unit, book.parts(clock::unix_ms()))
    }

    /// All there is to say, for people: more than a running gateway should ask for often.
    pub fn view(&self) -> ShareView {
        let now = clock::unix_ms();
        let mut book = self.book();
        let (rule, volumes) = (book.rule(), book.volumes(now));
        drop(book);
        ShareView::of(rule, &volumes, now)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.inner.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// The attempt is over and has used so much; its call began at `at`.
    pub fn settle(mut self, used: Volume, at_unix_ms: i64) {
        let Some(taken) = self.taken.take() else { return };
        self.share.book().settle(&self.vendor, taken, used, at_unix_ms);
        self.share.inner.settled.notify_waiters();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        self.share.book().release(&self.vendor, taken);
        self.share.inner.settled.notify_waiters();
    }
}

impl Draw {
    /// What a question of that shape may be for a target with these prices, in a call that begins at `unix_ms`.
    pub fn of(shape: &Shape, prices: Option<&Prices>, unix_ms: i64) -> Self {
        let most = shape.most(Duration::ZERO);
        let (bound, likely) = (most.input.saturating_add(most.output), shape.likely_tokens());
        if bound == 0 {
            // It counts tokens: no volume.
            return Self::default();
        }
        let worst = prices.and_then(|prices| prices.worst(&most, unix_ms));
        let dearest = worst.map_or(0, |worst| u64::try_from(worst.micros).unwrap_or(0));
        let usual = (dearest as f64 * likely as f64 / bound as f64).ceil() as u64;
        Self {
            bound: Volume { tokens: bound, requests: 1, cost_micros: dearest },
            likely: Volume { tokens: likely, requests: 1, cost_micros: usual },
            unpriced: worst.is_none(),
        }
    }

    /// Whether it is any volume at all.
    pub fn is_volume(&self) -> bool {
        self.bound != Volume::ZERO
    }
}

impl Look {
    /// Why the target is passed over at first; `None`: it is not.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Free | Self::Open | Self::Overridden(..) => None,
            Self::Steered(figures) => Some(figures.steered()),
            Self::Held { figures, .. } => Some(figures.held()),
            Self::Capped(figures) => Some(figures.capped()),
            Self::Unpriced => Some(unpriced()),
        }
    }
}

impl Denied {
    fn fault(&self) -> Fault {
        match self {
            Self::Held(figures) => figures.held(),
            Self::Capped(figures) => figures.capped(),
            Self::Unpriced => unpriced(),
        }
    }
}

/// The code of a fault that ends with calls under way.
pub const HELD: &str = "share_is_held";

impl Figures {
    fn steered(&self) -> Fault {
        let Self { operator, with_call, soft, max, .. } = self;
        let detail = format!(
            "`{operator}` comes to {} of the {self}: from {} on, calls move elsewhere in proportion, and at {} all do",
            percent(*with_call),
            percent(*soft),
            percent(*max)
        );
        Fault::new(FaultKind::VendorShare, detail)
    }

    fn held(&self) -> Fault {
        let Self { operator, share, max, .. } = self;
        let detail = format!(
            "`{operator}` has {} of the {self}, and calls under way may use up the rest of the {} that it may have",
            percent(*share),
            percent(*max)
        );
        Fault::new(FaultKind::VendorShare, detail).with_code(HELD).with_retry_after(Some(SOON))
    }

    fn capped(&self) -> Fault {
        let Self { operator, share, max, .. } = self;
        let detail = format!("`{operator}` has {} of the {self}, and may have {}", percent(*share), percent(*max));
        Fault::new(FaultKind::VendorShare, detail).with_retry_after(self.fits_in)
    }
}

/// What it is a share of.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit.as_str();
        if self.warming_up {
            return write!(f, "least volume (`share_cap.min_volume`, {unit})");
        }
        match (self.window_hours / 24, self.window_hours % 24) {
            (days @ 1.., 0) => write!(f, "{unit} of the last {days} d"),
            _ => write!(f, "{unit} of the last {} h", self.window_hours),
        }
    }
}

fn unpriced() -> Fault {
    let detail = "its price is not known, and shares are counted by cost: it would count as nothing";
    Fault::new(FaultKind::VendorShare, detail)
}

/// `66.2 %`
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
