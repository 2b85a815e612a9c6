//! The choice of the source port.
