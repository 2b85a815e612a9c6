//! The origin server of the demo and the tests: threads, HTTP/1.1, optionally TLS. It answers who it is and whom it saw.
