//! Smooth weighted round robin, by worker. Pure: no clock, no randomness.

use std::sync::Arc;

use super::{LoadBalancer, Server, Service};

/// The balancing state of one worker: a position for each service it has been asked for.
#[derive(Debug)]
pub struct Balancer {}

/// A server, and the load balancer it was picked from.
#[derive(Clone, Copy, Debug)]
pub struct Picked<'s> {
    /// Where the request goes.
    pub server: &'s Arc<Server>,
    /// How.
    pub load_balancer: &'s LoadBalancer,
}

impl Balancer {
    /// The balancer of worker `worker` of `workers`. Each starts at its own share of the cycle, so that the workers
    /// together keep the weights from the first requests on.
    pub fn new(worker: usize, workers: usize) -> Self {
        let _ = (worker, workers);
        Self {}
    }

    /// The next server of `service`; `None` where it has none left. State for a service whose servers or weights
    /// changed carries over for those that stayed. Counts no reference: the request keeps its router alive.
    pub fn pick<'s>(&mut self, service: &'s Service) -> Option<Picked<'s>> {
        let _ = service;
        todo!()
    }

    /// Forgets services that are not among `live`; call after a new snapshot.
    pub fn retain(&mut self, live: impl Fn(super::ServiceId) -> bool) {
        let _ = live;
        todo!()
    }
}
