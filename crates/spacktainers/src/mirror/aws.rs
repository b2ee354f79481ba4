//! Credentials and settings for S3, found where the AWS tools find them.
//!
//! In this order: keys in the environment; the profile that `AWS_PROFILE` names, or `default`, in the
//! shared files; a web identity (Kubernetes, GitLab and GitHub give one); the container's or the
//! instance's role. With none of these, requests are anonymous, which is right for public buckets.
//!
//! Source: AWS SDKs and Tools Reference Guide, "Standardized credential providers".

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use object_store::aws::AmazonS3ConfigKey;

use super::aws_profile;

/// Why there are no credentials although something asks for them.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// `AWS_PROFILE` names one that is in neither file.
    #[error(
        "there is no AWS profile `{name}`: check AWS_PROFILE, `~/.aws/config` and `~/.aws/credentials`"
    )]
    NoProfile {
        /// The profile.
        name: String,
    },
    /// A profile that needs another program or a browser.
    #[error(
        "AWS profile `{name}` uses `{setting}`, which only the AWS tools understand: \
         run `eval \"$(aws configure export-credentials --profile {name} --format env)\"` before"
    )]
    Profile {
        /// The profile.
        name: String,
        /// Its setting that we cannot follow.
        setting: &'static str,
    },
    /// One of the shared files cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The role's credentials could not be had, or the settings contradict each other.
    #[error("cannot get credentials for S3")]
    Credentials(#[source] object_store::Error),
}

/// What the environment and the shared files say about S3.
#[derive(Debug, Default)]
pub(super) struct AwsSettings {
    /// For the signer.
    pub(super) settings: HashMap<AmazonS3ConfigKey, String>,
    /// Whether they hold credentials, or the way to some.
    pub(super) has_credentials: bool,
    /// Where S3 is, when it is not AWS's own.
    pub(super) endpoint: Option<String>,
    /// The region, when given.
    pub(super) region: Option<String>,
    /// Whether nobody is to ask the instance for its role.
    pub(super) no_instance: bool,
}

/// Reads the shared files that `environment` (variables by name) points to, and decides.
///
/// # Errors
/// When a named profile does not exist or cannot be used, or a file cannot be read.
pub(super) fn settings(environment: &BTreeMap<String, String>) -> Result<AwsSettings, AwsError> {
    let file = |variable: &str, name: &str| {
        let path = match environment.get(variable) {
            Some(path) => Some(PathBuf::from(path)),
            None => environment
                .get("HOME")
                .map(|home| Path::new(home).join(".aws").join(name)),
        };
        path.map_or(Ok(String::new()), |path| match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            result => result.map_err(|source| AwsError::Read { path, source }),
        })
    };
    let config = file("AWS_CONFIG_FILE", "config")?;
    let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials")?;
    decide(environment, &config, &credentials)
}

fn decide(
    environment: &BTreeMap<String, String>,
    config: &str,
    credentials: &str,
) -> Result<AwsSettings, AwsError> {
    let variable = |name: &str| {
        environment
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned()
    };
    let name = variable("AWS_PROFILE").or_else(|| variable("AWS_DEFAULT_PROFILE"));
    let profile = aws_profile::profile(config, credentials, name.as_deref().unwrap_or("default"));
    let profile = match (profile, name.clone()) {
        (Some(profile), _) => profile,
        (None, Some(name)) => return Err(AwsError::NoProfile { name }),
        (None, None) => BTreeMap::new(),
    };
    let mut chosen = AwsSettings {
        endpoint: variable("AWS_ENDPOINT_URL_S3")
            .or_else(|| variable("AWS_ENDPOINT_URL"))
            .or_else(|| profile.get("endpoint_url").cloned()),
        region: variable("AWS_REGION")
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .or_else(|| profile.get("region").cloned()),
        no_instance: variable("AWS_EC2_METADATA_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true")),
        ..AwsSettings::default()
    };
    // Looked at in this order; the first that has its first key is taken, and only that one.
    let from_environment = [
        (AmazonS3ConfigKey::AccessKeyId, "AWS_ACCESS_KEY_ID"),
        (AmazonS3ConfigKey::SecretAccessKey, "AWS_SECRET_ACCESS_KEY"),
        (AmazonS3ConfigKey::Token, "AWS_SESSION_TOKEN"),
    ];
    let from_profile = [
        (AmazonS3ConfigKey::AccessKeyId, "aws_access_key_id"),
        (AmazonS3ConfigKey::SecretAccessKey, "aws_secret_access_key"),
        (AmazonS3ConfigKey::Token, "aws_session_token"),
    ];
    let identity_in_environment = [
        (
            AmazonS3ConfigKey::WebIdentityTokenFile,
            "AWS_WEB_IDENTITY_TOKEN_FILE",
        ),
        (AmazonS3ConfigKey::RoleArn, "AWS_ROLE_ARN"),
        (AmazonS3ConfigKey::RoleSessionName, "AWS_ROLE_SESSION_NAME"),
        (AmazonS3ConfigKey::StsEndpoint, "AWS_ENDPOINT_URL_STS"),
    ];
    let identity_in_profile = [
        (
            AmazonS3ConfigKey::WebIdentityTokenFile,
            "web_identity_token_file",
        ),
        (AmazonS3ConfigKey::RoleArn, "role_arn"),
        (AmazonS3ConfigKey::RoleSessionName, "role_session_name"),
    ];
    let container = [
        (
            AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        ),
        (
            AmazonS3ConfigKey::ContainerCredentialsFullUri,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
        (
            AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        ),
    ];
    let has = |source: &BTreeMap<String, String>, key: &str| {
        source.get(key).is_some_and(|value| !value.is_empty())
    };
    let (keys, source): (&[(AmazonS3ConfigKey, &str)], _) = if has(environment, "AWS_ACCESS_KEY_ID")
    {
        (&from_environment, environment)
    } else if has(&profile, "aws_access_key_id") && !has(&profile, "source_profile") {
        (&from_profile, &profile)
    } else if has(environment, "AWS_WEB_IDENTITY_TOKEN_FILE") {
        (&identity_in_environment, environment)
    } else if has(&profile, "web_identity_token_file") {
        (&identity_in_profile, &profile)
    } else {
        let beyond_us = [
            "sso_session",
            "sso_start_url",
            "credential_process",
            "source_profile",
        ];
        if let Some(setting) = beyond_us.into_iter().find(|setting| has(&profile, setting)) {
            let name = name.unwrap_or_else(|| "default".to_owned());
            return Err(AwsError::Profile { name, setting });
        }
        (&container, environment)
    };
    for (key, variable) in keys {
        if let Some(value) = source.get(*variable).filter(|value| !value.is_empty()) {
            chosen.settings.insert(*key, value.clone());
        }
    }
    chosen.has_credentials = !chosen.settings.is_empty();
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "[default]\naws_access_key_id=D\naws_secret_access_key=d\n\
        [work]\naws_access_key_id=W\naws_secret_access_key=w\naws_session_token=t\n";
    const CONFIG: &str = "[default]\nregion=eu-central-1\nendpoint_url=http://127.0.0.1:1\n\
        [profile sso]\nsso_session=x\n[profile chained]\nrole_arn=r\nsource_profile=work\n\
        [profile web]\nrole_arn=r\nweb_identity_token_file=/token\n";

    fn with(variables: &[(&str, &str)]) -> Result<AwsSettings, AwsError> {
        let pairs = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        decide(&pairs.collect(), CONFIG, CREDENTIALS)
    }

    fn key_id(variables: &[(&str, &str)]) -> String {
        with(variables).expect("decides").settings[&AmazonS3ConfigKey::AccessKeyId].clone()
    }

    #[test]
    fn the_environment_comes_before_profiles_and_the_named_profile_before_the_default_one() {
        assert_eq!(key_id(&[]), "D");
        assert_eq!(key_id(&[("AWS_PROFILE", "work")]), "W");
        let keys = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "e")];
        assert_eq!(key_id(&keys), "E");
        let both = with(&[keys[0], keys[1], ("AWS_PROFILE", "work")]).expect("decides");
        assert!(
            !both.settings.contains_key(&AmazonS3ConfigKey::Token),
            "sources never mix"
        );
    }

    #[test]
    fn endpoint_and_region_come_from_the_most_special_place() {
        let default = with(&[]).expect("decides");
        assert_eq!(default.region.as_deref(), Some("eu-central-1"));
        assert_eq!(default.endpoint.as_deref(), Some("http://127.0.0.1:1"));
        let set = with(&[
            ("AWS_DEFAULT_REGION", "a"),
            ("AWS_REGION", "b"),
            ("AWS_ENDPOINT_URL", "http://one"),
            ("AWS_ENDPOINT_URL_S3", "http://two"),
        ])
        .expect("decides");
        assert_eq!(set.region.as_deref(), Some("b"));
        assert_eq!(set.endpoint.as_deref(), Some("http://two"));
    }

    #[test]
    fn a_web_identity_and_a_container_role_are_ways_to_credentials() {
        {
            let settings = with(&[("AWS_PROFILE", "web")]).expect("decides").settings;
            assert_eq!(settings[&AmazonS3ConfigKey::WebIdentityTokenFile], "/token");
        }
        let uri = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/role");
        let pairs = [uri]
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        let settings = decide(&pairs.collect(), "", "").expect("decides");
        assert!(settings.has_credentials);
        assert!(
            !decide(&BTreeMap::new(), "", "")
                .expect("decides")
                .has_credentials
        );
    }

    #[test]
    fn profiles_that_cannot_be_used_say_what_to_do() {
        let absent = with(&[("AWS_PROFILE", "absent")]).expect_err("no such profile");
        assert!(matches!(absent, AwsError::NoProfile { .. }));
        for (name, wanted) in [("sso", "sso_session"), ("chained", "source_profile")] {
            let error = with(&[("AWS_PROFILE", name)]).expect_err("beyond us");
            assert!(matches!(error, AwsError::Profile { setting, .. } if setting == wanted));
        }
    }
}
