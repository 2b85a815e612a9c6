//! `aya::Pod` for what user space reads from and writes to maps.
#![expect(unsafe_code, reason = "Pod is an unsafe marker trait")]

use crate::address::Address;
use crate::flow::{Flow, FlowKey};
use crate::map::{Bench, Config, ListenerKey, Pool, RuleKey, Server, ServerStats};

macro_rules! pod {
    ($($type:ident $(<$address:ident>)?),* $(,)?) => {
        $(
            // SAFETY: repr(C), integers only, every bit pattern valid, no padding: the size assertions beside the
            // types equal the sums of their fields, for both of the types that are an `Address`.
            unsafe impl$(<$address: Address + aya::Pod>)? aya::Pod for $type$(<$address>)? {}
        )*
    };
}

pod!(
    Bench,
    Config,
    Flow<A>,
    FlowKey<A>,
    ListenerKey<A>,
    Pool,
    RuleKey<A>,
    Server,
    ServerStats,
);
