//! Measurements without a judge: meaning, log-likelihoods, and commands of the operator's.

use std::{collections::BTreeMap, time::Duration};

use backstop_models::{
    chat::{Answer, Chat, Finish, TokenLogprob, TokenText, Usage},
    embed::EmbedFault,
};

use super::*;
use crate::subject::{BoxFuture, Scored};

struct Alike;

impl Embeds for Alike {
    fn record(&self) -> EmbedderRecord {
        let of = |text: &str| text.to_owned();
        EmbedderRecord { model: of("m"), weights: of("w"), tokenizer: of("t"), config: of("c"), engine: of("e") }
    }

    /// Counts `a` and `b`.
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedFault>> {
        if texts[0].is_empty() {
            return Box::pin(async { Err(EmbedFault::Empty { index: 0 }) });
        }
        let count = |text: &String, letter| text.matches(letter).count() as f32;
        Box::pin(async move { Ok(texts.iter().map(|text| vec![count(text, 'a'), count(text, 'b')]).collect()) })
    }
}

#[tokio::test]
async fn similarity_is_measured_and_bound_to_its_model() {
    let suite = plain("{\"similar\":{\"to\":[\"b\",\"aab\"],\"at_least\":0.9}}");
    let bench = || Bench { embedder: Some(Box::new(Alike)), ..Bench::default() };
    let alike = ran(&suite, &puppet(|_| says("aaab", Finish::Stop)), bench()).await;
    assert_eq!(alike.verdict, Verdict::Pass);
    assert_eq!(alike.items[0].measured[0].found, Found::Similarity(0.989_949));
    alike.recheck(&suite).expect("it follows");
    let other = ran(&suite, &puppet(|_| says("a", Finish::Stop)), bench()).await;
    assert!(other.items[0].scores["g"].why[0].contains("0.894, at least 0.9"), "{:?}", other.items[0].scores);
    let empty = ran(&suite, &puppet(|_| says("", Finish::Stop)), bench()).await;
    assert_eq!((empty.verdict, empty.errors), (Verdict::Fail, 0), "an empty answer is the model's own miss");
    let edits: [fn(&mut Report); 3] = [
        |report| report.items[0].measured[0].found = Found::Similarity(0.1),
        |report| report.referees.embedder.as_mut().expect("there is one").weights = "other".into(),
        |report| report.referees.embedder = None,
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let mut edited = alike.clone();
        edit(&mut edited);
        assert!(edited.recheck(&suite).is_err(), "edit {number} was not seen");
    }
}

/// Knows the words of `likely` and holds them likelier the longer they are.
struct Scoring;

impl Subject for Scoring {
    fn name(&self) -> String {
        "local/scoring".into()
    }

    fn ask(&self, _: Chat) -> BoxFuture<'_, Result<Answer, SubjectError>> {
        Box::pin(async { Err(SubjectError::Failed("nobody asks for an answer".into())) })
    }

    fn score(&self, text: String) -> BoxFuture<'_, Result<Scored, SubjectError>> {
        // A word begins with the space before it.
        let begins: Vec<usize> = std::iter::once(0).chain(text.match_indices(' ').map(|(at, _)| at)).collect();
        let word = |index: usize| &text[begins[index]..begins.get(index + 1).copied().unwrap_or(text.len())];
        let tokens = (0..begins.len()).map(|index| {
            let token = TokenText(word(index).as_bytes().to_vec());
            let logprob = -8.0 / word(index).trim().len() as f32;
            TokenLogprob { top: vec![(token.clone(), logprob)], token, logprob: (index > 0).then_some(logprob) }
        });
        let tokens: Vec<TokenLogprob> = tokens.collect();
        Box::pin(async move { Ok(Scored { tokens, usage: Usage::default() }) })
    }
}

#[tokio::test]
async fn each_choice_is_a_question_of_its_own_for_the_pace() {
    let suite = plain("{\"likeliest\":{\"choices\":[\"four\",\"xx\"],\"answer\":0}}");
    let began = std::time::Instant::now();
    let options = RunOptions { per_minute: Some(6000), ..RunOptions::default() };
    run::run(&suite, &Scoring, options, &Silent).await;
    let questions = 2 * suite.items.len() as u64;
    // One in ten milliseconds, the first at once; a timer may come a millisecond early.
    assert!(began.elapsed() >= Duration::from_millis(9 * (questions - 1)), "{questions} in {:?}", began.elapsed());
}

#[tokio::test]
async fn the_likeliest_choice_is_by_log_likelihood_and_asks_for_no_answer() {
    // Sums: -2, -1 - 8, -4. By character: -2 / 4, -9 / 10, -4 / 2.
    let of = |right: usize, by: &str| {
        plain(&format!(
            "{{\"likeliest\":{{\"choices\":[\"four\",\"eightful x\",\"xx\"],\"answer\":{right},\"by\":\"{by}\",\"delimiter\":\" \"}}}}"
        ))
    };
    for (right, by, verdict) in [
        (0, "choice", Verdict::Pass),
        (1, "choice", Verdict::Fail),
        (0, "character", Verdict::Pass),
        (2, "byte", Verdict::Fail),
    ] {
        let suite = of(right, by);
        let report = ran(&suite, &Scoring, Bench::default()).await;
        assert_eq!((report.verdict, report.errors), (verdict, 0), "{right} {by}: {:?}", report.items[0]);
        assert!(report.items[0].answers.is_empty());
        report.recheck(&suite).expect("it follows");
    }
    let suite = of(0, "choice");
    let mut edited = ran(&suite, &Scoring, Bench::default()).await;
    let Found::Likelihoods(likelihoods) = &mut edited.items[0].measured[0].found else { panic!("they were measured") };
    likelihoods[1].sum = -0.1;
    assert!(edited.recheck(&suite).is_err(), "an edited log-likelihood is seen");
    let greedy = plain("{\"continues_with\":{\"text\":\" four\"}}");
    assert_eq!(ran(&greedy, &Scoring, Bench::default()).await.verdict, Verdict::Pass);
}

#[tokio::test]
async fn who_gives_no_log_likelihoods_misses_by_name() {
    let suite = plain("{\"likeliest\":{\"choices\":[\"a\",\"b\"],\"answer\":0}}");
    let report = ran(&suite, &puppet(|_| says("a", Finish::Stop)), Bench::default()).await;
    assert_eq!((report.verdict, report.errors), (Verdict::Fail, 0));
    assert!(
        report.items[0].refused.as_ref().is_some_and(|why| why.contains("log-likelihoods")),
        "{:?}",
        report.items[0]
    );
    report.recheck(&suite).expect("it follows");
}

/// A command for `sh`, where `$id` is the request's.
fn scorer(body: &str) -> Scorer {
    let script = format!(
        "while IFS= read -r line; do id=$(printf '%s' \"$line\" | sed 's/.*\"id\":\"\\([0-9]*\\)\".*/\\1/'); {body}; done"
    );
    let command = vec!["sh".to_owned(), "-c".to_owned(), script];
    Scorer::new("tone", ScorerCommand { command, timeout: Duration::from_millis(1500) }).expect("sh is there")
}

fn scored(body: &str) -> Bench {
    Bench { scorers: BTreeMap::from([("tone".to_owned(), scorer(body))]), ..Bench::default() }
}

const KIND: &str = r#"case "$line" in *kind*) echo "{\"id\":\"$id\",\"score\":0.9}";; *) echo "{\"id\":\"$id\",\"score\":0.2,\"why\":\"rude\"}";; esac"#;

#[tokio::test]
async fn a_command_of_the_operator_s_scores() {
    let suite = plain("{\"external\":{\"scorer\":\"tone\",\"parameters\":{\"at\":1},\"at_least\":0.8}}");
    let kind = ran(&suite, &puppet(|_| says("how kind", Finish::Stop)), scored(KIND)).await;
    assert_eq!(kind.verdict, Verdict::Pass, "{:?}", kind.items[0]);
    kind.recheck(&suite).expect("it follows");
    let rude = ran(&suite, &puppet(|_| says("go away", Finish::Stop)), scored(KIND)).await;
    assert_eq!(rude.verdict, Verdict::Fail);
    assert!(
        rude.items[0].scores["g"].why[0].contains("gives it 0.2, at least 0.8 is wanted: rude"),
        "{:?}",
        rude.items[0].scores
    );
    let edits: [fn(&mut Report); 2] = [
        |report| report.referees.scorers.get_mut("tone").expect("it is there").sha256 = "0".repeat(64),
        |report| report.referees.scorers.clear(),
    ];
    for edit in edits {
        let mut edited = kind.clone();
        edit(&mut edited);
        assert!(edited.recheck(&suite).is_err(), "a scorer that was swapped is seen");
    }
}

#[tokio::test]
async fn a_command_that_misbehaves_is_an_error_with_what_it_said() {
    let suite = plain("{\"external\":{\"scorer\":\"tone\"}}");
    for (body, why) in [
        ("echo 'no such word list' >&2; exit 3", "no such word list"),
        ("exit 3", "exit status: 3"),
        ("echo nonsense", "no verdict"),
        ("echo '{\"id\":\"77\",\"pass\":true}'", "was asked `1`"),
        ("echo \"{\\\"id\\\":\\\"$id\\\"}\"", "neither `pass` nor `score`"),
        ("echo \"{\\\"id\\\":\\\"$id\\\",\\\"score\\\":7}\"", "from 0 to 1"),
        ("sleep 60", "no verdict within 1.5s"),
        ("head -c 1100000 /dev/zero | tr '\\0' x", "longer than"),
    ] {
        let report = ran(&suite, &puppet(|_| says("x", Finish::Stop)), scored(body)).await;
        let error = report.items.iter().find_map(|item| item.error.clone()).unwrap_or_default();
        assert_eq!(report.verdict, Verdict::Inconclusive, "{body}");
        assert!(error.contains(why), "{body}: {error}");
    }
    let body = "echo \"{\\\"id\\\":\\\"$id\\\",\\\"pass\\\":true}\"";
    let script = format!(
        "while IFS= read -r line; do id=$(printf '%s' \"$line\" | sed 's/.*\"id\":\"\\([0-9]*\\)\".*/\\1/'); {body}; done; exit 9"
    );
    let command = ScorerCommand { command: vec!["sh".into(), "-c".into(), script], timeout: Duration::from_secs(5) };
    let scorer = Scorer::new("tone", command).expect("sh is there");
    let bench = Bench { scorers: BTreeMap::from([("tone".to_owned(), scorer)]), ..Bench::default() };
    let report = ran(&suite, &puppet(|_| says("x", Finish::Stop)), bench).await;
    assert_eq!(report.verdict, Verdict::Inconclusive, "one that ends badly is not relied on");
    assert!(report.why.iter().any(|why| why.contains("exit status: 9")), "{:?}", report.why);
    report.recheck(&suite).expect("it follows");
}
