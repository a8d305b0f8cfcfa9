//! The form byte by byte, whatever the chunks, and what is damaged or too long.

use proptest::prelude::*;

use super::*;

/// A message with these text headers.
pub(in crate::dialect) fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        text_header(name, value, &mut block);
    }
    framed(&block, payload.as_bytes())
}

/// An event of this type.
pub(in crate::dialect) fn event(name: &str, payload: &str) -> Vec<u8> {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    message(&headers, payload)
}

/// An exception of this type.
pub(in crate::dialect) fn exception(name: &str, payload: &str) -> Vec<u8> {
    let headers = [(":exception-type", name), (":content-type", "application/json"), (":message-type", "exception")];
    message(&headers, payload)
}

fn text_header(name: &str, value: &str, block: &mut Vec<u8>) {
    block.push(name.len() as u8);
    block.extend_from_slice(name.as_bytes());
    block.push(7);
    block.extend_from_slice(&(value.len() as u16).to_be_bytes());
    block.extend_from_slice(value.as_bytes());
}

fn framed(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&((16 + headers.len() + payload.len()) as u32).to_be_bytes());
    out.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

type Read = (Option<String>, String, Vec<u8>, bool);

fn read(stream: &[u8], chunk: usize, limit: usize) -> (Vec<Read>, Option<Broken>) {
    let mut splitter = Splitter::new(limit);
    let mut out = Vec::new();
    for bytes in stream.chunks(chunk.max(1)) {
        splitter.push(bytes);
        while let Some(event) = splitter.next() {
            match event {
                Ok(Event { event, data, raw, keep_alive }) => {
                    out.push((event.map(str::to_owned), data.into_owned(), raw.to_vec(), keep_alive));
                }
                Err(broken) => return (out, Some(broken)),
            }
        }
    }
    (out, None)
}

/// The smallest message, and one with a header and a payload, as the form's own description gives them.
#[test]
fn bytes_that_are_known_are_read() {
    let empty = [0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
    assert_eq!(read(&empty, 1, 64), (vec![(None, String::new(), empty.to_vec(), true)], None));
    let mut with_payload = vec![0, 0, 0, 0x1d, 0, 0, 0, 0, 0xfd, 0x52, 0x8c, 0x5a];
    with_payload.extend_from_slice(b"{'foo':'bar'}");
    with_payload.extend_from_slice(&[0xc3, 0x65, 0x39, 0x36]);
    assert_eq!(read(&with_payload, 5, 64).0[0].1, "{'foo':'bar'}");
}

#[test]
fn exceptions_and_errors_are_told_from_events() {
    let mut stream = event("messageStart", r#"{"role":"assistant"}"#);
    stream.extend(exception("throttlingException", r#"{"message":"slow down"}"#));
    let error = [(":message-type", "error"), (":error-code", "InternalError"), (":error-message", "a \"bug\"")];
    stream.extend(message(&error, ""));
    let (events, broken) = read(&stream, 7, 1 << 16);
    assert_eq!(broken, None);
    let said: Vec<_> = events.iter().map(|(name, data, ..)| (name.as_deref(), data.as_str())).collect();
    assert_eq!(
        said,
        [
            (Some("messageStart"), r#"{"role":"assistant"}"#),
            (Some("throttlingException"), r#"{"message":"slow down"}"#),
            (Some("error"), r#"{"code":"InternalError","message":"a \"bug\""}"#),
        ]
    );
}

#[test]
fn headers_of_every_type_are_passed_over() {
    let mut block = Vec::new();
    for (kind, value) in [
        (0, &[][..]),
        (1, &[]),
        (2, &[1]),
        (3, &[1; 2]),
        (4, &[1; 4]),
        (5, &[1; 8]),
        (6, &[0, 3, 9, 9, 9]),
        (8, &[1; 8]),
        (9, &[1; 16]),
    ] {
        block.extend_from_slice(&[1, b'x', kind]);
        block.extend_from_slice(value);
    }
    text_header(":event-type", "metadata", &mut block);
    let (events, broken) = read(&framed(&block, b"{}"), 3, 1 << 16);
    assert_eq!((events[0].0.as_deref(), broken), (Some("metadata"), None));
    for damaged in [&[1, b'x', 10][..], &[9, b'x'], &[1, b'x', 7, 0, 200, b'y'], &[1]] {
        let (events, broken) = read(&framed(damaged, b"{}"), 3, 1 << 16);
        assert!(events.is_empty() && matches!(broken, Some(Broken::Malformed(_))), "{damaged:?}");
    }
}

#[test]
fn a_long_message_is_refused_before_it_is_waited_for() {
    let long = event("contentBlockDelta", &"x".repeat(2000));
    assert_eq!(read(&long[..12], 12, 1024).1, Some(Broken::Oversized { limit: 1024 }));
    assert_eq!(read(&long, 100, 4096).0.len(), 1);
}

#[test]
fn what_is_no_such_stream_is_told_at_once() {
    for text in ["data: {\"x\":1}\n\n", "<html><body>502</body></html>", "{\"message\":\"no\"}"] {
        assert!(matches!(read(text.as_bytes(), 64, 4096).1, Some(Broken::Malformed(_))), "{text}");
    }
}

proptest! {
    #[test]
    fn any_split_reads_the_same(
        payloads in prop::collection::vec("\\PC{0,80}", 1..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let frames: Vec<Vec<u8>> = payloads.iter().map(|payload| event("e", payload)).collect();
        let stream = frames.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let mut splitter = Splitter::new(1 << 16);
        let (mut data, mut raw) = (Vec::new(), Vec::new());
        for pair in cuts.windows(2) {
            splitter.push(&stream[pair[0]..pair[1]]);
            while let Some(event) = splitter.next() {
                let event = event.expect("it is whole");
                data.push(event.data.clone().into_owned());
                raw.extend_from_slice(event.raw);
            }
        }
        prop_assert_eq!(data, payloads);
        prop_assert_eq!(raw, stream);
    }

    #[test]
    fn no_flipped_bit_goes_unseen(payload in "\\PC{0,40}", at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut stream = event("e", &payload);
        let at = at.index(stream.len());
        stream[at] ^= 1 << bit;
        // A length that grew is waited for; everything else is told.
        prop_assert!(read(&stream, 16, 1 << 16).0.is_empty());
    }

    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200), chunk in 1..50_usize) {
        let _ = read(&bytes, chunk, 100);
        let _ = read(&framed(&bytes, &[]), chunk, 1000);
    }
}
