//! TLS towards clients and servers: certificates by name, settings, and the session as a machine of bytes.
//!
//! rustls does the protocol, aws-lc-rs the cryptography. Here is what they leave open: which certificate, what is
//! offered, and how bytes get in and out. No socket and no clock; files are read only by [`KeyPair::load`], which the
//! control plane calls. [`client_hello`] looks at a connection before anybody answers it.

mod client;
mod client_auth;
pub mod client_hello;
mod default_certificate;
mod error;
mod key_pair;
pub mod options;
mod roots;
mod server;
mod session;
mod shared;
mod store;
mod tickets;
mod verifier;

pub use client::{ClientCertificate, ClientSettings, H2, client_config};
pub use client_hello::{ClientHello, HelloError, HelloReader};
pub use default_certificate::default_certificate;
pub use error::{Fault, TlsError};
pub use key_pair::{KeyPair, KeyPairError, Pem, certificates, is_pem_text};
pub use options::Options;
pub use roots::{SystemRoots, system_roots};
pub use server::Terms;
pub use session::{Progress, Session};
pub use shared::{ACME_TLS, HttpAnswer, Shared, challenge_config};
pub use store::Store;
pub use tickets::{TicketKeys, Tickets};
