//! Finds texts in a stream without letting any part of one through.

/// Watches for any of some texts across pieces.
#[derive(Debug)]
pub(super) struct Watch {
    texts: Vec<String>,
    held: String,
}

/// What a watch lets through.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// Certainly before any of the texts.
    pub text: String,
    pub found: Option<Found>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub which: String,
    /// What follows it in the piece.
    pub rest: String,
}

impl Watch {
    pub(super) fn new(texts: Vec<String>) -> Self {
        Self { texts, held: String::new() }
    }

    /// Takes a piece. What could be the start of one of the texts is held back until it is clear.
    pub(super) fn push(&mut self, piece: &str) -> Passed {
        self.held.push_str(piece);
        let first = self
            .texts
            .iter()
            .filter_map(|text| self.held.find(text.as_str()).map(|at| (at, std::cmp::Reverse(text.len()), text)))
            .min();
        if let Some((at, _, which)) = first {
            let which = which.clone();
            let rest = self.held[at + which.len()..].to_owned();
            self.held.truncate(at);
            return Passed { text: std::mem::take(&mut self.held), found: Some(Found { which, rest }) };
        }
        let keep_from = self
            .held
            .char_indices()
            .map(|(at, _)| at)
            .find(|at| self.texts.iter().any(|text| text.starts_with(&self.held[*at..])))
            .unwrap_or(self.held.len());
        let held = self.held.split_off(keep_from);
        Passed { text: std::mem::replace(&mut self.held, held), found: None }
    }

    /// What was held back, now that nothing follows.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_before_the_first_complete_text_passes_and_no_part_of_it(
            text in "[abX]{0,30}", stops in prop::collection::vec("[abX]{1,4}", 1..4), cut in 1usize..4,
        ) {
            let mut watch = Watch::new(stops.clone());
            let mut out = String::new();
            let mut found = None;
            for piece in text.as_bytes().chunks(cut) {
                let passed = watch.push(std::str::from_utf8(piece).expect("ASCII"));
                out.push_str(&passed.text);
                if passed.found.is_some() {
                    found = passed.found;
                    break;
                }
            }
            if found.is_none() {
                out.push_str(&watch.finish());
            }
            prop_assert!(stops.iter().all(|stop| !out.contains(stop.as_str())), "{out:?} has a stop text");
            prop_assert!(text.starts_with(&out));
            match found {
                Some(found) => prop_assert!(text[out.len()..].starts_with(&found.which)),
                None => prop_assert_eq!(out, text),
            }
        }
    }

    #[test]
    fn what_only_looked_like_a_stop_comes_out_later() {
        let mut watch = Watch::new(vec!["END".into()]);
        assert_eq!(watch.push("the E").text, "the ");
        assert_eq!(watch.push("N").text, "");
        assert_eq!(watch.push("core").text, "ENcore");
        assert_eq!(watch.push(" END of").found, Some(Found { which: "END".into(), rest: " of".into() }));
    }
}
