//! How certificates stand, for people: the command line and the status.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::deploy::Deployed;
use super::plan::{covers, plan, renew_at};
use super::queue::Queue;
use super::renewal;
use super::store::Store;
use crate::config::Needs;

/// All certificates, and what is to be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// Those that are there.
    pub certificates: Vec<Certificate>,
    /// Those that the plan asks for next.
    pub orders: Vec<Asked>,
    /// How they are handed to other programs.
    #[serde(default)]
    pub deployments: Vec<Deployed>,
}

/// A certificate that is there. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Who renews it.
    pub resolver: String,
    /// What it is for.
    pub names: Vec<String>,
    /// When it ends.
    pub not_after: i64,
    /// When it is renewed; `None` for one that no router needs.
    pub renew_at: Option<i64>,
}

/// A certificate to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// From whom.
    pub resolver: String,
    /// For what.
    pub names: Vec<String>,
    /// Whether it takes the place of one that is there.
    pub renewal: bool,
    /// Why it could not be had so far, in the authority's words, by name.
    pub troubles: Vec<(String, String)>,
    /// Not before.
    pub not_before: Option<i64>,
}

/// How things stand now; of deployments it says nothing.
pub fn overview(store: &Store, queue: &Queue, needs: &Needs, now: i64) -> Overview {
    let have = renewal::have(store, &HashSet::new());
    let plan = plan(
        &needs.wanted,
        &have,
        |name| needs.files.serve(name),
        &queue.troubled(),
        now,
    );
    let certificates = store
        .all()
        .zip(&have)
        .map(|((key, held), have)| Certificate {
            resolver: held.record.resolver.clone(),
            names: held.record.names.clone(),
            not_after: have.not_after,
            renew_at: (!plan.unused.contains(key)).then(|| renew_at(have)),
        });
    let orders = plan.orders.iter().map(|order| {
        let trouble = |name: &str| {
            let trouble = queue.trouble(&order.resolver, name)?;
            Some((name.to_owned(), trouble.error.clone()))
        };
        let not_before = queue.not_before(order);
        Asked {
            resolver: order.resolver.to_string(),
            names: order.names.iter().map(ToString::to_string).collect(),
            renewal: order.replaces.is_some(),
            troubles: order
                .names
                .iter()
                .filter_map(|name| trouble(name))
                .collect(),
            not_before: (not_before > now).then_some(not_before),
        }
    });
    Overview {
        certificates: certificates.collect(),
        orders: orders.collect(),
        deployments: Vec::new(),
    }
}

impl Overview {
    /// Names that are wanted and for which nothing valid is there.
    pub fn missing(&self, now: i64) -> Vec<&str> {
        let valid = |name: &str| {
            let alive = self
                .certificates
                .iter()
                .filter(|certificate| certificate.not_after > now);
            alive
                .flat_map(|certificate| &certificate.names)
                .any(|own| covers(own, name))
        };
        let wanted = self
            .orders
            .iter()
            .flat_map(|order| &order.names)
            .map(String::as_str);
        wanted.filter(|name| !valid(name)).collect()
    }

    /// A line for each order, for `weir certs plan` and the status.
    pub fn planned(&self, now: i64) -> Vec<String> {
        let line = |order: &Asked| {
            let what = if order.renewal { "renew" } else { "obtain" };
            let wait = order
                .not_before
                .map_or(String::new(), |at| format!(" (in {})", Span(at - now)));
            let troubles: String = order
                .troubles
                .iter()
                .map(|(name, said)| format!("\n    {name}: {said}"))
                .collect();
            format!(
                "{what} by {}: {}{wait}{troubles}",
                order.resolver,
                order.names.join(" ")
            )
        };
        self.orders.iter().map(line).collect()
    }

    /// A line for each deployment, for `weir certs list` and the status.
    pub fn deployed(&self, now: i64) -> Vec<String> {
        let line = |one: &Deployed| {
            let resolver = one.resolver.as_deref().unwrap_or("tls.certificates");
            let directory = one.directory.display();
            let Some(at) = one.at else {
                return format!(
                    "not deployed by {resolver} to {directory} yet: there has been nothing"
                );
            };
            let Some(trouble) = &one.trouble else {
                return format!(
                    "deployed by {resolver} to {directory} {} ago",
                    Span(now - at)
                );
            };
            let times = match trouble.failures {
                1 => String::new(),
                times => format!(" {times} times"),
            };
            let wait = Span((trouble.not_before - now).max(0));
            format!(
                "NOT DEPLOYED by {resolver} to {directory}, tried{times}, again in {wait}: {}",
                trouble.error.replace('\n', "\n    ")
            )
        };
        self.deployments.iter().map(line).collect()
    }

    /// A line for each certificate and each deployment, for `weir certs list`.
    pub fn listed(&self, now: i64) -> Vec<String> {
        let line = |certificate: &Certificate| {
            let ends = match certificate.not_after - now {
                left if left > 0 => format!("ends in {}", Span(left)),
                left => format!("EXPIRED {} ago", Span(-left)),
            };
            let renewed = match certificate.renew_at {
                Some(at) if at > now => format!("renewed in {}", Span(at - now)),
                Some(_) => "renewal is due".to_owned(),
                None => "not renewed: no router needs it".to_owned(),
            };
            format!(
                "{} by {}: {ends}, {renewed}",
                certificate.names.join(" "),
                certificate.resolver
            )
        };
        let mut lines: Vec<String> = self.certificates.iter().map(line).collect();
        lines.extend(self.deployed(now));
        lines
    }

    /// Whether what there is has got to where it is to be.
    pub fn is_deployed(&self) -> bool {
        self.deployments.iter().all(|one| one.trouble.is_none())
    }
}

/// Seconds, for people.
struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            days if days >= 2 * 86_400 => write!(f, "{} days", days / 86_400),
            hours if hours >= 2 * 3_600 => write!(f, "{} hours", hours / 3_600),
            minutes if minutes >= 120 => write!(f, "{} minutes", minutes / 60),
            seconds => write!(f, "{seconds} s"),
        }
    }
}
