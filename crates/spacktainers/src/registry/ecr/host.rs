//! Names of ECR registries.

/// The host of ECR Public.
const PUBLIC: &str = "public.ecr.aws";
/// The region of ECR Public's API; it has no other for pulling.
const PUBLIC_REGION: &str = "us-east-1";

/// What the name of a registry says, when it is ECR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcrHost {
    /// As in references.
    pub registry: String,
    /// The account that owns it, twelve digits; none for ECR Public and for other names.
    pub account: Option<String>,
    /// Its region; none where the name does not say.
    pub region: Option<String>,
    /// The API's host; none where the name does not say.
    pub(super) api: Option<String>,
    /// Whether it is ECR Public.
    pub is_public: bool,
}

impl EcrHost {
    /// `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, also with `ecr-fips`, in China (`.cn`) and as `ACCOUNT.dkr-ecr.REGION.on.aws`;
    /// and `public.ecr.aws`.
    #[must_use]
    pub fn parse(registry: &str) -> Option<Self> {
        if registry == PUBLIC {
            return Some(Self {
                registry: registry.to_owned(),
                account: None,
                region: Some(PUBLIC_REGION.to_owned()),
                api: Some(format!("api.ecr-public.{PUBLIC_REGION}.amazonaws.com")),
                is_public: true,
            });
        }
        let (account, rest) = registry.split_once('.')?;
        if account.len() != 12 || !account.bytes().all(|it| it.is_ascii_digit()) {
            return None;
        }
        let parts: Vec<&str> = rest.split('.').collect();
        let (region, api) = match parts.as_slice() {
            [
                "dkr",
                service @ ("ecr" | "ecr-fips"),
                region,
                "amazonaws",
                end @ ..,
            ] if matches!(end, ["com"] | ["com", "cn"]) => {
                let end = end.join(".");
                let api = match *service {
                    "ecr" => format!("api.ecr.{region}.amazonaws.{end}"),
                    fips => format!("{fips}.{region}.amazonaws.{end}"),
                };
                (*region, api)
            }
            ["dkr-ecr", region, "on", "aws"] => (*region, format!("ecr.{region}.api.aws")),
            ["dkr-ecr-fips", region, "on", "aws"] => {
                (*region, format!("ecr-fips.{region}.api.aws"))
            }
            _ => return None,
        };
        let is_region =
            |it: &str| !it.is_empty() && it.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        is_region(region).then(|| Self {
            registry: registry.to_owned(),
            account: Some(account.to_owned()),
            region: Some(region.to_owned()),
            api: Some(api),
            is_public: false,
        })
    }

    /// A registry of another name, in the environment's region.
    pub(super) fn named(registry: &str) -> Self {
        Self {
            registry: registry.to_owned(),
            account: None,
            region: None,
            api: None,
            is_public: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_account_region_and_api() {
        let told = |registry: &str| {
            EcrHost::parse(registry).map(|it| {
                let api = it.api.unwrap_or_default();
                format!("{} {api}", it.region.unwrap_or_default())
            })
        };
        let account = "130659266700";
        for (end, expected) in [
            (
                "dkr.ecr.us-east-1.amazonaws.com",
                "us-east-1 api.ecr.us-east-1.amazonaws.com",
            ),
            (
                "dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                "us-gov-west-1 ecr-fips.us-gov-west-1.amazonaws.com",
            ),
            (
                "dkr.ecr.cn-north-1.amazonaws.com.cn",
                "cn-north-1 api.ecr.cn-north-1.amazonaws.com.cn",
            ),
            (
                "dkr-ecr.eu-west-1.on.aws",
                "eu-west-1 ecr.eu-west-1.api.aws",
            ),
        ] {
            let registry = format!("{account}.{end}");
            assert_eq!(told(&registry).as_deref(), Some(expected));
        }
        let public = EcrHost::parse("public.ecr.aws").expect("public");
        assert!(public.is_public && public.account.is_none());
        for other in [
            "ghcr.io",
            "1306592667.dkr.ecr.us-east-1.amazonaws.com",
            "130659266700.dkr.ecr.us-east-1.amazonaws.com.evil.example",
            "130659266700.dkr.ecr..amazonaws.com",
            "130659266700.dkr.ecr.a/b.amazonaws.com",
            "public.ecr.aws.evil.example",
        ] {
            assert_eq!(told(other), None, "{other}");
        }
    }
}
