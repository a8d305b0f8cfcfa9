//! lm-evaluation-harness: a task's YAML, and its documents as JSON lines.
//!
//! `multiple_choice` and `loglikelihood` become checks of how likely texts are, over the same text that the original scores;
//! `generate_until` becomes an answer, of which each filter's part is compared. Fields are columns or Jinja templates, as there.

mod document;
mod fields;
mod generate;

use serde_json::{Map, Value, json};

use self::{
    document::{Document, Target},
    fields::Task,
};
use super::{
    ImportError, Imported, Options, Sources,
    draft::{Draft, DraftItem, asks},
};

/// # Errors
/// Something cannot be read, or nothing of it carried.
pub fn lm_eval(task: &Sources, options: &Options) -> Result<Imported, ImportError> {
    let fields = fields::read(task)?;
    let task = Task::of(&fields, task, options)?;
    let documents = documents(&task, options)?;
    let mut draft = Draft::new(&task.name, &format!("lm-evaluation-harness task {}, taken over", task.name));
    let comparisons = Comparison::of(&task)?;
    for comparison in &comparisons {
        draft.gates.insert(comparison.gate.clone(), comparison.about.clone());
    }
    task.differs.iter().for_each(|what| draft.differs(what));
    draft.max_tokens = task.max_tokens;
    draft.temperature = task.temperature;
    for (index, document) in documents.iter().take(options.limit.unwrap_or(usize::MAX)).enumerate() {
        let id = format!("doc-{}", index + 1);
        match item(&id, &task, document, &comparisons) {
            Ok(item) => {
                draft.carried(&task.output_type);
                draft.items.push(item);
            }
            Err(error) => draft.leave_out(&id, error)?,
        }
    }
    draft.finish(options)
}

/// One of the ways in which an answer counts: a gate of its own.
struct Comparison {
    gate: String,
    about: String,
    by: By,
}

enum By {
    /// `choice`, `character` or `byte`.
    Likeliest(&'static str),
    Greedy,
    /// The fields of an `extracts` check, but for what it must be.
    Extract(Map<String, Value>),
}

impl Comparison {
    fn of(task: &Task) -> Result<Vec<Self>, ImportError> {
        if ["multiple_choice", "loglikelihood"].contains(&task.output_type.as_str()) {
            nothing_else(task)?;
        }
        match task.output_type.as_str() {
            "multiple_choice" => task
                .metrics(&["acc", "acc_norm"])?
                .into_iter()
                .map(|metric| {
                    let by = match metric.name.as_str() {
                        "acc" => "choice",
                        "acc_norm" => "character",
                        "acc_bytes" => "byte",
                        other => {
                            return Err(ImportError::refused(
                                format!("the metric `{other}`"),
                                "multiple_choice has acc, acc_norm and acc_bytes here",
                            ));
                        }
                    };
                    let gate = metric.name.replace('_', "-");
                    Ok(Self {
                        about: format!("the right choice is the likeliest ({})", metric.name),
                        gate,
                        by: By::Likeliest(by),
                    })
                })
                .collect(),
            "loglikelihood" => task
                .metrics(&["acc"])?
                .into_iter()
                .map(|metric| match metric.name.as_str() {
                    "acc" => Ok(Self {
                        gate: "acc".into(),
                        about: "the target is what the model would go on with".into(),
                        by: By::Greedy,
                    }),
                    other => Err(ImportError::refused(
                        format!("the metric `{other}`"),
                        "it is a number of a model, and no answer is right or wrong by it",
                    )),
                })
                .collect(),
            "generate_until" => Ok(generate::pipelines(task)?
                .into_iter()
                .map(|(gate, fields)| Self {
                    about: format!("exact_match after the filter {gate}"),
                    gate,
                    by: By::Extract(fields),
                })
                .collect()),
            other => Err(ImportError::refused(
                format!("the output type `{other}`"),
                "it gives a number of a model, and no answer that is right or wrong",
            )),
        }
    }
}

/// Where likelihoods are compared there are no filters, and a metric has no arguments.
fn nothing_else(task: &Task) -> Result<(), ImportError> {
    let steps = task.filters.as_array().into_iter().flatten().flat_map(|filter| {
        filter["filter"].as_array().into_iter().flatten().map(|step| step["function"].as_str().unwrap_or_default())
    });
    if let Some(step) = steps.into_iter().find(|step| *step != "take_first") {
        return Err(ImportError::refused(format!("the filter `{step}`"), "no answer is written that it could change"));
    }
    for metric in task.metrics(&[])? {
        if let Some(key) = metric.fields.keys().next() {
            let what = format!("`{key}` of the metric `{}`", metric.name);
            return Err(ImportError::refused(what, "it changes what is right"));
        }
    }
    Ok(())
}

fn documents(task: &Task, options: &Options) -> Result<Vec<Value>, ImportError> {
    match (&options.data, &task.data) {
        (Some(data), _) | (None, Some(data)) => data.records(),
        (None, None) => Err(ImportError::invalid(
            task.file.clone(),
            "its documents are not in local files; give them with --data, one JSON object a line",
        )),
    }
}

fn item(id: &str, task: &Task, document: &Value, comparisons: &[Comparison]) -> Result<DraftItem, ImportError> {
    let place = format!("{}, {id}", task.file);
    let document = Document::new(document, &place)?;
    let context = task.context(&document)?;
    let mut item =
        DraftItem { id: id.to_owned(), messages: asks(&context), checks: Default::default(), stop: Vec::new() };
    for Comparison { gate, by, .. } in comparisons {
        let check = match by {
            By::Likeliest(by) => {
                let choices = task.choices(&document)?;
                let right = document.right(&task.doc_to_target, &choices)?;
                json!({ "likeliest": { "choices": choices, "answer": right, "by": by, "delimiter": task.target_delimiter } })
            }
            By::Greedy => match document.target(&task.doc_to_target)? {
                Target::Texts(texts) if texts.len() == 1 => json!({ "continues_with": { "text": texts[0] } }),
                _ => return Err(ImportError::invalid(place, "doc_to_target is no text")),
            },
            By::Extract(fields) => {
                item.stop.clone_from(&task.stop);
                let mut fields = fields.clone();
                let is = match document.target(&task.doc_to_target)? {
                    Target::Texts(texts) => texts,
                    Target::Place(place) => vec![match task.choices(&document) {
                        Ok(choices) => choices.get(place).cloned().ok_or_else(|| {
                            let what = "a document whose target is not among its choices";
                            ImportError::refused(what, "nothing would be right")
                        })?,
                        Err(_) => place.to_string(),
                    }],
                };
                fields.insert("is".to_owned(), json!(is));
                json!({ "extracts": fields })
            }
        };
        serde_json::from_value::<crate::score::Check>(check.clone())
            .map_err(|error| ImportError::refused(format!("a document for `{gate}`"), error.to_string()))?;
        item.checks.insert(gate.clone(), vec![check]);
    }
    if context.trim().is_empty() {
        return Err(ImportError::refused("a document without a question", "nothing stands before the answer"));
    }
    Ok(item)
}
