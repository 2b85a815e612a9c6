//! HTTP messages, version-independent.
