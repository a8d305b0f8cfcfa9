//! Reads tool calls out of what a model says.
//!
//! A model writes `<tool_call>{"name": …, "arguments": {…}}</tool_call>`. Where it is free to call or not, a [`Splitter`]
//! finds such blocks in its text; one that is no call of a known tool is handed on as the text that it is, since a call
//! that the caller cannot serve is worse than words. Where it must call, its answer is constrained to the JSON alone, and a
//! [`Forced`] reader streams the arguments as they come.

use serde_json::Value;

use super::stop::Watch;

pub(super) const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// A piece of what the model said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// A call begins.
    Call {
        name: String,
    },
    /// More of the arguments of the call that began last.
    Arguments(String),
}

/// Separates calls from text.
#[derive(Debug)]
pub(super) struct Splitter {
    names: Vec<String>,
    watch: Watch,
    /// Inside a call: its text so far.
    body: Option<String>,
    /// White space that is dropped if a call, or nothing, follows.
    blank: String,
    said: Said,
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Text,
    NothingSinceCall,
}

/// Reads the one call of an answer that is constrained to be a call.
#[derive(Debug)]
pub(super) struct Forced {
    names: Vec<String>,
    head: String,
    arguments: Option<Tail>,
}

/// Arguments, without the brace that closes the call.
#[derive(Debug, Default)]
struct Tail(Option<char>);

impl Splitter {
    pub(super) fn new(names: Vec<String>) -> Self {
        let watch = Watch::new(vec![OPEN.to_owned()]);
        Self { names, watch, body: None, blank: String::new(), said: Said::NothingSinceCall }
    }

    pub(super) fn push(&mut self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut rest = text.to_owned();
        loop {
            let passed = self.watch.push(&rest);
            match &mut self.body {
                Some(body) => body.push_str(&passed.text),
                None => self.text(&passed.text, &mut pieces),
            }
            let Some(found) = passed.found else { return pieces };
            rest = found.rest;
            match self.body.take() {
                None => {
                    self.body = Some(String::new());
                    self.watch = Watch::new(vec![CLOSE.to_owned()]);
                }
                Some(body) => {
                    self.close(&body, CLOSE, &mut pieces);
                    self.watch = Watch::new(vec![OPEN.to_owned()]);
                }
            }
        }
    }

    /// What is left when the model ends; a call that lacks only its closing tag is one all the same.
    pub(super) fn finish(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let held = self.watch.finish();
        match self.body.take() {
            Some(body) => self.close(&(body + &held), "", &mut pieces),
            None => self.text(&held, &mut pieces),
        }
        pieces
    }

    fn text(&mut self, text: &str, pieces: &mut Vec<Piece>) {
        if self.said == Said::NothingSinceCall && text.trim().is_empty() {
            self.blank.push_str(text);
        } else if !text.is_empty() {
            self.said = Said::Text;
            pieces.push(Piece::Text(std::mem::take(&mut self.blank) + text));
        }
    }

    fn close(&mut self, body: &str, tag: &str, pieces: &mut Vec<Piece>) {
        match parse(body, &self.names) {
            Some((name, arguments)) => {
                self.blank.clear();
                self.said = Said::NothingSinceCall;
                pieces.extend([Piece::Call { name }, Piece::Arguments(arguments)]);
            }
            None => self.text(&format!("{OPEN}{body}{tag}"), pieces),
        }
    }
}

impl Forced {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self { names, head: String::new(), arguments: None }
    }

    pub(super) fn push(&mut self, text: &str) -> Vec<Piece> {
        if let Some(tail) = &mut self.arguments {
            return tail.push(text);
        }
        self.head.push_str(text);
        let known = self.names.iter().find_map(|name| {
            let rest = self.head.strip_prefix(&head(name))?;
            Some((name.clone(), rest.to_owned()))
        });
        let Some((name, rest)) = known else { return Vec::new() };
        let mut tail = Tail::default();
        let mut pieces = vec![Piece::Call { name }];
        pieces.extend(tail.push(&rest));
        self.arguments = Some(tail);
        pieces
    }

    /// What is left when the answer was cut off.
    pub(super) fn cut_off(&mut self) -> Vec<Piece> {
        let held = self.arguments.as_mut().and_then(|tail| tail.0.take());
        held.map(|c| Piece::Arguments(c.to_string())).into_iter().collect()
    }
}

impl Tail {
    fn push(&mut self, text: &str) -> Vec<Piece> {
        let Some(last) = text.chars().next_back() else { return Vec::new() };
        let mut fragment: String = self.0.replace(last).into_iter().collect();
        fragment.push_str(&text[..text.len() - last.len_utf8()]);
        if fragment.is_empty() { Vec::new() } else { vec![Piece::Arguments(fragment)] }
    }
}

/// How a constrained call of `name` begins, to the byte: the grammar leaves no choice.
fn head(name: &str) -> String {
    format!("{{\"name\": {}, \"arguments\": ", Value::from(name))
}

fn parse(body: &str, names: &[String]) -> Option<(String, String)> {
    let call: Value = serde_json::from_str(body.trim()).ok()?;
    let name = call.get("name")?.as_str()?;
    if !names.iter().any(|known| known == name) {
        return None;
    }
    let arguments = match call.get("arguments").or_else(|| call.get("parameters")) {
        None => "{}".to_owned(),
        Some(Value::Object(entries)) => serde_json::to_string(entries).ok()?,
        // Some models write the arguments as a string of JSON, as OpenAI's API does.
        Some(Value::String(text)) => {
            serde_json::from_str::<serde_json::Map<String, Value>>(text).ok()?;
            text.clone()
        }
        Some(_) => return None,
    };
    Some((name.to_owned(), arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, size: usize) -> Vec<Piece> {
        let mut splitter = Splitter::new(vec!["weather".into(), "time".into()]);
        let chars: Vec<char> = text.chars().collect();
        let mut pieces: Vec<Piece> = Vec::new();
        let all = chars.chunks(size).map(|chunk| splitter.push(&chunk.iter().collect::<String>())).collect::<Vec<_>>();
        for piece in all.into_iter().flatten().chain(splitter.finish()) {
            match (piece, pieces.last_mut()) {
                (Piece::Text(more), Some(Piece::Text(text))) => text.push_str(&more),
                (piece, _) => pieces.push(piece),
            }
        }
        pieces
    }

    fn call(name: &str, arguments: &str) -> [Piece; 2] {
        [Piece::Call { name: name.into() }, Piece::Arguments(arguments.into())]
    }

    #[test]
    fn calls_are_found_however_the_text_is_cut() {
        let text = "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Köln\"}}\n</tool_call>\n\
                    <tool_call>{\"name\":\"time\"}</tool_call>\n";
        for size in 1..text.len() {
            let expected = [
                vec![Piece::Text("Let me see.\n".into())],
                call("weather", "{\"city\":\"Köln\"}").to_vec(),
                call("time", "{}").to_vec(),
            ]
            .concat();
            assert_eq!(split(text, size), expected, "cut into {size}");
        }
    }

    #[test]
    fn what_is_no_call_of_a_known_tool_stays_text() {
        for text in [
            "<tool_call>{\"name\": \"rm\", \"arguments\": {}}</tool_call>",
            "<tool_call>{\"name\": \"time\", \"arguments\": 3}</tool_call>",
            "<tool_call>gibberish</tool_call> and more",
            "a < b, <tool_cal",
            "<tool_call>{\"name\": \"ti",
        ] {
            for size in [1, 3, 100] {
                assert_eq!(split(text, size), [Piece::Text(text.into())]);
            }
        }
    }

    #[test]
    fn a_call_without_its_closing_tag_counts() {
        assert_eq!(split("<tool_call>{\"name\": \"time\", \"arguments\": \"{}\"}", 4), call("time", "{}"));
    }

    #[test]
    fn a_forced_call_streams_its_arguments_without_the_last_brace() {
        let text = "{\"name\": \"time\", \"arguments\": {\"zone\": \"é\"}}";
        for size in 1..text.len() {
            let mut forced = Forced::new(vec!["weather".into(), "time".into()]);
            let chars: Vec<char> = text.chars().collect();
            let pieces: Vec<Piece> =
                chars.chunks(size).flat_map(|chunk| forced.push(&chunk.iter().collect::<String>())).collect();
            assert_eq!(pieces[0], Piece::Call { name: "time".into() });
            let arguments: String = pieces[1..]
                .iter()
                .map(|piece| match piece {
                    Piece::Arguments(text) => text.as_str(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(arguments, "{\"zone\": \"é\"}");
        }
    }
}
