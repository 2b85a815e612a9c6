//! `aya::Pod` for what user space reads from and writes to maps.
#![expect(unsafe_code, reason = "Pod is an unsafe marker trait")]

use crate::address::{V4, V6};
use crate::flow::{Flow, FlowKey};
use crate::map::{Bench, Config, ListenerKey, Pool, RuleKey, Server, ServerStats};

macro_rules! pod {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: repr(C), integers only, every bit pattern valid, no padding: the size assertions beside the
            // types equal the sums of their fields.
            unsafe impl aya::Pod for $type {}
        )*
    };
}

pod!(
    Bench,
    Config,
    Flow<V4>,
    Flow<V6>,
    FlowKey<V4>,
    FlowKey<V6>,
    ListenerKey<V4>,
    ListenerKey<V6>,
    Pool,
    RuleKey<V4>,
    RuleKey<V6>,
    Server,
    ServerStats,
);
