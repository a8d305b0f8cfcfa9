//! Puts an answer's text together from the bytes of its tokens, never splitting a character.

use super::SpaceAtStart;

/// Bytes in, whole characters out. Bytes that can never become a character come out as U+FFFD.
#[derive(Debug)]
pub(crate) struct Utf8Stream {
    pending: Vec<u8>,
    space: SpaceAtStart,
}

impl Utf8Stream {
    pub(crate) fn new(space: SpaceAtStart) -> Self {
        Self { pending: Vec::new(), space }
    }

    /// Takes the bytes of one more token and gives every character that is now whole.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        let bytes = match self.space {
            SpaceAtStart::Stripped if !bytes.is_empty() => {
                self.space = SpaceAtStart::Kept;
                bytes.strip_prefix(b" ").unwrap_or(bytes)
            }
            _ => bytes,
        };
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(whole) => {
                    text.push_str(whole);
                    self.pending.clear();
                    return text;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.pending[..valid]));
                    let Some(bad) = error.error_len() else {
                        self.pending.drain(..valid);
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.pending.drain(..valid + bad);
                }
            }
        }
    }

    /// Whether the last token's bytes end in the middle of a character.
    pub(crate) fn is_within_character(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What is left when the answer ends in the middle of a character.
    pub(crate) fn finish(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        rest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_split_of_any_text_comes_out_whole(text in "\\PC{0,40}", cuts in prop::collection::vec(1usize..5, 0..60)) {
            let mut stream = Utf8Stream::new(SpaceAtStart::Kept);
            let mut rest = text.as_bytes();
            let mut out = String::new();
            for cut in cuts.into_iter().chain(std::iter::repeat(1)) {
                if rest.is_empty() {
                    break;
                }
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                out.push_str(&stream.push(head));
                prop_assert!(text.starts_with(&out), "{out:?} is not the start of {text:?}");
                rest = tail;
            }
            out.push_str(&stream.finish());
            prop_assert_eq!(out, text);
        }

        #[test]
        fn any_bytes_come_out_as_the_lossy_text(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut stream = Utf8Stream::new(SpaceAtStart::Kept);
            let mut out: String = bytes.iter().map(|byte| stream.push(&[*byte])).collect();
            out.push_str(&stream.finish());
            prop_assert_eq!(out, String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn the_space_before_the_first_word_can_be_stripped() {
        let mut stream = Utf8Stream::new(SpaceAtStart::Stripped);
        assert_eq!(stream.push(b""), "");
        assert_eq!(stream.push(b" Hello"), "Hello");
        assert_eq!(stream.push(b" world"), " world");
    }
}
