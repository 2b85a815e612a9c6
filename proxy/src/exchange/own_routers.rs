//! A worker's own references to routers of the rules in force, so that a request counts a reference no other worker
//! writes to.
//!
//! Invariant: what a change of the rules leaves to be let go of is let go of a few at a time. Ten thousand routers that
//! were in use would take longer than a request may wait, more so where this worker is the last to hold them.

use std::collections::hash_map::IntoIter;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::limits::{FORMER_ROUTERS_REQUEST, FORMER_ROUTERS_TICK};
use crate::router::Router;
use crate::service::IdMap;

/// A router as this worker holds it.
pub struct OwnRouter(Arc<Router>);

/// All that it holds.
#[derive(Default)]
pub struct OwnRouters {
    generation: u64,
    by_address: IdMap<*const Router, Rc<OwnRouter>>,
    /// Those of former generations, without any that is empty.
    former: Vec<IntoIter<*const Router, Rc<OwnRouter>>>,
}

impl Deref for OwnRouter {
    type Target = Router;

    fn deref(&self) -> &Router {
        &self.0
    }
}

impl OwnRouters {
    /// The worker's own reference to a router of the rules in force.
    pub fn own(&mut self, generation: u64, router: &Arc<Router>) -> Rc<OwnRouter> {
        self.keep_to(generation);
        self.let_go(FORMER_ROUTERS_REQUEST);
        // The address names the router for as long as the map holds a reference to it.
        Rc::clone(
            self.by_address
                .entry(Arc::as_ptr(router))
                .or_insert_with(|| Rc::new(OwnRouter(Arc::clone(router)))),
        )
    }

    /// Once a second: nobody may ask for a router for a long time.
    pub fn keep_house(&mut self, generation: u64) {
        self.keep_to(generation);
        self.let_go(FORMER_ROUTERS_TICK);
    }

    /// The routers of other generations are to go; requests under way keep theirs.
    fn keep_to(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            let former = std::mem::take(&mut self.by_address);
            if !former.is_empty() {
                self.former.push(former.into_iter());
            }
        }
    }

    fn let_go(&mut self, mut count: usize) {
        while let Some(former) = self.former.last_mut() {
            let before = former.len();
            former.by_ref().take(count).for_each(drop);
            if former.len() > 0 {
                return;
            }
            count -= before;
            self.former.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::HttpRule;

    fn router() -> Arc<Router> {
        Arc::new(Router {
            name: "r@file".into(),
            priority: 1,
            rule: HttpRule::parse("PathPrefix(`/`)").expect("a rule"),
            service: None,
            middlewares: Box::default(),
        })
    }

    #[test]
    fn former_routers_leave_a_few_at_a_time() {
        let (mut own, count) = (OwnRouters::default(), 2 * FORMER_ROUTERS_TICK);
        let routers: Vec<Arc<Router>> = (0..count).map(|_| router()).collect();
        let held = || {
            routers
                .iter()
                .filter(|one| Arc::strong_count(one) > 1)
                .count()
        };
        let under_way = own.own(1, &routers[0]);
        routers.iter().for_each(|router| drop(own.own(1, router)));
        assert_eq!(held(), count);

        let next = router();
        own.own(2, &next);
        assert!(held() >= count - FORMER_ROUTERS_REQUEST);
        own.own(2, &next);
        assert!(held() >= count - 2 * FORMER_ROUTERS_REQUEST);
        own.keep_house(2);
        assert!(held() >= count - 2 * FORMER_ROUTERS_REQUEST - FORMER_ROUTERS_TICK);
        own.keep_house(2);
        assert_eq!(held(), 1, "that of a request under way");
        drop(under_way);
        assert_eq!((held(), own.former.len()), (0, 0));
        assert_eq!(Arc::strong_count(&next), 2);
    }

    #[test]
    fn reloads_without_requests_leave_nothing_behind() {
        let (mut own, router) = (OwnRouters::default(), router());
        for generation in 0..1_000 {
            own.own(2 * generation, &router);
            own.keep_house(2 * generation + 1);
        }
        assert!(own.former.len() <= 1 && Arc::strong_count(&router) <= 2);
    }
}
