//! Sockets over the ring, no protocol.
