//! promptfoo: prompts times tests, each with assertions.
//!
//! Templates are rendered now, with each test's variables; every prompt and test is one item. Assertions that run code, look at other
//! services or weigh each other are refused by their type. All assertions of a test must hold here, as they must there.

mod assertion;

use serde_json::{Map, Value};

use super::{
    ImportError, Imported, Options, Sources,
    draft::{Draft, DraftItem, asks, plain_name},
};
use crate::jinja::{rendered, seen};

const GATE: &str = "assertions";
/// How deep variables stand in variables.
const DEEPEST: usize = 5;
/// How prompts in files of their own end.
const ENDS: [&str; 13] =
    [".txt", ".json", ".jsonl", ".csv", ".md", ".yaml", ".yml", ".j2", ".py", ".js", ".cjs", ".mjs", ".ts"];
/// What says nothing about questions or answers.
const IGNORED: [&str; 13] = [
    "$schema",
    "description",
    "providers",
    "targets",
    "tags",
    "sharing",
    "outputPath",
    "evaluateOptions",
    "commandLineOptions",
    "env",
    "metadata",
    "writeLatestResults",
    "tracing",
];

/// # Errors
/// Something cannot be read, or nothing of it carried.
pub fn promptfoo(config: &Sources, options: &Options) -> Result<Imported, ImportError> {
    let yaml = config.yaml()?;
    let Some(sections) = yaml.as_object() else {
        return Err(ImportError::invalid(config.name(), "it is no promptfoo config"));
    };
    for key in sections.keys().map(String::as_str) {
        if !IGNORED.contains(&key) && !["prompts", "tests", "defaultTest"].contains(&key) {
            return Err(ImportError::refused(format!("`{key}`"), "it changes what is asked or judged"));
        }
    }
    let title = yaml["description"].as_str().unwrap_or("promptfoo");
    let file = config.name();
    let stem = file.rsplit('/').next().unwrap_or_default().trim_end_matches(".yaml").trim_end_matches(".yml");
    let mut draft = Draft::new(stem, &format!("promptfoo config, taken over: {title}"));
    draft.gates.insert(GATE.to_owned(), "all assertions of a test hold".to_owned());
    let prompts = prompts(config, &yaml["prompts"])?;
    let tests = tests(config, &yaml["tests"])?;
    let usual = map(&yaml["defaultTest"], "`defaultTest`")?;
    if yaml["providers"].as_array().into_iter().chain(yaml["targets"].as_array()).flatten().any(Value::is_object) {
        draft.differs("providers: the run names who is asked, and their settings here are not carried");
    }
    let pairs = tests
        .iter()
        .enumerate()
        .flat_map(|(t, test)| prompts.iter().enumerate().map(move |(p, prompt)| (t, test, p, prompt)));
    for (t, test, p, prompt) in pairs.take(options.limit.unwrap_or(usize::MAX)) {
        let id =
            if prompts.len() == 1 { format!("test-{}", t + 1) } else { format!("test-{}-prompt-{}", t + 1, p + 1) };
        let Some(test) = test.as_object() else {
            return Err(ImportError::invalid(format!("{file}, {id}"), "a test is an object"));
        };
        if let Err(error) = item(&mut draft, config, &id, (prompt, test, &usual)) {
            draft.leave_out(&id, error)?;
        }
    }
    draft.finish(options)
}

/// What each test says together with what all do.
fn item(
    draft: &mut Draft,
    config: &Sources,
    id: &str,
    (prompt, test, usual): (&str, &Map<String, Value>, &Map<String, Value>),
) -> Result<(), ImportError> {
    for key in test.keys().chain(usual.keys()).map(String::as_str) {
        if !["vars", "assert", "description", "metadata"].contains(&key) {
            return Err(ImportError::refused(format!("a test's `{key}`"), "it changes what is asked or judged"));
        }
    }
    let mut vars = Map::new();
    for of in [usual, test] {
        vars.extend(map(of.get("vars").unwrap_or(&Value::Null), "a test's `vars`")?);
    }
    if let Some((name, _)) = vars.iter().find(|(_, value)| value.is_array()) {
        return Err(ImportError::refused(
            format!("the list of the variable `{name}`"),
            "write a test for each of its values",
        ));
    }
    if let Some((name, _)) =
        vars.iter().find(|(_, value)| value.as_str().is_some_and(|text| text.starts_with("file://")))
    {
        return Err(ImportError::refused(format!("the file of the variable `{name}`"), "write its text into the test"));
    }
    resolve(config, &mut vars)?;
    let scope = Scope { config, vars: &vars };
    let messages = messages(&scope, prompt)?;
    let mut assertions: Vec<&Value> = Vec::new();
    for of in [usual, test] {
        match of.get("assert") {
            None | Some(Value::Null) => {}
            Some(Value::Array(all)) => assertions.extend(all),
            Some(_) => return Err(ImportError::refused("a test's `assert`", "it is no list of assertions")),
        }
    }
    if assertions.is_empty() {
        return Err(ImportError::refused("a test without assertions", "nothing would be judged"));
    }
    let (mut checks, mut notes) = (Vec::new(), assertion::Carried::default());
    for assertion in assertions {
        assertion::carry(assertion, &scope, (&mut checks, &mut notes))?;
    }
    for kind in &notes.kinds {
        draft.carried(kind);
    }
    notes.differs.iter().for_each(|what| draft.differs(what));
    if notes.needs_judge {
        draft.rubric = Some(
            "Whether the answer meets the criterion that is given for it, in full and without exception.".to_owned(),
        );
    }
    let checks = [(GATE.to_owned(), checks)].into();
    draft.items.push(DraftItem { id: plain_name(id), messages, checks, stop: Vec::new() });
    Ok(())
}

/// Variables stand in variables, and the end of a line that ends one does not count, as there.
fn resolve(config: &Sources, vars: &mut Map<String, Value>) -> Result<(), ImportError> {
    for value in vars.values_mut() {
        if let Value::String(text) = value
            && text.ends_with('\n')
        {
            text.pop();
        }
    }
    for _ in 0..DEEPEST {
        let before = vars.clone();
        let scope = Scope { config, vars: &before };
        for value in vars.values_mut() {
            if let Value::String(text) = value {
                *text = scope.render(text)?;
            }
        }
        if *vars == before {
            break;
        }
    }
    Ok(())
}

/// What is written there, or nothing where nothing is; anything else than a map, say the name of a file, is refused.
fn map(value: &Value, what: &str) -> Result<Map<String, Value>, ImportError> {
    match value {
        Value::Null => Ok(Map::new()),
        Value::Object(fields) => Ok(fields.clone()),
        _ => Err(ImportError::refused(what, "it is no map; write what it stands for into this file")),
    }
}

/// What templates of one test see.
struct Scope<'a> {
    config: &'a Sources,
    vars: &'a Map<String, Value>,
}

impl Scope<'_> {
    fn render(&self, template: &str) -> Result<String, ImportError> {
        if !template.contains("{{") && !template.contains("{%") {
            return Ok(template.to_owned());
        }
        let text = rendered(template, seen(&Value::Object(self.vars.clone())));
        text.map_err(|error| ImportError::refused(format!("the template {:?}", shortened(template)), error.to_string()))
    }

    /// Every text in it rendered.
    fn within(&self, value: Value) -> Result<Value, ImportError> {
        Ok(match value {
            Value::String(text) => Value::String(self.render(&text)?),
            Value::Array(items) => items.into_iter().map(|item| self.within(item)).collect::<Result<_, _>>()?,
            Value::Object(fields) => {
                let rendered = fields.into_iter().map(|(name, value)| Ok((name, self.within(value)?)));
                Value::Object(rendered.collect::<Result<_, ImportError>>()?)
            }
            other => other,
        })
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A prompt is a text, or a chat as JSON. Where the chat is JSON before variables stand in it, they stand in its texts, whatever signs
/// they have.
fn messages(scope: &Scope<'_>, prompt: &str) -> Result<Value, ImportError> {
    if !prompt.trim_start().starts_with('[') {
        return Ok(asks(&scope.render(prompt)?));
    }
    if let Ok(Value::Array(written)) = serde_json::from_str(prompt) {
        return chat(&scope.within(Value::Array(written))?);
    }
    let asked = scope.render(prompt)?;
    match serde_json::from_str::<Value>(&asked) {
        Ok(written @ Value::Array(_)) => chat(&written),
        Err(error) if asked.contains("\"role\"") => Err(ImportError::refused(
            format!("the chat {:?}", shortened(asked.trim_start())),
            format!("it is no JSON once its variables stand in it: {error}"),
        )),
        _ => Ok(asks(&asked)),
    }
}

fn chat(written: &Value) -> Result<Value, ImportError> {
    let messages = written.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_plain = |message: &Value| message["content"].is_string() && message["role"].is_string();
    if !messages.iter().all(is_plain) || messages.last().is_none_or(|last| last["role"] != "user") {
        return Err(ImportError::refused("a chat with parts", "only texts that end in the user's are carried"));
    }
    let is_carried = |key: &String| ["role", "content"].contains(&key.as_str());
    let fields = messages.iter().filter_map(Value::as_object).flat_map(Map::keys);
    if let Some(other) = fields.into_iter().find(|key| !is_carried(key)) {
        let why = "only texts that end in the user's are carried";
        return Err(ImportError::refused(format!("a message's `{other}`"), why));
    }
    let plain = |message: &Value| serde_json::json!({ "role": message["role"], "content": message["content"] });
    Ok(messages.iter().map(plain).collect())
}

fn prompts(config: &Sources, prompts: &Value) -> Result<Vec<String>, ImportError> {
    let one = |prompt: &Value| -> Result<Vec<String>, ImportError> {
        let known = ["raw", "id", "label", "description"];
        let fields = prompt.as_object().into_iter().flat_map(Map::keys);
        if let Some(other) = fields.into_iter().find(|key| !known.contains(&key.as_str())) {
            return Err(ImportError::refused(format!("a prompt's `{other}`"), "it changes what is asked"));
        }
        let text = prompt.as_str().or_else(|| prompt["raw"].as_str()).or_else(|| prompt["id"].as_str());
        let Some(text) = text else { return Err(ImportError::invalid(config.name(), "a prompt is a text")) };
        let is_file = !text.contains(char::is_whitespace) && ENDS.iter().any(|end| text.ends_with(end));
        match text.strip_prefix("file://").or(is_file.then_some(text)) {
            None => Ok(vec![text.to_owned()]),
            Some(file) if file.contains('*') || !(file.ends_with(".txt") || file.ends_with(".json")) => {
                Err(ImportError::refused(format!("the prompt `{file}`"), "only .txt and .json files are read"))
            }
            Some(file) if file.ends_with(".txt") => Ok(set_apart(&config.beside(file)?.text)),
            Some(file) => Ok(vec![config.beside(file)?.text]),
        }
    };
    let prompts = match prompts {
        Value::Array(all) => all.iter().map(one).collect::<Result<Vec<_>, _>>()?.concat(),
        Value::String(_) => one(prompts)?,
        _ => Vec::new(),
    };
    if prompts.is_empty() {
        return Err(ImportError::invalid(config.name(), "it has no `prompts`"));
    }
    Ok(prompts)
}

/// The prompts of a text file, which lines of `---` set apart.
fn set_apart(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let parts = lines.split(|line| line.trim() == "---").map(|part| part.join("\n").trim().to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

fn tests(config: &Sources, tests: &Value) -> Result<Vec<Value>, ImportError> {
    let from_file = |file: &str| -> Result<Vec<Value>, ImportError> {
        let file = file.strip_prefix("file://").unwrap_or(file);
        if file.ends_with(".jsonl") {
            return config.beside(file)?.records();
        }
        if file.ends_with(".yaml") || file.ends_with(".yml") || file.ends_with(".json") {
            let Value::Array(all) = config.beside(file)?.yaml()? else {
                return Err(ImportError::invalid(file, "it is no list of tests"));
            };
            return Ok(all);
        }
        Err(ImportError::refused(format!("the tests of `{file}`"), "only .yaml, .json and .jsonl files are read"))
    };
    match tests {
        Value::String(file) => from_file(file),
        Value::Array(all) => {
            let mut found = Vec::new();
            for test in all {
                match test.as_str() {
                    Some(file) => found.extend(from_file(file)?),
                    None => found.push(test.clone()),
                }
            }
            Ok(found)
        }
        _ => Err(ImportError::invalid(config.name(), "it has no `tests`")),
    }
}
