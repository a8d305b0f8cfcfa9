//! Whether a stream is one whole, unmixed answer or an honest break, judged event by event as a caller reads it.

use serde_json::Value;

use super::{
    caller::Heeded,
    draw::{Dialect, FLAKY, Plan, STEADY, Seed, answer},
};

#[derive(Debug)]
pub(super) struct Judge {
    plan: Plan,
    /// Every answer that this call may get, whole.
    answers: Vec<String>,
    /// The texts so far; a mark of the gateway's stands between two.
    texts: Vec<String>,
    finished: bool,
    /// The dialect's own last event has come.
    ended: bool,
    failed: bool,
    wrong: Option<String>,
}

impl Judge {
    pub(super) fn new(seed: Seed, plan: Plan) -> Self {
        let (near, far) = ("near", "far");
        let whos = [(near, FLAKY), (near, STEADY), (far, FLAKY), (far, STEADY)];
        let answers = whos.map(|who| answer(seed, plan.number, who)).to_vec();
        Self { plan, answers, texts: vec![String::new()], finished: false, ended: false, failed: false, wrong: None }
    }

    /// Takes one event in.
    pub(super) fn hear(&mut self, event: &str) {
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        let Some(data) = data else { return };
        if self.ended || self.failed {
            return self.object(format!("something after the end: {data}"));
        }
        if data == "[DONE]" {
            self.ended = true;
            return;
        }
        match serde_json::from_str::<Value>(data) {
            Ok(data) if data["error"].is_object() => self.failed = true,
            Ok(data) => match self.plan.dialect {
                Dialect::Openai => self.hear_openai(&data),
                Dialect::Anthropic => self.hear_anthropic(&data),
            },
            Err(_) => self.object(format!("no JSON: {data}")),
        }
    }

    fn hear_openai(&mut self, chunk: &Value) {
        if chunk["backstop"]["restarted"] == true {
            self.texts.push(String::new());
            if !self.plan.route.starts_with("restart") || self.finished {
                self.object("a restart that nobody asked for".to_owned());
            }
        }
        let choice = &chunk["choices"][0];
        if let Some(text) = choice["delta"]["content"].as_str() {
            self.say(text);
        }
        self.finished |= choice["finish_reason"].is_string();
    }

    fn hear_anthropic(&mut self, event: &Value) {
        match event["type"].as_str() {
            Some("content_block_delta") => self.say(event["delta"]["text"].as_str().unwrap_or_default()),
            Some("message_delta") => self.finished |= event["delta"]["stop_reason"].is_string(),
            Some("message_stop") => self.ended = true,
            _ => {}
        }
    }

    fn say(&mut self, text: &str) {
        if self.finished && !text.is_empty() {
            self.object(format!("`{text}` after the finish"));
        }
        let last = self.texts.last_mut().expect("there is always one");
        last.push_str(text);
        let last = last.clone();
        if !self.answers.iter().any(|answer| answer.starts_with(&last)) {
            self.object(format!("`{last}` begins no answer to call {}", self.plan.number));
        }
    }

    fn object(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }

    pub(super) fn has_content(&self) -> bool {
        self.texts.iter().any(|text| !text.is_empty())
    }

    pub(super) fn restarts(&self) -> usize {
        self.texts.len() - 1
    }

    pub(super) fn wrong(&self) -> Option<String> {
        self.wrong.clone()
    }

    /// The stream has ended.
    pub(super) fn verdict(&self) -> Heeded {
        if let Some(wrong) = &self.wrong {
            return Heeded::Wrong(wrong.clone());
        }
        let whole = self.texts.last().is_some_and(|last| self.answers.contains(last));
        let buffered = self.plan.route.starts_with("buffer");
        match (self.ended && self.finished, self.failed) {
            (true, false) if whole => Heeded::Whole,
            (false, true) if !self.ended && !self.finished && !buffered && self.has_content() => Heeded::Interrupted,
            _ => Heeded::Wrong(format!("neither whole nor honestly broken: {self:?}")),
        }
    }
}
