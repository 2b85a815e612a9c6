//! What weir agrees on with clients: a set of `tls.options`, in types that cannot be wrong.
//!
//! Names of versions, suites and curves are Go's, as in Traefik's files; what rustls does not have is told apart from
//! what nobody has, so that an operator of existing files learns what will be left out.

use aws_lc_rs::digest::{Context, SHA256};
use rustls::crypto::aws_lc_rs::{cipher_suite as suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs as provider};
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// Versions of TLS that are spoken. Others are not built: RFC 8996 ended TLS 1.0 and 1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 alone.
    Tls12,
    /// 1.3 alone.
    Tls13,
}

/// Whether clients are asked for a certificate, and what becomes of it: `clientAuthType`, Go's `ClientAuthType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    NoClientCert,
    /// They are asked; whatever they show is taken.
    RequestClientCert,
    /// They must show one, whatever it is.
    RequireAnyClientCert,
    /// They are asked; what they show must be good.
    VerifyClientCertIfGiven,
    /// They must show a good one.
    RequireAndVerifyClientCert,
}

/// The modes and their names.
pub const CLIENT_AUTH: [(&str, ClientAuth); 5] = [
    ("NoClientCert", ClientAuth::NoClientCert),
    ("RequestClientCert", ClientAuth::RequestClientCert),
    ("RequireAnyClientCert", ClientAuth::RequireAnyClientCert),
    (
        "VerifyClientCertIfGiven",
        ClientAuth::VerifyClientCertIfGiven,
    ),
    (
        "RequireAndVerifyClientCert",
        ClientAuth::RequireAndVerifyClientCert,
    ),
];

impl ClientAuth {
    /// Whether certificates are held against authorities.
    pub fn verifies(self) -> bool {
        matches!(
            self,
            Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert
        )
    }

    /// Whether there is no session without a certificate.
    pub fn is_mandatory(self) -> bool {
        matches!(
            self,
            Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert
        )
    }
}

/// One set of `tls.options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `minVersion`, `maxVersion`
    pub versions: Versions,
    /// `cipherSuites`, those of TLS 1.2; `None`: all. Those of TLS 1.3 are always on, as in Go.
    pub suites: Option<Vec<Suite>>,
    /// `curvePreferences`; `None`: all.
    pub curves: Option<Vec<Curve>>,
    /// `clientAuth.clientAuthType`
    pub client_auth: ClientAuth,
    /// `clientAuth.caFiles`
    pub authorities: Vec<CertificateDer<'static>>,
    /// `sniStrict`: who names no server that has a certificate is refused.
    pub sni_strict: bool,
    /// `alpnProtocols`; `None`: HTTP/2 and HTTP/1.1 for HTTP, none for TCP.
    pub protocols: Option<Vec<Vec<u8>>>,
    /// Not `disableSessionTickets`.
    pub tickets: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            versions: Versions::Both,
            suites: None,
            curves: None,
            client_auth: ClientAuth::NoClientCert,
            authorities: Vec::new(),
            sni_strict: false,
            protocols: None,
            tickets: true,
        }
    }
}

/// A cipher suite of TLS 1.2 that rustls has, by Go's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite(&'static str);

/// A group for the key exchange that rustls has, by Go's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Curve(&'static str);

/// What a name in a list stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// Something to choose.
    Here(T),
    /// A suite of TLS 1.3, which is on in any case.
    Always,
    /// Go has it, weir has not.
    Missing,
    /// Nobody has it.
    Unknown,
}

static SUITES: [(&str, &SupportedCipherSuite); 6] = [
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        &suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        &suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        &suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        &suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        &suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        &suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// Those of TLS 1.3, and the signal of RFC 7507, which a server heeds anyway.
const SUITES_ALWAYS: [&str; 4] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_FALLBACK_SCSV",
];

/// Go's suites without forward secrecy or with CBC, RC4 and 3DES (`crypto/tls/cipher_suites.go`).
const SUITES_MISSING: [&str; 16] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

static CURVES: [(&str, &dyn SupportedKxGroup); 4] = [
    ("X25519MLKEM768", kx_group::X25519MLKEM768),
    ("X25519", kx_group::X25519),
    ("CurveP256", kx_group::SECP256R1),
    ("CurveP384", kx_group::SECP384R1),
];

/// Other names of curves, as in Traefik.
const CURVE_NAMES: [(&str, &str); 2] = [("secp256r1", "CurveP256"), ("secp384r1", "CurveP384")];
const CURVES_MISSING: [&str; 2] = ["CurveP521", "secp521r1"];

impl Suite {
    /// The suite of this name; case does not matter.
    pub fn find(name: &str) -> Found<Self> {
        let same = |known: &str| known.eq_ignore_ascii_case(name);
        // Go's older names of the two end before the digest.
        let here = SUITES.iter().find(|(known, _)| {
            same(known)
                || (known.contains("CHACHA20") && known.strip_suffix("_SHA256").is_some_and(same))
        });
        match here {
            Some((known, _)) => Found::Here(Self(known)),
            None if SUITES_ALWAYS.iter().any(|known| same(known)) => Found::Always,
            None if SUITES_MISSING.iter().any(|known| same(known)) => Found::Missing,
            None => Found::Unknown,
        }
    }

    /// The names of all that there are.
    pub fn names() -> Vec<&'static str> {
        let here = SUITES.iter().map(|(name, _)| *name);
        here.chain(SUITES_ALWAYS[..3].iter().copied()).collect()
    }
}

impl Curve {
    /// The curve of this name; case does not matter.
    pub fn find(name: &str) -> Found<Self> {
        let same = |known: &str| known.eq_ignore_ascii_case(name);
        let other = CURVE_NAMES.iter().find(|(known, _)| same(known));
        let name = other.map_or(name, |(_, meant)| meant);
        let same = |known: &str| known.eq_ignore_ascii_case(name);
        match CURVES.iter().find(|(known, _)| same(known)) {
            Some((known, _)) => Found::Here(Self(known)),
            None if CURVES_MISSING.iter().any(|known| same(known)) => Found::Missing,
            None => Found::Unknown,
        }
    }

    /// The names of all that there are.
    pub fn names() -> Vec<&'static str> {
        CURVES.iter().map(|(name, _)| *name).collect()
    }
}

impl Options {
    pub(super) fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self.versions {
            Versions::Both => &BOTH,
            Versions::Tls12 => &BOTH[1..],
            Versions::Tls13 => &BOTH[..1],
        }
    }

    /// The cryptography to choose from. Of what both sides have, rustls takes the client's first, suites and curves:
    /// browsers put the exchange first that quantum computers do not break.
    pub(super) fn provider(&self) -> CryptoProvider {
        let mut provider = provider::default_provider();
        if let Some(suites) = &self.suites {
            let chosen = |suite: &SupportedCipherSuite| {
                suites.iter().any(|chosen| {
                    SUITES
                        .iter()
                        .any(|(name, known)| *name == chosen.0 && *known == suite)
                })
            };
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some() || chosen(suite));
        }
        let all: Vec<Curve> = CURVES.iter().map(|(name, _)| Curve(name)).collect();
        let curves = self.curves.as_ref().unwrap_or(&all).iter();
        let group = |curve: &Curve| CURVES.iter().find(|(name, _)| *name == curve.0);
        provider.kx_groups = curves.filter_map(group).map(|(_, group)| *group).collect();
        provider
    }

    /// Tells sets apart: equal for equal sets only.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        let rest = Self {
            authorities: Vec::new(),
            ..self.clone()
        };
        context.update(format!("{rest:?}").as_bytes());
        for authority in &self.authorities {
            context.update(&(authority.len() as u64).to_be_bytes());
            context.update(authority);
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.finish().as_ref());
        fingerprint
    }

    /// Whether clients must prove the same to be served under these as under the others.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.client_auth == other.client_auth && self.authorities == other.authorities
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_library_is_one_of_ours() {
        for suite in provider::ALL_CIPHER_SUITES {
            let name = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
            assert!(
                matches!(Suite::find(&name), Found::Here(_) | Found::Always),
                "{name}"
            );
        }
        assert_eq!(Suite::find("TLS_NULL"), Found::Unknown);
        let old = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305";
        assert_eq!(Suite::find(old), Suite::find(&format!("{old}_SHA256")));
        assert_eq!(Curve::find("secp256r1"), Curve::find("curvep256"));
        assert_eq!(Curve::find("CurveP521"), Found::Missing);
    }

    #[test]
    fn the_exchange_that_lasts_is_on() {
        let groups = Options::default().provider().kx_groups;
        let names: Vec<String> = groups
            .iter()
            .map(|group| format!("{:?}", group.name()))
            .collect();
        assert_eq!(
            names,
            ["X25519MLKEM768", "X25519", "secp256r1", "secp384r1"]
        );
    }

    #[test]
    fn a_set_is_known_by_what_it_says() {
        let (plain, strict) = (
            Options::default(),
            Options {
                sni_strict: true,
                ..Options::default()
            },
        );
        assert_eq!(plain.fingerprint(), Options::default().fingerprint());
        assert_ne!(plain.fingerprint(), strict.fingerprint());
        let trusting = |ders: &[&[u8]]| Options {
            authorities: ders.iter().map(|der| der.to_vec().into()).collect(),
            ..Options::default()
        };
        assert_ne!(
            trusting(&[b"ab", b"c"]).fingerprint(),
            trusting(&[b"a", b"bc"]).fingerprint()
        );
        assert!(plain.asks_the_same(&strict) && !plain.asks_the_same(&trusting(&[b"a"])));
    }
}
