//! `backstop bench local`: what it says of this machine, and what a server beside it can do to it.

use serde_json::{Value, json};

use super::{
    config::Config,
    prepared::{self, TARGET},
    vendor::{End, Piece, Reply, Say, Vendor},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_fails_is_named_and_what_was_measured_is_kept() {
    let _turn = prepared::turn().await;
    // Its probe and its first row are answered; then a stream breaks off in the middle, as one of a server that dies.
    let other = Vendor::start(|number, seen| match number {
        0..2 => Reply::openai(seen, &Say::Text("yes")),
        _ => {
            let begun = json!({"choices": [{"index": 0, "delta": {"content": "y"}, "finish_reason": null}]});
            let error = json!({"error": {"message": "out of memory", "type": "server_error"}});
            let piece = |data: &Value| Piece::Text(format!("data: {data}\n\n"));
            Reply::Stream { pieces: vec![piece(&begun), piece(&error)], end: End::Whole }
        }
    })
    .await;
    let home = prepared::home(&Config::strict().route("chat", &[TARGET]).text());
    let base = format!("{}/v1", other.url());
    let ran = home.run(&[
        "bench",
        "local",
        "--clients",
        "1,2,3",
        "--rounds",
        "1",
        "--prompt",
        "12",
        "--output",
        "3",
        "--against",
        &base,
        "--format",
        "json",
    ]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("a report");
    let rows: Vec<(bool, u64)> = report["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| (row["server"] == "backstop", row["clients"].as_u64().expect("a number")))
        .collect();
    assert_eq!(rows, [(true, 1), (false, 1), (true, 2), (true, 3)]);
    let failure = &report["failures"][0];
    assert_eq!((&failure["server"], &failure["clients"]), (&json!(other.url()["http://".len()..]), &json!(2)));
    assert!(failure["why"].as_str().is_some_and(|why| why.contains("out of memory")), "{failure}");

    let share = |name: &str| report["of_limits"][name].as_f64().expect("a share");
    assert!(share("memory") > 0.0 && share("arithmetic") > 0.0 && share("arithmetic") < 1.0, "{report:#}");
    // The yardstick reads 256 MiB, which are none of the model's.
    let (peak, file) = (report["peak_bytes"].as_u64(), report["file_bytes"].as_u64());
    assert!(peak.zip(file).is_some_and(|(peak, file)| peak > file && peak < 256 << 20), "{report:#}");
}
