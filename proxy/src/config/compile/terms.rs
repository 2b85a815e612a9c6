//! `tls.options` by name, and what is agreed on under each: used again as long as neither it nor the certificates
//! change.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Context, Merged, local};
use crate::config::document::{Named, TlsOptionsDraft};
use crate::config::walker::Spanned;
use crate::config::{Origin, Problem};
use crate::tls::{Options, Store, Terms, TicketKeys};

/// The name of those that count where none are named.
const DEFAULT: &str = "default";

/// What the loader keeps from one load to the next.
#[derive(Debug, Default)]
pub(in crate::config) struct TermsKept {
    store: Option<Arc<Store>>,
    made: Vec<Arc<Terms>>,
}

/// The options of all rule files.
pub(super) struct TermsByName {
    by_name: HashMap<Arc<str>, Made>,
}

/// The terms of some options, or where they are and why they cannot be had.
type Made = Result<Arc<Terms>, (Origin, String)>;

impl TermsKept {
    /// The store of the last load.
    pub(super) fn store(&self) -> Option<&Arc<Store>> {
        self.store.as_ref()
    }

    /// These options, with this store: what was made before if they are the same.
    fn take(
        &self,
        options: Options,
        store: &Arc<Store>,
        keys: &Arc<TicketKeys>,
    ) -> Result<Arc<Terms>, String> {
        let same = |terms: &&Arc<Terms>| **terms.options() == options;
        let before = self.made.iter().find(same);
        match before {
            Some(terms) if Arc::ptr_eq(terms.store(), store) => return Ok(Arc::clone(terms)),
            _ => {}
        }
        // Connections know by the address of their options that these are still theirs.
        let options = before.map_or_else(|| Arc::new(options), |terms| terms.options().clone());
        let made = Terms::new(&options, store, keys).map_err(|error| error.to_string())?;
        Ok(Arc::new(made))
    }
}

/// Makes the terms of all options with this store.
pub(super) fn compile(
    context: &mut Context<'_>,
    drafts: &Merged<TlsOptionsDraft>,
    store: &Arc<Store>,
) -> TermsByName {
    let mut by_name = HashMap::new();
    let tickets = Arc::clone(&context.shared.tickets);
    let mut made: Vec<Arc<Terms>> = Vec::new();
    let mut make = |context: &mut Context<'_>, options: Options| {
        // Two names for the same are the same.
        let known = made.iter().find(|terms| **terms.options() == options);
        if let Some(terms) = known {
            return Ok(Arc::clone(terms));
        }
        let terms = context.terms.take(options, store, &tickets)?;
        made.push(Arc::clone(&terms));
        Ok(terms)
    };
    if !drafts.contains_key(DEFAULT) {
        let default = make(context, Options::default());
        let origin = || Origin::file(context.config.rules.path.as_deref().unwrap_or("".as_ref()));
        let default = default.map_err(|error| (origin(), error));
        by_name.insert(DEFAULT.into(), default);
    }
    for named in drafts.values() {
        let options = options(context, named);
        let found = match options {
            Ok(options) => make(context, options).map_err(|error| {
                let found = format!("TLS options that cannot be had: {error}");
                Problem::error(named.origin.clone(), found)
            }),
            Err(problem) => Err(problem),
        };
        let found = found.map_err(|problem| {
            let why = problem.found.to_string();
            if !why.is_empty() {
                let path = format!("tls.options.{}", named.name);
                let lost = format!("{path} and the routers that use them");
                context.problems.push(problem.at(path).lost(lost));
            }
            (named.origin.clone(), why)
        });
        by_name.insert(Arc::clone(&named.name), found);
    }
    context.terms.made = made;
    context.terms.store = Some(Arc::clone(store));
    TermsByName { by_name }
}

/// What a draft says, with its authorities. A problem without words where it is told already.
fn options(context: &mut Context<'_>, named: &Named<TlsOptionsDraft>) -> Result<Options, Problem> {
    let Some(draft) = named.usable() else {
        return Err(Problem::error(named.origin.clone(), ""));
    };
    let mut options = draft.options.clone();
    for file in &draft.ca_files {
        let loaded = context.pems.authorities("caFiles", &file.value);
        let problem = loaded
            .trouble
            .map(|trouble| Problem::error(file.origin.clone(), trouble.to_string()));
        match (loaded.good, problem) {
            (Some(good), problem) => {
                options.authorities.extend(good.iter().cloned());
                context.problems.extend(problem.map(|problem| {
                    problem
                        .at(format!("tls.options.{}.clientAuth.caFiles", named.name))
                        .lost(super::store::LAST_GOOD)
                }));
            }
            (None, problem) => {
                return Err(
                    problem.unwrap_or_else(|| Problem::error(file.origin.clone(), "no authority"))
                );
            }
        }
    }
    Ok(options)
}

impl TermsByName {
    /// The default ones; `None` where they have an error.
    pub(super) fn default(&self) -> Option<&Arc<Terms>> {
        self.by_name.get(DEFAULT)?.as_ref().ok()
    }

    /// Those that a reference means; the default ones for none.
    ///
    /// # Errors
    /// It leads nowhere, or to options with an error. `None`: these are the default ones, about which enough is said.
    pub(super) fn find(
        &self,
        reference: Option<&Spanned<String>>,
    ) -> Result<&Arc<Terms>, Option<Problem>> {
        let Some(reference) = reference else {
            return self.default().ok_or(None);
        };
        let name = local(reference).map_err(Some)?;
        let problem = |found: String| Problem::error(reference.origin.clone(), found);
        match self.by_name.get(name) {
            Some(Ok(terms)) => Ok(terms),
            Some(Err(_)) if name == DEFAULT => Err(None),
            Some(Err((origin, why))) => {
                let why = match why.is_empty() {
                    true => String::new(),
                    false => format!(", which cannot be had ({why})"),
                };
                Err(Some(
                    problem(format!("the TLS options {name:?}{why}"))
                        .remedy(format!("correct them, at {origin}")),
                ))
            }
            None => {
                let mut known: Vec<&str> = self.by_name.keys().map(|name| &**name).collect();
                known.sort_unstable();
                Err(Some(
                    problem(format!("the TLS options {name:?}"))
                        .lint(crate::config::Lint::DanglingReference)
                        .allowed(known.join(", "))
                        .remedy("correct the name, or add them to tls.options of a rule file"),
                ))
            }
        }
    }
}
