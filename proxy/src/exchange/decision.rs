//! What is decided about a request, whatever protocol brought it: its path made unambiguous, its router and server
//! found, the fields about its client replaced.

use std::net::SocketAddr;
use std::rc::Rc;

use super::forwarded;
use super::worker::{OwnRouter, Worker};
use crate::config::static_file::{EntryPoint, UnderscoreHeaders};
use crate::http::{Name, RequestHead, Status};
use crate::rule::RequestView;
use crate::service::Picked;

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
}

impl Visitor<'_> {
    /// The router for a request, whose path and query are cleaned.
    ///
    /// # Errors
    /// 400 for what the entry point does not take, 404 where no router takes it.
    pub fn route(&self, head: &mut RequestHead) -> Result<Rc<OwnRouter>, Status> {
        self.clean(head)?;
        let view = RequestView::new(head.authority(), head.path(), self.address.ip());
        let router = self.worker.route(self.entry_point, self.tls, &view);
        router.ok_or(Status::NOT_FOUND)
    }

    /// The server for a routed request, whose fields about the client then say what is so.
    ///
    /// # Errors
    /// 404 where the router has an error, 503 where its service has no server.
    pub fn pick<'r>(
        &self,
        router: &'r OwnRouter,
        head: &mut RequestHead,
    ) -> Result<Picked<'r>, Status> {
        let service = router.service.as_ref().ok_or(Status::NOT_FOUND)?;
        let picked = self.worker.pick(service);
        let picked = picked.ok_or(Status::SERVICE_UNAVAILABLE)?;
        let options = &self.options().forwarded_headers;
        forwarded::set(head, options, &forwarded::Peer::of(self));
        Ok(picked)
    }

    /// The configuration of the entry point.
    fn options(&self) -> &EntryPoint {
        &self.worker.config.entry_points[self.entry_point]
    }

    /// Does to a request what the entry point's `http` says.
    fn clean(&self, head: &mut RequestHead) -> Result<(), Status> {
        let options = &self.options().http;
        head.sanitize_target(&options.path);
        if options.path.denies(head.path()) {
            return Err(Status::BAD_REQUEST);
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
                    Err(Status::BAD_REQUEST)
                } else {
                    Ok(())
                }
            }
        }
    }
}
