//! Why weir answers a request by itself, or closes a connection: one short, stable name for each cause.
//!
//! Owns the names, whose fault each one is, the status it is answered with, and the counts. Never: how an answer looks
//! or what else is logged. Invariants: a name is never reused for another meaning; each has a line in docs/ERRORS.md; a
//! count has one writer, its worker.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::http::Status;
use crate::http1::Reason;
use crate::http2::Abuse;

/// Who can do something about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Who sent the request.
    Client,
    /// The server behind weir.
    Upstream,
    /// Who wrote the rules.
    Operator,
    /// weir or the machine it runs on.
    Weir,
}

impl Fault {
    /// As logs and documentation say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Operator => "operator",
            Self::Weir => "weir",
        }
    }
}

macro_rules! failures {
    ($($variant:ident $name:literal $fault:ident $status:expr, $text:literal)*) => {
        /// A request or connection that weir did not serve to its end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Failure {
            $(#[doc = $text] $variant,)*
        }

        impl Failure {
            /// All of them, each at the index of its count.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in logs, counts and `X-Weir-Reason`; stable.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whose fault it is.
            pub const fn fault(self) -> Fault {
                match self {
                    $(Self::$variant => Fault::$fault,)*
                }
            }

            /// What the client is told, or for 499 only the log; `None` where the connection is closed without a word.
            pub const fn status(self) -> Option<Status> {
                match self {
                    $(Self::$variant => $status,)*
                }
            }

            /// The same in words.
            pub const fn explanation(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

failures! {
    RequestMalformed "request_malformed" Client Some(Status::BAD_REQUEST), "the request breaks HTTP's rules"
    RequestDenied "request_denied" Client Some(Status::BAD_REQUEST), "a path or header field that the entry point does not take"
    NotHttp "not_http" Client None, "the client does not speak HTTP"
    HeadTimeout "head_timeout" Client Some(Status::REQUEST_TIMEOUT), "the head of the request did not come in time"
    BodyTimeout "body_timeout" Client Some(Status::REQUEST_TIMEOUT), "the body of the request stalled"
    BodyTooLarge "body_too_large" Client Some(Status::CONTENT_TOO_LARGE), "the body is larger than the entry point takes"
    TargetTooLong "target_too_long" Client Some(Status::URI_TOO_LONG), "the request line is too long"
    Expectation "expectation" Client Some(Status::EXPECTATION_FAILED), "an expectation other than 100-continue"
    HeadTooLarge "head_too_large" Client Some(Status::HEADER_FIELDS_TOO_LARGE), "the head or the trailers are too large"
    ClientGone "client_gone" Client Some(Status::CLIENT_CLOSED_REQUEST), "the client left before its response"
    NotImplemented "not_implemented" Client Some(Status::NOT_IMPLEMENTED), "CONNECT, a transfer coding, or an odd method"
    VersionUnknown "version_unknown" Client Some(Status::VERSION_NOT_SUPPORTED), "a version of HTTP not spoken here"
    ClientStalled "client_stalled" Client None, "the client stopped reading its response"
    ClientTls "client_tls" Client None, "the TLS handshake failed or did not end in time"
    ClientConnections "client_connections" Client None, "the client's address has too many connections"
    Misdirected "misdirected" Client Some(Status::MISDIRECTED_REQUEST), "the host has other TLS options than the server name of the connection"
    UnknownServerName "unknown_server_name" Client None, "the client asks for no server that has a certificate, which sniStrict demands"
    NoRouter "no_router" Operator Some(Status::NOT_FOUND), "no router takes the request"
    RouterError "router_error" Operator Some(Status::NOT_FOUND), "the router that takes the request was left out for an error"
    NoServer "no_server" Operator Some(Status::SERVICE_UNAVAILABLE), "the service has no server that could be asked, or had none for all of holdTime"
    QueueFull "queue_full" Upstream Some(Status::SERVICE_UNAVAILABLE), "the server has as many requests as it may, and as many wait"
    QueueTimeout "queue_timeout" Upstream Some(Status::SERVICE_UNAVAILABLE), "the request waited too long for its turn at the server"
    RetryBudget "retry_budget" Upstream Some(Status::BAD_GATEWAY), "the server failed, and too many requests are tried again already"
    ConnectTimeout "connect_timeout" Upstream Some(Status::GATEWAY_TIMEOUT), "the server did not take the connection in time"
    ConnectRefused "connect_refused" Upstream Some(Status::BAD_GATEWAY), "the server refuses connections"
    ConnectFailed "connect_failed" Upstream Some(Status::BAD_GATEWAY), "the server cannot be reached"
    ServerUnresolved "server_unresolved" Operator Some(Status::BAD_GATEWAY), "the server's name does not resolve"
    ServerTls "server_tls" Upstream Some(Status::BAD_GATEWAY), "TLS to the server failed, or its certificate is not accepted"
    ServerClosed "server_closed" Upstream Some(Status::BAD_GATEWAY), "the server closed the connection before its response"
    ServerTimeout "server_timeout" Upstream Some(Status::GATEWAY_TIMEOUT), "the head of the response did not come in time"
    ResponseMalformed "response_malformed" Upstream Some(Status::BAD_GATEWAY), "the response breaks HTTP's rules"
    ResponseTruncated "response_truncated" Upstream None, "the response broke off or stalled after its head"
    NoResources "no_resources" Weir Some(Status::SERVICE_UNAVAILABLE), "no descriptor, port or memory for a connection"
    Stopped "stopped" Weir None, "weir stopped before the request had ended"
}

impl Failure {
    /// For a request that the codec refused.
    pub const fn refused(reason: Reason) -> Self {
        match reason {
            Reason::TargetTooLong => Self::TargetTooLong,
            Reason::HeadTooLarge | Reason::TooManyFields | Reason::TrailersTooLarge => {
                Self::HeadTooLarge
            }
            Reason::NotHttp => Self::NotHttp,
            Reason::Expectation => Self::Expectation,
            Reason::Version => Self::VersionUnknown,
            Reason::MethodTooLong | Reason::ConnectRefused | Reason::CodingUnknown => {
                Self::NotImplemented
            }
            _ => Self::RequestMalformed,
        }
    }

    /// For a server that could not be connected to.
    pub fn connecting(error: &std::io::Error) -> Self {
        const NO_RESOURCES: [i32; 6] = [
            libc::EMFILE,
            libc::ENFILE,
            libc::ENOBUFS,
            libc::ENOMEM,
            libc::EADDRNOTAVAIL,
            libc::EAGAIN,
        ];
        match error.kind() {
            std::io::ErrorKind::TimedOut => Self::ConnectTimeout,
            std::io::ErrorKind::ConnectionRefused => Self::ConnectRefused,
            std::io::ErrorKind::NotFound => Self::ServerUnresolved,
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => Self::ServerTls,
            _ if error
                .raw_os_error()
                .is_some_and(|code| NO_RESOURCES.contains(&code)) =>
            {
                Self::NoResources
            }
            _ => Self::ConnectFailed,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How often each failure has happened on one worker, which alone adds; anybody may read.
#[derive(Debug)]
pub struct Counts {
    failures: [AtomicU64; Failure::ALL.len()],
    abuses: [AtomicU64; Abuse::COUNT],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            failures: [const { AtomicU64::new(0) }; Failure::ALL.len()],
            abuses: [const { AtomicU64::new(0) }; Abuse::COUNT],
        }
    }
}

impl Counts {
    /// Counts one. Only the worker that the counts belong to may call: this is a plain load and store.
    pub fn add(&self, failure: Failure) {
        let count = &self.failures[failure as usize];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Counts an HTTP/2 client that was stopped, and says how many. As [`Self::add`].
    pub fn add_abuse(&self, shape: Abuse) -> u64 {
        let count = self.abuses(shape) + 1;
        self.abuses[shape as usize].store(count, Ordering::Relaxed);
        count
    }

    /// How many HTTP/2 clients were stopped for this.
    pub fn abuses(&self, shape: Abuse) -> u64 {
        self.abuses[shape as usize].load(Ordering::Relaxed)
    }

    /// How often it has happened.
    pub fn get(&self, failure: Failure) -> u64 {
        self.failures[failure as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTATION: &str = include_str!("../../docs/ERRORS.md");

    fn row(failure: Failure) -> String {
        let status = match failure.status() {
            Some(Status::CLIENT_CLOSED_REQUEST) => "499, in the log only".to_owned(),
            Some(status) => status.to_string(),
            None => "closed".to_owned(),
        };
        let (name, fault) = (failure.as_str(), failure.fault().as_str());
        format!("| `{name}` | {status} | {fault} |")
    }

    #[test]
    fn each_has_its_line_in_the_documentation_and_no_line_is_without_one() {
        let missing: Vec<String> = Failure::ALL
            .iter()
            .map(|failure| row(*failure))
            .filter(|row| !DOCUMENTATION.contains(row.as_str()))
            .collect();
        assert!(missing.is_empty(), "{missing:#?}");
        let rows = DOCUMENTATION.lines().filter(|line| line.starts_with("| `"));
        assert_eq!(rows.count(), Failure::ALL.len());
    }

    #[test]
    fn a_refusal_is_answered_as_the_codec_says() {
        for reason in Reason::ALL {
            let reject = crate::http1::Reject::request(*reason);
            if reject.status != Status::BAD_GATEWAY && *reason != Reason::NotHttp {
                let failure = Failure::refused(*reason);
                assert_eq!(failure.status(), Some(reject.status), "{reason:?}");
            }
        }
    }

    #[test]
    fn counts_are_kept_apart() {
        let counts = Counts::default();
        counts.add(Failure::NoRouter);
        counts.add(Failure::NoRouter);
        counts.add(Failure::Stopped);
        let told: Vec<u64> = Failure::ALL.iter().map(|it| counts.get(*it)).collect();
        assert_eq!(told.iter().sum::<u64>(), 3);
        assert_eq!(counts.get(Failure::NoRouter), 2);
    }
}
