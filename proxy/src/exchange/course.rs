//! The way of one request from server to server, until one has answered it or none may be asked any more.
//!
//! Invariants: at most [`SERVER_TRIES_MAX`](crate::limits::SERVER_TRIES_MAX) servers are asked in a row, each after the
//! first paid for from the worker's budget, none twice, and none while another may have the request; a request is held
//! only where its service says so, and only while it has been sent to nobody: what a server does with a request is no
//! outage to be waited for. Who waits when the grace time of a stop ends is answered, as when its own time does.

use std::pin::pin;
use std::time::Instant;

use super::answer::Answer;
use super::body::Source;
use super::decision::Visitor;
use super::forward::{Exchange, Unserved, id_of};
use super::own_routers::OwnRouter;
use super::queue::Place;
use super::response::Failed;
use super::scratch::Scratch;
use super::sides::Downstream;
use super::worker::Worker;
use crate::failure::Failure;
use crate::http::Status;
use crate::service::{Picked, Rank, Tried};
use crate::uring;

/// How far a request has come.
struct Course<'r> {
    router: &'r OwnRouter,
    /// Cookies of the response before one was added for a server.
    cookies: usize,
    /// Servers asked in a row, or passed over.
    tried: Tried,
    /// A server has got it, or part of it, and failed.
    sent: bool,
    /// Until when it may be held, once it was.
    until: Option<Instant>,
}

/// What came of waiting for a server.
enum Turn<'r> {
    Comes(Option<Place>),
    Elsewhere(Picked<'r>),
}

/// Sends a request that has passed the middlewares of this router to a server of its service, and relays the response.
///
/// # Errors
/// What is left to tell the client.
pub async fn run<D: Downstream, B: Source>(
    exchange: &mut Exchange<'_, D, B>,
    router: &OwnRouter,
    scratch: &mut Scratch,
) -> Result<(), Unserved> {
    let visitor = exchange.visitor;
    let worker = visitor.worker;
    worker.retries.deposit();
    let mut course = Course {
        router,
        cookies: scratch.passage.cookies.len(),
        tried: Tried::default(),
        sent: false,
        until: None,
    };
    let picked = visitor.pick(router, &mut scratch.request, &mut scratch.passage.cookies);
    let mut picked = picked.map_err(|failure| course.refuse(visitor, failure, scratch))?;
    if course.is_out(worker, &picked) {
        let held = Box::pin(course.held(exchange, &picked, scratch)).await;
        picked = held.map_err(|failure| course.refuse(visitor, failure, scratch))?;
    }
    loop {
        let place = match picked.server.cap {
            None => None,
            Some(_) => match Box::pin(course.turn(exchange, &picked, scratch)).await {
                Ok(Turn::Comes(place)) => place,
                Ok(Turn::Elsewhere(next)) => {
                    picked = next;
                    continue;
                }
                Err(failure) => return Err(course.refuse(visitor, failure, scratch)),
            },
        };
        let outcome = exchange.on(&picked, scratch).await;
        drop(place);
        let Err(failed) = outcome else {
            worker.answered(&picked, scratch.response.status);
            return Ok(());
        };
        worker.failed(&picked, &failed, exchange.asked.is_repeatable());
        course.sent |= !matches!(failed, Failed::Connect(_));
        let failure = match exchange.may_go_elsewhere(&failed) {
            false => failed.failure(),
            true => match Box::pin(course.next(exchange, &picked, scratch)).await {
                Ok(next) => {
                    picked = next;
                    continue;
                }
                Err(instead) => instead.unwrap_or_else(|| course.lost(worker, &picked, &failed)),
            },
        };
        let place = Some((&*router.name, &*picked.server.name));
        visitor.note(failure, id_of(&scratch.request), place, &failed);
        return Err(course.unserved(visitor, Unserved::Failed(failure), scratch));
    }
}

impl<'r> Course<'r> {
    /// Whether others wait for the service already, and there is nothing better than a server that is down.
    fn is_out(&self, worker: &Worker, picked: &Picked<'_>) -> bool {
        let service = self.router.service.as_ref();
        picked.rank >= Rank::Down
            && !picked.load_balancer.on_failure.hold_time.is_zero()
            && service.is_some_and(|service| worker.hold.is_out(service.id))
    }

    /// The next server after this one has failed, maybe after a while.
    ///
    /// # Errors
    /// There is none: why, or `None` for the reason of that failure.
    async fn next<D: Downstream, B: Source>(
        &mut self,
        exchange: &mut Exchange<'_, D, B>,
        failed: &Picked<'r>,
        scratch: &mut Scratch,
    ) -> Result<Picked<'r>, Option<Failure>> {
        let visitor = exchange.visitor;
        let mut reason = None;
        if let Some(next) = self.other_than(failed, visitor, scratch) {
            if visitor.worker.retries.withdraw() {
                return Ok(next);
            }
            reason = Some(Failure::RetryBudget);
        }
        // What has been sent once is sent again only against the budget.
        match self.sent || failed.load_balancer.on_failure.hold_time.is_zero() {
            true => Err(reason),
            false => self.held(exchange, failed, scratch).await.map_err(Some),
        }
    }

    /// What the client is told of the last failure. Where checks hold all servers to be down, or the operator has a
    /// page for that, nobody serves: that one of them was tried all the same is no news.
    fn lost(&self, worker: &Worker, picked: &Picked<'_>, failed: &Failed) -> Failure {
        let service = self.router.service.as_ref();
        let has_page = service.is_some_and(|service| service.page().is_some());
        match failed {
            Failed::Connect(_) if !self.sent && (has_page || worker.is_down(picked.server)) => {
                Failure::NoServer
            }
            failed => failed.failure(),
        }
    }

    /// A place at the server, after waiting for it where it is full; or another server, where this one has no room or
    /// is not to be asked any more. Nobody has got the request: that is not paid for.
    ///
    /// # Errors
    /// There is no room, or not in time, or the client has gone.
    async fn turn<D: Downstream, B: Source>(
        &mut self,
        exchange: &mut Exchange<'_, D, B>,
        picked: &Picked<'r>,
        scratch: &mut Scratch,
    ) -> Result<Turn<'r>, Failure> {
        let (visitor, worker) = (exchange.visitor, exchange.visitor.worker);
        exchange.body.copy_out();
        let mut enter = pin!(worker.queues.enter(picked.server));
        let mut gave_up = pin!(exchange.client.gave_up(exchange.asked.body.is_empty()));
        let mut cut = pin!(worker.cut());
        loop {
            let entered = tokio::select! {
                biased;
                entered = &mut enter => entered,
                () = &mut gave_up => return Err(Failure::ClientGone),
                () = &mut cut => return Err(Failure::QueueTimeout),
                () = worker.queues.worse() => match self.instead_of(picked, visitor, scratch) {
                    Some(next) => return Ok(Turn::Elsewhere(next)),
                    None => continue,
                },
            };
            let next = match entered {
                Ok(_) => self.instead_of(picked, visitor, scratch),
                Err(Failure::QueueFull) => {
                    let next = self.other_than(picked, visitor, scratch);
                    next.filter(Picked::has_room)
                }
                Err(_) => None,
            };
            return match next {
                Some(next) => Ok(Turn::Elsewhere(next)),
                None => entered.map(Turn::Comes),
            };
        }
    }

    /// Another server, where this one has left while the request waited for its turn there. A drained one keeps those
    /// that its cookie names.
    fn instead_of(
        &mut self,
        picked: &Picked<'r>,
        visitor: Visitor<'_>,
        scratch: &mut Scratch,
    ) -> Option<Picked<'r>> {
        if !visitor.worker.has_left(picked) {
            return None;
        }
        let next = self.another(visitor, scratch);
        let next = next.filter(|next| next.server.id != picked.server.id)?;
        self.tried.add(picked.server.id);
        Some(next)
    }

    /// Another server than this one, which has failed or has no room.
    fn other_than(
        &mut self,
        picked: &Picked<'r>,
        visitor: Visitor<'_>,
        scratch: &mut Scratch,
    ) -> Option<Picked<'r>> {
        self.tried.add(picked.server.id);
        self.another(visitor, scratch)
    }

    /// A server that was not tried, and its cookie in place of the last one's.
    fn another(&self, visitor: Visitor<'_>, scratch: &mut Scratch) -> Option<Picked<'r>> {
        if self.tried.is_over() {
            return None;
        }
        let Scratch {
            request, passage, ..
        } = scratch;
        let kept = passage.cookies.split_off(self.cookies);
        let next = visitor.pick_next(self.router, (request, &mut passage.cookies), &self.tried);
        let next = next.filter(|next| !self.tried.contains(next.server.id));
        if next.is_none() {
            passage.cookies.truncate(self.cookies);
            passage.cookies.extend(kept);
        }
        next
    }

    /// A server, as soon as one of the service takes connections; only for what has been sent to nobody.
    ///
    /// # Errors
    /// None does in time, or the client has gone.
    async fn held<D: Downstream, B: Source>(
        &mut self,
        exchange: &mut Exchange<'_, D, B>,
        picked: &Picked<'r>,
        scratch: &mut Scratch,
    ) -> Result<Picked<'r>, Failure> {
        let visitor = exchange.visitor;
        let worker = visitor.worker;
        let service = self.router.service.as_ref().ok_or(Failure::RouterError)?;
        let hold_time = picked.load_balancer.on_failure.hold_time;
        let until = *self.until.get_or_insert_with(|| uring::now() + hold_time);
        exchange.body.copy_out();
        let look = async || worker.reaches(service).await;
        let over = tokio::select! {
            biased;
            over = worker.hold.wait(service.id, until, look) => over,
            () = exchange.client.gave_up(exchange.asked.body.is_empty()) => {
                return Err(Failure::ClientGone);
            }
            () = worker.cut() => false,
        };
        if !over {
            return Err(Failure::NoServer);
        }
        self.tried = Tried::default();
        let Scratch {
            request, passage, ..
        } = scratch;
        passage.cookies.truncate(self.cookies);
        let next = visitor.pick_next(self.router, (request, &mut passage.cookies), &self.tried);
        next.ok_or(Failure::NoServer)
    }

    /// Notes a request that no server has got, and says what its client is told.
    fn refuse(&self, visitor: Visitor<'_>, failure: Failure, scratch: &Scratch) -> Unserved {
        let id = id_of(&scratch.request);
        visitor.note(failure, id, None, &failure.explanation());
        self.unserved(visitor, Unserved::Refused(failure), scratch)
    }

    /// The same, with the operator's page where there is one.
    fn unserved(&self, visitor: Visitor<'_>, unserved: Unserved, scratch: &Scratch) -> Unserved {
        let (Unserved::Refused(failure) | Unserved::Failed(failure)) = unserved else {
            return unserved;
        };
        let service = self.router.service.as_ref();
        let page = service
            .and_then(|service| service.page())
            .filter(|_| failure.status() == Some(Status::SERVICE_UNAVAILABLE));
        let id = id_of(&scratch.request);
        let answer = page.and_then(|page| Answer::page(failure, visitor, (id, page)));
        match answer {
            None => unserved,
            Some(mut answer) => {
                let (passage, request) = (&scratch.passage, &scratch.request);
                passage.leave(visitor, request, &mut answer.head);
                Unserved::Answered(answer)
            }
        }
    }
}
