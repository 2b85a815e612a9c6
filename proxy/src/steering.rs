//! The XDP plane and its user-space twin.
