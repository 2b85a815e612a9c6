//! What weir answers itself, and how a connection is closed so that the client gets to read it.

use std::io;
use std::time::Duration;

use bytes::Bytes;

use super::Client;
use super::decision::Visitor;
use crate::failure::Failure;
use crate::http::{Name, RequestHead, ResponseHead, Status, name};
use crate::http1::{self, Announce, ConnectionField};
use crate::limits;
use crate::middleware;
use crate::transport::Transport;
use crate::uring::{self, ChunkQueue};

const CONTENT_TYPE: Name<'static> = Name::literal("Content-Type");
const REASON: Name<'static> = Name::literal("X-Weir-Reason");

/// An answer of weir's own, for any protocol.
pub struct Answer {
    /// Its head, without framing.
    pub head: ResponseHead,
    /// Its body: a line of plain text, or the operator's page.
    pub text: Bytes,
}

impl Answer {
    /// What the client is told about a failure; `None` where it is told nothing. The text is Traefik's
    /// (`404 page not found`), or the status in words.
    pub fn to(failure: Failure, visitor: Visitor<'_>, request_id: &[u8]) -> Option<Self> {
        let status = failure
            .status()
            .filter(|status| *status != Status::CLIENT_CLOSED_REQUEST)?;
        let text = match status {
            Status::NOT_FOUND => "404 page not found\n",
            Status::SERVICE_UNAVAILABLE => "no available server\n",
            _ => status.reason(),
        };
        let mut head = ResponseHead {
            status,
            ..ResponseHead::default()
        };
        let headers = &mut head.headers;
        headers.append(CONTENT_TYPE, b"text/plain; charset=utf-8");
        headers.append(Name::literal("X-Content-Type-Options"), b"nosniff");
        headers.append(name::DATE, &visitor.worker.date());
        headers.append(name::X_REQUEST_ID, request_id);
        if visitor.settings().reason_header {
            headers.append(REASON, failure.as_str().as_bytes());
        }
        let text = Bytes::from_static(text.as_bytes());
        Some(Self { head, text })
    }

    /// The same with the operator's page in place of the text.
    pub fn page(
        failure: Failure,
        visitor: Visitor<'_>,
        (request_id, page): (&[u8], &Bytes),
    ) -> Option<Self> {
        let mut answer = Self::to(failure, visitor, request_id)?;
        answer.head.headers.remove(CONTENT_TYPE);
        answer
            .head
            .headers
            .append(CONTENT_TYPE, b"text/html; charset=utf-8");
        answer.text = page.clone();
        Some(answer)
    }
}

impl Answer {
    /// What a middleware answers to the request.
    pub fn of(answer: middleware::Answer, visitor: Visitor<'_>, request: &RequestHead) -> Self {
        let mut head = answer.head;
        head.headers.append(name::DATE, &visitor.worker.date());
        if let Some(id) = request.headers.get(name::X_REQUEST_ID) {
            head.headers.append(name::X_REQUEST_ID, id);
        }
        Self {
            head,
            text: Bytes::from_static(answer.body.as_bytes()),
        }
    }
}

impl Client<'_> {
    /// Sends an answer; to HEAD (`head_only`) its body is announced but not sent.
    pub async fn answer(
        &self,
        answer: &Answer,
        head_only: bool,
        connection: ConnectionField,
    ) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(limits::ANSWER_BYTES);
        let length = Announce::Length(answer.text.len() as u64);
        http1::encode_response(&answer.head, length, connection, &mut bytes);
        if !head_only {
            bytes.extend_from_slice(&answer.text);
        }
        let mut queue = ChunkQueue::new();
        queue.push(bytes);
        self.transport
            .set_deadline(Some(uring::now() + limits::LINGER));
        self.transport.send(&mut queue, None).await
    }
}

/// Closes a connection on which the client may still be sending: says that this side has ended and reads on for a
/// while, as a socket closed with unread bytes is reset and the reset destroys what the client has not read yet
/// (RFC 9112 section 9.6).
pub async fn linger(client: &Transport, most: Unread) {
    let end = uring::now() + most.time;
    client.set_deadline(Some(uring::now() + limits::LINGER));
    if client.shutdown_write().await.is_err() {
        return;
    }
    let mut read = 0;
    while let Ok(Some(chunk)) = client.recv().await {
        read += chunk.len();
        if read > most.bytes {
            return;
        }
        client.set_deadline(Some(end.min(uring::now() + limits::LINGER)));
    }
}

/// What is still read, at most, of a client that has got its last answer.
#[derive(Clone, Copy, Debug)]
pub struct Unread {
    time: Duration,
    bytes: usize,
}

/// Of what nobody waits for.
pub const LITTLE: Unread = Unread {
    time: limits::LINGER,
    bytes: limits::LINGER_BYTES,
};

/// Of a body: many clients look for the response only when they have sent all of it. One that goes on could as well
/// hold the connection with a request that is taken.
pub const BODY: Unread = Unread {
    time: limits::LINGER_BODY,
    bytes: usize::MAX,
};

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;
    use crate::net::Stream;

    /// How long a client that goes on sending, so many bytes, and stays is read on.
    fn lingered(bytes: usize, most: Unread) -> Duration {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let client = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("accepted");
            // More than is read may be refused.
            let _ = client.write_all(&vec![b'x'; bytes]);
            while bytes > limits::LINGER_BYTES && client.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
            client
        });
        let time = uring::run(&uring::Config::default(), || async {
            let stream = Stream::connect(address, None).await.expect("connected");
            let (transport, begin) = (Transport::plain(stream), uring::now());
            linger(&transport, most).await;
            uring::now() - begin
        });
        drop(client.join());
        time.expect("a worker")
    }

    #[test]
    fn a_client_that_goes_on_is_read_so_much_and_so_long() {
        let most = limits::LINGER_BYTES;
        let time = lingered(most, LITTLE);
        assert!(time >= limits::LINGER, "as long as it may be");
        assert!(time < limits::LINGER + Duration::from_secs(5));
        let time = lingered(most + 1, LITTLE);
        assert!(time < limits::LINGER, "no longer than it sends");
        let body = Unread {
            time: limits::LINGER * 2,
            ..BODY
        };
        let time = lingered(most + 1, body);
        assert!(time >= body.time, "as long as it sends");
        assert!(time < body.time + Duration::from_secs(5));
        assert_eq!(BODY.time, limits::LINGER_BODY);
    }
}
