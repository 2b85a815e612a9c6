//! Where the credentials for AWS come from, in the order of its own tools: variables, the shared file, the instance.
//! Source: <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>.

use http_body_util::Full;
use hyper::Request;
use hyper::http::request::Builder;
use serde::Deserialize;

use super::super::super::web::Web;
use super::super::secret;
use super::signature::Credentials;
use crate::limits::INSTANCE_METADATA_TIMEOUT;

/// Of the instance's metadata, as every machine at EC2 reaches it.
const METADATA: &str = "http://169.254.169.254";
/// The lives of tokens for it, in seconds: long enough for the two questions.
const TOKEN_TTL: &str = "60";

/// What the metadata say of a role.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Role {
    access_key_id: String,
    secret_access_key: String,
    token: String,
}

/// Those that are there first.
///
/// # Errors
/// One line that says where they may be given.
pub(super) async fn find(web: &Web) -> Result<Credentials, String> {
    if let Some(found) = of_variables()? {
        return Ok(found);
    }
    if let Some(found) = of_file()? {
        return Ok(found);
    }
    of_instance(web).await.map_err(|error| {
        format!(
            "no credentials for AWS: give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (as variables, files that these with \
             _FILE name, or systemd credentials), or a file that AWS_SHARED_CREDENTIALS_FILE names, or run on an instance \
             with a role ({error})"
        )
    })
}

fn of_variables() -> Result<Option<Credentials>, String> {
    let Some(id) = secret::optional("AWS_ACCESS_KEY_ID")? else {
        return Ok(None);
    };
    Ok(Some(Credentials {
        id,
        secret: secret::required("AWS_SECRET_ACCESS_KEY")?,
        token: secret::optional("AWS_SESSION_TOKEN")?,
    }))
}

/// Of `AWS_SHARED_CREDENTIALS_FILE`, else of `~/.aws/credentials` if that is there.
fn of_file() -> Result<Option<Credentials>, String> {
    let text = match secret::optional("AWS_SHARED_CREDENTIALS")? {
        Some(text) => Some(text),
        None => std::env::var("HOME")
            .ok()
            .and_then(|home| std::fs::read_to_string(format!("{home}/.aws/credentials")).ok()),
    };
    let profile = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    let Some(text) = text else { return Ok(None) };
    let found = of_text(&text, &profile);
    let missing =
        || format!("the shared credentials file of AWS has no keys for the profile {profile:?}");
    Ok(Some(found.ok_or_else(missing)?))
}

fn of_text(text: &str, profile: &str) -> Option<Credentials> {
    let (mut inside, mut id, mut secret, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            inside = section.trim() == profile;
        } else if inside && let Some((key, value)) = line.split_once('=') {
            let value = Some(value.trim().to_owned());
            match key.trim().to_ascii_lowercase().as_str() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(Credentials {
        id: id?,
        secret: secret?,
        token,
    })
}

/// Of the instance's role, by version 2 of its metadata service.
async fn of_instance(web: &Web) -> Result<Credentials, String> {
    if std::env::var("AWS_EC2_METADATA_DISABLED")
        .is_ok_and(|text| text.eq_ignore_ascii_case("true"))
    {
        return Err("AWS_EC2_METADATA_DISABLED is true".to_owned());
    }
    let base =
        std::env::var("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|_| METADATA.to_owned());
    let base = base.trim_end_matches('/');
    let token = Request::put(format!("{base}/latest/api/token"))
        .header("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL);
    let token = ask(web, token).await?;
    let roles = format!("{base}/latest/meta-data/iam/security-credentials/");
    let get = |uri: &str| Request::get(uri).header("x-aws-ec2-metadata-token", &token);
    let role = ask(web, get(&roles)).await?;
    let role = role.lines().next().unwrap_or_default();
    let said = ask(web, get(&format!("{roles}{role}"))).await?;
    let role: Role =
        serde_json::from_str(&said).map_err(|_| "the instance's role has no keys".to_owned())?;
    Ok(Credentials {
        id: role.access_key_id,
        secret: role.secret_access_key,
        token: Some(role.token),
    })
}

async fn ask(web: &Web, request: Builder) -> Result<String, String> {
    let request = request.body(Full::default());
    let request = request.map_err(|_| "AWS_EC2_METADATA_SERVICE_ENDPOINT is no URL".to_owned())?;
    let path = request.uri().path().to_owned();
    let answer = web.ask_within(request, INSTANCE_METADATA_TIMEOUT).await?;
    match answer.status.is_success() {
        true => Ok(String::from_utf8_lossy(&answer.body).trim().to_owned()),
        false => Err(format!(
            "the instance's metadata: {path}: {}",
            answer.status
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_file() {
        let text = "# comment\n[other]\naws_access_key_id = O\naws_secret_access_key=P\n\n[default]\r\naws_access_key_id=A\n\
                    aws_secret_access_key = b/+=\nregion = eu-central-1\n[temporary]\naws_access_key_id=T\n\
                    aws_secret_access_key=U\naws_session_token=V=\n[half]\naws_access_key_id=H\n";
        let found = |profile: &str| {
            of_text(text, profile).map(|found| (found.id, found.secret, found.token))
        };
        let text = |text: &str| text.to_owned();
        assert_eq!(found("default"), Some((text("A"), text("b/+="), None)));
        assert_eq!(found("other"), Some((text("O"), text("P"), None)));
        assert_eq!(
            found("temporary"),
            Some((text("T"), text("U"), Some(text("V="))))
        );
        assert_eq!(found("half"), None);
        assert_eq!(found("nobody"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_instance_answers_in_time_or_is_none() {
        use crate::certs::web::tests::{MILLISECOND, answering};
        let asked = async |time: std::time::Duration| {
            let (url, _) = answering(move |_| (time, 200, "role".to_owned())).await;
            ask(&Web::new().unwrap(), Request::get(url)).await
        };
        let most = INSTANCE_METADATA_TIMEOUT;
        assert_eq!(asked(most - MILLISECOND).await, Ok("role".to_owned()));
        assert!(asked(most + MILLISECOND).await.is_err());
    }
}
