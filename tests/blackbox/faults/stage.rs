//! One quadrant on the stage: for each row a primary of its own, one good fallback, one gateway; all rows at once, bounded.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::{
    saw::{self, Mode},
    speech::{RESCUED, Speech},
    table::{Expect, Fault, Primary, Row},
    truth::Happened,
};
use crate::kit::{
    client::{Client, anthropic_question, question, try_send},
    config::Config,
    gateway::Gateway,
    home::Home,
    places::Place,
    vendor::{Reply, Say, Vendor},
};

/// The bounds that the routes name. Long enough for a busy machine, and waited for side by side.
const DEADLINES: &str = "{ connect: 500ms, first_token: 2500ms, idle: 2500ms, attempt: 2500ms, total: 8s }";
pub const ATTEMPT: Duration = Duration::from_millis(2500);
pub const TOTAL: Duration = Duration::from_secs(8);
/// How much later than its bound a call may end on a busy machine.
pub const GRACE: Duration = Duration::from_secs(3);

/// How many rows are asked at the same time.
const AT_ONCE: usize = 24;

/// Every vendor's key.
pub const SECRET: &str = "sk-fault-suite-key-7f3a";

/// A row, set up.
pub struct Case {
    pub name: &'static str,
    /// Names its vendor entry and its route.
    pub id: String,
    pub mode: Mode,
    pub expect: Expect,
    /// Where a redirect points.
    pub elsewhere: Option<Vendor>,
    base_url: String,
    fake: Option<Vendor>,
    _place: Option<Place>,
}

/// All rows of the table, for primaries that speak `vendor`.
pub async fn set_up(table: &[Fault], vendor: Speech) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, fault) in table.iter().enumerate() {
        for (mode, row) in [(Mode::Whole, fault.whole), (Mode::Streamed, fault.streamed)] {
            if let Some(row) = row {
                cases.push(Case::new(number, fault.name, mode, row, vendor).await);
            }
        }
    }
    cases
}

/// Asks every case once, and gives what happened in the cases' order.
pub async fn play(gateway: &Gateway, cases: &[Case], caller: Speech) -> Vec<Happened> {
    let client = gateway.client();
    let one = async |(place, case)| (place, ask(&client, case, caller).await);
    let mut all: Vec<_> = stream::iter(cases.iter().enumerate()).map(one).buffer_unordered(AT_ONCE).collect().await;
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, happened)| happened).collect()
}

/// The installation for `cases`: a vendor entry and a route for each, so that no row's breaker is another's.
pub async fn install(cases: &[Case], vendor: Speech) -> (Home, Vendor) {
    let (good, kind) = match vendor.other() {
        Speech::OpenAi => (Vendor::openai(Say::Text(RESCUED)).await, "openai"),
        Speech::Anthropic => (Vendor::anthropic(Say::Text(RESCUED)).await, "anthropic"),
    };
    let mut config = Config::warn().vendor_with("good", &fields(kind, &format!("{}/v1", good.url())));
    for case in cases {
        config = config.vendor_with(&case.id, &fields(vendor.kind(), &case.base_url));
        let targets = [&format!("{}/fake", case.id), "good/fake"];
        config = config.route_with(&case.id, &targets, &format!("deadlines: {DEADLINES}"));
    }
    // The fallback's baseline would rule after a hundred rows, and a busy machine is slower than it is used to.
    let config = config.more("latency: { min_samples: 1000000 }");
    let home = Home::new(&config.text());
    home.secret("suite", SECRET);
    (home, good)
}

fn fields(kind: &str, base_url: &str) -> String {
    format!("kind: {kind}, base_url: \"{base_url}\", secret: suite")
}

async fn ask(client: &Client, case: &Case, caller: Speech) -> Happened {
    let (path, mut body) = match caller {
        Speech::OpenAi => ("/v1/chat/completions", question(&case.id, "hi")),
        Speech::Anthropic => ("/v1/messages", anthropic_question(&case.id, "hi")),
    };
    if case.mode == Mode::Streamed {
        body["stream"] = json!(true);
    }
    let begin = Instant::now();
    let answer = try_send(client.post(path, &body)).await;
    let took = begin.elapsed();
    match answer {
        Ok(answer) => Happened { saw: saw::read(caller, case.mode, &answer), answer: Some(answer), took },
        Err(error) => Happened { saw: Err(format!("the gateway's answer broke: {error:?}")), answer: None, took },
    }
}

impl Case {
    async fn new(number: usize, name: &'static str, mode: Mode, row: Row, vendor: Speech) -> Self {
        let letter = if mode == Mode::Whole { 'w' } else { 's' };
        let mut case = Self {
            name,
            id: format!("f{number}{letter}"),
            mode,
            expect: row.expect,
            elsewhere: None,
            base_url: String::new(),
            fake: None,
            _place: None,
        };
        match row.primary {
            Primary::Says(says) => case.fake(Vendor::start(move |_, _| says(vendor)).await),
            Primary::SendsElsewhere(status) => {
                let other = Vendor::start(move |_, _| Reply::json(200, &vendor.whole())).await;
                let there = format!("{}/v1/chat/completions", other.url());
                case.elsewhere = Some(other);
                let redirect = move |_: usize, _: &_| Reply::json_with(status, ("location", &there), &json!({}));
                case.fake(Vendor::start(redirect).await);
            }
            Primary::ClosedPort => case.place("http", Place::closed_port()),
            Primary::Unresolvable => case.base_url = "http://nowhere.invalid/v1".to_owned(),
            Primary::BlackHole => case.place("http", Place::black_hole().await),
            Primary::PlainTextForTls => case.place("https", Place::plain_text().await),
            Primary::MuteForTls => case.place("https", Place::mute().await),
            Primary::SelfSigned => case.place("https", Place::self_signed().await),
            Primary::TlsForPlainText => case.place("http", Place::self_signed().await),
        }
        case
    }

    fn fake(&mut self, fake: Vendor) {
        self.base_url = format!("{}/v1", fake.url());
        self.fake = Some(fake);
    }

    fn place(&mut self, scheme: &str, place: Place) {
        self.base_url = format!("{scheme}://{}/v1", place.address());
        self._place = Some(place);
    }

    /// How many questions the primary heard, where it is one that hears.
    pub fn heard(&self) -> Option<usize> {
        self.fake.as_ref().map(Vendor::seen_count)
    }
}
