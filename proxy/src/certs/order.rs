//! One order at an authority, from the wish to the certificate, resumed wherever it was interrupted.
//!
//! Before anything is asked that must not be asked twice, what is needed to go on is on disk: the order's URL as soon
//! as there is one, key and request before the certificate is asked for. So a process that was killed fetches the
//! certificate of its order, and never has a second one issued.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::BASE64;
use instant_acme::{
    Account, AuthorizationStatus, Error, Identifier, NewOrder, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, DnType, RsaKeySize};
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::durable;
use super::plan::Order;
use super::proof::Proofs;
use super::renewal;
use super::store::Record;
use crate::config::static_file::{Acme, KeyType};
use crate::limits::{ACME_ISSUE, ACME_NONCE_TRIES, ACME_VALIDATION};

/// The longest common name that X.509 has room for.
const COMMON_NAME_MAX: usize = 64;

/// An order that was begun, as it is on disk. It holds a private key, and so is never shown.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    /// From whom.
    pub resolver: String,
    /// For which names.
    pub names: Vec<String>,
    /// The order at the authority.
    pub url: String,
    /// The certificate's private key as PEM, and its request (PKCS#10) in Base64: before the order is finalized.
    request: Option<(String, String)>,
}

/// Why there is no certificate.
#[derive(Debug)]
pub enum Failure {
    /// Some names were refused: each with what was said.
    Names(Vec<(String, String)>),
    /// All of it, with what was said; perhaps because of one of its names.
    Order(String),
    /// It has nothing to do with names: the network, the authority, its limits.
    Authority(String),
    /// The order cannot be gone on with; a new one may do.
    Gone(String),
    /// It came to nothing while nobody answered for it: a new one may do at once.
    Interrupted(String),
}

impl Failure {
    /// What the failure of an order means that no process went on with for a while: names that were looked for then
    /// could not be shown, and are not to blame.
    pub fn of_an_order_left_alone(self) -> Self {
        match self {
            Self::Names(refused) => {
                let each = refused.iter().map(|(name, said)| format!("{name}: {said}"));
                Self::Interrupted(each.collect::<Vec<_>>().join("; "))
            }
            Self::Order(said) | Self::Gone(said) | Self::Interrupted(said) => {
                Self::Interrupted(said)
            }
            Self::Authority(said) => Self::Authority(said),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => of_problem(&problem),
            other => Self::Authority(other.to_string()),
        }
    }
}

/// Asks again where the authority has only refused a nonce: some reject them at random, more often in a row than the
/// library asks again.
macro_rules! patiently {
    ($ask:expr) => {{
        let mut tries = ACME_NONCE_TRIES;
        loop {
            match $ask.await {
                Err(error) if tries > 0 && is_bad_nonce(&error) => tries -= 1,
                answer => break answer,
            }
        }
    }};
}

/// What one order needs.
pub struct Context<'a> {
    /// From whom.
    pub acme: &'a Acme,
    /// The account there.
    pub account: &'a Account,
    /// Shows that names are ours.
    pub proofs: &'a Proofs,
    /// Where the order is kept.
    pub path: PathBuf,
    /// The certificate that a new one takes the place of, as PEM: authorities let a renewal that says so through their
    /// limits (RFC 9773 section 5).
    pub replaces: Option<String>,
    /// Whether the authority has not repeated that, as it must. The library then has no order to go on with, so that it
    /// is not told again.
    pub is_deaf: &'a Cell<bool>,
}

impl Context<'_> {
    /// Begins an order and sees it through.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn obtain(&self, order: &Order) -> Result<Record, Failure> {
        let identifiers: Vec<Identifier> = order
            .names
            .iter()
            .map(|name| Identifier::Dns(name.to_string()))
            .collect();
        let placed = self.place(&identifiers).await?;
        let begun = Begun {
            resolver: order.resolver.to_string(),
            names: order.names.iter().map(ToString::to_string).collect(),
            url: placed.url().to_owned(),
            request: None,
        };
        self.keep(&begun)?;
        self.go_on(placed, begun).await
    }

    /// Asks for a new order. One that the authority will not have in place of another is asked for as any other.
    async fn place(&self, identifiers: &[Identifier]) -> Result<instant_acme::Order, Error> {
        let new = || {
            let new = NewOrder::new(identifiers);
            match &self.acme.profile {
                Some(profile) => new.profile(profile),
                None => new,
            }
        };
        let replaced = self.replaces.as_deref().filter(|_| !self.is_deaf.get());
        let replaced = replaced.and_then(renewal::identifier);
        if let Some(replaced) = replaced {
            let new = new().replaces(replaced);
            match patiently!(self.account.new_order(&new)) {
                // Not offered.
                Err(Error::Unsupported(_)) => {}
                // Accepted and not heeded.
                Err(Error::Other(_)) => self.is_deaf.set(true),
                Err(Error::Api(problem)) if is_about_the_order(&problem) => {
                    debug!("asked for as no renewal: {problem}");
                }
                answer => return answer,
            }
        }
        let new = new();
        patiently!(self.account.new_order(&new))
    }

    /// Sees an order through that was begun.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn resume(&self, begun: Begun) -> Result<Record, Failure> {
        match patiently!(self.account.order(begun.url.clone())) {
            Ok(placed) => self.go_on(placed, begun).await,
            Err(Error::Api(problem))
                if problem.status.is_some_and(|status| status < 500) && !is_limit(&problem) =>
            {
                Err(Failure::Gone(problem.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn go_on(
        &self,
        mut placed: instant_acme::Order,
        mut begun: Begun,
    ) -> Result<Record, Failure> {
        if placed.state().status == OrderStatus::Pending {
            self.prove(&mut placed).await?;
        }
        let status = placed.state().status;
        let invalid = status == OrderStatus::Invalid
            || (status != OrderStatus::Ready && begun.request.is_none());
        if invalid {
            let failure = self.refused(&begun.url).await;
            return Err(
                failure.unwrap_or_else(|| Failure::Gone(format!("the order is {status:?}")))
            );
        }
        let (key, request) = match begun.request.clone() {
            Some(request) => request,
            None => {
                let request = self.request(&begun.names).map_err(Failure::Authority)?;
                begun.request = Some(request.clone());
                self.keep(&begun)?;
                request
            }
        };
        if placed.state().status == OrderStatus::Ready {
            let der = BASE64.decode(request.as_bytes());
            let der = der.map_err(|error| Failure::Gone(error.to_string()))?;
            patiently!(placed.finalize_csr(&der))?;
        }
        let certificate = within(ACME_ISSUE, async {
            patiently!(placed.poll_certificate(&patience(ACME_ISSUE)))
        });
        let certificate = certificate.await?;
        Ok(Record {
            resolver: begun.resolver,
            names: begun.names,
            certificate,
            key,
            window: None,
        })
    }

    /// Shows all names that are not proved yet, and waits for the authority to have looked.
    async fn prove(&self, placed: &mut instant_acme::Order) -> Result<(), Failure> {
        let url = placed.url().to_owned();
        let mut proof = self.proofs.begin(self.acme);
        let outcome = async {
            patiently!(fetch(placed))?;
            let mut authorizations = placed.authorizations();
            while let Some(authorization) = authorizations.next().await {
                let mut authorization = authorization?;
                if authorization.status != AuthorizationStatus::Pending {
                    continue;
                }
                let name = authorization.identifier().to_string();
                let challenge = authorization.challenge(self.proofs.kind(self.acme));
                let Some(challenge) = challenge else {
                    let line =
                        "the authority does not offer the configured challenge for it".to_owned();
                    return Err(Failure::Names(vec![(name, line)]));
                };
                proof.add(&name, &challenge.token, &challenge.key_authorization());
            }
            proof.show().await?;
            let mut authorizations = placed.authorizations();
            while let Some(authorization) = authorizations.next().await {
                let mut authorization = authorization?;
                if authorization.status == AuthorizationStatus::Pending
                    && let Some(mut challenge) =
                        authorization.challenge(self.proofs.kind(self.acme))
                {
                    patiently!(challenge.set_ready())?;
                }
            }
            let ready = within(ACME_VALIDATION, async {
                patiently!(placed.poll_ready(&patience(ACME_VALIDATION)))
            });
            Ok(ready.await?)
        }
        .await;
        proof.clear().await;
        match outcome {
            Ok(OrderStatus::Invalid) | Err(Failure::Authority(_) | Failure::Order(_)) => {
                match self.refused(&url).await {
                    Some(failure) => Err(failure),
                    None => outcome.map(drop),
                }
            }
            other => other.map(drop),
        }
    }

    /// Which names were refused, by what the authority says about each; `None` if none was.
    async fn refused(&self, url: &str) -> Option<Failure> {
        let mut placed = patiently!(self.account.order(url.to_owned())).ok()?;
        patiently!(fetch(&mut placed)).ok()?;
        let mut refused = Vec::new();
        let mut authorizations = placed.authorizations();
        while let Some(Ok(authorization)) = authorizations.next().await {
            if authorization.status == AuthorizationStatus::Invalid {
                let said = authorization
                    .challenges
                    .iter()
                    .find_map(|challenge| challenge.error.as_ref());
                let said = said.map_or_else(|| "refused".to_owned(), ToString::to_string);
                refused.push((authorization.identifier().to_string(), said));
            }
        }
        debug!(?refused, url, "looked for refused names");
        (!refused.is_empty()).then_some(Failure::Names(refused))
    }

    /// A new key and a certificate request for these names.
    fn request(&self, names: &[String]) -> Result<(String, String), String> {
        let key = match self.acme.key_type {
            KeyType::Ec256 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::Ec384 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyType::Rsa(bits) => {
                let size = match bits {
                    2048 => RsaKeySize::_2048,
                    3072 => RsaKeySize::_3072,
                    _ => RsaKeySize::_4096,
                };
                rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size)
            }
        };
        let key = key.map_err(|error| error.to_string())?;
        let mut params = CertificateParams::new(names).map_err(|error| error.to_string())?;
        params.distinguished_name = DistinguishedName::new();
        let common = names.iter().find(|name| name.len() <= COMMON_NAME_MAX);
        if let Some(name) = common.filter(|_| self.acme.common_name) {
            params
                .distinguished_name
                .push(DnType::CommonName, name.as_str());
        }
        let request = params
            .serialize_request(&key)
            .map_err(|error| error.to_string())?;
        Ok((key.serialize_pem(), BASE64.encode(request.der())))
    }

    fn keep(&self, begun: &Begun) -> Result<(), Failure> {
        let body =
            serde_json::to_vec(begun).map_err(|error| Failure::Authority(error.to_string()))?;
        let written = durable::write(&self.path, &body);
        written.map_err(|error| {
            Failure::Authority(format!(
                "{} cannot be written: {error}",
                self.path.display()
            ))
        })
    }
}

/// Fetches what the authority says about each name, those that are not known yet.
async fn fetch(placed: &mut instant_acme::Order) -> Result<(), Error> {
    let mut authorizations = placed.authorizations();
    while let Some(authorization) = authorizations.next().await {
        authorization?;
    }
    Ok(())
}

fn is_bad_nonce(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if problem.r#type.as_deref().is_some_and(|kind| kind.ends_with(":badNonce")))
}

/// The library's time begins anew after each refused nonce, and does not count that of an answer.
async fn within<T>(
    most: Duration,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let answer = tokio::time::timeout(most, asked).await;
    answer.unwrap_or(Err(Error::Timeout(None)))
}

fn patience(most: Duration) -> RetryPolicy {
    RetryPolicy::new().timeout(most).backoff(1.5)
}

/// What is about names is told apart from what is about the authority.
fn of_problem(problem: &Problem) -> Failure {
    let about = problem
        .subproblems
        .iter()
        .filter_map(|part| match &part.identifier {
            Some(Identifier::Dns(name)) => Some((name.clone(), part.to_string())),
            _ => None,
        });
    let names: Vec<_> = about.collect();
    let kind = problem
        .r#type
        .as_deref()
        .and_then(|kind| kind.rsplit(':').next());
    let is_about_names = matches!(
        kind,
        Some(
            "rejectedIdentifier"
                | "unsupportedIdentifier"
                | "caa"
                | "dns"
                | "connection"
                | "unauthorized"
                | "tls"
        )
    );
    match names.is_empty() || is_limit(problem) {
        true if is_about_names => Failure::Order(problem.to_string()),
        true => Failure::Authority(problem.to_string()),
        false => Failure::Names(names),
    }
}

/// Whether another order might be taken: it was replaced already (RFC 9773 section 7.4), or is not known.
fn is_about_the_order(problem: &Problem) -> bool {
    !is_limit(problem)
        && problem
            .status
            .is_some_and(|status| (400..=409).contains(&status))
}

fn is_limit(problem: &Problem) -> bool {
    problem
        .r#type
        .as_deref()
        .is_some_and(|kind| kind.ends_with(":rateLimited"))
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    /// What comes of a request whose first nonces are refused, so many of them.
    async fn refused(times: u32) -> Result<(), Error> {
        let mut left = times;
        let mut ask = || {
            let refused = left > 0;
            left = left.saturating_sub(1);
            std::future::ready(match refused {
                true => Err(Error::Api(
                    serde_json::from_str(r#"{"type": "urn:ietf:params:acme:error:badNonce"}"#)
                        .expect("a problem"),
                )),
                false => Ok(()),
            })
        };
        patiently!(ask())
    }

    #[tokio::test]
    async fn so_many_refused_nonces_are_borne_and_no_more() {
        assert!(refused(ACME_NONCE_TRIES).await.is_ok());
        let error = refused(ACME_NONCE_TRIES + 1).await.expect_err("one more");
        assert!(is_bad_nonce(&error), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_authority_may_take_so_long_and_no_longer() {
        const MILLISECOND: Duration = Duration::from_millis(1);
        let asked = |time: Duration| async move {
            sleep(time).await;
            Ok(())
        };
        for most in [ACME_VALIDATION, ACME_ISSUE] {
            assert!(within(most, asked(most - MILLISECOND)).await.is_ok());
            let begin = Instant::now();
            let late = within(most, asked(most + MILLISECOND)).await;
            assert!(matches!(late, Err(Error::Timeout(None))));
            assert_eq!(begin.elapsed(), most);
        }
    }
}
