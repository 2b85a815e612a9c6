//! The authorities that this machine trusts.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;

/// The authorities that this machine trusts, and what could not be read of them.
#[derive(Debug)]
pub struct SystemRoots {
    /// May be empty: then no server's certificate can be verified against them.
    pub store: Arc<RootCertStore>,
    /// One line; `None` where all is well.
    pub problem: Option<String>,
}

/// Reads them where OpenSSL would look (`SSL_CERT_FILE` and `SSL_CERT_DIR` count), once for the process. Blocks.
pub fn system_roots() -> &'static SystemRoots {
    static ROOTS: OnceLock<SystemRoots> = OnceLock::new();
    ROOTS.get_or_init(read)
}

fn read() -> SystemRoots {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (_, unusable) = store.add_parsable_certificates(found.certs);
    let problem = match (found.errors.first(), store.is_empty()) {
        (Some(error), _) => Some(format!(
            "{} of the system's authorities cannot be read, the first: {error}",
            found.errors.len()
        )),
        (None, true) => Some("the system has no authorities".to_owned()),
        (None, false) if unusable > 0 => Some(format!(
            "{unusable} of the system's authorities cannot be used"
        )),
        (None, false) => None,
    };
    SystemRoots {
        store: Arc::new(store),
        problem,
    }
}
