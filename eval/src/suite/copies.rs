//! Items that ask the same as another one: their answers are no draws of their own, however many ids they have.

use std::collections::HashMap;

use super::{Draw, Item, Suite};

impl Suite {
    /// Items of the split in force that ask what an earlier one of another draw asks, each with that one's id. Statistics take
    /// both for independent, so a suite of copies proves less than its numbers say.
    pub fn copies(&self) -> Vec<(&str, &str)> {
        let mut first: HashMap<String, (&str, Draw<'_>)> = HashMap::new();
        let mut copies = Vec::new();
        for item in &self.items {
            match first.get(&question(item)) {
                Some((id, draw)) if *draw != item.draw() => copies.push((item.id.as_str(), *id)),
                Some(_) => {}
                None => _ = first.insert(question(item), (&item.id, item.draw())),
            }
        }
        copies
    }

    /// For people: how many copies there are, and what to do. `None`: there are none.
    pub fn warning_of_copies(&self) -> Option<String> {
        let copies = self.copies();
        let (copy, first) = copies.first()?;
        Some(format!(
            "{} of {} items ask the same as another one (`{copy}` as `{first}`) and count as draws of their own; give them one `cluster`, or leave them out",
            copies.len(),
            self.items.len()
        ))
    }
}

/// All that a model is asked, and how.
fn question(item: &Item) -> String {
    let Item { messages, tools, tool_choice, response_format, stop, max_tokens, .. } = item;
    format!("{messages:?} {tools:?} {tool_choice:?} {response_format:?} {stop:?} {max_tokens}")
}
