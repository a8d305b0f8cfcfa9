//! What a response's output says of the tools that the vendor ran itself, as far as each use has a fee.

use backstop_models::chat::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::object::Text;

/// Uses of the vendor's own tools.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Acts {
    web_searches: u64,
    file_searches: u64,
    /// On which code ran, each once.
    containers: Vec<String>,
}

#[derive(Deserialize)]
struct Act<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    action: Option<Action<'a>>,
    #[serde(borrow)]
    container_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Action<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
}

impl Acts {
    pub(super) fn of(output: &[&RawValue]) -> Self {
        let mut acts = Self::default();
        output.iter().for_each(|item| acts.see(item));
        acts
    }

    /// Counts one item of the output. One that does not parse is for others to complain of.
    pub(super) fn see(&mut self, item: &RawValue) {
        let Ok(Act { kind, action, container_id }) = serde_json::from_str(item.get()) else { return };
        match kind.0.as_ref() {
            // Opening a page that was found, and looking through it, is free.
            "web_search_call" => {
                let kind = action.and_then(|action| action.kind);
                self.web_searches += u64::from(kind.is_none_or(|kind| kind.0 == "search"));
            }
            "file_search_call" => self.file_searches += 1,
            "code_interpreter_call" => {
                let container = container_id.map(|id| id.0.into_owned()).unwrap_or_default();
                if !self.containers.contains(&container) {
                    self.containers.push(container);
                }
            }
            _ => {}
        }
    }

    pub(super) fn beside(&self, usage: Usage) -> Usage {
        let some = |count: u64| Some(count).filter(|count| *count > 0);
        Usage {
            web_searches: some(self.web_searches),
            file_searches: some(self.file_searches),
            code_sessions: some(self.containers.len() as u64),
            ..usage
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_count_and_what_is_free_does_not() {
        let items = [
            r#"{"type":"web_search_call","action":{"type":"search","query":"a"}}"#,
            r#"{"type":"web_search_call","action":{"type":"open_page","url":"https://a.example"}}"#,
            r#"{"type":"web_search_call","status":"completed"}"#,
            r#"{"type":"file_search_call","queries":["b"]}"#,
            r#"{"type":"code_interpreter_call","container_id":"c1"}"#,
            r#"{"type":"code_interpreter_call","container_id":"c1"}"#,
            r#"{"type":"code_interpreter_call","container_id":"c2"}"#,
            r#"{"type":"message","content":[]}"#,
            r#"{"type":7}"#,
        ];
        let mut acts = Acts::default();
        for item in items {
            acts.see(&RawValue::from_string(item.to_owned()).expect("is JSON"));
        }
        let usage = acts.beside(Usage::default());
        assert_eq!((usage.web_searches, usage.file_searches, usage.code_sessions), (Some(2), Some(1), Some(2)));
        assert_eq!(Acts::default().beside(Usage::default()), Usage::default());
    }
}
