//! From the log-probabilities of a whole text's tokens to the log-likelihood of its end.
//!
//! As lm-evaluation-harness has it: the text is one, white space at the end of the context counts as the continuation's, and a
//! token that lies across the border does too. Tokens are laid over the text by what they say, so that a server which begins with a
//! token of its own, or goes on with one, is read rightly; one that scores another text is not read at all.

use backstop_models::chat::TokenLogprob;

use super::Likelihood;

/// How far above 0 a log-probability may be by rounding.
const ROUNDING: f32 = 1e-3;

/// Where a token lies in the text, in bytes.
struct Placed<'a> {
    end: usize,
    token: &'a TokenLogprob,
}

/// The log-likelihood of `text` from `context` bytes on.
///
/// # Errors
/// `tokens` are not this text's, or say nothing that can be a log-probability: for people.
pub fn likelihood(text: &str, context: usize, tokens: &[TokenLogprob]) -> Result<Likelihood, String> {
    let border = text[..context].trim_end().len();
    let placed = laid_over(text, tokens)?;
    let (mut sum, mut count, mut greedy) = (0.0_f64, 0, Some(true));
    for Placed { token, .. } in placed.iter().filter(|placed| placed.end > border) {
        let Some(logprob) = token.logprob.filter(|logprob| !logprob.is_nan() && *logprob <= ROUNDING) else {
            return Err("a token of the continuation has no log-probability".into());
        };
        sum += f64::from(logprob.min(0.0));
        count += 1;
        let best = token.top.iter().map(|(_, logprob)| *logprob).fold(f32::NEG_INFINITY, f32::max);
        greedy = greedy.filter(|_| !token.top.is_empty()).map(|so_far| so_far && logprob >= best);
    }
    if count == 0 {
        return Err("no token of the continuation was scored".into());
    }
    Ok(Likelihood { sum, tokens: count, greedy })
}

fn laid_over<'a>(text: &str, tokens: &'a [TokenLogprob]) -> Result<Vec<Placed<'a>>, String> {
    let bytes = text.as_bytes();
    let mut placed: Vec<Placed<'a>> = Vec::with_capacity(tokens.len());
    // From where on tokens wait whose text is only part of a character, and how many.
    let (mut at, mut waiting) = (0, 0);
    for (index, token) in tokens.iter().enumerate() {
        if at == bytes.len() && waiting == 0 {
            // What the model went on with.
            break;
        }
        let said = token.token.0.as_slice();
        if is_blurred(said) && !bytes[at..].starts_with(said) {
            placed.push(Placed { end: at, token });
            waiting += 1;
            continue;
        }
        let rest = &bytes[at..];
        let skipped = if waiting > 0 { find(rest, said) } else { rest.starts_with(said).then_some(0) };
        match skipped {
            Some(skipped) => {
                at += skipped;
                settle(&mut placed, &mut waiting, at);
                at += said.len();
                placed.push(Placed { end: at, token });
            }
            // A token that begins every text.
            None if index == 0 && token.logprob.is_none() => {}
            None => return Err("the log-probabilities are not of the text that was asked".into()),
        }
    }
    if waiting > 0 {
        at = bytes.len();
        settle(&mut placed, &mut waiting, at);
    }
    if at < bytes.len() {
        return Err("the log-probabilities end before the text does; the target does not echo its prompt".into());
    }
    Ok(placed)
}

/// A token that is part of a character, as servers write it.
fn is_blurred(said: &[u8]) -> bool {
    said.starts_with(b"bytes:\\x") || said.windows(3).any(|window| window == "\u{fffd}".as_bytes())
}

fn settle(placed: &mut [Placed<'_>], waiting: &mut usize, end: usize) {
    let from = placed.len() - *waiting;
    placed[from..].iter_mut().for_each(|placed| placed.end = end);
    *waiting = 0;
}

fn find(text: &[u8], said: &[u8]) -> Option<usize> {
    if said.is_empty() {
        return Some(0);
    }
    text.windows(said.len()).position(|window| window == said)
}

#[cfg(test)]
mod tests {
    use backstop_models::chat::TokenText;

    use super::*;

    fn token(said: &str, logprob: Option<f32>, best: f32) -> TokenLogprob {
        let token = TokenText(said.as_bytes().to_vec());
        TokenLogprob { top: vec![(token.clone(), best)], token, logprob }
    }

    #[test]
    fn the_end_of_a_text_is_summed() {
        let tokens = [
            token("The sky", None, 0.0),
            token(" is", Some(-0.5), -0.5),
            token(" blue", Some(-1.0), -1.0),
            token("!", Some(-2.0), -0.1),
            token(" So", Some(-9.0), -0.1),
        ];
        let found = likelihood("The sky is blue!", 10, &tokens).expect("they are its tokens");
        assert_eq!(found, Likelihood { sum: -3.0, tokens: 2, greedy: Some(false) });
        let shorter = likelihood("The sky is blue", 10, &tokens).expect("what it goes on with is not counted");
        assert_eq!(shorter, Likelihood { sum: -1.0, tokens: 1, greedy: Some(true) });
    }

    #[test]
    fn white_space_at_the_border_is_the_continuation_s() {
        let tokens = [token("<s>", None, 0.0), token("Answer:", Some(-0.1), -0.1), token(" yes", Some(-0.7), -0.2)];
        // The context ends in the space that the token begins with.
        let found = likelihood("Answer: yes", 8, &tokens).expect("the first token is the server's own");
        assert_eq!((found.tokens, found.sum), (1, f64::from(-0.7_f32)));
    }

    #[test]
    fn parts_of_characters_are_counted_where_they_are() {
        let tokens = [
            token("a: ", None, 0.0),
            token("\u{fffd}", Some(-1.0), -1.0),
            token("\u{fffd}", Some(-0.5), -0.5),
            token("b", Some(-0.25), -0.25),
        ];
        let found = likelihood("a: \u{1f600}b", 3, &tokens).expect("they lie over it");
        assert_eq!((found.tokens, found.sum), (3, -1.75));
        let found = likelihood("a: \u{1f600}b", 7, &tokens).expect("they lie before it");
        assert_eq!(found.tokens, 1);
    }

    #[test]
    fn what_is_no_log_likelihood_of_the_text_is_refused() {
        let whole = [token("Answer:", None, 0.0), token(" yes", Some(-0.7), -0.2)];
        let refused = |text: &str, tokens: &[TokenLogprob]| likelihood(text, 7, tokens).unwrap_err();
        assert!(refused("Answer: no", &whole).contains("not of the text"));
        assert!(refused("Answer: yes and", &whole).contains("echo"));
        assert!(refused("Answer: yes", &[]).contains("echo"));
        for wrong in [None, Some(f32::NAN), Some(0.5)] {
            let tokens = [token("Answer:", None, 0.0), token(" yes", wrong, 0.0)];
            assert!(refused("Answer: yes", &tokens).contains("no log-probability"), "{wrong:?}");
        }
        let unknown = TokenLogprob { top: Vec::new(), ..whole[1].clone() };
        let found = likelihood("Answer: yes", 7, &[whole[0].clone(), unknown]).expect("it is one");
        assert_eq!(found.greedy, None, "nobody says what else there was");
    }
}
