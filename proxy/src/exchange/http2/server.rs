//! A server that is spoken to in HTTP/2.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use ::http::Response;
use ::http::uri::Scheme as UriScheme;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};

use super::body::{Http2Sink, Http2Source};
use crate::config::static_file::Limits;
use crate::exchange::body::Source;
use crate::exchange::forward::Exchange;
use crate::exchange::head::NoHead;
use crate::exchange::response::Failed;
use crate::exchange::scratch::Scratch;
use crate::exchange::sides::{Content, Downstream, Upstream};
use crate::http::Method;
use crate::http1::Reject;
use crate::http2;
use crate::service::{Picked, Scheme};
use crate::upstream::Slot;

/// One stream of a connection.
struct Http2Server<'a> {
    response: ResponseFuture,
    body: Option<Http2Source>,
    limits: &'a Limits,
}

impl<D: Downstream, B: Source> Exchange<'_, D, B> {
    /// Sends the request to a server that is known to speak HTTP/2; `None` if it is not.
    pub async fn known_http2(
        &mut self,
        picked: &Picked<'_>,
        scratch: &mut Scratch,
    ) -> Option<Result<(), Failed>> {
        let server = picked.server;
        let slot = match server.scheme {
            Scheme::H2c => self.http2_slot(picked).await,
            // An upgrade is a matter of HTTP/1.1.
            Scheme::Https if scratch.request.upgrade.is_none() => {
                Ok(self.visitor.worker.multiplexed.take(server)?)
            }
            _ => return None,
        };
        Some(match slot {
            Ok(slot) => self.http2(picked, slot, scratch).await,
            Err(failed) => Err(failed),
        })
    }

    async fn http2_slot(&mut self, picked: &Picked<'_>) -> Result<Slot, Failed> {
        self.body.copy_out();
        let (worker, server) = (self.visitor.worker, picked.server);
        let connect = worker.pool.connect(server, None);
        let slot = worker.multiplexed.take_or_open(server, connect);
        slot.await.map_err(Failed::Connect)
    }

    /// Once more on another connection if the server has not acted on it, or nothing can have happened twice.
    async fn http2(
        &mut self,
        picked: &Picked<'_>,
        slot: Slot,
        scratch: &mut Scratch,
    ) -> Result<(), Failed> {
        let outcome = self.http2_stream(picked, slot, scratch).await;
        let again = !self.asked.started.get()
            && match &outcome {
                Err(Failed::Server(NoHead::Unprocessed)) => self.asked.body.is_empty(),
                Err(Failed::Server(NoHead::Ended | NoHead::Failed(_))) => {
                    self.asked.is_repeatable()
                }
                _ => false,
            };
        if !again {
            return outcome;
        }
        let slot = self.http2_slot(picked).await?;
        self.http2_stream(picked, slot, scratch).await
    }

    async fn http2_stream(
        &mut self,
        picked: &Picked<'_>,
        mut slot: Slot,
        scratch: &mut Scratch,
    ) -> Result<(), Failed> {
        let server = picked.server;
        let own = !picked.load_balancer.pass_host_header || scratch.request.authority().is_empty();
        let host = own.then_some(&*server.authority);
        let scheme = match server.tls {
            Some(_) => UriScheme::HTTPS,
            None => UriScheme::HTTP,
        };
        let body = self.asked.body;
        let request = http2::outgoing_request(&scratch.request, host, body.announce(), scheme);
        let request =
            request.map_err(|error| Failed::Server(NoHead::Failed(io::Error::other(error))))?;
        let sent = slot.requests.send_request(request, body.is_empty());
        let (response, stream) = sent.map_err(|error| Failed::Server(no_head(error)))?;
        let sink = Http2Sink::new(stream, None, body.is_empty());
        let mut server = Http2Server {
            response,
            body: None,
            limits: &self.visitor.settings().limits,
        };
        let within = picked.server.transport.http.response_header;
        let outcome = self.attempt(sink, &mut server, scratch, within).await;
        outcome.map(drop)
    }
}

/// Why there is no response.
fn no_head(error: h2::Error) -> NoHead {
    let refused =
        error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
    if refused {
        NoHead::Unprocessed
    } else {
        NoHead::Failed(io::Error::other(error))
    }
}

enum Next {
    Interim(Response<()>),
    Final(Response<RecvStream>),
}

impl Http2Server<'_> {
    async fn next(&mut self) -> Result<Next, h2::Error> {
        let response = &mut self.response;
        poll_fn(|cx| {
            if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
                return Poll::Ready(interim.map(Next::Interim));
            }
            Pin::new(&mut *response)
                .poll(cx)
                .map(|response| response.map(Next::Final))
        })
        .await
    }
}

impl Upstream for Http2Server<'_> {
    type Source<'a>
        = Http2Source
    where
        Self: 'a;

    async fn head(&mut self, method: &Method, scratch: &mut Scratch) -> Result<Content, NoHead> {
        let (parts, ended) = match self.next().await.map_err(no_head)? {
            Next::Interim(response) => (response.into_parts().0, true),
            Next::Final(response) => {
                let (parts, stream) = response.into_parts();
                let ended = stream.is_end_stream();
                self.body = Some(Http2Source::new(stream, self.limits, false));
                (parts, ended)
            }
        };
        let read = http2::read_response(&parts, method, ended, &mut scratch.response);
        let (body, announce) = read.map_err(|reason| NoHead::Rejected(Reject::response(reason)))?;
        Ok(Content { body, announce })
    }

    fn body(&mut self) -> Http2Source {
        self.body
            .take()
            .unwrap_or_else(|| unreachable!("the final head has come"))
    }
}
