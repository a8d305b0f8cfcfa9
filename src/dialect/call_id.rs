//! Tool-call ids that carry what Gemini must get back: its own id of the call, and the thought signature beside it.
//!
//! Gemini gives many calls no id, and from its third generation on refuses a tool's result whose call comes back without the
//! signature it came with. No caller's dialect has a place for one, but every caller brings a call's id back. So a call of
//! Gemini's gets the id `gem1_` + 16 hexadecimal digits (unique by the answer and the call's place in it) + what is to be
//! carried, in base64url. Other vendors bound an id's length and need none of this: they get the first 21 bytes, which name
//! the call as well. Nothing is remembered; all of it is a function of the id.

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "gem1_";
/// The prefix and 16 digits: the part that names the call.
const SHORT: usize = PREFIX.len() + 16;

/// What an id carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Carried {
    /// Gemini's own id of the call.
    pub(super) id: Option<String>,
    /// As Gemini wrote it.
    pub(super) signature: Option<String>,
}

/// An id for the call at `index` of the answer that `answer` names.
pub(super) fn make(answer: &str, index: u32, carried: &Carried) -> String {
    let mut hash = Sha256::new();
    hash.update(answer.as_bytes());
    hash.update(index.to_be_bytes());
    let mut id = format!("{PREFIX}{}", hex::encode(&hash.finalize()[..8]));
    if *carried != Carried::default() {
        let (own, signature) = (carried.id.as_deref().unwrap_or(""), carried.signature.as_deref().unwrap_or(""));
        URL_SAFE_NO_PAD.encode_string(format!("{own}\n{signature}"), &mut id);
    }
    id
}

/// What `id` carries; nothing where another vendor gave it.
pub(super) fn read(id: &str) -> Carried {
    let payload = split(id).filter(|(_, payload)| !payload.is_empty());
    let text = payload
        .and_then(|(_, payload)| URL_SAFE_NO_PAD.decode(payload).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    // A signature is base64: the last line is all of it, whatever the id has in it.
    let Some((id, signature)) = text.as_deref().and_then(|text| text.rsplit_once('\n')) else {
        return Carried::default();
    };
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Carried { id: some(id), signature: some(signature) }
}

/// The id as vendors other than Gemini get it.
pub(super) fn short(id: &str) -> &str {
    split(id).map_or(id, |(short, _)| short)
}

/// Where a JSON body has what only Gemini needs, in order.
pub(super) fn payloads(body: &[u8]) -> impl Iterator<Item = Range<usize>> {
    const OPENING: &[u8] = b"\"gem1_";
    memchr::memmem::find_iter(body, OPENING).filter_map(|quote| {
        // Within a text, the quote is escaped.
        let opens = quote.checked_sub(1).is_none_or(|before| body[before] != b'\\');
        let start = quote + 1;
        let length = body[start..].iter().position(|byte| *byte == b'"')?;
        let id = std::str::from_utf8(&body[start..start + length]).ok()?;
        let (short, payload) = split(id)?;
        (opens && !payload.is_empty()).then(|| start + short.len()..start + length)
    })
}

fn split(id: &str) -> Option<(&str, &str)> {
    let is_ours = id.starts_with(PREFIX)
        && id.len() >= SHORT
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    is_ours.then(|| id.split_at(SHORT))
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};

    use super::*;

    #[test]
    fn a_call_is_named_by_its_answer_and_its_place() {
        let plain = make("r1", 0, &Carried::default());
        assert_eq!((plain.len(), short(&plain)), (21, plain.as_str()));
        assert_ne!(plain, make("r1", 1, &Carried::default()));
        assert_ne!(plain, make("r2", 0, &Carried::default()));
        let signed = make("r1", 0, &Carried { id: None, signature: Some("c2ln".into()) });
        assert_eq!(short(&signed), plain);
    }

    #[test]
    fn what_others_gave_is_left_alone() {
        for id in ["call_abc", "toolu_1", "gem1_", "gem1_short", "gem1_0123456789abcdef.payload", ""] {
            assert_eq!((short(id), read(id)), (id, Carried::default()));
        }
    }

    #[test]
    fn payloads_are_found_where_they_are_whole_strings() {
        let id = make("r1", 0, &Carried { id: Some("x".into()), signature: Some("c2lnbmF0dXJl".into()) });
        let body = format!(r#"{{"id":"{id}","of":["{id}"],"text":"say \"{id}\"","short":"{}"}}"#, short(&id));
        let found: Vec<&str> = payloads(body.as_bytes()).map(|range| &body[range]).collect();
        assert_eq!(found, [&id[SHORT..], &id[SHORT..]]);
        assert_eq!(payloads(br#"{"id":"gem1_"#).count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_carried_comes_back(
            id in option::of("\\PC{1,20}|[a-z\n]{1,9}"), signature in option::of("[A-Za-z0-9+/]{1,60}={0,2}"), index in 0..9_u32,
        ) {
            let carried = Carried { id, signature };
            let made = make("answer", index, &carried);
            prop_assert!(made.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'));
            prop_assert_eq!(read(&made), carried);
            prop_assert_eq!(read(short(&made)), Carried::default());
        }
    }
}
