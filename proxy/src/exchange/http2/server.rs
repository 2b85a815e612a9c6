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
use crate::exchange::forward::{Exchange, head_limits};
use crate::exchange::head::NoHead;
use crate::exchange::response::Failed;
use crate::exchange::scratch::Scratch;
use crate::exchange::sides::{Content, Downstream, Upstream};
use crate::http::Method;
use crate::http1::{HeadLimits, Reason as Refused, Reject};
use crate::http2;
use crate::service::Picked;
use crate::upstream::Slot;

/// One stream of a connection.
struct Http2Server<'a> {
    response: ResponseFuture,
    body: Option<Http2Source>,
    limits: &'a Limits,
    head: HeadLimits,
}

impl<D: Downstream, B: Source> Exchange<'_, D, B> {
    /// One try on a stream of an HTTP/2 connection.
    pub async fn http2(
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
        let limits = &self.visitor.settings().limits;
        let sink = Http2Sink::new(stream, None, body.is_empty(), limits);
        let mut server = Http2Server {
            response,
            body: None,
            limits,
            head: head_limits(picked.server),
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
    } else if error.is_library() && error.is_reset() {
        // The crate has reset the stream alone, for what came on it.
        NoHead::Rejected(Reject::response(Refused::ResponseHttp2))
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
    const MAY_REFUSE: bool = true;

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
        let read = http2::read_response(&parts, method, ended, &self.head, &mut scratch.response);
        let (body, announce) = read.map_err(|reason| NoHead::Rejected(Reject::response(reason)))?;
        Ok(Content { body, announce })
    }

    fn body(&mut self) -> Http2Source {
        self.body
            .take()
            .unwrap_or_else(|| unreachable!("the final head has come"))
    }
}
