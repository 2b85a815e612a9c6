//! The certificate of last resort.

use super::KeyPair;

/// A self-signed certificate for clients that ask for a name nobody has a certificate for, as Traefik's: common name
/// `TRAEFIK DEFAULT CERT`'s counterpart, made once in the life of the process.
pub fn default_certificate() -> KeyPair {
    todo!()
}
