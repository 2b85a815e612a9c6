//! The server of a TCP router's connection: one after the other is tried, each in its turn.

use std::io;

use super::departure;
use super::queue::Place;
use super::worker::Worker;
use crate::failure::Failure;
use crate::proxy_protocol::Addresses;
use crate::service::sticky::NoCookies;
use crate::service::{Cause, Passive, Picked, Server, Service, Tried};
use crate::transport::Transport;

/// A connection to a server, and the place that it has there.
pub struct Connected<'s> {
    /// The server.
    pub server: &'s Server,
    /// The connection.
    pub transport: Transport,
    #[expect(dead_code, reason = "held until the connection has ended")]
    place: Option<Place>,
}

/// What came of waiting for a server.
enum Turn<'s> {
    Comes(Option<Place>),
    Elsewhere(Picked<'s>),
}

/// A client that looks for a server of a service.
struct Visit<'s, 'c> {
    worker: &'c Worker,
    service: &'s Service,
    client: &'c Transport,
    tried: Tried,
}

/// A connection to a server of the service, to another one where one cannot be had. `None` where there is no server, or
/// no room at any, or the client has gone.
///
/// # Errors
/// Connecting to the last one that was tried failed.
pub async fn connect<'s>(
    worker: &Worker,
    service: &'s Service,
    client: &Transport,
) -> io::Result<Option<Connected<'s>>> {
    worker.retries.deposit();
    let Some(mut picked) = worker.pick(service) else {
        return Ok(None);
    };
    let (source, destination) = (client.peer_addr(), client.local_addr()?);
    let addresses = Addresses {
        source,
        destination,
    };
    let mut visit = Visit {
        worker,
        service,
        client,
        tried: Tried::default(),
    };
    loop {
        let server = picked.server;
        let place = match visit.turn(&picked).await {
            Ok(Turn::Comes(place)) => place,
            Ok(Turn::Elsewhere(next)) => {
                picked = next;
                continue;
            }
            Err(failure) => {
                worker.failures.add(failure);
                return Ok(None);
            }
        };
        match worker.pool.connect_for(server, addresses).await {
            Ok(transport) => {
                worker.trust(&picked);
                return Ok(Some(Connected {
                    server,
                    transport,
                    place,
                }));
            }
            Err(error) => picked = visit.after(server, error)?,
        }
    }
}

impl<'s> Visit<'s, '_> {
    /// A place at the server, maybe after a while; or another server where this one has no room or is not to be asked
    /// any more.
    async fn turn(&mut self, picked: &Picked<'s>) -> Result<Turn<'s>, Failure> {
        if picked.server.cap.is_none() {
            return Ok(Turn::Comes(None));
        }
        // The one for the first bytes, or for the handshake.
        self.client.set_deadline(None);
        let enter = self.worker.queues.enter(picked.server);
        tokio::pin!(enter);
        let gave_up = departure::gave_up(self.client, true);
        tokio::pin!(gave_up);
        let cut = self.worker.cut();
        tokio::pin!(cut);
        loop {
            let entered = tokio::select! {
                biased;
                entered = &mut enter => entered,
                () = &mut gave_up => return Err(Failure::ClientGone),
                () = &mut cut => return Err(Failure::QueueTimeout),
                () = self.worker.queues.worse() => match self.instead_of(picked) {
                    Some(next) => return Ok(Turn::Elsewhere(next)),
                    None => continue,
                },
            };
            let next = match entered {
                Ok(_) => self.instead_of(picked),
                Err(Failure::QueueFull) => self.other_than(picked.server).filter(Picked::has_room),
                Err(_) => None,
            };
            return match next {
                Some(next) => Ok(Turn::Elsewhere(next)),
                None => entered.map(Turn::Comes),
            };
        }
    }

    /// Another server, where this one has left meanwhile.
    fn instead_of(&mut self, picked: &Picked<'s>) -> Option<Picked<'s>> {
        if !self.worker.has_left(picked) {
            return None;
        }
        let next = self.another()?;
        let is_other = next.server.id != picked.server.id;
        is_other.then(|| {
            self.tried.add(picked.server.id);
            next
        })
    }

    /// The next one after a server could not be connected to.
    fn after(&mut self, server: &Server, error: io::Error) -> io::Result<Picked<'s>> {
        if Failure::connecting(&error) != Failure::NoResources {
            self.worker
                .eject(server, Cause::Connect, &Passive::default());
        }
        match self.other_than(server) {
            Some(next) if self.worker.retries.withdraw() => Ok(next),
            Some(_) => {
                self.worker.failures.add(Failure::RetryBudget);
                Err(error)
            }
            None => Err(error),
        }
    }

    fn other_than(&mut self, server: &Server) -> Option<Picked<'s>> {
        self.tried.add(server.id);
        self.another()
    }

    /// A server that was not tried, while one may be.
    fn another(&self) -> Option<Picked<'s>> {
        if self.tried.is_over() {
            return None;
        }
        let next = self
            .worker
            .pick_for(self.service, &mut NoCookies, &self.tried);
        next.filter(|next| !self.tried.contains(next.server.id))
    }
}
