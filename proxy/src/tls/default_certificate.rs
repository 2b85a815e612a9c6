//! The certificate of last resort.

use std::sync::OnceLock;

use rcgen::{CertificateParams, DistinguishedName, DnType};
use rustls::pki_types::PrivateKeyDer;

use super::{KeyPair, KeyPairError, key_pair::Unusable};

/// What operators look for when a browser complains; Traefik's says `TRAEFIK DEFAULT CERT`.
const COMMON_NAME: &str = "WEIR DEFAULT CERT";

/// A self-signed certificate for clients that ask for a name nobody has a certificate for. Made once in the life of
/// the process, so that a client which has accepted it is not asked again after a reload.
///
/// # Errors
/// If the cryptography fails, which is no fault of the configuration.
pub fn default_certificate() -> Result<KeyPair, KeyPairError> {
    static MADE: OnceLock<Result<KeyPair, KeyPairError>> = OnceLock::new();
    MADE.get_or_init(|| {
        make().map_err(|problem| KeyPairError::new(format!("the default certificate: {problem}")))
    })
    .clone()
}

fn make() -> Result<KeyPair, String> {
    let key = rcgen::KeyPair::generate().map_err(|error| error.to_string())?;
    let mut params =
        CertificateParams::new(["weir.default".to_owned()]).map_err(|error| error.to_string())?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, COMMON_NAME);
    let certificate = params
        .self_signed(&key)
        .map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    KeyPair::from_der(vec![certificate.der().clone()], key).map_err(|unusable| match unusable {
        Unusable::Certificate(problem) | Unusable::Key(problem) => problem,
        Unusable::Mismatch => "key and certificate differ".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once() {
        let (first, second) = (
            default_certificate().expect("made"),
            default_certificate().expect("made"),
        );
        assert!(std::sync::Arc::ptr_eq(
            first.certified(),
            second.certified()
        ));
        assert_eq!(*first.names(), ["weir.default"].map(Box::from));
    }
}
