//! One TLS session with a client, as bytes in and bytes out.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;

use super::TlsError;

/// A server's side of a TLS connection. Copies what it is fed, so a caller's buffer is free when a call returns.
#[derive(Debug)]
pub struct Session {
    connection: rustls::ServerConnection,
}

/// What feeding bytes has brought about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Plaintext that the client sent; perhaps empty.
    pub plaintext: Bytes,
    /// The client said that it sends no more (`close_notify`). Without it, an end of the TCP stream is a truncation.
    pub closed: bool,
}

impl Session {
    /// A session that waits for the ClientHello.
    ///
    /// # Errors
    /// If the settings are unusable, which is our fault.
    pub fn new(config: &Arc<rustls::ServerConfig>) -> Result<Self, TlsError> {
        let _ = config;
        todo!()
    }

    /// Takes all of `ciphertext`, which may hold part of a record or many. What must be sent in answer is appended to
    /// `out`, on an error too (the alert).
    ///
    /// # Errors
    /// The session is over; send `out` and close.
    pub fn feed(&mut self, _ciphertext: &[u8], _out: &mut Vec<u8>) -> Result<Progress, TlsError> {
        todo!()
    }

    /// Encrypts the parts, one after the other, into full records as far as possible, appended to `out`. Not before the
    /// handshake has ended.
    ///
    /// # Errors
    /// The session's keys are used up (never seen in practice).
    pub fn seal(&mut self, _parts: &[IoSlice<'_>], _out: &mut Vec<u8>) -> Result<(), TlsError> {
        todo!()
    }

    /// Says that we send no more; appended to `out`.
    pub fn close_notify(&mut self, _out: &mut Vec<u8>) {
        todo!()
    }

    /// Whether the handshake still goes on.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// The protocol agreed by ALPN.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// The name the client asked for (SNI), lower case, once its ClientHello has arrived.
    pub fn server_name(&self) -> Option<&str> {
        self.connection.server_name()
    }
}
