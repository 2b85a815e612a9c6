//! Sockets over the ring, no protocol.

mod listener;
mod stream;

pub use listener::{Listener, ListenerOptions};
pub use stream::Stream;
