//! Services that nothing leads to.

use std::collections::HashSet;

use super::{Lint, child};
use crate::config::Problem;
use crate::config::document::Document;
use crate::config::node::{Node, Value};

/// Keys whose values name services.
const NAMING: [&str; 5] = ["service", "services", "fallback", "mirrors", "name"];

pub(super) fn unused(documents: &[Document]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for protocol in ["http", "tcp"] {
        let mut named = HashSet::new();
        let sections = documents
            .iter()
            .filter_map(|document| child(document.tree.as_deref()?, protocol));
        sections.for_each(|section| mentions(section, false, &mut named));
        let services = documents.iter().flat_map(|document| match protocol {
            "http" => &document.http.services,
            _ => &document.tcp.services,
        });
        for service in services.filter(|service| !named.contains(&*service.name)) {
            let problem =
                Problem::warning(service.origin.clone(), "a service that nothing leads to");
            problems.push(
                problem
                    .at(format!("{protocol}.services.{}", service.name))
                    .lint(Lint::UnusedService)
                    .remedy("name it in a router, or remove it"),
            );
        }
    }
    problems
}

/// All texts that may name a service.
fn mentions<'n>(node: &'n Node, naming: bool, named: &mut HashSet<&'n str>) {
    match &node.value {
        Value::Scalar(scalar) if naming => {
            named.insert(scalar.text.split('@').next().unwrap_or_default());
        }
        Value::Null | Value::Scalar(_) => {}
        Value::List(items) => items.iter().for_each(|item| mentions(item, naming, named)),
        Value::Map(entries) => {
            for entry in entries {
                let naming = NAMING
                    .iter()
                    .any(|key| key.eq_ignore_ascii_case(&entry.key));
                mentions(&entry.node, naming, named);
            }
        }
    }
}
