//! The answer to an authority that looks whether a name is ours (HTTP-01, RFC 8555 section 8.3).

use std::sync::Arc;

use super::Client;
use super::request::Next;
use crate::http::{Method, Name, RequestHead, ResponseHead, Status};
use crate::http1::{self, Announce, ConnectionField};
use crate::limits;
use crate::uring::{self, ChunkQueue};

/// What comes before the token in the path.
const PATH: &str = "/.well-known/acme-challenge/";

/// The key authorization that is asked for. Before any router; where nothing is to be proved by this token, the request
/// is one as any other.
pub fn asked(client: &Client<'_>, request: &RequestHead) -> Option<Arc<str>> {
    let token = request.path().strip_prefix(PATH)?;
    if client.transport.is_tls() || !matches!(request.method, Method::Get | Method::Head) {
        return None;
    }
    client.worker.with_rules(client.entry_point, |_, rules| {
        let tokens = rules.shared.tokens.load();
        let answer = tokens.get(token)?;
        (answer.entry_point == client.entry_point).then(|| Arc::clone(&answer.body))
    })
}

/// Answers, and ends the connection: authorities do not come twice.
pub async fn answer(client: &Client<'_>, request: &RequestHead, body: &str) -> Next {
    let mut head = ResponseHead {
        status: Status::OK,
        ..ResponseHead::default()
    };
    head.headers
        .append(Name::literal("Content-Type"), b"application/octet-stream");
    let mut bytes = Vec::with_capacity(limits::ANSWER_BYTES);
    let length = Announce::Length(body.len() as u64);
    http1::encode_response(&head, length, ConnectionField::Close, &mut bytes);
    if request.method != Method::Head {
        bytes.extend_from_slice(body.as_bytes());
    }
    let mut queue = ChunkQueue::new();
    queue.push(bytes);
    client
        .transport
        .set_deadline(Some(uring::now() + limits::LINGER));
    match client.transport.send(&mut queue, None).await {
        Ok(()) => Next::Linger,
        Err(_) => Next::Close,
    }
}
