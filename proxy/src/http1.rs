//! HTTP/1.1: bytes in, events out.
