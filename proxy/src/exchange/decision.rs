//! What is decided about a request, whatever protocol brought it: its path made unambiguous, its router and server
//! found, the fields about its client replaced.

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use tracing::{debug, warn};

use super::clients::Seat;
use super::forwarded;
use super::own_routers::OwnRouter;
use super::passage::Jar;
use super::worker::Worker;
use crate::config::static_file::{EntryPoint, UnderscoreHeaders};
use crate::failure::Failure;
use crate::http::{Name, RequestHead};
use crate::router::Agreed;
use crate::rule::RequestView;
use crate::service::{Picked, Tried};
use crate::{clock, uring};

/// Where a request comes from.
#[derive(Clone, Copy)]
pub struct Visitor<'a> {
    /// The worker that has its connection.
    pub worker: &'a Worker,
    /// Index of the entry point that accepted it.
    pub entry_point: usize,
    /// The client's address.
    pub address: SocketAddr,
    /// Whether it came through TLS.
    pub tls: bool,
    /// What that began with.
    pub agreed: Option<&'a Agreed>,
}

impl<'a> Visitor<'a> {
    /// What the configuration says about the entry point.
    pub fn settings(&self) -> &'a EntryPoint {
        &self.worker.config.entry_points[self.entry_point]
    }

    /// Counts the connection of its client; `None` if that has as many as it may.
    pub fn sit(&self) -> Option<Seat> {
        match &self.worker.clients[self.entry_point] {
            Some(clients) => clients.sit(self.address.ip()),
            None => Some(Seat::default()),
        }
    }

    /// Counts a failure and logs it: at WARN now and then, if it is not the client's, else at DEBUG. `place`: router
    /// and server, where it got so far.
    pub fn note(
        &self,
        failure: Failure,
        request_id: &[u8],
        place: Option<(&str, &str)>,
        detail: &dyn fmt::Display,
    ) {
        self.worker.failures.add(failure);
        let server = place.map(|(_, server)| server);
        let untold = self.worker.complaints.due(failure, server, uring::now());
        macro_rules! tell {
            ($level:ident $(, $more:tt)*) => {
                $level!(
                    client = %self.address,
                    entry_point = self.settings().name,
                    reason = failure.as_str(),
                    fault = failure.fault().as_str(),
                    status = failure.status().map(|status| status.code()),
                    request_id = &*String::from_utf8_lossy(request_id),
                    router = place.map(|(router, _)| router),
                    server,
                    $($more,)*
                    "{detail}"
                )
            };
        }
        match untold {
            Some(untold) => tell!(warn, untold),
            None => tell!(debug),
        }
    }

    /// The router for a request, whose path and query are cleaned.
    ///
    /// # Errors
    /// What the entry point does not take, or no router does.
    pub fn route(&self, head: &mut RequestHead) -> Result<Rc<OwnRouter>, Failure> {
        self.clean(head)?;
        let view = RequestView::of(head, self.address.ip());
        self.worker
            .route((self.entry_point, self.tls), self.agreed, &view)
    }

    /// Makes the fields about the client say what is so, but for its address, which is added when it has passed the
    /// middlewares.
    pub fn vouch(&self, head: &mut RequestHead) {
        let options = &self.settings().forwarded_headers;
        forwarded::set(head, options, &forwarded::Peer::of(self));
    }

    /// The server for a request that has passed the middlewares; `cookies` are for its response.
    ///
    /// # Errors
    /// Where the router has an error, or its service no server.
    pub fn pick<'r>(
        &self,
        router: &'r OwnRouter,
        head: &mut RequestHead,
        cookies: &mut Vec<String>,
    ) -> Result<Picked<'r>, Failure> {
        if router.service.is_none() {
            return Err(Failure::RouterError);
        }
        let picked = self.pick_next(router, (head, cookies), &Tried::default());
        let options = &self.settings().forwarded_headers;
        forwarded::add_address(head, options, self.address.ip());
        picked.ok_or(Failure::NoServer)
    }

    /// The server for the same request once others were tried; one of them only where there is no other.
    pub fn pick_next<'r>(
        &self,
        router: &'r OwnRouter,
        (head, cookies): (&RequestHead, &mut Vec<String>),
        tried: &Tried,
    ) -> Option<Picked<'r>> {
        let headers = &head.headers;
        let mut jar = Jar { headers, cookies };
        let service = router.service.as_ref()?;
        let picked = self.worker.pick_for(service, &mut jar, tried)?;
        if picked.kept {
            let users = &picked.server.users;
            users.seen(self.address.ip(), clock::unix_seconds());
        }
        Some(picked)
    }

    /// Does to a request what the entry point's `http` says.
    fn clean(&self, head: &mut RequestHead) -> Result<(), Failure> {
        let options = &self.settings().http;
        head.sanitize_target(&options.path);
        if options.path.denies(head.path()) {
            return Err(Failure::RequestDenied);
        }
        head.rewrite_semicolons(options.encode_query_semicolons);
        let underscored = |name: Name<'_>| name.as_bytes().contains(&b'_');
        match options.underscore_headers {
            UnderscoreHeaders::Keep => Ok(()),
            UnderscoreHeaders::Delete => {
                head.headers.retain(|name, _| !underscored(name));
                Ok(())
            }
            UnderscoreHeaders::Reject => {
                let refused = head.headers.iter().any(|(name, _)| underscored(name));
                if refused {
                    Err(Failure::RequestDenied)
                } else {
                    Ok(())
                }
            }
        }
    }
}
