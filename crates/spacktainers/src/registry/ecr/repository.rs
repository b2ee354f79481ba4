//! Repositories of ECR: made where they are missing, and what endangers them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{EcrAccess, EcrError};

/// How repositories are made that are missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EcrRepositorySettings {
    /// Whether tags are to stay what they are. Those that a release moves are left out of it: `latest`, those of branches and
    /// the lists of referrers.
    pub immutable: bool,
    /// Whether ECR scans what is pushed.
    pub scan_on_push: bool,
    /// AWS tags of the repository.
    pub tags: BTreeMap<String, String>,
}

/// What became of a wish for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensured {
    /// Whether it was made.
    pub created: bool,
    /// What its lifecycle policy endangers; empty where there is none, or it cannot be asked for.
    pub dangers: Vec<String>,
}

/// Tags that move, as patterns of ECR.
const MOVING: [&str; 3] = ["latest*", "*__*", "sha256-*"];

impl EcrAccess {
    /// Sees to it that repository `name` of `registry` exists; nothing for registries that are not ECR.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn ensure_repository(
        &self,
        registry: &str,
        name: &str,
        settings: &EcrRepositorySettings,
    ) -> Result<Option<Ensured>, EcrError> {
        let Some(host) = self.host(registry) else {
            return Ok(None);
        };
        let mut wanted = json!({"repositoryNames": [name]});
        let mut about = json!({"repositoryName": name});
        if let Some(account) = &host.account {
            wanted["registryId"] = json!(account);
            about["registryId"] = json!(account);
        }
        let described = self.call(&host, "DescribeRepositories", &wanted).await;
        let created = match described {
            Ok(_) => false,
            Err(EcrError::Refused { kind, .. }) if kind == "RepositoryNotFoundException" => {
                let input = creation(&about, settings, host.is_public);
                let made = self.call(&host, "CreateRepository", &input);
                match made.await {
                    Ok(_) => true,
                    // Another job was faster.
                    Err(EcrError::Refused { kind, .. })
                        if kind == "RepositoryAlreadyExistsException" =>
                    {
                        false
                    }
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        // Whoever may push need not be allowed to see policies, and most repositories have none.
        let policy = match host.is_public || created {
            true => None,
            false => self.call(&host, "GetLifecyclePolicy", &about).await.ok(),
        };
        let text = policy.as_ref().and_then(|it| it.get("lifecyclePolicyText"));
        let dangers = text.and_then(Value::as_str).map(lifecycle_dangers);
        Ok(Some(Ensured {
            created,
            dangers: dangers.unwrap_or_default(),
        }))
    }
}

fn creation(about: &Value, settings: &EcrRepositorySettings, is_public: bool) -> Value {
    let mut input = about.clone();
    let tags: Vec<Value> = settings
        .tags
        .iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect();
    if !tags.is_empty() {
        input["tags"] = json!(tags);
    }
    // The public service knows neither of the others.
    if is_public {
        return input;
    }
    input["imageScanningConfiguration"] = json!({"scanOnPush": settings.scan_on_push});
    if settings.immutable {
        input["imageTagMutability"] = json!("IMMUTABLE_WITH_EXCLUSION");
        let filter = |filter: &str| json!({"filterType": "WILDCARD", "filter": filter});
        input["imageTagMutabilityExclusionFilters"] = json!(MOVING.map(filter));
    } else {
        input["imageTagMutability"] = json!("MUTABLE");
    }
    input
}

/// What in the text of a lifecycle policy deletes things that are still needed, a sentence for each rule.
///
/// The images of an index and what is attached to an image have no tags; counts count all of them; and a rule deletes the
/// image with all of its tags.
#[must_use]
pub fn lifecycle_dangers(policy: &str) -> Vec<String> {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let rules = policy.get("rules").and_then(Value::as_array);
    let danger = |rule: &Value| {
        let selection = rule.get("selection")?;
        let text = |key: &str| selection.get(key).and_then(Value::as_str);
        let why = match (text("tagStatus")?, text("countType").unwrap_or_default()) {
            ("untagged", _) => {
                "deletes untagged images: the images of an index, signatures and SBOMs have no tags"
            }
            ("any", _) => "deletes images whatever their tags are, and what they are made of",
            (_, "imageCountMoreThan") => {
                "counts images: signatures, SBOMs and the images of an index count, too"
            }
            _ => "deletes images by their tags: one that is a release under another tag goes, too",
        };
        let number = rule.get("rulePriority").and_then(Value::as_u64);
        Some(format!("lifecycle rule {} {why}", number.unwrap_or(0)))
    };
    rules.into_iter().flatten().filter_map(danger).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_by_what_they_endanger() {
        let policy = json!({"rules": [
            {"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed"}},
            {"rulePriority": 2, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan"}},
            {"rulePriority": 3, "selection": {"tagStatus": "tagged", "countType": "imageCountMoreThan"}},
            {"rulePriority": 4, "selection": {"tagStatus": "tagged", "countType": "sinceImagePushed"}},
        ]});
        let dangers = lifecycle_dangers(&policy.to_string());
        let words = ["untagged", "whatever", "counts", "another tag"];
        assert_eq!(dangers.len(), words.len());
        for (danger, word) in dangers.iter().zip(words) {
            assert!(danger.contains(word), "{danger}");
        }
        assert!(lifecycle_dangers("no JSON").is_empty());
        assert!(lifecycle_dangers("{}").is_empty());
    }

    #[test]
    fn tags_that_move_are_left_out_of_immutability() {
        let settings = EcrRepositorySettings {
            immutable: true,
            ..EcrRepositorySettings::default()
        };
        let input = creation(&json!({}), &settings, false);
        assert_eq!(input["imageTagMutability"], "IMMUTABLE_WITH_EXCLUSION");
        let filters = input["imageTagMutabilityExclusionFilters"].as_array();
        assert_eq!(filters.map(Vec::len), Some(3));
        assert_eq!(creation(&json!({}), &settings, true), json!({}));
    }
}
