//! What a row of the table is: a fault of the primary, whole or streamed, and what must come of it.

use super::speech::Speech;
use crate::kit::vendor::Reply;

/// One thing that goes wrong.
pub struct Fault {
    pub name: &'static str,
    /// When a whole answer was asked for.
    pub whole: Option<Row>,
    /// When a stream was.
    pub streamed: Option<Row>,
}

#[derive(Clone, Copy)]
pub struct Row {
    pub primary: Primary,
    pub expect: Expect,
}

/// What stands where the primary should.
#[derive(Clone, Copy)]
pub enum Primary {
    /// A fake that answers every question so.
    Says(fn(Speech) -> Reply),
    /// A fake that sends the question to an origin of another fake.
    SendsElsewhere(u16),
    /// Nobody is there.
    ClosedPort,
    /// A name that no resolver knows.
    Unresolvable,
    BlackHole,
    /// `https` where plain text is spoken.
    PlainTextForTls,
    /// `https` where nothing is ever said.
    MuteForTls,
    SelfSigned,
    /// Plain `http` where TLS is spoken.
    TlsForPlainText,
}

/// What must come of a row: one of `ends`, and where there is a fault, one of `kinds` in the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Expect {
    pub ends: &'static [End],
    pub kinds: &'static [&'static str],
    pub spent: Spent,
    /// The most attempts at the primary: more than one where asking again can help.
    pub tries: usize,
}

/// How a call ends, as its caller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The fallback's answer, and nothing of the primary's.
    Rescued,
    /// The primary's answer, whole.
    Answered,
    /// The beginning of the primary's answer, then an error in the stream.
    Interrupted,
    /// The caller's own fault: this status, and nobody else is asked.
    Refused(u16),
}

/// What the ledger knows of the primary's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// What its end implies: reported for an answer, estimated for half of one.
    Usual,
    /// The vendor said nothing, so it is an estimate.
    Estimated,
    /// Reported where the dialect tells it by then, estimated otherwise.
    AsFarAsTold,
    /// A whole answer that is of no use was paid for all the same.
    ReportedInVain,
}

impl Fault {
    /// The same whether whole or streamed.
    pub fn both(name: &'static str, says: fn(Speech) -> Reply, expect: Expect) -> Self {
        Self::split(name, says, expect, expect)
    }

    /// The same fault, which shows differently in a whole answer and in a stream.
    pub fn split(name: &'static str, says: fn(Speech) -> Reply, whole: Expect, streamed: Expect) -> Self {
        let row = |expect| Some(Row { primary: Primary::Says(says), expect });
        Self { name, whole: row(whole), streamed: row(streamed) }
    }

    pub fn at(name: &'static str, primary: Primary, expect: Expect) -> Self {
        let row = Some(Row { primary, expect });
        Self { name, whole: row, streamed: row }
    }

    pub fn whole(name: &'static str, says: fn(Speech) -> Reply, expect: Expect) -> Self {
        Self { name, whole: Some(Row { primary: Primary::Says(says), expect }), streamed: None }
    }

    pub fn streamed(name: &'static str, says: fn(Speech) -> Reply, expect: Expect) -> Self {
        Self { name, whole: None, streamed: Some(Row { primary: Primary::Says(says), expect }) }
    }

    /// What the fault is in a stream.
    pub fn and_streamed(self, says: fn(Speech) -> Reply, expect: Expect) -> Self {
        Self { streamed: Some(Row { primary: Primary::Says(says), expect }), ..self }
    }
}

impl Expect {
    const fn new(ends: &'static [End], kinds: &'static [&'static str]) -> Self {
        Self { ends, kinds, spent: Spent::Usual, tries: 1 }
    }

    /// The same target may be asked again: nothing stood yet, or it said when.
    pub const fn again(self) -> Self {
        Self { tries: 3, ..self }
    }

    pub const fn spent(self, spent: Spent) -> Self {
        Self { spent, ..self }
    }
}

/// The fallback serves, and the caller sees nothing of the primary.
pub const fn rescued(kinds: &'static [&'static str]) -> Expect {
    Expect::new(&[End::Rescued], kinds)
}

/// It is an answer, odd as it looks.
pub const ANSWERED: Expect = Expect::new(&[End::Answered], &[]);

/// Content has left; what follows is an error in the stream.
pub const fn interrupted(kinds: &'static [&'static str]) -> Expect {
    Expect::new(&[End::Interrupted], kinds)
}

/// Either reading of it is honest: an answer, or none and the fallback's.
pub const fn answered_or_rescued(kinds: &'static [&'static str]) -> Expect {
    Expect::new(&[End::Answered, End::Rescued], kinds)
}

/// Either reading of it is honest: a whole answer, or one that broke at its very end.
pub const fn answered_or_interrupted(kinds: &'static [&'static str]) -> Expect {
    Expect::new(&[End::Answered, End::Interrupted], kinds)
}

/// The caller's own fault.
pub const fn refused(ends: &'static [End], kinds: &'static [&'static str]) -> Expect {
    Expect::new(ends, kinds)
}

// What the ledger may call a fault where more than one word is true.
pub const TOO_LATE: [Expect; 2] = [rescued(&["attempt_timeout"]), rescued(&["first_token_timeout"])];
pub const NOT_JSON: &[&str] = &["malformed"];
pub const NO_ANSWER: &[&str] = &["empty_answer", "malformed", "truncated"];
pub const CUT: &[&str] = &["reset", "truncated", "malformed"];
pub const SAID_ERROR: &[&str] = &["error_in_body", "server_error", "overloaded"];
pub const TOO_LARGE: &[&str] = &["too_large"];
