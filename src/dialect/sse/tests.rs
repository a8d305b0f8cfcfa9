//! The splitter against the WHATWG rules, and against every way of cutting a stream.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    event: Option<String>,
    data: String,
    raw: Vec<u8>,
    keep_alive: bool,
}

fn split(chunks: &[&[u8]], limit: usize) -> Result<Vec<Owned>, Oversized> {
    let mut splitter = Splitter::new(limit);
    let mut events = Vec::new();
    let take = |splitter: &mut Splitter, events: &mut Vec<Owned>| {
        while let Some(event) = splitter.next() {
            let Event { event, data, raw, keep_alive } = event?;
            let event = event.map(str::to_owned);
            events.push(Owned { event, data: data.into_owned(), raw: raw.to_vec(), keep_alive });
        }
        Ok(())
    };
    for chunk in chunks {
        splitter.push(chunk);
        take(&mut splitter, &mut events)?;
    }
    splitter.end();
    take(&mut splitter, &mut events)?;
    Ok(events)
}

fn all(stream: &str) -> Vec<Owned> {
    split(&[stream.as_bytes()], 4096).expect("it is short")
}

#[test]
fn fields_follow_the_standard() {
    let stream = "\u{feff}event: add\ndata: one\ndata:two\ndata:  three\nid: 7\n\n: ping\n\ndata\n\nevent: x\n\n";
    let events = all(stream);
    let said: Vec<_> =
        events.iter().map(|event| (event.event.as_deref(), event.data.as_str(), event.keep_alive)).collect();
    assert_eq!(
        said,
        [(Some("add"), "one\ntwo\n three", false), (None, "", true), (None, "", false), (Some("x"), "", true)]
    );
    assert_eq!(events.iter().flat_map(|event| event.raw.clone()).collect::<Vec<_>>(), stream.as_bytes());
}

#[test]
fn lines_may_end_in_any_way() {
    for end in ["\n", "\r", "\r\n"] {
        let stream = format!("data: a{end}data: b{end}{end}data: c{end}{end}");
        let data: Vec<_> = all(&stream).into_iter().map(|event| event.data).collect();
        assert_eq!(data, ["a\nb", "c"], "with {end:?}");
    }
}

#[test]
fn a_cut_line_at_the_end_is_no_event_but_a_missing_blank_line_is_forgiven() {
    assert_eq!(all("data: a\n\ndata: {\"hal"), all("data: a\n\n"));
    assert_eq!(all("data: [DONE]\n")[0].data, "[DONE]");
}

#[test]
fn an_event_past_the_bound_is_an_error_whole_or_not() {
    assert_eq!(split(&[b"data: 0123456789\n\n"], 18).expect("it fits").len(), 1);
    assert_eq!(split(&[b"data: 0123456789\n\n"], 17), Err(Oversized { limit: 17 }));
    assert_eq!(split(&[b"data: 0123", b"456789"], 15), Err(Oversized { limit: 15 }));
}

#[test]
fn bytes_that_are_no_text_do_not_stop_the_stream() {
    assert_eq!(split(&[b"data: \xff\n\n"], 64).expect("it fits")[0].data, "\u{fffd}");
}

proptest! {
    #[test]
    fn every_split_of_a_stream_parses_the_same(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "data: x", "data:é漢", "data", "event: y", "event:", ": ping", "id: 1", "\u{feff}", "\n", "\n", "\r", "\r\n", " ", "",
        ]), 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = pieces.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        let whole = split(&[&stream], 4096).expect("it is short");
        prop_assert_eq!(split(&chunks, 4096).expect("it is short"), whole.clone());
        let bytes: Vec<_> = stream.chunks(1).collect();
        prop_assert_eq!(split(&bytes, 4096).expect("it is short"), whole.clone());
        let raw: Vec<u8> = whole.into_iter().flat_map(|event| event.raw).collect();
        prop_assert!(stream.starts_with(&raw) || [&stream[..], b"\n"].concat() == raw);
    }
}
