//! Everything one does with this repository, as a library: the `xtask` binary is its command line, and the end-to-end
//! tests use its network namespaces and its origin server. It uses nothing of the proxy.

pub mod backend;
pub mod lab;
pub mod netns;
