//! How many ask, how much, and how long they may take. The clock moves only while nothing else does.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

fn listen() -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::listen(directory.path()).unwrap();
    (directory, server)
}

async fn connect(directory: &tempfile::TempDir) -> UnixStream {
    UnixStream::connect(directory.path().join(SOCKET))
        .await
        .unwrap()
}

/// A request whose text has so many bytes.
fn request(bytes: usize) -> String {
    let text = |name: String| {
        let service = Some(name);
        serde_json::to_string(&Request::Servers { service }).unwrap()
    };
    text("s".repeat(bytes - text(String::new()).len()))
}

/// What comes until the connection ends.
async fn rest(stream: &mut UnixStream) -> String {
    let mut all = Vec::new();
    // It may end with a reset: what came before counts.
    let _ = stream.read_to_end(&mut all).await;
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn a_request_is_as_long_as_it_may_be_and_no_longer() {
    let (directory, mut server) = listen();
    let mut stream = connect(&directory).await;
    let longest = request(ADMIN_REQUEST_BYTES_MAX) + "\n";
    stream.write_all(longest.as_bytes()).await.unwrap();
    let asked = server.asked().await;
    assert!(matches!(asked.request, Request::Servers { .. }));
    let mut stream = connect(&directory).await;
    let longer = request(ADMIN_REQUEST_BYTES_MAX + 1) + "\n";
    stream.write_all(longer.as_bytes()).await.unwrap();
    let told = rest(&mut stream).await;
    assert!(told.contains("no request of this version"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn so_many_ask_at_the_same_time_and_the_next_waits() {
    let (directory, mut server) = listen();
    let mut streams = Vec::new();
    for _ in 0..=ADMIN_CONNECTIONS_MAX {
        let mut stream = connect(&directory).await;
        stream.write_all(b"\"readCertificates\"\n").await.unwrap();
        streams.push(stream);
    }
    let mut asked = Vec::new();
    for _ in 0..ADMIN_CONNECTIONS_MAX {
        asked.push(server.asked().await);
    }
    let next = timeout(Duration::from_secs(1), server.asked()).await;
    assert!(next.is_err(), "one more");
    drop(asked.pop());
    server.asked().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_comes_in_time_or_not_at_all() {
    let (directory, mut server) = listen();
    let begin = Instant::now();
    assert_eq!(rest(&mut connect(&directory).await).await, "");
    assert_eq!(begin.elapsed(), ADMIN_PATIENCE);
    let mut slow = connect(&directory).await;
    slow.write_all(b"\"readCert").await.unwrap();
    sleep(ADMIN_PATIENCE - MILLISECOND).await;
    slow.write_all(b"ificates\"\n").await.unwrap();
    let asked = server.asked().await;
    assert!(matches!(asked.request, Request::ReadCertificates));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_taken_in_time_or_ends() {
    // Longer than the kernel keeps.
    let line = "x".repeat(4 << 20);
    for (time, whole) in [
        (ADMIN_PATIENCE - MILLISECOND, true),
        (ADMIN_PATIENCE + MILLISECOND, false),
    ] {
        let (directory, mut server) = listen();
        let mut stream = connect(&directory).await;
        stream.write_all(b"\"readCertificates\"\n").await.unwrap();
        let asked = server.asked().await;
        asked
            .answers
            .send(vec![Answer::Refused(line.clone())])
            .unwrap();
        sleep(time).await;
        assert_eq!(rest(&mut stream).await.len() > line.len(), whole);
    }
}

#[tokio::test]
async fn the_socket_of_another_is_left() {
    let (directory, first) = listen();
    let second = Server::listen(directory.path()).unwrap();
    drop(first);
    let _ = connect(&directory).await;
    drop(second);
    assert!(!directory.path().join(SOCKET).exists());
}
