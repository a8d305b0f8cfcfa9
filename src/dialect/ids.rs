//! Tool-call ids between dialects, reversible and without any memory.
//!
//! OpenAI takes any text as an id, Anthropic only `^[a-zA-Z0-9_-]+$`. An id that fits passes unchanged; any other becomes
//! `bs1_` and its bytes in base64url. An id that begins with `bs1_` itself is encoded too, so decoding is never in doubt.
//! Encoding happens where Anthropic's dialect is written, decoding where it is read, in requests and answers alike: an id
//! that a caller brings back in the next turn is the one its vendor gave, whichever dialects lie between.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Marks an encoded id.
pub(super) const PREFIX: &str = "bs1_";

/// The id as Anthropic's dialect can carry it.
pub(super) fn encode(id: &str) -> Cow<'_, str> {
    let fits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if fits && !id.starts_with(PREFIX) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(id)))
}

/// The id that [`encode`] was given; any other passes as it is.
pub(super) fn decode(id: &str) -> Cow<'_, str> {
    id.strip_prefix(PREFIX)
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map_or(Cow::Borrowed(id), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_that_fit_are_left_alone() {
        for id in ["call_abc123", "toolu_01D7FLrfh4GYq7yT1ULFeyMV", "9-_"] {
            assert_eq!(encode(id), id);
            assert_eq!(decode(id), id);
        }
        assert_eq!(encode("functions.get_weather:0"), "bs1_ZnVuY3Rpb25zLmdldF93ZWF0aGVyOjA");
        assert_eq!(decode("bs1_not base64!"), "bs1_not base64!");
    }

    proptest! {
        #[test]
        fn every_id_comes_back(id in "\\PC{0,40}|bs1_[A-Za-z0-9_-]{0,20}") {
            let wire = encode(&id);
            prop_assert!(!wire.is_empty());
            prop_assert!(wire.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'));
            prop_assert_eq!(decode(&wire), id.as_str());
        }
    }
}
