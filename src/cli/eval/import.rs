//! `backstop eval import`: a suite of another tool becomes one of ours, and what could not be carried is told.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use backstop_eval::import::{self, Class, Imported, Noted, Options, Sources};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::super::print;

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// A task of lm-evaluation-harness: its YAML, and its documents
    LmEval {
        file: PathBuf,
        /// Its documents, one JSON object a line [default: the local files that the task names]
        #[arg(long, value_name = "FILE")]
        data: Option<PathBuf>,
        /// Ask without the examples that the task wants before each question
        #[arg(long, value_name = "0", value_parser = clap::value_parser!(u64).range(0..=0))]
        num_fewshot: Option<u64>,
        #[command(flatten)]
        to: To,
    },
    /// A promptfoo config: prompts, tests and their assertions
    Promptfoo {
        file: PathBuf,
        #[command(flatten)]
        to: To,
    },
    /// Samples of OpenAI evals, one JSON object a line
    OpenaiEvals {
        file: PathBuf,
        /// How they are compared [default: as the registry says]
        #[arg(long, value_enum)]
        class: Option<ClassArg>,
        /// The registry's YAML that names their class
        #[arg(long, value_name = "FILE", conflicts_with = "class")]
        registry: Option<PathBuf>,
        /// Which eval of the registry it is, where it has several
        #[arg(long, requires = "registry")]
        eval: Option<String>,
        #[command(flatten)]
        to: To,
    },
}

/// Where the suite goes.
#[derive(Debug, Args)]
struct To {
    /// The directory of NAME.yaml and NAME.jsonl
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// The suite's name [default: made of the original's]
    #[arg(long)]
    name: Option<String>,
    /// What the lower bound of every gate must reach [default: 0.8, or what so few items can show]
    #[arg(long, value_name = "SHARE")]
    threshold: Option<f64>,
    /// The first so many items only
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Leave out the items that cannot be carried, instead of refusing the whole
    #[arg(long)]
    partial: bool,
    /// Write over a suite that is there
    #[arg(long)]
    force: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ClassArg {
    Match,
    Includes,
    FuzzyMatch,
    JsonMatch,
}

#[derive(Serialize)]
struct Printed<'a> {
    suite: &'a str,
    files: [PathBuf; 2],
    items: usize,
    #[serde(flatten)]
    noted: &'a Noted,
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let open = |path: &Path| Sources::open(path);
    let (to, imported) = match &args.from {
        From::LmEval { file, data, num_fewshot, to } => {
            let data = data.as_deref().map(open).transpose()?;
            let options = Options { data, num_fewshot: *num_fewshot, ..to.options() };
            (to, import::lm_eval(&open(file)?, &options))
        }
        From::Promptfoo { file, to } => (to, import::promptfoo(&open(file)?, &to.options())),
        From::OpenaiEvals { file, class, registry, eval, to } => {
            let registry = registry.as_deref().map(open).transpose()?;
            let registry = registry.as_ref().map(|registry| (registry, eval.as_deref()));
            let class = class.map(|class| match class {
                ClassArg::Match => Class::Match,
                ClassArg::Includes => Class::Includes,
                ClassArg::FuzzyMatch => Class::FuzzyMatch,
                ClassArg::JsonMatch => Class::JsonMatch,
            });
            (to, import::openai_evals(&open(file)?, (class, registry), &to.options()))
        }
    };
    to.write(&imported?)
}

impl To {
    fn options(&self) -> Options {
        Options { name: self.name.clone(), threshold: self.threshold, limit: self.limit, ..Options::default() }
    }

    fn write(&self, imported: &Imported) -> anyhow::Result<ExitCode> {
        let left_out: usize = imported.noted.left_out.values().map(Vec::len).sum();
        if left_out > 0 && !self.partial {
            bail!(
                "{left_out} items cannot be carried; nothing was written (--partial leaves them out):\n{}",
                left_out_lines(&imported.noted).join("\n")
            );
        }
        fs::create_dir_all(&self.out).with_context(|| format!("cannot make {}", self.out.display()))?;
        let files = ["yaml", "jsonl"].map(|end| self.out.join(format!("{}.{end}", imported.name)));
        if let Some(there) = files.iter().find(|file| file.exists() && !self.force) {
            bail!("{} is there already; choose another --name or --out, or say --force", there.display());
        }
        for (file, text) in files.iter().zip([&imported.header, &imported.items]) {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let items = imported.suite.items.len();
        if self.json {
            print::json(&Printed { suite: &imported.name, files, items, noted: &imported.noted })?;
        } else {
            print::text(&self.told(imported, &files, items))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn told(&self, imported: &Imported, files: &[PathBuf; 2], items: usize) -> String {
        let mut said = format!("suite {}: {items} items\n", imported.name);
        for gate in &imported.suite.gates {
            said.push_str(&format!("gate {}: {} (bound {} needed)\n", gate.id, gate.about, gate.threshold));
        }
        for (what, count) in &imported.noted.carried {
            said.push_str(&format!("carried {count} times: {what}\n"));
        }
        imported.noted.differs.iter().for_each(|what| said.push_str(&format!("differs: {what}\n")));
        left_out_lines(&imported.noted).iter().for_each(|line| said.push_str(&format!("{line}\n")));
        let [header, lines] = files;
        said.push_str(&format!("{}\n{}\n", header.display(), lines.display()));
        said.push_str(&format!("run it: backstop eval run --suite {} --target V/M\n", shown(header)));
        said
    }
}

/// A path that cannot be taken for a name.
fn shown(header: &Path) -> String {
    header.display().to_string()
}

fn left_out_lines(noted: &Noted) -> Vec<String> {
    let line = |(why, ids): (&String, &Vec<String>)| {
        let shown: Vec<&str> = ids.iter().take(5).map(String::as_str).collect();
        let more =
            if ids.len() > shown.len() { format!(" and {} more", ids.len() - shown.len()) } else { String::new() };
        format!("left out {} ({}{more}): {why}", ids.len(), shown.join(", "))
    };
    noted.left_out.iter().map(line).collect()
}
