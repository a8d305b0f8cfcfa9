//! The way from a config file's top to one value: `routes.support-chat.targets[1]`.

use std::fmt;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Path {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    pub(super) fn root() -> Self {
        Self::default()
    }

    pub(super) fn key(&self, key: impl Into<String>) -> Self {
        self.then(Step::Key(key.into()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step);
        Self { steps }
    }
}

/// Keys that would be misread between dots are written as `["gpt-4.1"]`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.steps.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key)
                    if key.is_empty() || key.contains(|c: char| ".[]\"".contains(c) || c.is_whitespace()) =>
                {
                    write!(f, "[{:?}]", super::words::cut(key))?;
                }
                Step::Key(key) if place == 0 => f.write_str(&super::words::cut(key))?,
                Step::Key(key) => write!(f, ".{}", super::words::cut(key))?,
            }
        }
        Ok(())
    }
}
