//! The way of one request from server to server, until one has answered it or none may be asked any more.
//!
//! Invariants: at most [`limits::SERVER_TRIES_MAX`] servers are asked in a row, each after the first paid for from the
//! worker's budget, and none while another may have the request; a request is held only where its service says so, and
//! only while it has been sent to nobody: what a server does with a request is no outage to be waited for.

use std::time::Instant;

use super::answer::Answer;
use super::body::Source;
use super::decision::Visitor;
use super::forward::{Exchange, Unserved, id_of};
use super::own_routers::OwnRouter;
use super::response::Failed;
use super::scratch::Scratch;
use super::sides::Downstream;
use super::worker::Worker;
use crate::failure::Failure;
use crate::http::Status;
use crate::service::{Picked, Rank};
use crate::{limits, uring};

/// How far a request has come.
struct Course<'r> {
    router: &'r OwnRouter,
    /// Cookies of the response before one was added for a server.
    cookies: usize,
    /// Servers asked in a row.
    tries: usize,
    /// A server has got it, or part of it, and failed.
    sent: bool,
    /// Until when it may be held, once it was.
    until: Option<Instant>,
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
        tries: 1,
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
        let place = exchange.enter(&picked).await;
        let place = place.map_err(|failure| course.refuse(visitor, failure, scratch))?;
        if let Some(next) = course.instead_of(visitor, &picked, scratch) {
            picked = next;
            continue;
        }
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
                Err(instead) => instead.unwrap_or_else(|| failed.failure()),
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
        picked.rank == Rank::Down
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
        if self.tries < limits::SERVER_TRIES_MAX
            && let Some(next) = self.another(visitor, failed, scratch)
        {
            if visitor.worker.retries.withdraw() {
                self.tries += 1;
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

    /// Another server, where this one has left while the request waited for its turn there. Nobody has got it: that is
    /// not paid for.
    fn instead_of(
        &mut self,
        visitor: Visitor<'_>,
        picked: &Picked<'r>,
        scratch: &mut Scratch,
    ) -> Option<Picked<'r>> {
        let may = picked.server.cap.is_some() && self.tries < limits::SERVER_TRIES_MAX;
        if !may || !visitor.worker.has_left(picked) {
            return None;
        }
        self.tries += 1;
        self.another(visitor, picked, scratch)
    }

    /// Another server, and its cookie in place of the other one's.
    fn another(
        &self,
        visitor: Visitor<'_>,
        failed: &Picked<'r>,
        scratch: &mut Scratch,
    ) -> Option<Picked<'r>> {
        let Scratch {
            request, passage, ..
        } = scratch;
        let kept = passage.cookies.split_off(self.cookies);
        let next = visitor.pick_next(self.router, request, &mut passage.cookies);
        let next = next.filter(|next| next.server.id != failed.server.id);
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
        let wait = worker.hold.wait(service.id, until, look);
        let over = match exchange.asked.body.is_empty() {
            // Who looks whether the client is there would read its body.
            false => wait.await,
            true => tokio::select! {
                biased;
                over = wait => over,
                () = exchange.client.gone() => return Err(Failure::ClientGone),
            },
        };
        if !over {
            return Err(Failure::NoServer);
        }
        self.tries = 1;
        let Scratch {
            request, passage, ..
        } = scratch;
        passage.cookies.truncate(self.cookies);
        let next = visitor.pick_next(self.router, request, &mut passage.cookies);
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
