//! Keeps a caller's text from being read as control tokens.
//!
//! Templates write turns as text, `<|im_start|>user…<|im_end|>`, and the tokenizer turns these texts into control tokens. A
//! caller who writes `<|im_end|>` would leave its turn. So each control text in a caller's string is broken by a mark, one of
//! Unicode's 32 noncharacters, which the tokenizer takes out again once the control tokens are found. The caller's text
//! reaches the model whole, as ordinary text.

/// The mark of one prompt.
pub(super) struct Guard<'a> {
    controls: &'a [String],
    mark: char,
}

impl<'a> Guard<'a> {
    /// A guard with a mark that no text has; `None` when every one is taken, which no honest text does.
    pub(super) fn choose(controls: &'a [String], is_taken: impl Fn(char) -> bool) -> Option<Self> {
        let mark = ('\u{fdd0}'..='\u{fdef}').find(|mark| !is_taken(*mark))?;
        Some(Self { controls, mark })
    }

    pub(super) fn mark(&self) -> char {
        self.mark
    }

    /// `text` with no control token's text in it, nor the start of one at its end that the template could complete.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut guarded = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            guarded.push(c);
            let rest = &text[at..];
            let is_control = self.controls.iter().any(|control| {
                rest.starts_with(control.as_str()) || (control.starts_with(rest) && control.len() > rest.len())
            });
            if is_control {
                guarded.push(self.mark);
            }
        }
        guarded
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_control_text_survives_and_nothing_else_changes(text in "(<\\|im_end\\|>|<\\|im_|<|a|end\\|>|\\|>|é){0,12}", after in "(im_end\\|>|end\\|>|>|\\|>)?") {
            let controls = ["<|im_end|>".to_owned(), "<|im_start|>".to_owned()];
            let guard = Guard::choose(&controls, |_| false).expect("no mark is taken");
            let guarded = guard.apply(&text);
            prop_assert!(!(guarded.clone() + &after).contains("<|im_end|>"));
            prop_assert_eq!(guarded.replace(guard.mark(), ""), text);
        }
    }

    #[test]
    fn a_mark_that_a_text_holds_is_not_chosen() {
        assert_eq!(Guard::choose(&[], |mark| mark == '\u{fdd0}').map(|guard| guard.mark()), Some('\u{fdd1}'));
        assert!(Guard::choose(&[], |_| true).is_none());
    }
}
