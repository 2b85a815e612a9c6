//! One stream of a client: a request, and its response.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};

use super::body::{Http2Sink, Http2Source};
use super::{Open, Shared};
use crate::exchange::answer::Answer;
use crate::exchange::forward::{self, Asked, Exchange, Unserved};
use crate::exchange::scratch::Scratch;
use crate::exchange::sides::{Content, Downstream};
use crate::failure::Failure;
use crate::http::{Method, Name, ResponseHead, Status, name};
use crate::http1::Announce;
use crate::http2::{self, Malformed};

/// The client, while it waits for the response to one request.
struct Http2Client {
    shared: Rc<Shared>,
    respond: RefCell<SendResponse<Bytes>>,
    /// The final response has begun.
    begun: Cell<bool>,
    /// Extended CONNECT.
    connects: bool,
}

/// Serves one stream to its end.
pub(super) async fn serve(
    open: Open,
    request: ::http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    // The client's next frames have been read by now: whoever resets what it has just opened gets no server to work.
    let reset = poll_fn(|cx| Poll::Ready(respond.poll_reset(cx).is_ready()));
    if reset.await {
        return;
    }
    let shared = &open.0;
    let (parts, body) = request.into_parts();
    let mut client = Http2Client {
        shared: Rc::clone(shared),
        respond: RefCell::new(respond),
        begun: Cell::new(false),
        connects: false,
    };
    let mut scratch = shared.worker.scratch();
    let (ids, times) = (&shared.worker.ids, &shared.visitor().settings().limits);
    let head = &mut scratch.request;
    match http2::read_request(&parts, body.is_end_stream(), &times.head, head) {
        Ok(opened) => {
            drop(parts);
            client.connects = opened.protocol.is_some();
            if let Some(protocol) = opened.protocol {
                http2::upgrade(head, protocol, [ids.random(), ids.random()]);
            }
            let asked = Asked::new(head.method.clone(), opened.body);
            let exchange = Exchange {
                visitor: shared.visitor(),
                client: &client,
                body: &mut Http2Source::new(body, times, client.connects),
                asked: &asked,
            };
            if let Err(unserved) = forward::serve(exchange, &mut scratch).await {
                client.end(&asked, &unserved, &scratch);
            }
        }
        Err(Malformed::Stream) => {
            client.note(
                Failure::RequestMalformed,
                "the request breaks RFC 9113 section 8",
            );
            client.reset(Reason::PROTOCOL_ERROR);
        }
        Err(Malformed::Answered(reason)) => {
            let id = client.note(Failure::refused(reason), reason.explanation());
            client.answer(Failure::refused(reason), &id, parts.method == "HEAD");
        }
    }
    shared.worker.give_back(scratch);
}

impl Http2Client {
    /// Counts and logs a request that was refused before it was one, under a name of its own.
    fn note(&self, failure: Failure, detail: &str) -> [u8; 32] {
        let id = self.shared.worker.ids.next();
        self.shared.visitor().note(failure, &id, None, &detail);
        id
    }

    /// Answers a request that no server gets or that failed on its way. If an answer has begun already, dropping the
    /// stream resets it once what there is has been sent: it never looks whole.
    fn end(&self, asked: &Asked, unserved: &Unserved, scratch: &Scratch) {
        if asked.started.get() {
            return;
        }
        let (visitor, request) = (self.shared.visitor(), &scratch.request);
        let head_only = asked.method == Method::Head;
        match unserved {
            Unserved::Answered(answer) => self.tell(answer, head_only),
            Unserved::Refused(failure) | Unserved::Failed(failure) => {
                let id = request.headers.get(name::X_REQUEST_ID);
                let answer = Answer::to(*failure, visitor, id.unwrap_or_default());
                let Some(mut answer) = answer else {
                    return self.reset(Reason::CANCEL);
                };
                scratch.passage.leave(visitor, request, &mut answer.head);
                self.tell(&answer, head_only);
            }
        }
    }

    /// Sends a short response of weir's own. A client that is told nothing has reset the stream, or its body is not
    /// what the head said.
    fn answer(&self, failure: Failure, request_id: &[u8], head_only: bool) {
        match Answer::to(failure, self.shared.visitor(), request_id) {
            Some(answer) => self.tell(&answer, head_only),
            None => self.reset(Reason::CANCEL),
        }
    }

    fn tell(&self, answer: &Answer, head_only: bool) {
        let length = Announce::Length(answer.text.len() as u64);
        let Ok(response) = http2::outgoing_response(&answer.head, length) else {
            return self.reset(Reason::INTERNAL_ERROR);
        };
        let mut respond = self.respond.borrow_mut();
        // An error means that the stream is gone.
        if let Ok(mut stream) = respond.send_response(response, head_only)
            && !head_only
        {
            let _ = stream.send_data(answer.text.clone(), true);
        }
    }

    fn reset(&self, reason: Reason) {
        self.respond.borrow_mut().send_reset(reason);
    }

    fn start(&self, head: &ResponseHead, announce: Announce, ends: bool) -> io::Result<Http2Sink> {
        let response = http2::outgoing_response(head, announce).map_err(io::Error::other)?;
        let mut respond = self.respond.borrow_mut();
        self.begun.set(true);
        let stream = respond.send_response(response, ends);
        let stream = stream.map_err(io::Error::other)?;
        let client = Rc::clone(&self.shared);
        let times = &self.shared.visitor().settings().limits;
        Ok(Http2Sink::new(stream, Some(client), ends, times))
    }
}

impl Downstream for Http2Client {
    type Sink<'a> = Http2Sink;

    async fn interim(&self, head: &ResponseHead) -> io::Result<()> {
        let response =
            http2::outgoing_response(head, Announce::Nothing).map_err(io::Error::other)?;
        let mut respond = self.respond.borrow_mut();
        respond
            .send_informational(response)
            .map_err(io::Error::other)
    }

    fn begin(&self, head: &ResponseHead, content: Content, _: bool) -> io::Result<Http2Sink> {
        if self.connects && (200..300).contains(&head.status.code()) {
            // The client would take it for the begin of what it asked for.
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.start(head, content.announce, content.body.is_empty())
    }

    /// RFC 8441 section 5: what is a 101 in HTTP/1.1 is a 200 here, and says nothing about keys.
    fn switch(&self, head: &ResponseHead) -> io::Result<Http2Sink> {
        let mut head = head.clone();
        head.status = Status::OK;
        head.headers.remove(Name::literal("Sec-WebSocket-Accept"));
        self.start(&head, Announce::Nothing, false)
    }

    /// It has reset the stream, or its connection has failed.
    async fn gone(&self) {
        let reset = poll_fn(|cx| self.respond.borrow_mut().poll_reset(cx)).await;
        if reset.is_err() && self.begun.get() {
            // Once the response has begun the crate must not be asked: sending tells.
            std::future::pending::<()>().await;
        }
    }

    /// A stream says so beside its body.
    async fn gave_up(&self, _reads: bool) {
        self.gone().await;
    }
}
