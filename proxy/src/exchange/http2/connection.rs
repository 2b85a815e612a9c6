//! One connection: its streams are served, its rates and times kept, its end said.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use h2::server::{Builder, Connection};
use tokio::time::Sleep;
use tracing::debug;

use super::metered::Metered;
use super::{Open, Shared, client};
use crate::config::static_file::EntryPoint;
use crate::exchange::{Worker, answer};
use crate::http2::{Abuse, Verdict};
use crate::limits;
use crate::router::Agreed;
use crate::transport::Transport;
use crate::uring;

use super::windows::Window;

/// Serves streams until the connection ends.
pub async fn serve(
    worker: &Rc<Worker>,
    transport: Transport,
    entry_point: usize,
    agreed: Option<Agreed>,
) {
    transport.set_deadline(None);
    let shared = Shared::new(worker, transport, entry_point, agreed);
    let settings = &worker.config.entry_points[entry_point];
    let window = worker.windows.take(&settings.limits.http2);
    let handshake = builder(&window, settings).handshake::<_, Bytes>(Metered::new(&shared));
    let began = tokio::time::timeout(settings.limits.header, handshake).await;
    match began {
        Ok(Ok(connection)) => Driver::new(connection, &shared).run().await,
        Ok(Err(error)) => debug!(client = %shared.address, "no HTTP/2: {error}"),
        Err(_) => shared.stopped_for(Abuse::Unfinished),
    }
    // Streams may still hold it; nobody reads from it any more.
    answer::linger(&shared.transport, answer::LITTLE).await;
}

fn builder(window: &Window, settings: &EntryPoint) -> Builder {
    // The crate takes less than it is told.
    let header_bytes = u32::try_from(settings.limits.head.bytes + 1).unwrap_or(u32::MAX);
    let burst = |shape| settings.http2.allowed.rates.of(shape).burst as usize;
    let made_resets = limits::HTTP2_MADE_RESETS_LIFE.max(2 * burst(Abuse::MadeYouReset));
    let mut builder = Builder::new();
    builder
        .initial_window_size(window.stream)
        .initial_connection_window_size(window.connection)
        .max_concurrent_streams(settings.http2.streams)
        .header_table_size(settings.http2.decoder_table)
        .max_header_list_size(header_bytes)
        .max_send_buffer_size(limits::HTTP2_STREAM_SEND_BYTES)
        .data_frame_budget(limits::HTTP2_SMALL_DATA_BYTES)
        // The meter's to stop.
        .max_pending_accept_reset_streams(2 * burst(Abuse::RapidReset))
        // What the client does not take is the crate's to count, too.
        .max_local_error_reset_streams(Some(made_resets))
        .enable_connect_protocol();
    builder
}

struct Driver {
    connection: Connection<Metered, Bytes>,
    shared: Rc<Shared>,
    timer: Pin<Box<Sleep>>,
    timer_at: Option<Instant>,
    opened: Instant,
    /// Streams so far.
    served: u64,
    stopped: Pin<Box<dyn Future<Output = ()>>>,
    /// The end has been said; when it comes whatever the client does, once no stream is open.
    ending: Option<Duration>,
    /// The client is not worth waiting for.
    cut_at: Option<Instant>,
}

impl Driver {
    fn new(connection: Connection<Metered, Bytes>, shared: &Rc<Shared>) -> Self {
        let worker = Rc::clone(&shared.worker);
        Self {
            connection,
            shared: Rc::clone(shared),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            timer_at: None,
            opened: uring::now(),
            served: 0,
            stopped: Box::pin(async move { worker.stopped().await }),
            ending: None,
            cut_at: None,
        }
    }

    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.waker.set(Some(cx.waker().clone()));
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let open = Open::new(&self.shared);
                    tokio::task::spawn_local(client::serve(open, request, respond));
                    self.count_stream();
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    debug!(client = %self.shared.address, "HTTP/2 ends: {error}");
                    if let Some(shape) = found_by_crate(&error) {
                        self.shared.stopped_for(shape);
                    }
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if self.convict() || self.stop(cx) {
                continue;
            }
            match self.poll_times(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Ends the connection with its last stream as `transport.keepAliveMaxRequests` and `keepAliveMaxTime` say.
    fn count_stream(&mut self) {
        self.served += 1;
        let keep_alive = self.shared.visitor().settings().keep_alive;
        if self.ending.is_none() && keep_alive.is_over(self.served, self.opened, uring::now()) {
            self.end(limits::LINGER);
        }
    }

    /// Ends the connection if the meter has had enough.
    fn convict(&mut self) -> bool {
        let Some(verdict) = self.shared.verdict.take() else {
            return false;
        };
        if self.cut_at.is_some() {
            return false;
        }
        self.cut_at = Some(uring::now() + limits::LINGER);
        let reason = match verdict {
            Verdict::Abuse(shape) => {
                self.shared.stopped_for(shape);
                Reason::ENHANCE_YOUR_CALM
            }
            Verdict::FrameSize => Reason::FRAME_SIZE_ERROR,
            Verdict::WindowSize => Reason::FLOW_CONTROL_ERROR,
            Verdict::StreamClosed => Reason::STREAM_CLOSED,
        };
        self.connection.abrupt_shutdown(reason);
        true
    }

    /// Takes no more streams once the worker stops; those that are open go on.
    fn stop(&mut self, cx: &mut Context<'_>) -> bool {
        if self.ending.is_some() || self.stopped.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.end(limits::LAST_REQUEST)
    }

    fn end(&mut self, patience: Duration) -> bool {
        self.ending = Some(patience);
        self.shared.quiet_since.set(uring::now());
        self.connection.graceful_shutdown();
        true
    }

    /// Ready when a time has passed: `true` to go on, `false` to close.
    fn poll_times(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            let Some(deadline) = self.deadline() else {
                return Poll::Pending;
            };
            if deadline <= uring::now() {
                return Poll::Ready(self.expire());
            }
            if self.timer_at != Some(deadline) {
                self.timer_at = Some(deadline);
                self.timer.as_mut().reset(deadline.into());
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer_at = None;
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if self.cut_at.is_some() {
            return self.cut_at;
        }
        let unfinished = self.shared.meter.borrow().deadline();
        [unfinished, self.quiet_until()].into_iter().flatten().min()
    }

    /// When a connection without streams ends.
    fn quiet_until(&self) -> Option<Instant> {
        let Shared {
            open, quiet_since, ..
        } = &*self.shared;
        let idle = self.shared.visitor().settings().timeouts.idle;
        let patience = self.ending.or(idle)?;
        (open.get() == 0).then(|| quiet_since.get() + patience)
    }

    fn expire(&mut self) -> bool {
        let now = uring::now();
        if self.cut_at.is_some() {
            return false;
        }
        if self.shared.meter.borrow().expired(now) {
            return !self.shared.judge(Err(Verdict::Abuse(Abuse::Unfinished)));
        }
        self.ending.is_none() && self.end(limits::LINGER)
    }
}

/// What the crate itself has stopped a client for: header lists far too large, DATA in tiny pieces, or what adds up
/// over a connection's life, which it does not tell apart here. Everything else the meter finds first.
fn found_by_crate(error: &h2::Error) -> Option<Abuse> {
    let calm = error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
    calm.then_some(Abuse::HeaderBomb)
}

impl Shared {
    fn stopped_for(&self, shape: Abuse) {
        self.worker.abused(shape, self.address);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::StaticConfig;
    use crate::exchange::http2::Windows;

    #[tokio::test]
    async fn so_much_of_a_response_waits_in_the_connection() {
        let text = "entryPoints: {web: {address: ':80'}}";
        let (config, _) =
            StaticConfig::parse(Path::new("weir.yml"), text).expect("a configuration");
        let (near, far) = tokio::io::duplex(1 << 20);
        let server = async {
            let settings = &config.entry_points[0];
            let window = Windows::new(config.window_bytes).take(&settings.limits.http2);
            let builder = builder(&window, settings);
            let mut connection = builder.handshake::<_, Bytes>(near).await.expect("greeted");
            let stream = connection.accept().await.expect("a stream");
            let (_request, mut respond) = stream.expect("a request");
            let response = http::Response::new(());
            let mut body = respond.send_response(response, false).expect("sent");
            body.reserve_capacity(1 << 20);
            assert_eq!(body.capacity(), limits::HTTP2_STREAM_SEND_BYTES);
            let all = Bytes::from(vec![b'x'; limits::HTTP2_STREAM_SEND_BYTES]);
            body.send_data(all, false).expect("taken");
            body.reserve_capacity(1);
            assert_eq!(body.capacity(), 0, "until some of it is sent");
        };
        let client = async {
            let mut builder = h2::client::Builder::new();
            let windows = builder.initial_window_size(1 << 20);
            let windows = windows.initial_connection_window_size(1 << 20);
            let (requests, connection) = windows.handshake::<_, Bytes>(far).await.expect("greeted");
            let ask = async {
                let mut requests = requests.ready().await.expect("ready");
                let request = http::Request::get("http://a.example/").body(());
                let request = request.expect("a request");
                let response = requests.send_request(request, true).expect("sent").0;
                response.await
            };
            let (_, _) = tokio::join!(connection, ask);
        };
        tokio::select! {
            () = server => {}
            () = client => panic!("it ends before the server has looked"),
        }
    }
}
