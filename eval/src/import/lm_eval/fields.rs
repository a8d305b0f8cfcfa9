//! A task's fields: those of the file and of what it includes, and what they mean here. What is not known is refused.

use serde_json::{Map, Value};

use super::{
    super::{ImportError, Options, Sources},
    document::Document,
};
use crate::import::draft::plain_name;

/// Says nothing about questions, answers or what is right.
const IGNORED: [&str; 20] = [
    "tag",
    "group",
    "task_alias",
    "group_alias",
    "metadata",
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "test_split",
    "validation_split",
    "training_split",
    "fewshot_split",
    "fewshot_delimiter",
    "fewshot_config",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "unsafe_code",
    "custom_dataset_note",
    "subset",
    "tags",
];
const USED: [&str; 15] = [
    "task",
    "output_type",
    "doc_to_text",
    "doc_to_target",
    "doc_to_choice",
    "target_delimiter",
    "description",
    "num_fewshot",
    "generation_kwargs",
    "metric_list",
    "filter_list",
    "repeats",
    "include",
    "process_docs",
    "gen_prefix",
];

pub(super) struct Task {
    pub(super) file: String,
    pub(super) name: String,
    pub(super) output_type: String,
    pub(super) doc_to_target: Value,
    pub(super) target_delimiter: String,
    pub(super) max_tokens: u64,
    pub(super) temperature: f64,
    pub(super) stop: Vec<String>,
    pub(super) filters: Value,
    pub(super) data: Option<Sources>,
    /// What means something else here.
    pub(super) differs: Vec<String>,
    doc_to_text: Value,
    doc_to_choice: Value,
    description: String,
    metric_list: Value,
}

pub(super) struct Metric {
    pub(super) name: String,
    /// Its arguments.
    pub(super) fields: Map<String, Value>,
}

/// The fields of a task, over those of the files that it includes.
pub(super) fn read(task: &Sources) -> Result<Map<String, Value>, ImportError> {
    included(task, 8)
}

fn included(task: &Sources, depth: usize) -> Result<Map<String, Value>, ImportError> {
    // Code is written as a tag, which a reader of YAML would pass over.
    if let Some((index, line)) = task.text.lines().enumerate().find(|(_, line)| line.contains("!function")) {
        let key = line.trim().split(':').next().unwrap_or_default().trim_start_matches("- ");
        let what = format!("the function of `{key}` ({}:{})", task.name(), index + 1);
        return Err(ImportError::refused(what, "no code of the original is run"));
    }
    let Value::Object(own) = task.yaml()? else {
        return Err(ImportError::invalid(task.name(), "it is no task"));
    };
    let mut fields = Map::new();
    let includes: Vec<&str> = match own.get("include") {
        Some(Value::String(file)) => vec![file.as_str()],
        Some(Value::Array(files)) if files.iter().all(Value::is_string) => {
            files.iter().filter_map(Value::as_str).collect()
        }
        None | Some(Value::Null) => Vec::new(),
        Some(_) => return Err(ImportError::invalid(task.name(), "`include` is no file and no list of files")),
    };
    for file in includes {
        if depth == 0 {
            return Err(ImportError::invalid(task.name(), "it includes itself, or too deep"));
        }
        fields.extend(included(&task.beside(file)?, depth - 1)?);
    }
    fields.extend(own);
    Ok(fields)
}

/// What is written in another form than it is read in is refused: it would count as if it were not written.
fn well_formed(fields: &Map<String, Value>) -> Result<(), ImportError> {
    type Form = fn(&Value) -> bool;
    let forms: [(&str, Form); 10] = [
        ("output_type", Value::is_string),
        ("target_delimiter", Value::is_string),
        ("fewshot_delimiter", Value::is_string),
        ("description", Value::is_string),
        ("num_fewshot", Value::is_u64),
        ("repeats", Value::is_u64),
        ("generation_kwargs", Value::is_object),
        ("metric_list", Value::is_array),
        ("filter_list", Value::is_array),
        ("dataset_kwargs", Value::is_object),
    ];
    for (key, is_so) in forms {
        if let Some(other) = fields.get(key).filter(|value| !value.is_null() && !is_so(value)) {
            return Err(ImportError::refused(format!("`{key}: {other}`"), "it is not written as the harness reads it"));
        }
    }
    Ok(())
}

impl Task {
    pub(super) fn of(fields: &Map<String, Value>, file: &Sources, options: &Options) -> Result<Self, ImportError> {
        let get = |key: &str| fields.get(key).cloned().unwrap_or_default();
        if let Some(key) = fields.keys().find(|key| !IGNORED.contains(&key.as_str()) && !USED.contains(&key.as_str())) {
            return Err(ImportError::refused(
                format!("the field `{key}`"),
                "it changes what is asked or what is right",
            ));
        }
        for key in ["process_docs", "gen_prefix"] {
            if !get(key).is_null() {
                return Err(ImportError::refused(format!("the field `{key}`"), "it changes what is asked"));
            }
        }
        well_formed(fields)?;
        let Value::String(name) = get("task") else {
            return Err(ImportError::refused("a group of tasks", "take over one task at a time"));
        };
        let fewshot = options.num_fewshot.or_else(|| get("num_fewshot").as_u64()).unwrap_or(0);
        if fewshot > 0 {
            let why =
                "examples before each question are drawn from another split; say --num-fewshot 0 to ask without them";
            return Err(ImportError::refused(format!("`num_fewshot: {fewshot}`"), why));
        }
        if get("repeats").as_u64().is_some_and(|repeats| repeats != 1) {
            return Err(ImportError::refused(
                "`repeats`",
                "its answers are put to a vote; say `epochs` in the suite's header if all must be right",
            ));
        }
        let mut differs = Vec::new();
        if options.num_fewshot == Some(0) && get("num_fewshot").as_u64().is_some_and(|number| number > 0) {
            differs.push("num_fewshot: asked without examples".to_owned());
        }
        let mut task = Self {
            file: file.name(),
            name: plain_name(&name),
            output_type: get("output_type").as_str().unwrap_or("generate_until").to_owned(),
            doc_to_text: get("doc_to_text"),
            doc_to_target: get("doc_to_target"),
            doc_to_choice: get("doc_to_choice"),
            target_delimiter: get("target_delimiter").as_str().unwrap_or(" ").to_owned(),
            description: get("description").as_str().unwrap_or_default().to_owned(),
            metric_list: get("metric_list"),
            filters: get("filter_list"),
            max_tokens: 256,
            temperature: 0.0,
            stop: Vec::new(),
            data: local_data(fields, file)?,
            differs,
        };
        if task.output_type == "generate_until" {
            task.generation(&get("generation_kwargs"), fields)?;
        }
        Ok(task)
    }

    fn generation(&mut self, kwargs: &Value, fields: &Map<String, Value>) -> Result<(), ImportError> {
        let delimiter = fields.get("fewshot_delimiter").and_then(Value::as_str).unwrap_or("\n\n");
        self.stop = vec![delimiter.to_owned()];
        for (key, value) in kwargs.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("until", Value::String(text)) => self.stop = vec![text.clone()],
                ("until", Value::Array(texts)) if texts.iter().all(Value::is_string) => {
                    self.stop = texts.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                }
                ("max_gen_toks" | "max_tokens" | "max_new_tokens", Value::Number(most))
                    if most.as_u64().is_some_and(|most| most > 0) =>
                {
                    self.max_tokens = most.as_u64().unwrap_or(self.max_tokens);
                }
                ("temperature", Value::Number(heat)) => self.temperature = heat.as_f64().unwrap_or(0.0),
                ("do_sample", Value::Bool(false)) => self.temperature = 0.0,
                ("do_sample", Value::Bool(true)) => {}
                (other, _) => {
                    return Err(ImportError::refused(
                        format!("`generation_kwargs.{other}`"),
                        "it changes what is answered",
                    ));
                }
            }
        }
        self.stop.retain(|text| !text.is_empty());
        if self.stop.len() > 4 {
            self.differs
                .push(format!("until: the first 4 of {} texts, which is all that vendors take", self.stop.len()));
            self.stop.truncate(4);
        }
        self.differs.push("generate_until: asked as a chat, so the answer is a model's whole turn".to_owned());
        self.differs.push("exact_match: white space around the answer and the target does not count".to_owned());
        Ok(())
    }

    /// The metrics that the task names, or those of its kind.
    pub(super) fn metrics(&self, usual: &[&str]) -> Result<Vec<Metric>, ImportError> {
        let Value::Array(list) = &self.metric_list else {
            return Ok(usual.iter().map(|name| Metric { name: (*name).to_owned(), fields: Map::new() }).collect());
        };
        let metric = |entry: &Value| {
            let mut fields = entry.as_object().cloned().unwrap_or_default();
            let name = match fields.remove("metric") {
                Some(Value::String(name)) => name,
                _ => return Err(ImportError::invalid(self.file.clone(), "a metric has no name")),
            };
            match fields.remove("aggregation") {
                None => {}
                Some(Value::String(mean)) if mean == "mean" => {}
                Some(other) => {
                    return Err(ImportError::refused(
                        format!("the aggregation {other} of `{name}`"),
                        "a gate counts right answers",
                    ));
                }
            }
            if fields.remove("higher_is_better") == Some(Value::Bool(false)) {
                let what = format!("`higher_is_better: false` of `{name}`");
                return Err(ImportError::refused(what, "a gate counts right answers"));
            }
            Ok(Metric { name, fields })
        };
        list.iter().map(metric).collect()
    }

    /// All that stands before the answer.
    pub(super) fn context(&self, document: &Document<'_>) -> Result<String, ImportError> {
        let description = document.render(&self.description)?;
        let Value::String(field) = &self.doc_to_text else {
            return Err(ImportError::refused(
                "a `doc_to_text` that is no text",
                "choices that stand before the answer are not carried",
            ));
        };
        match document.field(field)? {
            Value::String(text) => Ok(format!("{description}{text}")),
            other => Err(ImportError::refused(
                format!("the question {other}"),
                "choices that stand before the answer are not carried",
            )),
        }
    }

    pub(super) fn choices(&self, document: &Document<'_>) -> Result<Vec<String>, ImportError> {
        document.list(&self.doc_to_choice)
    }
}

/// Files that the task itself names, where they are local.
fn local_data(fields: &Map<String, Value>, file: &Sources) -> Result<Option<Sources>, ImportError> {
    let Some(files) = fields.get("dataset_kwargs").and_then(|kwargs| kwargs.get("data_files")) else { return Ok(None) };
    let split = |key: &str| fields.get(key).and_then(Value::as_str);
    let named = match files {
        Value::String(file) => Some(file.as_str()),
        Value::Object(splits) => {
            let wanted = split("test_split").or_else(|| split("validation_split")).unwrap_or("test");
            splits.get(wanted).and_then(Value::as_str)
        }
        _ => None,
    };
    match named.filter(|named| !named.contains("://") && (named.ends_with(".jsonl") || named.ends_with(".json"))) {
        Some(named) => Ok(Some(file.beside(named)?)),
        None => Ok(None),
    }
}
