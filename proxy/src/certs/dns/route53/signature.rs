//! AWS Signature Version 4: pure, with the time as an argument.
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign as hmac};
use data_encoding::HEXLOWER;

use crate::http::date::iso8601_basic;

/// Who signs. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    /// The access key's name.
    pub(super) id: String,
    /// The secret access key.
    pub(super) secret: String,
    /// Of credentials that are temporary.
    pub(super) token: Option<String>,
}

/// What is signed of a request.
pub(super) struct Signed<'a> {
    /// In capitals.
    pub(super) method: &'a str,
    /// The `Host` field.
    pub(super) host: &'a str,
    /// Escaped already.
    pub(super) path: &'a str,
    /// Escaped already, the keys in order, each with `=`.
    pub(super) query: &'a str,
    /// The whole body.
    pub(super) body: &'a [u8],
    /// Such as `us-east-1`.
    pub(super) region: &'a str,
    /// Such as `route53`.
    pub(super) service: &'a str,
}

impl Signed<'_> {
    /// The fields that the request must have beside `Host`.
    pub(super) fn fields(
        &self,
        by: &Credentials,
        unix_seconds: u64,
    ) -> Vec<(&'static str, String)> {
        let time = iso8601_basic(unix_seconds);
        let mut fields = vec![("host", self.host.to_owned()), ("x-amz-date", time.clone())];
        fields.extend(
            by.token
                .clone()
                .map(|token| ("x-amz-security-token", token)),
        );
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String = fields
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", value.trim()))
            .collect();
        let request = format!(
            "{}\n{}\n{}\n{lines}\n{names}\n{}",
            self.method,
            self.path,
            self.query,
            hash(self.body)
        );
        let date = &time[..8];
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let text = format!(
            "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
            hash(request.as_bytes())
        );
        let secret = format!("AWS4{}", by.secret).into_bytes();
        let steps = [
            date,
            self.region,
            self.service,
            "aws4_request",
            text.as_str(),
        ];
        let signature = steps.iter().fold(secret, |key, step| {
            hmac(&Key::new(HMAC_SHA256, &key), step.as_bytes())
                .as_ref()
                .to_vec()
        });
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
            by.id,
            HEXLOWER.encode(&signature)
        );
        fields.remove(0);
        fields.push(("authorization", authorization));
        fields
    }
}

fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2015-08-30 12:36:00 UTC.
    const TIME: u64 = 1_440_938_160;

    /// Of AWS's published test suite (`aws-sig-v4-test-suite`).
    fn published(method: &str, query: &str, token: Option<&str>) -> String {
        let signed = Signed {
            method,
            host: "example.amazonaws.com",
            path: "/",
            query,
            body: b"",
            region: "us-east-1",
            service: "service",
        };
        let by = Credentials {
            id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            token: token.map(str::to_owned),
        };
        let fields = signed.fields(&by, TIME);
        assert_eq!(fields[0], ("x-amz-date", "20150830T123600Z".to_owned()));
        let (name, authorization) = fields.last().expect("fields");
        assert_eq!(*name, "authorization");
        authorization.clone()
    }

    #[test]
    fn published_vectors() {
        // get-vanilla
        assert_eq!(
            published("GET", "", None),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        for (method, query, signature) in [
            // get-vanilla-query-order-key-case
            (
                "GET",
                "Param1=value1&Param2=value2",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            // post-vanilla
            (
                "POST",
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ] {
            let authorization = published(method, query, None);
            assert!(
                authorization.ends_with(signature),
                "{method} {query}: {authorization}"
            );
        }
        let temporary = published("GET", "", Some("token"));
        assert!(temporary.contains("SignedHeaders=host;x-amz-date;x-amz-security-token,"));
    }
}
