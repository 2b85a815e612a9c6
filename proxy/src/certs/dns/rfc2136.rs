//! Records made by dynamic updates (RFC 2136), signed with TSIG (RFC 8945).
//!
//! From the environment, named as by lego: `RFC2136_NAMESERVER` (`address[:port]`), `RFC2136_TSIG_KEY`,
//! `RFC2136_TSIG_SECRET`, `RFC2136_TSIG_ALGORITHM` (`hmac-sha256`).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use data_encoding::BASE64;
use hickory_proto::op::{Message, ResponseCode, update_message};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, RData, RecordSet, RecordType, TSigner};

use super::query::{Resolver, exchange};
use super::{Change, Failure, TxtRecord, secret};

/// Of records that live for minutes.
const TTL: u32 = 60;
/// Seconds by which the clocks of both sides may differ (RFC 8945 section 10).
const FUDGE: u16 = 300;

/// Where updates go, and how they are signed.
struct Server {
    address: SocketAddr,
    signer: Option<TSigner>,
}

/// One update for each name: a wildcard and its apex have two records at one name.
pub(super) async fn change(
    resolver: &Resolver,
    change: Change,
    records: &[TxtRecord],
) -> Result<(), Failure> {
    let message = |set: RecordSet, zone: Name| match change {
        Change::Present => update_message::append(set, zone, false, false),
        Change::CleanUp => update_message::delete_by_rdata(set, zone, false),
    };
    let server = Server::from_environment().map_err(Failure::Authority)?;
    let mut by_name: BTreeMap<&str, Vec<&TxtRecord>> = BTreeMap::new();
    for record in records {
        by_name.entry(&record.name).or_default().push(record);
    }
    for (name, records) in by_name {
        let done = async {
            let zone = resolver.zone_at(name, Some(server.address)).await?;
            let mut set = RecordSet::with_ttl(query_name(name)?, RecordType::TXT, TTL);
            for record in &records {
                set.add_rdata(RData::TXT(TXT::new(vec![record.value.clone()])));
            }
            server.send(message(set, zone)).await
        };
        done.await.map_err(|error: String| {
            super::failed(&records, &format!("{}: {name}: {error}", server.address))
        })?;
    }
    Ok(())
}

impl Server {
    fn from_environment() -> Result<Self, String> {
        let text = secret::required("RFC2136_NAMESERVER")?;
        let address = text
            .parse()
            .ok()
            .or_else(|| Some((text.parse::<IpAddr>().ok()?, 53).into()));
        let address = address.ok_or_else(|| {
            format!("RFC2136_NAMESERVER: {text:?} is no address, such as 192.0.2.53:53")
        })?;
        let Some(key) = secret::optional("RFC2136_TSIG_KEY")? else {
            return Ok(Self {
                address,
                signer: None,
            });
        };
        let secret = secret::required("RFC2136_TSIG_SECRET")?;
        let secret = BASE64
            .decode(secret.as_bytes())
            .map_err(|_| "RFC2136_TSIG_SECRET is not Base64".to_owned())?;
        let algorithm =
            secret::optional("RFC2136_TSIG_ALGORITHM")?.unwrap_or_else(|| "hmac-sha256".to_owned());
        let algorithm = match algorithm.trim_end_matches('.') {
            "hmac-sha256" => TsigAlgorithm::HmacSha256,
            "hmac-sha384" => TsigAlgorithm::HmacSha384,
            "hmac-sha512" => TsigAlgorithm::HmacSha512,
            other => {
                return Err(format!(
                    "RFC2136_TSIG_ALGORITHM: {other:?}; allowed: hmac-sha256, hmac-sha384, hmac-sha512"
                ));
            }
        };
        let signer = TSigner::new(secret, algorithm, query_name(&key)?, FUDGE)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            address,
            signer: Some(signer),
        })
    }

    async fn send(&self, mut message: Message) -> Result<(), String> {
        if let Some(signer) = &self.signer {
            let now = crate::clock::unix_seconds();
            message
                .finalize(signer, now)
                .map_err(|error| error.to_string())?;
        }
        let answer = exchange(self.address, &message).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError => Ok(()),
            code => Err(format!(
                "the update was refused: {code}; check the key and the zone's update-policy"
            )),
        }
    }
}

fn query_name(name: &str) -> Result<Name, String> {
    super::query::name(name)
}
