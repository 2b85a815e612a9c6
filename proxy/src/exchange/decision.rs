//! What is decided about a request, whatever protocol brought it: its path made unambiguous, its router and server
//! found, the fields about its client replaced.

use std::net::SocketAddr;
use std::rc::Rc;

use super::forwarded;
use super::worker::{OwnRouter, Worker};
use crate::http::{RequestHead, Status};
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
    /// The router for a request, whose path is cleaned.
    ///
    /// # Errors
    /// 404 where no router takes it.
    pub fn route(&self, head: &mut RequestHead) -> Result<Rc<OwnRouter>, Status> {
        head.sanitize_target();
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
        forwarded::set(head, self.address, self.tls, &self.worker.hostname);
        Ok(picked)
    }
}
