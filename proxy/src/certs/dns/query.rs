//! Questions to name servers, over UDP and, where an answer does not fit, TCP (RFC 1035 section 4.2).

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::TxtRecord;
use crate::limits::{DNS_ANSWER, DNS_TRIES};

const PORT: u16 = 53;

/// Name servers that answer for every zone.
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
}

impl Resolver {
    /// These, or those of the system.
    pub(super) fn new(servers: &[SocketAddr]) -> Result<Self, String> {
        let servers = match servers {
            [] => of_system()?,
            servers => servers.to_vec(),
        };
        Ok(Self { servers })
    }

    /// Where a name is an alias to, without the final dot.
    pub(super) async fn cname(&self, of: &str) -> Result<Option<String>, String> {
        let answer = self.ask(&name(of)?, RecordType::CNAME).await?;
        let target = answer.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) => Some(target.0.to_ascii().trim_end_matches('.').to_owned()),
            _ => None,
        });
        Ok(target)
    }

    /// The zone that a name is in, asked at `server` or at these.
    pub(super) async fn zone_at(
        &self,
        of: &str,
        server: Option<SocketAddr>,
    ) -> Result<Name, String> {
        let mut zone = name(of)?;
        while !zone.is_root() {
            let answer = match server {
                Some(server) => ask(server, &zone, RecordType::SOA).await?,
                None => self.ask(&zone, RecordType::SOA).await?,
            };
            if answer
                .answers
                .iter()
                .any(|record| record.name == zone && record.record_type() == RecordType::SOA)
            {
                return Ok(zone);
            }
            zone = zone.base_name();
        }
        Err(format!("no zone is found for {of}"))
    }

    /// Whether all servers of the record's zone have it.
    pub(super) async fn at_authorities(&self, record: &TxtRecord) -> Result<bool, String> {
        let zone = self.zone_at(&record.name, None).await?;
        let answer = self.ask(&zone, RecordType::NS).await?;
        let mut asked = 0;
        for server in &answer.answers {
            let RData::NS(server) = &server.data else {
                continue;
            };
            let Some(address) = self.addresses(&server.0).await?.into_iter().next() else {
                continue;
            };
            if !has(SocketAddr::new(address, PORT), record).await? {
                return Ok(false);
            }
            asked += 1;
        }
        match asked {
            0 => Err(format!("no server of {zone} has an address")),
            _ => Ok(true),
        }
    }

    /// Whether these have it, all of them or one.
    pub(super) async fn at_resolvers(&self, record: &TxtRecord, all: bool) -> Result<bool, String> {
        let mut found = false;
        for server in &self.servers {
            match has(*server, record).await {
                Ok(true) => found = true,
                Ok(false) if all => return Ok(false),
                Err(error) if all => return Err(error),
                Ok(false) | Err(_) => {}
            }
        }
        Ok(found)
    }

    async fn addresses(&self, of: &Name) -> Result<Vec<IpAddr>, String> {
        let mut addresses = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            let answer = self.ask(of, kind).await?;
            addresses.extend(
                answer
                    .answers
                    .iter()
                    .filter_map(|record| match &record.data {
                        RData::A(address) => Some(IpAddr::V4(address.0)),
                        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                        _ => None,
                    }),
            );
        }
        Ok(addresses)
    }

    /// The first answer.
    async fn ask(&self, of: &Name, kind: RecordType) -> Result<Message, String> {
        let mut problem = "no name server is configured".to_owned();
        for server in &self.servers {
            match ask(*server, of, kind).await {
                Ok(answer) => return Ok(answer),
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }
}

/// A name, fully qualified.
pub(super) fn name(text: &str) -> Result<Name, String> {
    let mut name =
        Name::from_ascii(text).map_err(|error| format!("{text:?} is no name: {error}"))?;
    name.set_fqdn(true);
    Ok(name)
}

async fn has(server: SocketAddr, record: &TxtRecord) -> Result<bool, String> {
    let answer = ask(server, &name(&record.name)?, RecordType::TXT).await?;
    let says = |data: &RData| match data {
        RData::TXT(text) => text.txt_data.concat() == record.value.as_bytes(),
        _ => false,
    };
    Ok(answer.answers.iter().any(|record| says(&record.data)))
}

async fn ask(server: SocketAddr, of: &Name, kind: RecordType) -> Result<Message, String> {
    let mut message = Message::query();
    message.add_query(Query::query(of.clone(), kind));
    message.metadata.recursion_desired = true;
    exchange(server, &message).await
}

/// Sends a message and returns the answer to it.
///
/// # Errors
/// One line that names the server.
pub(super) async fn exchange(server: SocketAddr, message: &Message) -> Result<Message, String> {
    let bytes = message.to_vec().map_err(|error| error.to_string())?;
    let failed = |error: std::io::Error| format!("name server {server}: {error}");
    for _ in 0..DNS_TRIES {
        let answer = match timeout(DNS_ANSWER, over_udp(server, &bytes)).await {
            Ok(answer) => answer.map_err(failed)?,
            Err(_) => continue,
        };
        let Ok(answer) = Message::from_vec(&answer) else {
            continue;
        };
        if answer.metadata.id != message.metadata.id {
            continue;
        }
        if !answer.metadata.truncation {
            return Ok(answer);
        }
        let whole = timeout(DNS_ANSWER, over_tcp(server, &bytes)).await;
        let whole = whole
            .map_err(|_| format!("name server {server} does not answer over TCP"))?
            .map_err(failed)?;
        return Message::from_vec(&whole).map_err(|error| format!("name server {server}: {error}"));
    }
    Err(format!("name server {server} does not answer"))
}

async fn over_udp(server: SocketAddr, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let local: IpAddr = match server {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((local, 0)).await?;
    // Answers of anybody else do not arrive.
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut answer = vec![0; usize::from(u16::MAX)];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

async fn over_tcp(server: SocketAddr, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(message.len()).map_err(std::io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes(), message].concat())
        .await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

fn of_system() -> Result<Vec<SocketAddr>, String> {
    const FILE: &str = "/etc/resolv.conf";
    let text = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse().ok())?
    });
    Ok(servers
        .map(|address: IpAddr| SocketAddr::new(address, PORT))
        .collect())
}
