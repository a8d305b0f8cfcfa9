//! The one way in: a secret on standard input, checked so that it can be sent as a header's value.

use std::io::{self, Read};

use secrecy::SecretString;
use zeroize::Zeroizing;

const LARGEST: usize = 64 << 10;

/// Says what is wrong, never with what.
#[derive(Debug, thiserror::Error)]
pub enum SecretInputError {
    #[error("standard input cannot be read")]
    Read(#[from] io::Error),
    #[error("standard input is empty; pipe the secret in")]
    Empty,
    #[error("the secret is larger than 64 KiB")]
    TooLarge,
    #[error("the secret is not text in UTF-8")]
    NotText,
    #[error(
        "the secret has a character that no HTTP header can carry (a line break, say, or one outside ASCII); write JSON on one line"
    )]
    NotAHeader,
}

/// Reads to the end; one trailing line break is not part of the secret.
pub fn read_secret(input: impl Read) -> Result<SecretString, SecretInputError> {
    // Room for all of it from the start, so that growing leaves no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST + 3));
    input.take(LARGEST as u64 + 3).read_to_end(&mut bytes)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| SecretInputError::NotText)?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err(SecretInputError::Empty);
    }
    if text.len() > LARGEST {
        return Err(SecretInputError::TooLarge);
    }
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(SecretInputError::NotAHeader);
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn read(input: &[u8]) -> Result<String, SecretInputError> {
        read_secret(input).map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn one_line_break_at_the_end_is_not_part_of_it() {
        for input in [&b"sk-1 2"[..], b"sk-1 2\n", b"sk-1 2\r\n"] {
            assert_eq!(read(input).expect("is fine"), "sk-1 2");
        }
        assert!(matches!(read(b"sk-1\n\n"), Err(SecretInputError::NotAHeader)));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_being_shown() {
        assert!(matches!(read(b""), Err(SecretInputError::Empty)));
        assert!(matches!(read(b"\n"), Err(SecretInputError::Empty)));
        assert!(matches!(read(&[b'a'; LARGEST + 1]), Err(SecretInputError::TooLarge)));
        assert_eq!(read(&[b'a'; LARGEST]).expect("is fine").len(), LARGEST);
        assert!(matches!(read(b"canary\xff"), Err(SecretInputError::NotText)));
        for input in ["canary\0", "canary\rx", "canary\tx", "canaryé"] {
            let error = read(input.as_bytes()).expect_err("no header can carry it");
            assert!(!format!("{error:?} {error}").contains("canary"));
        }
    }
}
