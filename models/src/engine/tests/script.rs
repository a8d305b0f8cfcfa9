//! A model whose answers are written down, and an engine around it.

use super::*;
use crate::arch::{ForwardError, Piece, Scratch};
use crate::cache::{Cache, CacheShape};
use crate::kernel::BLOCK;

/// What the scripted model does instead of computing.
#[derive(Clone)]
pub(super) enum Step {
    Say(u32),
    Panic,
    NotANumber,
    /// The step fails without a panic.
    Fail,
}

/// A model whose answers are written down. Each step waits for the gate, where there is one.
struct Script {
    answers: Arc<Mutex<VecDeque<Vec<Step>>>>,
    gate: Option<Arc<Mutex<std_mpsc::Receiver<()>>>>,
    rows: usize,
    lines: Mutex<Vec<Line>>,
    /// How many sequences each step had.
    widths: Arc<Mutex<Vec<usize>>>,
}

/// A sequence that is being answered.
struct Line {
    answer: Vec<Step>,
    at: usize,
    /// Its length after the last step, and the block that its last token is in.
    place: (usize, u32),
}

impl Script {
    fn row(&self, piece: &Piece<'_>) -> Result<Vec<f32>, ForwardError> {
        let (start, blocks) = (piece.sequence.len(), piece.sequence.blocks());
        let mut lines = self.lines.lock().expect("no test panics in it");
        let known = lines.iter_mut().rev().find(|line| start > 0 && line.place == (start, blocks[(start - 1) / BLOCK]));
        let line = match known {
            Some(line) => {
                if matches!((piece.tokens, line.answer.get(line.at)), ([fed], Some(Step::Say(said))) if fed == said) {
                    line.at += 1;
                }
                line
            }
            None => {
                let answer = self.answers.lock().expect("no test panics in it").pop_front().expect("an answer is left");
                lines.push(Line { answer, at: 0, place: (0, 0) });
                lines.last_mut().expect("it was pushed")
            }
        };
        let end = start + piece.tokens.len();
        line.place = (end, blocks[(end - 1) / BLOCK]);
        let mut logits = vec![0.0; self.rows];
        match line.answer.get(line.at) {
            Some(Step::Say(token)) => logits[*token as usize] = 50.0,
            Some(Step::NotANumber) => logits[0] = f32::NAN,
            Some(Step::Fail) => return Err(ForwardError("as the test wants".to_owned())),
            Some(Step::Panic) => {
                drop(lines);
                panic!("as the test wants")
            }
            None => logits[2] = 50.0,
        }
        Ok(logits)
    }
}

impl Forward for Script {
    fn cache_shape(&self) -> CacheShape {
        CacheShape { layers: 1, kv_heads: 1, head_width: 1 }
    }

    fn vocabulary(&self) -> usize {
        self.rows
    }

    fn forward(
        &self,
        batch: &[Piece<'_>],
        _: &mut Cache,
        _: &mut Scratch,
        logits: &mut Vec<f32>,
    ) -> Result<(), ForwardError> {
        logits.clear();
        self.widths.lock().expect("no test panics in it").push(batch.len());
        if let Some(gate) = &self.gate {
            // An error means that the test lets everything through.
            let _ = gate.lock().expect("no test panics in it").recv();
        }
        for piece in batch {
            // What is fed in parts is one prompt.
            let row = self.row(piece)?;
            (0..piece.want.rows(piece.tokens.len())).for_each(|_| logits.extend(&row));
        }
        Ok(())
    }
}

pub(super) fn alone(queue: usize) -> EngineOptions {
    // What is scripted is said token by token.
    EngineOptions { queue, running: 1, cache_bytes: 1 << 20, lookup_tokens: 0, ..EngineOptions::default() }
}

pub(super) struct Scripted {
    pub(super) engine: Engine,
    pub(super) answers: Arc<Mutex<VecDeque<Vec<Step>>>>,
    pub(super) loads: Arc<Mutex<usize>>,
    pub(super) widths: Arc<Mutex<Vec<usize>>>,
    /// Lets one step through; dropping it lets all.
    pub(super) gate: Option<std_mpsc::Sender<()>>,
    pub(super) model: Arc<Model>,
}

impl Scripted {
    /// One that answers one call after the other.
    pub(super) fn new(queue: usize) -> Self {
        Self::start(alone(queue), None)
    }

    pub(super) fn gated(queue: usize) -> Self {
        Self::gated_with(alone(queue))
    }

    pub(super) fn gated_with(options: EngineOptions) -> Self {
        let (open, gate) = std_mpsc::channel();
        let mut scripted = Self::start(options, Some(Arc::new(Mutex::new(gate))));
        scripted.gate = Some(open);
        scripted
    }

    pub(super) fn start(options: EngineOptions, gate: Option<Arc<Mutex<std_mpsc::Receiver<()>>>>) -> Self {
        Self::start_with(options, gate, &[])
    }

    /// As [`Self::start`], with answers that are there before the engine is.
    pub(super) fn start_with(
        options: EngineOptions,
        gate: Option<Arc<Mutex<std_mpsc::Receiver<()>>>>,
        first: &[Vec<Step>],
    ) -> Self {
        let written = Tiny::new().write();
        let header = load::read_header(&written.files).expect("it is sound");
        let model = Model::open(&written.files, &header, None, Device::Cpu).expect("it is sound");
        let rows = model.vocabulary.len();
        let answers: Arc<Mutex<VecDeque<Vec<Step>>>> = Arc::new(Mutex::new(first.iter().cloned().collect()));
        let loads: Arc<Mutex<usize>> = Arc::default();
        let widths: Arc<Mutex<Vec<usize>>> = Arc::default();
        let (theirs, counter, seen) = (Arc::clone(&answers), Arc::clone(&loads), Arc::clone(&widths));
        let loader = move || {
            *counter.lock().expect("no test panics in it") += 1;
            let (answers, gate) = (Arc::clone(&theirs), gate.clone());
            let (lines, widths) = (Mutex::default(), Arc::clone(&seen));
            Ok(Box::new(Script { answers, gate, rows, lines, widths }) as Box<dyn Forward>)
        };
        let hold = options.machine.memory.take(1 << 20).expect("there is memory");
        let Ok(engine) = Engine::spawn(model, options, (1 << 20, hold), Box::new(loader)) else { panic!("it starts") };
        let model = Arc::clone(&engine.shared.model);
        Self { engine, answers, loads, widths, gate: None, model }
    }

    pub(super) fn will(&self, steps: Vec<Step>) {
        self.answers.lock().expect("no test panics in it").push_back(steps);
    }

    pub(super) fn will_say(&self, text: &str) {
        let tokens = self.model.vocabulary.encode(text).expect("it is text");
        self.will(tokens.into_iter().map(Step::Say).collect());
    }

    pub(super) fn loads(&self) -> usize {
        *self.loads.lock().expect("no test panics in it")
    }

    pub(super) async fn answer(&self, chat: Chat) -> Result<Answer, EngineFault> {
        whole(self.engine.ask(chat)?).await
    }
}
