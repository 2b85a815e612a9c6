//! The pure part of the verdict.
