//! Every operator's verb in both forms, on one gateway: over its admin API from another machine, and on its state directory. Both print the
//! same, and what one does the other sees.

mod leaving;
mod lost;
mod records;
mod releases;

use super::remote::Desk;
use crate::home::{Home, Ran};

/// What a verb said, without what changes from one moment to the next.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Ran> for Said {
    fn from(ran: Ran) -> Self {
        let Ran { code, stdout, stderr } = ran;
        Self { code, stdout: steady(&stdout), stderr: steady(&stderr) }
    }
}

/// Both forms say the same of each of `verbs`.
pub fn agree(desk: &Desk, home: &Home, verbs: &[&[&str]]) {
    for verb in verbs {
        assert_eq!(Said::from(desk.run(verb)), Said::from(home.run(verb)), "{verb:?}");
    }
}

/// Numbers of ten digits and more (times, ids) are all the same, and so are fractions of times.
fn steady(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| at + end);
        out.push_str(if end - at >= 10 { "#" } else { &rest[at..end] });
        rest = &rest[end..];
    }
    out + rest
}

/// Refused on a server before anything is asked of it, with exit code 2 and what to do instead.
pub fn stays_here(desk: &Desk, url: &str, verb: &[&str], why: &str) {
    let ran = desk.run(&[&["--server", url], verb].concat());
    assert!(ran.code == Some(2) && ran.stderr.contains(why), "{verb:?}: {ran:?}");
}

/// A token of `role` may not: it is told which role may.
pub fn needs_role(desk: &Desk, role: &str, verbs: &[&[&str]]) {
    for verb in verbs {
        let ran = desk.run(verb);
        assert!(ran.code == Some(1) && ran.stderr.contains(&format!("needs the role {role}")), "{verb:?}: {ran:?}");
    }
}
