//! One TLS session with a client or a server, as bytes in and bytes out.

use std::io::{BufRead, IoSlice, Write};
use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, Error, HandshakeKind, ServerConfig,
    ServerConnection,
};

use super::TlsError;
use crate::limits;

/// One side of a TLS connection. Copies what it is fed, so a caller's buffer is free when a call returns, and
/// keeps at most one record that is not whole.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    /// Bytes received before the end of the handshake.
    handshake_bytes: usize,
}

/// What feeding bytes has brought about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Plaintext that the peer sent; perhaps empty.
    pub plaintext: Bytes,
    /// The peer said that it sends no more (`close_notify`). Without it, an end of the TCP stream is a truncation.
    pub closed: bool,
}

impl Session {
    /// A session with a client: waits for the ClientHello.
    ///
    /// # Errors
    /// If the settings are unusable, which is our fault.
    pub fn server(config: &Arc<ServerConfig>) -> Result<Self, TlsError> {
        let connection = ServerConnection::new(Arc::clone(config));
        let connection = connection.map_err(TlsError::with_client)?;
        Ok(Self::new(connection.into()))
    }

    /// A session with the server that must prove to be `name`; appends the ClientHello to `out`.
    ///
    /// # Errors
    /// If the settings are unusable, which is our fault.
    pub fn client(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        out: &mut Vec<u8>,
    ) -> Result<Self, TlsError> {
        let connection = ClientConnection::new(Arc::clone(config), name);
        let connection = connection.map_err(TlsError::with_server)?;
        let mut session = Self::new(connection.into());
        session.flush(out);
        Ok(session)
    }

    fn new(mut connection: Connection) -> Self {
        // The callers bound what they seal at once, and all of it leaves the connection before `seal` returns.
        connection.set_buffer_limit(None);
        Self {
            connection,
            handshake_bytes: 0,
        }
    }

    /// Takes all of `ciphertext`, which may hold part of a record or many. What must be sent in answer is appended to
    /// `out`: the handshake's flights, and on an error the alert. What the protocol asks for later (an answer to a key
    /// update) goes out before what is sealed next, so that receiving never sends beside a send under way.
    ///
    /// # Errors
    /// The session is over; send `out` and close.
    pub fn feed(&mut self, ciphertext: &[u8], out: &mut Vec<u8>) -> Result<Progress, TlsError> {
        let handshaking = self.connection.is_handshaking();
        let progress = self.advance(ciphertext);
        if handshaking || progress.is_err() {
            self.flush(out);
        }
        progress.map_err(|error| self.failed(error))
    }

    /// Encrypts the parts, one after the other, into full records as far as possible, appended to `out`. Not before the
    /// handshake has ended, and not after [`Session::close_notify`].
    ///
    /// # Errors
    /// The session has failed before.
    pub fn seal(&mut self, parts: &[IoSlice<'_>], out: &mut Vec<u8>) -> Result<(), TlsError> {
        debug_assert!(!self.connection.is_handshaking());
        let length: usize = parts.iter().map(|part| part.len()).sum();
        match self.connection.writer().write_vectored(parts) {
            Ok(sealed) if sealed == length => {}
            _ => return Err(self.failed(Error::HandshakeNotComplete)),
        }
        out.reserve(
            length + length.div_ceil(limits::TLS_RECORD_PLAINTEXT) * limits::TLS_RECORD_OVERHEAD,
        );
        self.flush(out);
        Ok(())
    }

    /// Says that we send no more; appended to `out`.
    pub fn close_notify(&mut self, out: &mut Vec<u8>) {
        self.connection.send_close_notify();
        self.flush(out);
    }

    /// Whether the handshake still goes on.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// The protocol agreed on by ALPN (RFC 7301), once the handshake has ended; `None` where none was.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// The name that a client asked for, lower case; `None` where it named none.
    pub fn server_name(&self) -> Option<&str> {
        match &self.connection {
            Connection::Server(server) => server.server_name(),
            Connection::Client(_) => None,
        }
    }

    /// Whether an earlier session goes on.
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// What the peer has shown, now or when the session that goes on began; its own certificate first.
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.connection.peer_certificates()
    }

    fn failed(&self, error: Error) -> TlsError {
        match self.connection {
            Connection::Server(_) => TlsError::with_client(error),
            Connection::Client(_) => TlsError::with_server(error),
        }
    }

    fn advance(&mut self, mut ciphertext: &[u8]) -> Result<Progress, Error> {
        let mut progress = Progress::default();
        let mut plaintext = Vec::new();
        while !ciphertext.is_empty() && !progress.closed {
            let handshaking = self.connection.is_handshaking();
            let read = self.connection.read_tls(&mut ciphertext);
            let read = read.map_err(|error| Error::General(error.to_string()))?;
            let state = self.connection.process_new_packets()?;
            if handshaking {
                self.count_handshake(read)?;
            }
            if state.plaintext_bytes_to_read() > 0 {
                // Most of what follows in this input is plaintext too; one allocation then serves all of it.
                plaintext.reserve(state.plaintext_bytes_to_read() + ciphertext.len());
                self.drain_into(&mut plaintext);
            }
            progress.closed = state.peer_has_closed() || read == 0;
        }
        progress.plaintext = plaintext.into();
        Ok(progress)
    }

    /// A handshake fits in a few records; whoever sends more wants something else. What follows the end of one may be
    /// as long as it likes.
    fn count_handshake(&mut self, bytes: usize) -> Result<(), Error> {
        self.handshake_bytes = self.handshake_bytes.saturating_add(bytes);
        if self.connection.is_handshaking()
            && self.handshake_bytes > limits::TLS_HANDSHAKE_BYTES_MAX
        {
            return Err(Error::PeerSentOversizedRecord);
        }
        Ok(())
    }

    fn drain_into(&mut self, plaintext: &mut Vec<u8>) {
        let mut reader = self.connection.reader();
        while let Ok(part) = reader.fill_buf() {
            let length = part.len();
            if length == 0 {
                break;
            }
            plaintext.extend_from_slice(part);
            reader.consume(length);
        }
    }

    /// Writing to a vector cannot fail.
    fn flush(&mut self, out: &mut Vec<u8>) {
        while self.connection.wants_write() {
            if self.connection.write_tls(out).is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests;
