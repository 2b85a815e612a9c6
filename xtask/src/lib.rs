//! What the demo and the end-to-end tests share: network namespaces with a switch between them, an origin server, and
//! programs that run beside the caller. The `xtask` binary holds the commands. It uses nothing of the proxy.

pub mod backend;
pub mod daemon;
pub mod lab;
pub mod netns;
