//! Counts the tokens of a prompt, in bounded time whatever its texts are. Pure.
//!
//! Texts are counted in pieces, since no tokenizer is asked for more than a piece at once; of what is longer than
//! [`MOST_COUNTED`] as many bytes are counted, in pieces from all over it, and the rest is taken to be like them.

use std::borrow::Cow;

use tiktoken::CoreBpe;

/// Bytes of which one prompt is counted whole; of a longer one about so many, and never more than twice as many.
const MOST_COUNTED: usize = 32 * 1024;
/// Bytes that a tokenizer is given at once: what it does with a word of that length is still soon done.
const PIECE: usize = 2048;
/// Around each message, and before the answer:
/// <https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken>. Templates of other models take about as many.
const AROUND_MESSAGE: u64 = 3;
const BEFORE_ANSWER: u64 = 3;
/// An image of 1024 × 1024, and one in low detail: <https://developers.openai.com/api/docs/guides/images-vision>.
const IMAGE: u64 = 765;
const SMALL_IMAGE: u64 = 85;

/// What frames and pictures add to texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Framing {
    pub messages: u64,
    pub images: u64,
    pub small_images: u64,
    /// Known already.
    pub tokens: u64,
}

impl Framing {
    fn tokens(&self) -> u64 {
        let messages = self.messages.saturating_mul(AROUND_MESSAGE);
        let before = if self.messages > 0 { BEFORE_ANSWER } else { 0 };
        let large = self.images.saturating_sub(self.small_images).saturating_mul(IMAGE);
        let small = self.small_images.min(self.images).saturating_mul(SMALL_IMAGE);
        [messages, before, large, small].into_iter().fold(self.tokens, u64::saturating_add)
    }
}

/// Tokenizers of OpenAI's models, by the encodings' own names. The first use of each reads it, which takes longer than a call may:
/// see [`is_ready`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    O200k,
    Cl100k,
}

impl Encoding {
    fn bpe(self) -> Option<&'static CoreBpe> {
        tiktoken::get_encoding(match self {
            Self::O200k => "o200k_base",
            Self::Cl100k => "cl100k_base",
        })
    }

    /// Tokens in a text, where the encoding is compiled in.
    pub fn tokens_in(self, text: &str) -> Option<u64> {
        Some(self.bpe()?.count(text) as u64)
    }
}

/// Tokens of a prompt: of its texts as `tokens_in` counts them, and of what frames them. `None`: it cannot count.
pub fn prompt_tokens(texts: &[Cow<'_, str>], frame: Framing, tokens_in: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let all: usize = texts.iter().map(|text| text.len()).sum();
    // Every so many pieces one is counted.
    let every = all.div_ceil(MOST_COUNTED).max(1);
    let pieces = texts.iter().flat_map(|text| Pieces(text)).step_by(every);
    let (mut counted, mut tokens) = (0_usize, 0_u64);
    for piece in pieces {
        counted += piece.len();
        tokens = tokens.saturating_add(tokens_in(piece)?);
        // Pieces of very different lengths, the long ones where we look.
        if counted >= 2 * MOST_COUNTED {
            break;
        }
    }
    if counted < all && counted > 0 {
        tokens = u64::try_from(u128::from(tokens) * all as u128 / counted as u128).unwrap_or(u64::MAX);
    }
    Some(tokens.saturating_add(frame.tokens()))
}

/// A text in pieces of at most [`PIECE`] bytes, which end before a blank where there is one.
struct Pieces<'t>(&'t str);

impl<'t> Iterator for Pieces<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        if self.0.is_empty() {
            return None;
        }
        let mut end = self.0.len();
        if end > PIECE {
            end = self.0.floor_char_boundary(PIECE);
            // Tokens begin with the blank before a word.
            end = self.0[..end].rfind(char::is_whitespace).filter(|blank| *blank > PIECE / 2).unwrap_or(end);
        }
        let (piece, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(encoding: Encoding, texts: &[&str]) -> u64 {
        let texts: Vec<Cow<'_, str>> = texts.iter().map(|text| Cow::Borrowed(*text)).collect();
        prompt_tokens(&texts, Framing::default(), |text| encoding.tokens_in(text)).expect("is compiled in")
    }

    /// As OpenAI's own library counts them.
    #[test]
    fn encodings_count_as_their_vendor_does() {
        for (text, o200k, cl100k) in [
            ("hello world", 2, 2),
            ("tiktoken is great!", 6, 6),
            ("antidisestablishmentarianism", 6, 6),
            ("2 + 2 = 4", 7, 7),
            ("お誕生日おめでとう", 8, 9),
            ("<|endoftext|>", 7, 7),
            ("", 0, 0),
        ] {
            assert_eq!((count(Encoding::O200k, &[text]), count(Encoding::Cl100k, &[text])), (o200k, cl100k), "{text}");
        }
    }

    #[test]
    fn frames_and_images_are_added() {
        let hi = [Cow::Borrowed("user"), Cow::Borrowed("hi")];
        let with = |frame| prompt_tokens(&hi, frame, |text| Encoding::O200k.tokens_in(text));
        assert_eq!(with(Framing { messages: 1, ..Framing::default() }), Some(2 + 3 + 3));
        let frame = Framing { messages: 1, images: 3, small_images: 1, tokens: 10 };
        assert_eq!(with(frame), Some(8 + 2 * 765 + 85 + 10));
        assert_eq!(with(Framing { images: u64::MAX, small_images: u64::MAX, ..Framing::default() }), Some(u64::MAX));
        assert_eq!(prompt_tokens(&hi, Framing::default(), |_| None), None);
    }

    #[test]
    fn of_a_long_text_a_part_stands_for_the_whole() {
        let words = "The gateway counts what it can and guesses the rest. ".repeat(40_000);
        let (whole, asked) = (Encoding::O200k.tokens_in(&words).expect("counts"), std::cell::Cell::new(0));
        let texts = [Cow::Borrowed(words.as_str())];
        let counted = prompt_tokens(&texts, Framing::default(), |text| {
            asked.set(asked.get() + text.len());
            Encoding::O200k.tokens_in(text)
        });
        let off = counted.expect("counts").abs_diff(whole);
        assert!(off * 100 < whole, "{counted:?} of {whole}");
        assert!(asked.get() <= MOST_COUNTED + PIECE, "{}", asked.get());
    }

    proptest! {
        /// Whatever a caller sends: no more is tokenized than the bound, and pieces are the text.
        #[test]
        fn no_text_is_tokenized_past_the_bound(
            parts in proptest::collection::vec(("\\PC{0,12}", 1usize..9000), 0..6),
        ) {
            let texts: Vec<Cow<'_, str>> = parts.iter().map(|(part, times)| Cow::Owned(part.repeat(*times))).collect();
            let all: usize = texts.iter().map(|text| text.len()).sum();
            let bytes = std::cell::Cell::new(0);
            let tokens = prompt_tokens(&texts, Framing::default(), |text| {
                bytes.set(bytes.get() + text.len());
                Some(text.len() as u64)
            });
            // A tokenizer that makes a token of each byte is right about all of them.
            prop_assert_eq!(tokens, Some(all as u64));
            prop_assert!(bytes.get() <= all.min(2 * MOST_COUNTED + PIECE), "{} of {all}", bytes.get());
            for text in &texts {
                prop_assert_eq!(&Pieces(text).collect::<String>(), text.as_ref());
            }
        }
    }
}
