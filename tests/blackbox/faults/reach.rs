//! Faults of the way to a vendor: names, ports, connections, and bytes that are not HTTP.

use std::time::Duration;

use super::fault::{Fault, Mode, Place, fault, raw, unreachable};
use crate::vendor::{End, Piece, Reply};

pub fn all() -> Vec<Fault> {
    vec![
        unreachable("closed-port", Place::Closed).rescued("connect_refused"),
        // A resolver that has nobody to ask may take longer than the connect deadline.
        unreachable("unresolvable", Place::Unresolvable).rescued("dns|connect_timeout"),
        unreachable("black-hole", Place::BlackHole).rescued("connect_timeout"),
        unreachable("tls-to-plain-text", Place::PlainTls).rescued("tls"),
        unreachable("tls-cut-in-the-handshake", Place::TlsCut).rescued("tls"),
        fault("reset-before-the-reply", |_| Reply::Reset).rescued("reset"),
        fault("closed-before-the-reply", |_| raw("", End::Cut)).rescued("reset"),
        fault("reset-after-the-head", |scene| {
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: 512\r\n\r\n", scene.media_type());
            raw(head, End::Reset)
        })
        .rescued("reset|truncated"),
        fault("reset-in-the-body", |scene| {
            let good = scene.good();
            let part = &good[..if scene.mode == Mode::Whole { good.len() / 2 } else { 20 }];
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: ", scene.media_type());
            raw(format!("{head}{}\r\n\r\n{part}", good.len()), End::Reset)
        })
        .rescued("reset|truncated"),
        fault("not-http", |_| raw("SSH-2.0-OpenSSH_9.6\r\n\r\n", End::Cut)).rescued("malformed"),
        fault("half-a-status-line", |_| raw("HTTP/1.1 20", End::Cut)).rescued("reset|malformed"),
        fault("endless-headers", |_| {
            let line = format!("x-padding: {}\r\n", "y".repeat(4000));
            let pieces = vec![Piece::Text("HTTP/1.1 200 OK\r\n".into()), Piece::Repeat(line, Duration::from_millis(1))];
            Reply::Raw { pieces, end: End::Cut }
        })
        .rescued("malformed|too_large"),
        fault("nonsense-for-a-chunk", |scene| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\n", scene.media_type());
            raw(format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\nwhat\r\n"), End::Whole)
        })
        .rescued("malformed|reset"),
        fault("length-that-is-too-short", |scene| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\n", scene.media_type());
            raw(format!("{head}content-length: 20\r\n\r\n{}", scene.good()), End::Whole)
        })
        .rescued("malformed|truncated"),
        fault("early-hints-first", |scene| {
            let (type_, good) = (scene.media_type(), scene.good());
            let head = format!("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: {type_}\r\n");
            raw(format!("{head}content-length: {}\r\n\r\n{good}", good.len()), End::Whole)
        })
        .answered(),
        fault("silence", |_| Reply::Silence).rescued("late"),
        fault("silence-after-the-head", |scene| {
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: 512\r\n\r\n", scene.media_type());
            raw(head, End::Silence)
        })
        .rescued("late"),
        fault("redirect-302", |scene| {
            let to = format!("{}/v1/elsewhere", scene.trap);
            Reply::json_with(302, ("location", &to), &serde_json::json!({}))
        })
        .rescued("redirected"),
        fault("redirect-307", |scene| Reply::json_with(307, ("location", scene.trap), &serde_json::json!({})))
            .rescued("redirected"),
        fault("redirect-301-to-itself", |_| Reply::json_with(301, ("location", ""), &serde_json::json!({})))
            .rescued("redirected"),
    ]
}
