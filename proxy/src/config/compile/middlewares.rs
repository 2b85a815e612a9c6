//! Middlewares by name, with chains laid out.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Merged, local};
use crate::config::document::Named;
use crate::config::walker::Spanned;
use crate::config::{Lint, Origin, Problem};
use crate::limits::{MIDDLEWARE_CHAIN_DEPTH_MAX, MIDDLEWARES_MAX};
use crate::middleware::{Chain, Middleware};

/// The middlewares of all files.
pub(super) struct Middlewares {
    by_name: HashMap<Arc<str>, (Option<Arc<Middleware>>, Origin)>,
}

impl Middlewares {
    pub(super) fn new(drafts: &Merged<Arc<Middleware>>) -> Self {
        let entry = |named: &Arc<Named<Arc<Middleware>>>| {
            let usable = named.usable().cloned();
            (named.name.clone(), (usable, named.origin.clone()))
        };
        Self {
            by_name: drafts.values().map(entry).collect(),
        }
    }

    /// The middlewares that these references mean, chains replaced by their members.
    ///
    /// # Errors
    /// One of them leads nowhere, to a middleware with an error, or round in a circle.
    pub(super) fn chain(&self, references: &[Spanned<String>]) -> Result<Chain, Problem> {
        let mut flat = Vec::new();
        for reference in references {
            self.add(reference, 0, &mut flat)?;
        }
        Ok(flat.into())
    }

    fn add(
        &self,
        reference: &Spanned<String>,
        depth: usize,
        flat: &mut Vec<Arc<Middleware>>,
    ) -> Result<(), Problem> {
        let name = local(reference)?;
        let problem = Problem::error(reference.origin.clone(), format!("middleware {name:?}"));
        let (middleware, origin) = match self.by_name.get(name) {
            Some((Some(middleware), origin)) => (middleware, origin),
            Some((None, origin)) => {
                return Err(problem.remedy(format!("correct that middleware, at {origin}")));
            }
            None => {
                return Err(problem
                    .lint(Lint::DanglingReference)
                    .allowed("a middleware of some rule file")
                    .remedy("add it, or correct the name"));
            }
        };
        let Some(members) = middleware.members() else {
            if flat.len() >= MIDDLEWARES_MAX {
                return Err(problem.allowed(format!("at most {MIDDLEWARES_MAX} on one router")));
            }
            flat.push(middleware.clone());
            return Ok(());
        };
        if depth >= MIDDLEWARE_CHAIN_DEPTH_MAX {
            let allowed = format!("at most {MIDDLEWARE_CHAIN_DEPTH_MAX} chains inside each other");
            return Err(problem
                .allowed(allowed)
                .remedy("let no chain lead back to itself"));
        }
        members.iter().try_for_each(|member| {
            let member = Spanned {
                value: member.clone(),
                origin: origin.clone(),
            };
            self.add(&member, depth + 1, flat)
        })
    }
}
