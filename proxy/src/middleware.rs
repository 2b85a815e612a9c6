//! Middlewares: what happens to a request between its router and its service, and to the response on its way back.
//!
//! Owns: one file each, with its settings, their check, what it does and its tests; and the closed list of them
//! ([`Middleware`]). Never: sockets, YAML (settings are read through [`Settings`]), or the protocol of client or
//! server. Invariants: a middleware keeps nothing from one request to the next; a router without middlewares pays for
//! none; a field or path that a middleware writes cannot break a message apart.
//! Source: <https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/overview/>.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

mod add_prefix;
mod answer;
mod chain;
mod compress;
mod headers;
mod ip_allow_list;
mod path;
mod redirect_regex;
mod redirect_scheme;
mod replace_path;
mod replace_path_regex;
mod settings;
mod strip_prefix;
mod strip_prefix_regex;

use crate::http::{RequestHead, ResponseHead};

pub use self::answer::Answer;
pub use self::compress::{Coding, Encoder};
pub use self::redirect_scheme::RedirectScheme;
pub use self::settings::Settings;

/// A request between its router and its service.
pub struct Request<'a> {
    /// As the next middleware and the server are to see it.
    pub head: &'a mut RequestHead,
    /// The peer's address.
    pub client: IpAddr,
    /// Whether it came through TLS.
    pub tls: bool,
}

/// A response on its way back, and what is known of its request.
pub struct Response<'a> {
    /// The request as it went to the server.
    pub request: &'a RequestHead,
    /// Whether it came through TLS.
    pub tls: bool,
    /// As the next middleware and the client are to see it.
    pub head: &'a mut ResponseHead,
    /// The length of its body; `None` where it ends when it ends.
    pub length: Option<u64>,
    /// Whether its body may be encoded: there is one, and the worker has room for an encoder.
    pub encodable: bool,
}

/// What one middleware does. Those that only look at one direction leave the other.
trait Behaviour: Sized {
    /// The keys of its settings.
    const KEYS: &'static [&'static str];
    /// Those of Traefik that weir has not yet.
    const LATER: &'static [&'static str] = &[];

    /// Reads and checks its settings. `None` only after a complaint.
    fn read(settings: &mut dyn Settings) -> Option<Self>;

    /// What happens to a request. `Break`: that is the answer, and no server is asked.
    fn request(&self, _request: &mut Request<'_>) -> ControlFlow<Answer> {
        ControlFlow::Continue(())
    }

    /// What happens to the head of a response; a coding for its body, if that is to be encoded.
    fn response(&self, _response: &mut Response<'_>) -> Option<Coding> {
        None
    }
}

/// A kind of middleware, for whoever reads settings.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Traefik's name of it.
    pub name: &'static str,
    /// The keys of its settings.
    pub keys: &'static [&'static str],
    /// Those of Traefik that weir has not yet.
    pub later: &'static [&'static str],
    /// Reads and checks the settings. `None` only after a complaint.
    pub read: fn(&mut dyn Settings) -> Option<Middleware>,
}

macro_rules! middlewares {
    ($($name:literal $variant:ident($type:ty),)*) => {
        /// A middleware with its settings.
        #[derive(Debug)]
        pub enum Middleware {
            $(
                #[doc = concat!("`", $name, "`")]
                $variant($type),
            )*
        }

        /// All kinds, in the order of their names.
        pub const KINDS: &[Kind] = &[
            $(Kind {
                name: $name,
                keys: <$type>::KEYS,
                later: <$type>::LATER,
                read: |settings| <$type>::read(settings).map(Middleware::$variant),
            },)*
        ];

        impl Middleware {
            /// What happens to a request. `Break`: that is the answer, and no server is asked.
            pub fn request(&self, request: &mut Request<'_>) -> ControlFlow<Answer> {
                match self {
                    $(Self::$variant(middleware) => middleware.request(request),)*
                }
            }

            /// What happens to the head of a response; a coding for its body, if that is to be encoded.
            pub fn response(&self, response: &mut Response<'_>) -> Option<Coding> {
                match self {
                    $(Self::$variant(middleware) => middleware.response(response),)*
                }
            }
        }
    };
}

middlewares! {
    "addPrefix" AddPrefix(add_prefix::AddPrefix),
    "chain" Chain(chain::Chain),
    "compress" Compress(compress::Compress),
    "headers" Headers(headers::Headers),
    "ipAllowList" IpAllowList(ip_allow_list::IpAllowList),
    "redirectRegex" RedirectRegex(redirect_regex::RedirectRegex),
    "redirectScheme" RedirectScheme(redirect_scheme::RedirectScheme),
    "replacePath" ReplacePath(replace_path::ReplacePath),
    "replacePathRegex" ReplacePathRegex(replace_path_regex::ReplacePathRegex),
    "stripPrefix" StripPrefix(strip_prefix::StripPrefix),
    "stripPrefixRegex" StripPrefixRegex(strip_prefix_regex::StripPrefixRegex),
}

/// Their names.
pub const NAMES: [&str; KINDS.len()] = {
    let mut names = [""; KINDS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = KINDS[index].name;
        index += 1;
    }
    names
};

/// Kinds that Traefik has and weir not yet.
pub const LATER: &[&str] = &[
    "basicAuth",
    "buffering",
    "circuitBreaker",
    "contentType",
    "digestAuth",
    "encodedCharacters",
    "errors",
    "forwardAuth",
    "grpcWeb",
    "inFlightReq",
    "ipWhiteList",
    "passTLSClientCert",
    "plugin",
    "rateLimit",
    "retry",
];

/// The middlewares of a router or service, in the order requests pass them. Responses pass them the other way round.
pub type Chain = Box<[Arc<Middleware>]>;

impl Middleware {
    /// The names that a `chain` stands for; `None` for every other kind.
    pub fn members(&self) -> Option<&[String]> {
        match self {
            Self::Chain(chain) => Some(&chain.members),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
