//! An answer that is lost after the act: the verb asks once more, and the act is done once.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use super::super::{home, token};
use crate::admin::remote::Desk;

/// Hands requests on to `to`, one a connection; the first answer to a write never arrives. Ends with the test.
fn losing_proxy(to: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("is bound"));
    std::thread::spawn(move || {
        let mut lost = false;
        for client in listener.incoming().map_while(Result::ok) {
            let Some((request, writes)) = request(&client) else { continue };
            let mut upstream = TcpStream::connect(&to).expect("the gateway listens");
            upstream.write_all(&request).expect("takes the request");
            let mut answer = Vec::new();
            upstream.read_to_end(&mut answer).expect("answers");
            if writes && !lost {
                lost = true;
                continue;
            }
            let _ = (&client).write_all(&answer);
        }
    });
    url
}

/// One request as it came, but that its connection ends with the answer; and whether it does something.
fn request(client: &TcpStream) -> Option<(Vec<u8>, bool)> {
    let mut reader = BufReader::new(client);
    let (mut head, mut length, mut writes) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if head.is_empty() {
            writes = !line.starts_with("GET");
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(([format!("{head}connection: close\r\n\r\n").as_bytes(), &body].concat(), writes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_is_done_once() {
    let (home, _vendor) = home("").await;
    let gateway = home.serve();
    let token = token(&home, "release-manager");
    let there = Desk::at(&gateway, &token).await;
    let address = there.url().trim_start_matches("http://").to_owned();
    let desk = || Desk::new(&losing_proxy(address.clone()), &token);
    let made = desk().ok(&["release", "propose", "chat", "--targets", "near/fake-2", "--reason", "newer"]);
    assert!(made.starts_with("release 2 of chat"), "the first one's answer: {made}");
    desk().ok(&["tenants", "add", "initech"]);
    assert_eq!(home.json(&["audit", "list", "--action", "release.propose"]).as_array().map(Vec::len), Some(1));
    assert_eq!(home.json(&["audit", "list", "--action", "tenant.add"]).as_array().map(Vec::len), Some(1));
    // A key is shown once, and that answer is gone.
    let lost = desk().run(&["keys", "issue", "--tenant", "initech"]);
    assert!(lost.code == Some(1) && lost.stderr.contains("rotate it"), "{lost:?}");
    assert_eq!(
        home.json(&["audit", "list", "--action", "key.issue"]).as_array().map(Vec::len),
        Some(2),
        "and serve's own"
    );
}
