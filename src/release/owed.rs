//! What customers have not been told yet of promotions: whoever promoted may have died before the papers were written.
//!
//! Nothing is noted for it: a promotion in the book whose notes are not kept is owed, so no moment of dying loses one. Blocking: run
//! it off the runtime's threads.

use std::{collections::BTreeSet, io};

use super::{
    Gate,
    book::{Book, Deed},
    paper, post,
};
use crate::{
    config::{Settings, StateDir},
    domain::RouteId,
};

/// What is known of promotions whose papers are kept.
#[derive(Debug, Clone, Default)]
pub struct Owed {
    /// The ids of their acts.
    told: BTreeSet<String>,
    /// Whether it was said already that papers cannot be written.
    warned: bool,
}

impl Owed {
    /// Writes what is owed of `book`; what cannot be written now is tried again by the next.
    pub fn settle(&mut self, book: &Book, settings: &Settings, at: (&StateDir, &Gate)) {
        match self.write(book, settings, at) {
            Ok(0) => {}
            Ok(papers) => tracing::info!(papers, "papers of a promotion were written that were owed"),
            Err(error) => {
                if !std::mem::replace(&mut self.warned, true) {
                    tracing::warn!(%error, "notes and card of a promotion cannot be written; it is tried again");
                }
                return;
            }
        }
        self.warned = false;
    }

    fn write(&mut self, book: &Book, settings: &Settings, (state, gate): (&StateDir, &Gate)) -> io::Result<usize> {
        let mut written = 0;
        for (route, line) in book.lines() {
            for done in &line.history {
                let Deed::Promoted { number, from, .. } = done.deed else { continue };
                if self.told.contains(&done.id) {
                    continue;
                }
                if !is_told(state, route, number) {
                    let papers = paper::of_promotion(settings, (state, gate), (route, line), (from, number));
                    post::keep(state, &papers, &settings.release.publish)?;
                    written += papers.len();
                }
                self.told.insert(done.id.clone());
            }
        }
        Ok(written)
    }
}

fn is_told(state: &StateDir, route: &RouteId, number: u32) -> bool {
    post::kept(state, &paper::notes_name(route, number)).is_some()
}
