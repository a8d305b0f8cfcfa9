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
    for end in ["\n", "\r", "\r\n"] {
        assert_eq!(all(&format!("data: [DONE]{end}"))[0].data, "[DONE]", "with {end:?}");
    }
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

/// The standard's algorithm, read off its text: the whole stream at once, line by line. Slow, and hard to get wrong.
fn by_the_book(stream: &[u8]) -> Vec<(Option<String>, String)> {
    let text = stream.strip_prefix(BOM).unwrap_or(stream);
    let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
    let mut at = 0;
    while at < text.len() {
        match &text[at..] {
            [b'\r', b'\n', ..] => {
                at += 1;
                lines.push(Vec::new());
            }
            [b'\r' | b'\n', ..] => lines.push(Vec::new()),
            [byte, ..] => lines.last_mut().expect("there is always a line").push(*byte),
            [] => {}
        }
        at += 1;
    }
    // What no line end follows is no line, and its event is none. Where all lines are whole, a missing blank one is forgiven.
    if lines.pop().is_some_and(|rest| rest.is_empty()) {
        lines.push(Vec::new());
    }
    let (mut out, mut name, mut data) = (Vec::new(), None, None::<Vec<String>>);
    for line in lines {
        if line.is_empty() {
            if let Some(data) = data.take() {
                out.push((name.take(), data.join("\n")));
            }
            name = None;
            continue;
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            // A name that is no text is none that anybody waits for.
            "event" => name = Some(value).filter(|name| !name.is_empty() && !name.contains('\u{fffd}')),
            "data" => data.get_or_insert_default().push(value),
            _ => {}
        }
    }
    out
}

/// `stream` cut at `cuts`, whatever falls there: the middle of a character, of a CRLF, of the byte order mark.
fn cut<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect()
}

/// What streams are made of, and what they should not be.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let text: Vec<&[u8]> = vec![
        b"data: x",
        "data:\u{e9}\u{6f22}".as_bytes(),
        b"data",
        b"data: {\"a\": 1}",
        b"event: y",
        b"event:",
        b": ping",
        b"id: 1",
        b"retry: 9",
        BOM,
        "\u{1f600}".as_bytes(),
        b"\xff",
        b"\xe6\xbc",
        b"\0",
        b" ",
        b":",
        b"",
    ];
    let end: Vec<&[u8]> = vec![b"\n", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b""];
    let line = (prop::sample::select(text), prop::sample::select(end)).prop_map(|(text, end)| [text, end].concat());
    (any::<bool>(), prop::collection::vec(line, 0..32))
        .prop_map(|(marked, lines)| [if marked { BOM } else { b"" }, &lines.concat()].concat())
}

proptest! {
    #[test]
    fn every_split_of_a_stream_parses_the_same(
        stream in stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = split(&[&stream], 4096).expect("it is short");
        prop_assert_eq!(&split(&cut(&stream, &cuts), 4096).expect("it is short"), &whole);
        let bytes: Vec<_> = stream.chunks(1).collect();
        prop_assert_eq!(&split(&bytes, 4096).expect("it is short"), &whole);
        let raw: Vec<u8> = whole.iter().flat_map(|event| event.raw.clone()).collect();
        let completed = |end: &[u8]| [&stream[..], end].concat() == raw;
        prop_assert!(stream.starts_with(&raw) || completed(b"\n") || completed(b"\r"));
    }

    #[test]
    fn what_is_parsed_is_what_the_standard_says(stream in stream()) {
        let events = split(&[&stream], 4096).expect("it is short").into_iter().filter(|event| !event.keep_alive);
        let said: Vec<_> = events.map(|event| (event.event, event.data)).collect();
        prop_assert_eq!(said, by_the_book(&stream));
    }

    #[test]
    fn the_bound_holds_however_a_stream_is_cut(
        stream in stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        limit in 0_usize..40,
    ) {
        let whole = split(&[&stream], limit);
        prop_assert_eq!(&split(&cut(&stream, &cuts), limit), &whole);
        let bytes: Vec<_> = stream.chunks(1).collect();
        prop_assert_eq!(&split(&bytes, limit), &whole);
        prop_assert!(whole.into_iter().flatten().all(|event| event.raw.len() <= limit));
    }
}
