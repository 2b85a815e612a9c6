//! Bounds of what looks after the process: certificates and administration.

use std::time::Duration;

// Certificates.

/// Names in one certificate: Let's Encrypt's limit for its default profile.
pub const CERTIFICATE_NAMES_MAX: usize = 100;
/// Seconds before its end at which a certificate is renewed, if a third of its life is not less: Traefik's.
pub const RENEW_BEFORE: i64 = 30 * 86_400;
/// For one request to an authority: Traefik's default of `clientTimeout`.
pub const ACME_TIMEOUT: Duration = Duration::from_secs(120);
/// An answer of an authority; chains of certificates take a few KiB.
pub const ACME_ANSWER_BYTES_MAX: usize = 1 << 20;
/// How often an order asks again after a refused nonce, beyond the library's three times.
pub const ACME_NONCE_TRIES: u32 = 5;
/// How long an authority may take to look at the proofs of an order.
pub const ACME_VALIDATION: Duration = Duration::from_secs(180);
/// How long an authority may take to issue.
pub const ACME_ISSUE: Duration = Duration::from_secs(180);
/// Seconds before a refused name is asked for again, first and at most, four times as long each time: within the five
/// refusals an hour that Let's Encrypt allows.
pub const NAME_RETRY: (i64, i64) = (60, 12 * 3_600);
/// The same for an authority that is not there, or asks for patience.
pub const AUTHORITY_RETRY: (i64, i64) = (2, 3_600);
/// Seconds until an authority that gave no renewal window is asked again (RFC 9773 section 4.3.2).
pub const ARI_RETRY: i64 = 6 * 3_600;
/// Seconds after which certificates are looked at, whatever the clock said before.
pub const CERTIFICATES_LOOK: i64 = 600;
/// Seconds that stand for no time at all.
pub const CERTIFICATES_NEVER: i64 = 365 * 86_400;
/// Aliases that are followed from the name of a DNS challenge.
pub const DNS_CNAMES_MAX: usize = 8;
/// For one answer of a name server.
pub const DNS_ANSWER: Duration = Duration::from_secs(3);
/// How often a name server is asked.
pub const DNS_TRIES: usize = 3;
/// Between two looks at whether a record is there.
pub const DNS_LOOK: Duration = Duration::from_secs(2);
/// How long the servers of a zone may take to have a record: lego's default.
pub const DNS_PROPAGATION: Duration = Duration::from_secs(60);
/// For one run of a program that makes a record.
pub const DNS_PROGRAM: Duration = Duration::from_secs(60);
/// For one answer of a service that makes records: lego's.
pub const PROVIDER_TIMEOUT: Duration = Duration::from_secs(30);
/// Such an answer.
pub const PROVIDER_ANSWER_BYTES_MAX: usize = 1 << 20;
/// Between two requests to Route 53, which takes five in a second from an account.
pub const ROUTE53_PACE: Duration = Duration::from_millis(210);
/// How often Route 53 is asked where it asks for patience.
pub const ROUTE53_TRIES: u32 = 5;
/// Before it is asked again then; twice as long each time.
pub const ROUTE53_RETRY: Duration = Duration::from_millis(400);
/// Between two looks at whether a change is at all servers of Route 53.
pub const ROUTE53_LOOK: Duration = Duration::from_secs(2);
/// How long that may take: lego's default.
pub const ROUTE53_PROPAGATION: Duration = Duration::from_secs(120);
/// Between two requests to Cloudflare, which takes 1,200 in five minutes from a user.
pub const CLOUDFLARE_PACE: Duration = Duration::from_millis(250);
/// For one answer of the metadata of an instance, which is next door or not there.
pub const INSTANCE_METADATA_TIMEOUT: Duration = Duration::from_secs(2);
/// For one run of `deploy.command`, which is stopped then.
pub const DEPLOY_PROGRAM: Duration = Duration::from_secs(120);
/// What is kept of what that command says: the last of it.
pub const DEPLOY_OUTPUT_BYTES_MAX: usize = 2 << 10;
/// How long a command that has ended may have its output held open by what it has left running.
pub const DEPLOY_DRAIN: Duration = Duration::from_secs(1);
/// Seconds before a deployment that failed is tried again, first and at most, four times as long each time.
pub const DEPLOY_RETRY: (i64, i64) = (10, 3_600);
/// Deployments under way at one time, each perhaps with its command.
pub const DEPLOYS_AT_ONCE: usize = 8;

// Administration.

/// One request on the admin socket.
pub const ADMIN_REQUEST_BYTES_MAX: usize = 64 << 10;
/// Administrators connected at one time.
pub const ADMIN_CONNECTIONS_MAX: usize = 16;
/// How long one may take to send its request or to take an answer.
pub const ADMIN_PATIENCE: Duration = Duration::from_secs(10);
/// How long `weir reload` waits for its answer: names that do not resolve take their time.
pub const ADMIN_ANSWER: Duration = Duration::from_secs(120);
/// Changes that one answer names; more are counted.
pub const ADMIN_CHANGES_MAX: usize = 1_000;
/// How long the log is silent about a reason for which a server's requests failed, once it has told of it.
pub const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);
/// Pairs of a reason and a server that each worker remembers for that; what is beyond is counted, and not told.
pub const COMPLAINTS_MAX: usize = 64;
/// An answer is written in pieces of so many bytes, each of which has that time.
pub const ADMIN_WRITE_BYTES: usize = 64 << 10;
/// `weir status` shows the certificates of files that end within so many seconds.
pub const CERTIFICATE_DUE: Duration = Duration::from_secs(1_209_600);
/// Names that one line of `weir status` shows; more are counted.
pub const STATUS_NAMES_MAX: usize = 10;
/// Between two looks at whether anybody still holds former rules.
pub const FORMER_RULES_LOOK: Duration = Duration::from_millis(100);
/// Routers of former rules that a worker lets go of with each request: all at once would hold requests up.
pub const FORMER_ROUTERS_REQUEST: usize = 8;
/// And with each look at its house.
pub const FORMER_ROUTERS_TICK: usize = 256;
