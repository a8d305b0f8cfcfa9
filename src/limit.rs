//! Who may use how much: rates per tenant, key, feature, model and address, and budgets of those who pay; and how much of the
//! volume a vendor may have ([`share`]).
//!
//! All of it is reserve → settle: a call takes what it may use at worst before it is made ([`Limiter::admit`],
//! [`Permit::reserve`]), and gives back what it did not use when it is over ([`Permit::settle`], or by being dropped). Every
//! limit that applies must agree, and each has a short lock of its own. What payers have used is their rows in the ledger:
//! it is read back at a start, so a restart or a crash forgets nothing.

mod account;
mod address;
mod addresses;
mod book;
mod budget;
mod density;
mod door;
mod estimate;
mod intake;
mod permit;
mod refusal;
mod restore;
pub mod share;
mod subject;
mod subjects;
mod tokens;
mod view;
mod window;

pub use account::{Account, Ask, Balance, Left, Rate, Standing};
pub use address::{Origin, network_of, origin};
pub use budget::{Reached, Spending, Spent};
pub use density::{Density, USUAL_DENSITY};
pub use door::{Entered, Line};
pub use estimate::{Shape, UNSAID_ANSWER_TOKENS, Unsaid};
pub use intake::{Intake, Overfull};
pub use permit::Permit;
pub use refusal::{Refusal, Why};
pub use restore::RestoreError;
pub use share::Share;
pub use subject::Subject;
pub use subjects::{Limited, at_once, body_bound, subjects, subjects_of_tenant};
pub use tokens::{Encoding, Framing, prompt_tokens};
pub use view::{Counted, LimitView, read_view, write_view};
pub use window::{Span, Window};

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{config::Limits, domain::TenantId};
use addresses::Addresses;
use book::Book;

/// Accounts of features that nothing limits: any name a caller thinks of is one. Past it they are not counted.
const MOST_UNLIMITED_FEATURES: usize = 1 << 13;

/// A budget that has reached a mark, for whoever tells people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetMark {
    pub subject: Subject,
    pub reached: Reached,
}

/// All accounts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Limiter {
    books: Arc<Books>,
}

#[derive(Debug)]
struct Books {
    /// Tenants, keys, models and limited features: as many as operators have made.
    callers: Book,
    features: Book,
    addresses: Addresses,
    /// By tenant: bodies that are not here yet, and the memory of large ones in KiB.
    under_way: Book,
    bodies: Book,
    all_bodies: Account,
    marks: mpsc::Sender<BudgetMark>,
}

impl Limiter {
    /// `marks`: where budgets that reach a mark are told; one that finds it full is told at the next call.
    pub fn new(marks: mpsc::Sender<BudgetMark>) -> Self {
        let (callers, features, addresses) = (Book::new(), Book::new(), Addresses::new());
        let (under_way, bodies) = (Book::new(), Book::new());
        // Whose it is is nobody's to ask.
        let all_bodies = Account::new(Subject::Tenant(TenantId::new("all")));
        let books = Books { callers, features, addresses, under_way, bodies, all_bodies, marks };
        Self { books: Arc::new(books) }
    }

    /// Takes a call on for everybody whom it concerns, or says who does not agree and changes nothing.
    pub fn admit(&self, limited: Vec<Limited>, ask: Ask) -> Result<Permit, Refusal> {
        let mut permit = Permit::new(self.clone(), ask);
        for Limited { subject, limits } in limited {
            // No room for an unlimited feature, or an address: its caller has a key, whose limits hold.
            let Some(account) = self.account(&subject, &limits, ask.at_unix_ms) else { continue };
            // What was taken so far is given back by the permit's drop.
            permit.take(account, limits)?;
        }
        Ok(permit)
    }

    /// Every account that has something to say.
    pub fn balances(&self, now_unix_ms: i64) -> Vec<(Subject, Balance)> {
        let all = self.books.callers.all().into_iter().chain(self.books.features.all());
        let used = all.filter(|account| !account.is_idle(now_unix_ms));
        used.map(|account| (account.subject().clone(), account.balance(now_unix_ms))).collect()
    }

    fn account(&self, subject: &Subject, limits: &Limits, now_unix_ms: i64) -> Option<Arc<Account>> {
        let Books { callers, features, addresses, .. } = &*self.books;
        if let Some(network) = subject.network() {
            return addresses.account(subject, network, now_unix_ms);
        }
        match subject {
            Subject::Feature(..) => match callers.known(subject) {
                Some(account) => Some(account),
                None if limits.is_none() => features.account(subject, MOST_UNLIMITED_FEATURES, now_unix_ms),
                // It was limited just now: what it has used so far counts.
                None => match features.known(subject) {
                    Some(account) => Some(callers.adopt(account)),
                    None => callers.account(subject, usize::MAX, now_unix_ms),
                },
            },
            _ => callers.account(subject, usize::MAX, now_unix_ms),
        }
    }
}
