//! Certificates and TLS settings.
