//! Faults before a word of HTTP was said: nobody there, nobody who can be reached, nobody who can be trusted.

use super::{
    speech::{raw, stream},
    table::{CUT, Expect, Fault, Primary, TOO_LATE, rescued},
};
use crate::kit::vendor::{End, Reply};

const NOT_UP: &[&str] = &["connect_timeout"];
/// A resolver that answers late is cut off by the connect deadline.
const UNKNOWN_NAME: &[&str] = &["dns", "connect_timeout"];
const HANDSHAKE: Expect = rescued(&["tls"]).again();

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::at("closed port", Primary::ClosedPort, rescued(&["connect_refused"]).again()),
        Fault::at("unresolvable name", Primary::Unresolvable, rescued(UNKNOWN_NAME).again()),
        Fault::at("connect black hole", Primary::BlackHole, rescued(NOT_UP).again()),
        Fault::at("TLS to a plain-text port", Primary::PlainTextForTls, HANDSHAKE),
        Fault::at("TLS to a mute port", Primary::MuteForTls, rescued(&["connect_timeout", "tls"]).again()),
        Fault::at("self-signed certificate", Primary::SelfSigned, HANDSHAKE),
        Fault::at("plain text to a TLS port", Primary::TlsForPlainText, rescued(CUT)),
        Fault::both("reset before the reply", |_| Reply::Reset, rescued(&["reset"])),
        Fault::both("hangs up before the reply", |_| raw("", End::Cut), rescued(&["reset", "empty_answer"])),
        Fault::split("silence", |_| Reply::Silence, TOO_LATE[0], TOO_LATE[1]),
        Fault::split("silence after the head", |_| stream(vec![], &[], End::Silence), TOO_LATE[0], TOO_LATE[1]),
    ]
}
