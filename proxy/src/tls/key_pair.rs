//! A certificate chain with its private key, checked.

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// A certificate chain and the private key that belongs to it.
#[derive(Clone, Debug)]
pub struct KeyPair {
    certified: Arc<CertifiedKey>,
    names: Names,
    not_before: i64,
    not_after: i64,
}

type Names = Box<[Box<str>]>;

/// A key pair as PEM text, for other programs. Never shown: it holds a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// The chain, its own certificate first.
    pub chain: String,
    /// The private key.
    pub key: String,
}

/// A key pair that cannot be used: one line that names the file, what was found and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPairError(String);

impl KeyPair {
    /// Loads `certFile` and `keyFile` as Traefik's `tls.certificates` gives them: each a path, or the PEM text itself.
    ///
    /// # Errors
    /// A file that cannot be read, holds no PEM of the wanted kind, or a key that is not the certificate's.
    pub fn load(cert_file: &str, key_file: &str) -> Result<Self, KeyPairError> {
        Self::load_with_pem(cert_file, key_file).map(|(pair, _)| pair)
    }

    /// The same, and the text of the certificates and the key alone, whatever else the files hold.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with_pem(cert_file: &str, key_file: &str) -> Result<(Self, Pem), KeyPairError> {
        let (cert, key) = (
            Source::new("certFile", cert_file),
            Source::new("keyFile", key_file),
        );
        let chain = cert.certificates()?;
        let private_key = key.private_key()?;
        let pem = Pem::new(&chain, &private_key);
        let pair = Self::from_der(chain, private_key).map_err(|error| match error {
            Unusable::Certificate(problem) => cert.error(&problem),
            Unusable::Key(problem) => key.error(&problem),
            Unusable::Mismatch => KeyPairError(format!(
                "{cert} and {key} do not belong together: the key is not that of the first certificate; give the key \
                 this certificate was made with, and put the server's own certificate first"
            )),
        })?;
        Ok((pair, pem))
    }

    /// The names it is valid for: lower case, `*.` for one label; the subject's common name if there is no other.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// From when on it is valid, in seconds since 1970.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// When it expires, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// What rustls presents.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// A pair of a chain, server's certificate first, and its key.
    pub(super) fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Unusable> {
        let leaf = chain
            .first()
            .ok_or_else(|| Unusable::Certificate("it is empty".into()))?;
        let (names, (not_before, not_after)) = read_certificate(leaf)?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Unusable::Mismatch,
            other => Unusable::Key(format!(
                "its key cannot be used ({other}); use RSA, ECDSA or Ed25519"
            )),
        })?;
        Ok(Self {
            certified: Arc::new(certified),
            names,
            not_before,
            not_after,
        })
    }
}

impl Pem {
    fn new(chain: &[CertificateDer<'_>], key: &PrivateKeyDer<'_>) -> Self {
        let label = match key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        Self {
            chain: chain.iter().map(|der| block("CERTIFICATE", der)).collect(),
            key: block(label, key.secret_der()),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").finish_non_exhaustive()
    }
}

/// A block of PEM (RFC 7468).
fn block(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut block = format!("-----BEGIN {label}-----\n");
    let mut rest = &*text;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        block.push_str(line);
        block.push('\n');
        rest = after;
    }
    block + &format!("-----END {label}-----\n")
}

/// Characters of a line of PEM.
const PEM_LINE: usize = 64;

/// Whether a setting is PEM text rather than a path.
pub fn is_pem_text(text: &str) -> bool {
    text.contains("-----BEGIN")
}

/// The certificates of `setting`, a path or PEM text: at least one.
///
/// # Errors
/// A file that cannot be read, or holds no PEM of certificates.
pub fn certificates(
    setting: &'static str,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, KeyPairError> {
    Source::new(setting, text).certificates()
}

/// Which part of a pair is wrong.
#[derive(Debug)]
pub(super) enum Unusable {
    Certificate(String),
    Key(String),
    Mismatch,
}

impl KeyPairError {
    pub(super) fn new(line: String) -> Self {
        Self(line)
    }
}

impl fmt::Display for KeyPairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyPairError {}

/// A setting: a path, or PEM text in place of one.
struct Source<'a> {
    setting: &'static str,
    text: &'a str,
}

impl<'a> Source<'a> {
    fn new(setting: &'static str, text: &'a str) -> Self {
        Self { setting, text }
    }

    fn is_inline(&self) -> bool {
        is_pem_text(self.text)
    }

    fn pem(&self) -> Result<Vec<u8>, KeyPairError> {
        if self.is_inline() {
            return Ok(self.text.as_bytes().to_vec());
        }
        std::fs::read(self.text).map_err(|error| {
            self.error(&format!(
                "cannot be read ({error}); give the path of a PEM file, or the PEM text"
            ))
        })
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, KeyPairError> {
        let pem = self.pem()?;
        let chain: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.map_err(|error| self.error(&format!("is not valid PEM ({error})")))?;
        if chain.is_empty() {
            return Err(self.error(&format!(
                "has no CERTIFICATE, but {}; give the certificate as PEM",
                found(&pem)
            )));
        }
        Ok(chain)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, KeyPairError> {
        let pem = self.pem()?;
        PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
            PemError::NoItemsFound if contains(&pem, b"BEGIN ENCRYPTED PRIVATE KEY") => self.error(
                "is encrypted; decrypt it with `openssl pkey` and protect the file by its mode",
            ),
            PemError::NoItemsFound => self.error(&format!(
                "has no PRIVATE KEY, but {}; give an unencrypted PKCS#8, PKCS#1 or SEC1 key as PEM",
                found(&pem)
            )),
            other => self.error(&format!("is not valid PEM ({other})")),
        })
    }

    fn error(&self, problem: &str) -> KeyPairError {
        KeyPairError(format!("{self} {problem}"))
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Several lines, or DER in base64, may be a key whose first line was lost: it is not shown.
        let text = self.text.trim_end();
        let is_key = text.contains('\n') || (text.starts_with("MI") && text.len() > 60);
        let setting = self.setting;
        match self.is_inline() {
            true => write!(f, "{setting} (given inline)"),
            false if is_key => write!(
                f,
                "{setting} (given inline, but without the line -----BEGIN ...-----)"
            ),
            false => write!(f, "{setting} {}", self.text),
        }
    }
}

/// The labels of a PEM text, in place of what was looked for; never its content.
fn found(pem: &[u8]) -> String {
    let text = String::from_utf8_lossy(pem);
    let label = |line: &str| {
        Some(
            line.trim()
                .strip_prefix("-----BEGIN ")?
                .strip_suffix("-----")?
                .to_owned(),
        )
    };
    let labels: Vec<String> = text.lines().filter_map(label).take(LABELS_SHOWN).collect();
    if labels.is_empty() {
        "no PEM block".into()
    } else {
        labels.join(", ")
    }
}

const LABELS_SHOWN: usize = 3;

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// The names of a certificate, and from when until when it is valid.
fn read_certificate(der: &CertificateDer<'_>) -> Result<(Names, (i64, i64)), Unusable> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| {
        Unusable::Certificate(format!("holds a certificate that cannot be read ({error})"))
    })?;
    let alternative = certificate.subject_alternative_name();
    let alternative = alternative.map_err(|error| {
        Unusable::Certificate(format!("holds names that cannot be read ({error})"))
    })?;
    let mut names: Vec<Box<str>> = match alternative {
        Some(names) => names
            .value
            .general_names
            .iter()
            .filter_map(name_of)
            .collect(),
        None => Vec::new(),
    };
    if names.is_empty() {
        let common = certificate
            .subject()
            .iter_common_name()
            .filter_map(|name| name.as_str().ok());
        names.extend(common.map(|name| name.to_ascii_lowercase().into()));
    }
    let validity = certificate.validity();
    let life = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    Ok((names.into(), life))
}

fn name_of(name: &GeneralName<'_>) -> Option<Box<str>> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into()),
        GeneralName::IPAddress(octets) => address(octets).map(|address| address.to_string().into()),
        _ => None,
    }
}

fn address(octets: &[u8]) -> Option<std::net::IpAddr> {
    let v4 = || <[u8; 4]>::try_from(octets).ok().map(Into::into);
    let v6 = || <[u8; 16]>::try_from(octets).ok().map(Into::into);
    v4().or_else(v6)
}

#[cfg(test)]
mod tests;
