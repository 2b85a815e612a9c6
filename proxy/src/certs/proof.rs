//! Showing an authority that names are ours: by a path, by a handshake, by a DNS record.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{ChallengeType, KeyAuthorization};

use super::dns::{self, TxtRecord};
use super::order::Failure;
use crate::config::static_file::{Acme, Challenge};
use crate::tls::{HttpAnswer, Shared, challenge_config};

/// Where proofs are shown.
pub struct Proofs {
    shared: Arc<Shared>,
}

/// The proofs of one order.
pub struct Proof<'a> {
    shared: &'a Shared,
    challenge: &'a Challenge,
    tokens: HashMap<Box<str>, HttpAnswer>,
    handshakes: HashMap<Box<str>, Vec<u8>>,
    records: Vec<TxtRecord>,
}

impl Proofs {
    /// Shown to the connections that read `shared`.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Which challenge is taken up.
    pub fn kind(&self, acme: &Acme) -> ChallengeType {
        match acme.challenge {
            Challenge::Http { .. } => ChallengeType::Http01,
            Challenge::TlsAlpn { .. } => ChallengeType::TlsAlpn01,
            Challenge::Dns(_) => ChallengeType::Dns01,
        }
    }

    /// Nothing shown yet.
    pub fn begin<'a>(&'a self, acme: &'a Acme) -> Proof<'a> {
        Proof {
            shared: &self.shared,
            challenge: &acme.challenge,
            tokens: HashMap::new(),
            handshakes: HashMap::new(),
            records: Vec::new(),
        }
    }
}

impl Proof<'_> {
    /// Adds what is to be shown for a name.
    pub fn add(&mut self, name: &str, token: &str, authorization: &KeyAuthorization) {
        match self.challenge {
            Challenge::Http { entry_point, .. } => {
                let body = authorization.as_str().into();
                let answer = HttpAnswer {
                    entry_point: *entry_point,
                    body,
                };
                self.tokens.insert(token.into(), answer);
            }
            Challenge::TlsAlpn { .. } => {
                self.handshakes.insert(
                    name.to_ascii_lowercase().into(),
                    authorization.digest().as_ref().to_vec(),
                );
            }
            Challenge::Dns(_) => self.records.push(TxtRecord {
                proves: name.to_owned(),
                name: format!("_acme-challenge.{}", name.trim_start_matches("*.")),
                value: authorization.dns_value(),
                token: token.to_owned(),
                authorization: authorization.as_str().to_owned(),
            }),
        }
    }

    /// Shows everything, and returns when the authority may look.
    ///
    /// # Errors
    /// If a record cannot be made; each name then is told about.
    pub async fn show(&mut self) -> Result<(), Failure> {
        let wait = match self.challenge {
            Challenge::Http { delay, .. } => {
                let more = self.tokens.clone();
                self.shared.tokens.rcu(|tokens| {
                    let mut tokens = HashMap::clone(tokens);
                    tokens.extend(more.clone());
                    tokens
                });
                *delay
            }
            Challenge::TlsAlpn { delay } => {
                let mut configs = HashMap::new();
                for (name, digest) in &self.handshakes {
                    let config = challenge_config(name, digest);
                    let config =
                        config.map_err(|error| Failure::Names(vec![(name.to_string(), error)]))?;
                    configs.insert(name.clone(), config);
                }
                self.shared.handshakes.rcu(|handshakes| {
                    let mut handshakes = HashMap::clone(handshakes);
                    handshakes.extend(configs.clone());
                    handshakes
                });
                *delay
            }
            Challenge::Dns(challenge) => {
                dns::present(challenge, &mut self.records).await?;
                Duration::ZERO
            }
        };
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Takes everything back.
    pub async fn clear(self) {
        match self.challenge {
            Challenge::Http { .. } => drop(self.shared.tokens.rcu(|tokens| {
                let mut tokens = HashMap::clone(tokens);
                tokens.retain(|token, _| !self.tokens.contains_key(token));
                tokens
            })),
            Challenge::TlsAlpn { .. } => drop(self.shared.handshakes.rcu(|handshakes| {
                let mut handshakes = HashMap::clone(handshakes);
                handshakes.retain(|name, _| !self.handshakes.contains_key(name));
                handshakes
            })),
            Challenge::Dns(challenge) => dns::clean_up(challenge, &self.records).await,
        }
    }
}
