//! HTTP messages, independent of the version that carried them (RFC 9110).
//!
//! A head that exists here has been checked: its names are tokens, its values hold no control character, its target
//! and host are well-formed. **Hop-by-hop fields never get into a head**: the codec turns them into typed facts (body
//! length, persistence) and whoever writes a message says those facts anew. So nothing that a peer said about its own
//! connection can leak to the next one. `Host`, `Content-Length` and `Transfer-Encoding` are such facts too.
//!
//! No socket, no clock, no configuration in here.

pub mod date;
pub mod head;
pub mod headers;
pub mod hop;
pub mod method;
pub mod name;
pub mod path;
pub mod status;
pub mod text;

pub use head::{RequestHead, ResponseHead, Version};
pub use headers::Headers;
pub use method::Method;
pub use name::Name;
pub use status::Status;
