//! DNS-01: records made where a provider can, and seen where an authority will look.
//!
//! A name whose `_acme-challenge` is a CNAME is proved where that points to, so that the zone of the name itself need
//! not be writable (RFC 8555 section 8.4 lets authorities follow it).

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::order::Failure;
use crate::config::static_file::{DnsChallenge, DnsCheck, DnsProvider};
use crate::limits::{DNS_CNAMES_MAX, DNS_LOOK};

mod cloudflare;
mod exec;
mod httpreq;
mod query;
mod rfc2136;
mod route53;
mod secret;

use self::query::Resolver;

/// A TXT record to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxtRecord {
    /// The name that is proved by it.
    pub proves: String,
    /// Without the final dot.
    pub name: String,
    /// What it says.
    pub value: String,
    /// What the authority has given for it.
    pub token: String,
    /// What [`TxtRecord::value`] is made of: token and account.
    pub authorization: String,
}

/// What is to be done to records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Present,
    CleanUp,
}

/// Has it done where records are made.
async fn change(
    provider: DnsProvider,
    resolver: &Resolver,
    change: Change,
    records: &[TxtRecord],
) -> Result<(), Failure> {
    match provider {
        DnsProvider::Cloudflare => cloudflare::change(resolver, change, records).await,
        DnsProvider::Exec => exec::change(change, records).await,
        DnsProvider::HttpReq => httpreq::change(change, records).await,
        DnsProvider::Rfc2136 => rfc2136::change(resolver, change, records).await,
        DnsProvider::Route53 => route53::change(resolver, change, records).await,
    }
}

/// Makes the records, whose names become those that CNAMEs lead to, and returns when they are seen.
///
/// # Errors
/// What the provider says, or that a record is not seen in time.
pub async fn present(challenge: &DnsChallenge, records: &mut [TxtRecord]) -> Result<(), Failure> {
    let resolver = Resolver::new(&challenge.resolvers).map_err(Failure::Authority)?;
    for record in &mut *records {
        record.name = target(&resolver, record).await?;
    }
    change(challenge.provider, &resolver, Change::Present, records).await?;
    tokio::time::sleep(challenge.delay).await;
    propagated(challenge, &resolver, records).await
}

/// Where CNAMEs lead from the name of the record.
async fn target(resolver: &Resolver, record: &TxtRecord) -> Result<String, Failure> {
    let mut target = record.name.clone();
    for _ in 0..=DNS_CNAMES_MAX {
        let next = resolver.cname(&target).await.map_err(Failure::Authority)?;
        match next {
            Some(next) => target = next,
            None => return Ok(target),
        }
    }
    let said = format!(
        "more than {DNS_CNAMES_MAX} aliases from {} on: let its CNAME name the place of the record itself",
        record.name
    );
    Err(Failure::Names(vec![(record.proves.clone(), said)]))
}

/// Removes the records. That it fails is logged: they do no harm.
pub async fn clean_up(challenge: &DnsChallenge, records: &[TxtRecord]) {
    let done = match Resolver::new(&challenge.resolvers) {
        Ok(resolver) => change(challenge.provider, &resolver, Change::CleanUp, records).await,
        Err(error) => Err(Failure::Authority(error)),
    };
    if let Err(failure) = done {
        tracing::warn!("records of a DNS challenge are left behind: {failure:?}");
    }
}

/// Records by the zone that they are in, which is named without the final dot.
async fn zones<'r>(
    resolver: &Resolver,
    records: &'r [TxtRecord],
) -> Result<BTreeMap<String, Vec<&'r TxtRecord>>, Failure> {
    let mut zones: BTreeMap<String, Vec<&TxtRecord>> = BTreeMap::new();
    for record in records {
        let zone = resolver.zone_at(&record.name, None).await;
        let zone = zone.map_err(|error| failed(&[record], &error))?;
        let zone = zone.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        zones.entry(zone).or_default().push(record);
    }
    Ok(zones)
}

/// That these records could not be made, and why.
fn failed(records: &[&TxtRecord], said: &str) -> Failure {
    let each = records
        .iter()
        .map(|record| (record.proves.clone(), said.to_owned()));
    Failure::Names(each.collect())
}

/// Waits until every record is seen, at most as long as the challenge allows.
async fn propagated(
    challenge: &DnsChallenge,
    resolver: &Resolver,
    records: &[TxtRecord],
) -> Result<(), Failure> {
    let deadline = Instant::now() + challenge.patience;
    for record in records {
        loop {
            let seen = match challenge.check {
                DnsCheck::None => return Ok(()),
                DnsCheck::Authoritative => resolver.at_authorities(record).await,
                DnsCheck::Resolvers { all } => resolver.at_resolvers(record, all).await,
            };
            let why = match seen {
                Ok(true) => break,
                Ok(false) => "not there yet".to_owned(),
                Err(error) => error,
            };
            if Instant::now() + DNS_LOOK > deadline {
                let said = format!(
                    "the TXT record of {} is not seen within {:?}: {why}; check the provider and the zone's servers",
                    record.name, challenge.patience
                );
                return Err(Failure::Names(vec![(record.proves.clone(), said)]));
            }
            tokio::time::sleep(DNS_LOOK).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
