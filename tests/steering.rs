//! The XDP plane in namespaces: the control half alone, then the whole proxy.

mod plane;
mod proxy;
mod site;
mod traffic;
