//! The load: prompts from a seed, clients that ask at once, and what each answer took.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use backstop_models::{
    chat::{Chat, Event, Message, Role, Sampling},
    engine::Engine,
};
use reqwest::{Client, Url};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{clock, dialect::sse};

/// The largest event of another server's stream, in bytes.
const FRAME_LIMIT: usize = 1 << 20;
/// How long one answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// Common words of one or two tokens each.
const WORDS: [&str; 32] = [
    "the", "keeper", "climbed", "stairs", "and", "lit", "lamp", "while", "ships", "passed", "slowly", "under", "grey",
    "morning", "clouds", "over", "harbor", "where", "old", "boats", "rest", "near", "stone", "walls", "birds", "call",
    "wind", "moves", "water", "against", "wooden", "piers",
];

/// Who is asked.
#[derive(Clone)]
pub(super) struct Server(Arc<Asked>);

enum Asked {
    Engine { name: &'static str, engine: Engine },
    Http { client: Client, url: Url, model: String },
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub clients: usize,
    pub words: usize,
    pub shared_words: usize,
    pub output_tokens: u32,
    /// Calls of each client, one after the other.
    pub rounds: usize,
    /// Prompts of different seeds share no beginning.
    pub seed: u64,
    pub task: Task,
}

/// What is asked of the prompt's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    GoOn,
    /// To say them again.
    Copy,
}

/// One answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Since the run began.
    pub began: Duration,
    pub first_token: Duration,
    pub whole: Duration,
    pub prompt_tokens: u64,
    pub output_tokens: u64,
}

struct Prompt {
    system: Option<String>,
    user: String,
}

impl Load {
    /// Asks all that is to be asked. When one call fails the others are let go.
    pub(super) async fn drive(self, server: &Server) -> anyhow::Result<Vec<Sample>> {
        let start = clock::now();
        let mut clients = JoinSet::new();
        for client in 0..self.clients {
            let server = server.clone();
            clients.spawn(async move {
                let mut samples = Vec::new();
                for round in 0..self.rounds {
                    let prompt = self.prompt(client, round);
                    let began = clock::now() - start;
                    samples.push(Sample { began, ..server.ask(prompt, self.output_tokens).await? });
                }
                Ok::<_, anyhow::Error>(samples)
            });
        }
        let mut samples = Vec::new();
        while let Some(client) = clients.join_next().await {
            samples.extend(client??);
        }
        if samples.iter().all(|sample| sample.output_tokens == 0) {
            bail!("it gave no tokens");
        }
        Ok(samples)
    }

    fn prompt(&self, client: usize, round: usize) -> Prompt {
        let own = (self.seed << 32) | ((client as u64) << 16) | round as u64;
        Prompt {
            system: (self.shared_words > 0).then(|| words(self.seed << 32 | 0xffff_ffff, self.shared_words)),
            // The number comes first, so that no two prompts begin alike.
            user: match self.task {
                Task::GoOn => format!("Call {own}: go on with this. {}", words(own, self.words)),
                Task::Copy => format!("Call {own}: repeat this text word for word. \"{}\"", words(own, self.words)),
            },
        }
    }
}

fn words(seed: u64, count: usize) -> String {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut text = String::new();
    for index in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if index > 0 {
            text.push(' ');
        }
        text.push_str(WORDS[(state >> 59) as usize]);
    }
    text
}

impl Server {
    pub(super) fn engine(name: &'static str, engine: Engine) -> Self {
        Self(Arc::new(Asked::Engine { name, engine }))
    }

    /// A server whose API begins at `base`.
    pub(super) fn http(base: &str, model: &str) -> anyhow::Result<Self> {
        let url = Url::parse(&format!("{}/chat/completions", base.trim_end_matches('/')))
            .with_context(|| format!("`{base}` is no URL"))?;
        // The only one here that may be asked without TLS; a benchmark's server is on loopback.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // It stands still while the other one is asked, and some servers hang up on those who do.
        let client = Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0).build()?;
        Ok(Self(Arc::new(Asked::Http { client, url, model: model.to_owned() })))
    }

    pub(super) fn name(&self) -> String {
        match &*self.0 {
            Asked::Engine { name, .. } => (*name).to_owned(),
            Asked::Http { url, .. } => url.authority().to_owned(),
        }
    }

    /// Whether it answers at all.
    pub(super) async fn probe(&self) -> anyhow::Result<()> {
        let prompt = Prompt { system: None, user: "Say yes.".to_owned() };
        self.ask(prompt, 1).await.map(|_| ())
    }

    async fn ask(&self, prompt: Prompt, output_tokens: u32) -> anyhow::Result<Sample> {
        match &*self.0 {
            Asked::Engine { engine, .. } => ask_engine(engine, prompt, output_tokens).await,
            Asked::Http { client, url, model } => {
                let mut messages = Vec::new();
                if let Some(system) = prompt.system {
                    messages.push(json!({ "role": "system", "content": system }));
                }
                messages.push(json!({ "role": "user", "content": prompt.user }));
                let body = json!({
                    "model": model, "messages": messages, "max_tokens": output_tokens, "temperature": 0,
                    "stream": true, "stream_options": { "include_usage": true },
                });
                ask_http(client, url, &body).await
            }
        }
    }
}

async fn ask_engine(engine: &Engine, prompt: Prompt, output_tokens: u32) -> anyhow::Result<Sample> {
    let mut messages: Vec<Message> = prompt.system.map(|text| Message::text(Role::System, text)).into_iter().collect();
    messages.push(Message::text(Role::User, prompt.user));
    let sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
    let chat = Chat { messages, sampling, max_tokens: Some(output_tokens), ..Chat::default() };
    let asked = clock::now();
    let mut generation = engine.ask(chat)?;
    let mut taking = Taking::default();
    while let Some(event) = generation.next().await {
        match event? {
            Event::Delta(delta) if delta.is_content() => taking.content(clock::now() - asked),
            Event::Usage(usage) => {
                taking.counted = usage.output_tokens;
                taking.prompt_tokens = usage.input_tokens.unwrap_or(0);
            }
            _ => {}
        }
    }
    Ok(taking.sample(clock::now() - asked))
}

async fn ask_http(client: &Client, url: &Url, body: &Value) -> anyhow::Result<Sample> {
    let asked = clock::now();
    let request = client.post(url.clone()).header("content-type", "application/json").body(body.to_string());
    let mut response = request.send().await?;
    if !response.status().is_success() {
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        bail!("it answered {status}: {}", begins(&text));
    }
    let mut splitter = sse::Splitter::new(FRAME_LIMIT);
    let (mut taking, mut ended) = (Taking::default(), false);
    while let Some(chunk) = response.chunk().await? {
        splitter.push(&chunk);
        while let Some(event) = splitter.next() {
            let event = event.map_err(|over| anyhow::anyhow!("an event is larger than {} bytes", over.limit))?;
            ended |= event.data.trim() == "[DONE]";
            // Comments are no JSON.
            let Ok(data) = serde_json::from_str::<Value>(&event.data) else { continue };
            if let Some(error) = data.get("error").filter(|error| !error.is_null()) {
                bail!("it failed in the middle of an answer: {}", begins(&error.to_string()));
            }
            ended |= data.pointer("/choices/0/finish_reason").is_some_and(Value::is_string);
            let text = data.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or("");
            if !text.is_empty() {
                taking.content(clock::now() - asked);
            }
            if let Some(usage) = data.get("usage").filter(|usage| usage.is_object()) {
                taking.counted = usage["completion_tokens"].as_u64();
                taking.prompt_tokens = usage["prompt_tokens"].as_u64().unwrap_or(0);
            }
        }
    }
    if !ended {
        bail!("its stream ended before its answer did");
    }
    Ok(taking.sample(clock::now() - asked))
}

/// What is shown of an error.
fn begins(text: &str) -> String {
    text.chars().take(300).collect()
}

/// An answer while it comes in.
#[derive(Debug, Default)]
struct Taking {
    first: Option<Duration>,
    /// Pieces of text: what is counted where the server counts no tokens.
    pieces: u64,
    counted: Option<u64>,
    prompt_tokens: u64,
}

impl Taking {
    fn content(&mut self, after: Duration) {
        self.first.get_or_insert(after);
        self.pieces += 1;
    }

    fn sample(self, whole: Duration) -> Sample {
        Sample {
            began: Duration::ZERO,
            first_token: self.first.unwrap_or(whole),
            whole,
            prompt_tokens: self.prompt_tokens,
            output_tokens: self.counted.unwrap_or(self.pieces),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_the_seed_s_and_no_two_begin_alike() {
        let load =
            Load { clients: 2, words: 20, shared_words: 5, output_tokens: 1, rounds: 2, seed: 3, task: Task::GoOn };
        let (first, again, other) = (load.prompt(0, 1), load.prompt(0, 1), load.prompt(1, 1));
        assert_eq!(first.user, again.user);
        assert_ne!(first.user[..20], other.user[..20]);
        assert_eq!(first.system, other.system);
        assert_eq!(first.system.expect("it is shared").split(' ').count(), 5);
    }
}
