//! The XDP plane in namespaces: the control half alone, then the whole proxy.

mod canary;
mod down;
mod plane;
mod proxy;
mod site;
mod traffic;
