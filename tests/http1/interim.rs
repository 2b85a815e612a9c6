//! What a client gets before its request has ended: interim responses, and final ones that come early.

use std::time::{Duration, Instant};

use super::origin::{Origin, Reply};
use super::{Connection, before, only};

#[test]
fn interim_responses_are_forwarded() {
    let origin = Origin::new(|_| {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        Reply::new(format!(
            "{hints}{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        ))
    });
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        connection.head(),
        (103, vec![("link".into(), "</a>".into())])
    );
    assert_eq!(connection.head().0, 103);
    assert_eq!(connection.response().text(), "ok");
    connection.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(
        connection.head().0,
        200,
        "HTTP/1.0 knows no interim responses"
    );
}

#[test]
fn a_client_that_waits_for_100_gets_the_origins() {
    let origin = Origin::new(|_| Reply::new("HTTP/1.1 100 Continue\r\n\r\n").early());
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    connection
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(connection.head().0, 100);
    assert_eq!(only(&origin).fields("expect"), ["100-continue"]);
}

#[test]
fn a_client_that_waits_for_100_in_vain_is_told_to_go_on() {
    let origin = Origin::new(|_| Reply::ok("read"));
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    let begin = Instant::now();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    connection.send(head);
    assert_eq!(connection.head(), (100, vec![]));
    assert!(
        begin.elapsed() >= Duration::from_secs(1),
        "the server might"
    );
    connection.send("hello");
    assert_eq!(connection.response().text(), "read");
    assert_eq!(only(&origin).body, b"hello");
    // Who has begun by itself needs no word.
    connection.send(format!("{head}h"));
    std::thread::sleep(Duration::from_millis(1_500));
    connection.send("ello");
    assert_eq!(connection.response().text(), "read");
}

const TOO_LARGE: &str =
    "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlong";

#[test]
fn an_early_response_reaches_a_client_that_is_still_sending() {
    let origin = Origin::new(move |_| Reply::new(TOO_LARGE).early());
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    connection
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nonly the beginning");
    let response = connection.response();
    assert_eq!((response.status, response.text().as_str()), (413, "long"));
    assert_eq!(response.field("connection"), Some("close"));
}

#[test]
fn an_early_response_is_kept_for_a_client_that_sends_everything_first() {
    let origin = Origin::new(move |_| Reply::new(TOO_LARGE).early());
    let (_weir, address) = before(&origin);
    let mut connection = Connection::open(address);
    let body = "x".repeat(32 << 20);
    connection.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(connection.response().status, 413);
}
