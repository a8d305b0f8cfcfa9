//! From tokens' bytes to what the caller hears: whole characters, no stop text, tool calls as calls.

use crate::chat::{Delta, Finish};
use crate::sample::SplitMix;
use crate::token::{SpaceAtStart, Utf8Stream};

use super::admit::{Call, Shape};
use super::calls::{Forced, Piece, Splitter};
use super::stop::Watch;

/// One answer's way out.
pub(super) struct Voice {
    characters: Utf8Stream,
    reader: Reader,
    stop: Watch,
    calls: u32,
    call_limit: u32,
    ids: SplitMix,
}

/// Why the model itself ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was done.
    Done,
    /// It was cut off.
    CutOff,
}

enum Reader {
    Text,
    Calls(Splitter),
    Forced(Forced),
}

/// What the voice made of a token, or of the end.
#[derive(Debug)]
pub(super) struct Spoken {
    pub deltas: Vec<Delta>,
    pub made: Made,
}

/// How much text there is more, said or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    pub bytes: usize,
    /// Of these, the first character's: where earlier tokens ended within a character, it is what became of it.
    pub first_character: usize,
    /// The last token's bytes end in the middle of a character.
    pub within_character: bool,
}

impl Made {
    fn of(text: &str, within_character: bool) -> Self {
        Self { bytes: text.len(), first_character: text.chars().next().map_or(0, char::len_utf8), within_character }
    }
}

/// More events than an answer of `max_tokens` tokens can have: a bound that is never met.
pub(super) fn most_events(max_tokens: usize) -> usize {
    16 + 5 * max_tokens
}

impl Voice {
    /// `seed` makes the ids of tool calls; it must differ for each answer.
    pub(super) fn new(call: &Call, space: SpaceAtStart, seed: u64) -> Self {
        let names = || call.tools.iter().map(|tool| tool.name.clone()).collect();
        Self {
            characters: Utf8Stream::new(space),
            reader: match call.shape {
                Shape::Text | Shape::Json(_) => Reader::Text,
                Shape::TextOrCalls => Reader::Calls(Splitter::new(names())),
                Shape::Call => Reader::Forced(Forced::new(names())),
            },
            stop: Watch::new(call.chat.stop.clone()),
            calls: 0,
            call_limit: if call.chat.parallel_tool_calls == Some(false) { 1 } else { u32::MAX },
            ids: SplitMix::new(seed),
        }
    }

    /// Takes one token's bytes. A `Finish` means that nothing more is to be said.
    pub(super) fn push(&mut self, bytes: &[u8]) -> (Spoken, Option<Finish>) {
        let text = self.characters.push(bytes);
        let made = Made::of(&text, self.characters.is_within_character());
        let pieces = self.read(&text);
        let mut deltas = Vec::new();
        let finish = self.speak(pieces, &mut deltas);
        (Spoken { deltas, made }, finish)
    }

    /// The rest, once the model has ended.
    pub(super) fn finish(&mut self, ending: Ending) -> (Spoken, Finish) {
        let mut text = self.characters.finish();
        if ending == Ending::CutOff {
            // The rest of the character was still to come.
            text.clear();
        }
        let made = Made::of(&text, false);
        let mut pieces = self.read(&text);
        pieces.extend(match &mut self.reader {
            Reader::Text => Vec::new(),
            Reader::Calls(splitter) => splitter.finish(),
            Reader::Forced(forced) if ending == Ending::CutOff => forced.cut_off(),
            Reader::Forced(_) => Vec::new(),
        });
        let mut deltas = Vec::new();
        if let Some(finish) = self.speak(pieces, &mut deltas) {
            return (Spoken { deltas, made }, finish);
        }
        let held = self.stop.finish();
        if !held.is_empty() {
            deltas.push(Delta::Text(held));
        }
        let finish = match ending {
            Ending::CutOff => Finish::Length,
            Ending::Done if self.calls > 0 => Finish::ToolCalls,
            Ending::Done => Finish::Stop,
        };
        (Spoken { deltas, made }, finish)
    }

    fn read(&mut self, text: &str) -> Vec<Piece> {
        match &mut self.reader {
            _ if text.is_empty() => Vec::new(),
            Reader::Text => vec![Piece::Text(text.to_owned())],
            Reader::Calls(splitter) => splitter.push(text),
            Reader::Forced(forced) => forced.push(text),
        }
    }

    fn speak(&mut self, pieces: Vec<Piece>, deltas: &mut Vec<Delta>) -> Option<Finish> {
        for piece in pieces {
            match piece {
                // A stop text ends what is said, not what is handed to a tool.
                Piece::Text(text) => {
                    let passed = self.stop.push(&text);
                    if !passed.text.is_empty() {
                        deltas.push(Delta::Text(passed.text));
                    }
                    if let Some(found) = passed.found {
                        return Some(Finish::StopSequence(Some(found.which)));
                    }
                }
                Piece::Call { .. } if self.calls == self.call_limit => return Some(Finish::ToolCalls),
                Piece::Call { name } => {
                    let held = self.stop.finish();
                    if !held.is_empty() {
                        deltas.push(Delta::Text(held));
                    }
                    let id = format!("call_{:016x}{:08x}", self.ids.next(), self.ids.next() as u32);
                    deltas.push(Delta::ToolCall { index: self.calls, id, name });
                    self.calls += 1;
                }
                Piece::Arguments(fragment) => {
                    let index = self.calls.saturating_sub(1);
                    deltas.push(Delta::Arguments { index, fragment });
                }
            }
        }
        None
    }
}
