//! What the demo, the measurements and the end-to-end tests share: network namespaces with a switch between them, an
//! origin server, programs that run beside the caller and what the kernel says of them. The `xtask` binary holds the
//! commands. It uses nothing of the proxy.

pub mod backend;
pub mod certificate;
pub mod crowd;
pub mod daemon;
pub mod differential;
pub mod lab;
pub mod netns;
pub mod process;
