//! What the XDP program and user space share: map keys and values, the client hash, the ring builder.
#![no_std]
