//! An authority and what it signs.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

/// A certificate and its key, as PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// An authority.
pub struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub fn new(name: &str) -> Self {
        let mut params = named(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self {
            authority: CertifiedIssuer::self_signed(params, key).expect("signed"),
        }
    }

    /// Its certificate, as PEM.
    pub fn authority(&self) -> String {
        self.authority.pem()
    }

    /// For a server of these names or addresses.
    pub fn server(&self, names: &[&str]) -> Pair {
        self.sign(named(names, "a server"))
    }

    /// The same, expired.
    pub fn expired(&self, names: &[&str]) -> Pair {
        let mut params = named(names, "an old server");
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        self.sign(params)
    }

    /// For a client.
    pub fn client(&self, name: &str) -> Pair {
        let mut params = named(&[], name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key");
        Pair {
            certificate: params
                .signed_by(&key, &self.authority)
                .expect("signed")
                .pem(),
            key: key.serialize_pem(),
        }
    }
}

/// As `openssl req -x509` makes it: its own authority.
pub fn self_signed(names: &[&str]) -> Pair {
    let mut params = named(names, "itself");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    Pair {
        certificate: params.self_signed(&key).expect("signed").pem(),
        key: key.serialize_pem(),
    }
}

fn named(names: &[&str], common: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, common);
    params
}
