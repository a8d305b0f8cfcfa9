//! How likely a text is: a completion that echoes its prompt with the log-probabilities of its tokens.
//!
//! Asked as lm-evaluation-harness asks (`echo`, `logprobs: 1`, one token more, because many servers refuse none), read as OpenAI and
//! vLLM answer. Which tokens are whose is for the reader to find out.

use backstop_models::chat::{TokenLogprob, TokenText, Usage};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::UsageIn;
use crate::dialect::{ReadError, counts};

#[derive(Deserialize)]
struct CompletionIn {
    #[serde(default)]
    choices: Vec<ChoiceIn>,
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<UsageIn>,
}

#[derive(Deserialize)]
struct ChoiceIn {
    logprobs: Option<LogprobsIn>,
}

#[derive(Deserialize)]
struct LogprobsIn {
    #[serde(default)]
    tokens: Vec<String>,
    #[serde(default)]
    token_logprobs: Vec<Option<f32>>,
    #[serde(default)]
    top_logprobs: Option<Vec<Option<Map<String, Value>>>>,
}

pub(in crate::dialect) fn write_request(model: &str, text: &str) -> Vec<u8> {
    let body =
        json!({ "model": model, "prompt": text, "echo": true, "logprobs": 1, "max_tokens": 1, "temperature": 0 });
    body.to_string().into_bytes()
}

pub(in crate::dialect) fn read_answer(body: &[u8]) -> Result<(Vec<TokenLogprob>, Usage), ReadError> {
    let malformed = |why: String| ReadError::Malformed { why };
    let answer: CompletionIn = serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    let usage = answer.usage.unwrap_or_default().read();
    let Some(scored) = answer.choices.into_iter().next().and_then(|choice| choice.logprobs) else {
        return Ok((Vec::new(), usage));
    };
    if scored.tokens.len() != scored.token_logprobs.len() {
        return Err(malformed("there are not as many log-probabilities as tokens".into()));
    }
    let mut tops = scored.top_logprobs.unwrap_or_default().into_iter();
    let tokens = scored.tokens.into_iter().zip(scored.token_logprobs).map(|(token, logprob)| {
        let top = tops.next().flatten().unwrap_or_default().into_iter();
        let top = top.filter_map(|(token, logprob)| Some((text(&token), logprob.as_f64()? as f32)));
        TokenLogprob { token: text(&token), logprob, top: top.collect() }
    });
    Ok((tokens.collect(), usage))
}

fn text(token: &str) -> TokenText {
    TokenText(token.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_openai_and_vllm_is_read() {
        let body = json!({"choices": [{"text": "Hi you", "logprobs": {
            "tokens": ["Hi", " you"], "token_logprobs": [null, -0.5],
            "top_logprobs": [null, {" you": -0.5, " all": -2.0}], "text_offset": [0, 2]}}],
            "usage": {"prompt_tokens": 2, "completion_tokens": 1}});
        let (tokens, usage) = read_answer(body.to_string().as_bytes()).expect("it is read");
        assert_eq!((tokens.len(), usage.input_tokens), (2, Some(2)));
        assert_eq!((tokens[0].logprob, tokens[1].logprob), (None, Some(-0.5)));
        assert_eq!(tokens[1].top.len(), 2);
    }

    #[test]
    fn a_server_without_log_probabilities_gives_none() {
        for logprobs in [json!(null), json!({})] {
            let body = json!({"choices": [{"text": "Hi", "logprobs": logprobs}]}).to_string();
            assert_eq!(read_answer(body.as_bytes()).expect("it is read").0, []);
        }
        assert!(read_answer(br#"{"choices":[{"logprobs":{"tokens":["a"],"token_logprobs":[]}}]}"#).is_err());
        assert!(read_answer(b"nonsense").is_err());
    }
}
