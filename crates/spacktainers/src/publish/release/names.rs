//! The names of a release: tags by rule, and the places that the settings make of them.
//!
//! | built from | tag | also |
//! |---|---|---|
//! | the main branch | `1.2.3`, stays | `latest`, moves |
//! | another branch | `1.2.3__branch-slug`, moves | |
//! | no branch: a laptop without git, a pipeline for a tag | `1.2.3`, stays | |
//!
//! On arm64 tags end in `-arm64`, unless the project has the container for several platforms: then they share one name, which
//! holds an index ([`suffix`]). This is the rule of the two public repositories that this project descends from
//! (`registry_image_tag` in their `job_creator/containers.py`), whose `latest` was written by hand.
//!
//! A template that ends without a tag, `docker://HOST/REPO/{name}`, gets all tags of the rule. `{tag}` stands for the first,
//! in keys of buckets too: `s3://BUCKET/containers/{name}__{tag}.sif`. Templates with a tag of their own get that one.

use super::super::{Placeholders, Target, TargetError};
use super::Place;
use crate::base::BaseArchitecture;

/// The most characters of a tag (OCI distribution specification, "Pulling manifests").
const MAX_TAG: usize = 128;
/// The most characters of a branch's slug: GitLab's limit for `CI_COMMIT_REF_SLUG`.
const MAX_SLUG: usize = 63;
/// The tag that everybody follows.
const LATEST: &str = "latest";

/// What a release is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Branch {
    /// The branch that releases are made from.
    Main,
    /// Another one, by its name; and whatever comes from a merge or pull request, even one whose branch has the name of
    /// the main one, since anybody can make such.
    Other(String),
    /// None that is known.
    None,
}

/// A branch's name as GitLab writes it into `CI_COMMIT_REF_SLUG`: lower case, at most 63 characters, everything but letters
/// and digits a `-`, none at either end.
#[must_use]
pub fn slug(branch: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    };
    let text: String = branch.chars().take(MAX_SLUG).map(plain).collect();
    text.trim_matches('-').to_owned()
}

/// The tag that `version` gets; characters that no tag can have are `-`.
#[must_use]
pub fn tag(version: &str, suffix: &str, branch: &Branch) -> String {
    let mut end = match branch {
        Branch::Other(name) => format!("__{}", slug(name)),
        Branch::Main | Branch::None => String::new(),
    };
    end.push_str(suffix);
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "._-".contains(c) => c,
        _ => '-',
    };
    let room = MAX_TAG.saturating_sub(end.len());
    let mut text: String = version.chars().map(plain).take(room).collect();
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        text.insert(0, '_');
        text.truncate(room);
    }
    text + &end
}

/// What tags of a container end in: nothing where it shares its names with images for other platforms.
#[must_use]
pub fn suffix(architecture: BaseArchitecture, is_one_of_several: bool) -> &'static str {
    match architecture {
        BaseArchitecture::Arm64 if !is_one_of_several => "-arm64",
        BaseArchitecture::Amd64 | BaseArchitecture::Arm64 => "",
    }
}

/// The places that `template` is for the container that `of` describes, whose tags end in `suffix`.
///
/// # Errors
/// When the template, filled in, is no target.
pub fn places(
    template: &str,
    of: &Placeholders<'_>,
    suffix: &str,
    branch: &Branch,
) -> Result<Vec<Place>, TargetError> {
    let target = of.fill(template)?;
    let is_release = !matches!(branch, Branch::Other(_));
    let retagged = |tag: &str| -> Result<Target, TargetError> {
        // Through the text: a target knows its own rules.
        format!("{target}:{tag}").parse()
    };
    if let Target::Registry(reference) | Target::Oras(reference) = &target
        && reference.tag().is_none()
    {
        let first = retagged(of.tag)?;
        let mut places = vec![Place {
            target: first,
            is_fixed: is_release,
        }];
        if *branch == Branch::Main {
            let latest = format!("{LATEST}{suffix}");
            places.push(Place::moving(retagged(&latest)?));
        }
        return Ok(places);
    }
    let is_fixed = template.contains("{version}") || is_release && template.contains("{tag}");
    Ok(vec![Place { target, is_fixed }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(template: &str, architecture: BaseArchitecture, branch: &Branch) -> Vec<String> {
        let suffix = suffix(architecture, false);
        let tag = tag("1.2.3", suffix, branch);
        let of = Placeholders {
            name: "spike",
            platform: architecture.as_str(),
            version: "1.2.3",
            tag: &tag,
        };
        let places = places(template, &of, suffix, branch).expect("places");
        let shown = |place: &Place| {
            let how = if place.is_fixed { "stays" } else { "moves" };
            format!("{} {how}", place.target)
        };
        places.iter().map(shown).collect()
    }

    #[test]
    fn tags_follow_the_branch() {
        let feature = Branch::Other("Feature/New_Thing!".to_owned());
        let repository = "docker://h.io/team/{name}";
        let amd64 = |branch: &Branch| named(repository, BaseArchitecture::Amd64, branch);
        assert_eq!(
            amd64(&Branch::Main),
            [
                "docker://h.io/team/spike:1.2.3 stays",
                "docker://h.io/team/spike:latest moves"
            ]
        );
        assert_eq!(
            amd64(&feature),
            ["docker://h.io/team/spike:1.2.3__feature-new-thing moves"]
        );
        assert_eq!(
            amd64(&Branch::None),
            ["docker://h.io/team/spike:1.2.3 stays"]
        );
        assert_eq!(
            named(repository, BaseArchitecture::Arm64, &Branch::Main),
            [
                "docker://h.io/team/spike:1.2.3-arm64 stays",
                "docker://h.io/team/spike:latest-arm64 moves"
            ]
        );
    }

    #[test]
    fn keys_and_tags_of_their_own_are_filled_in() {
        let feature = Branch::Other("x".to_owned());
        let amd64 = |template: &str, branch: &Branch| {
            named(template, BaseArchitecture::Amd64, branch).remove(0)
        };
        let key = "s3://sif/containers/{name}__{tag}.sif";
        assert_eq!(
            amd64(key, &Branch::Main),
            "s3://sif/containers/spike__1.2.3.sif stays"
        );
        assert_eq!(
            amd64(key, &feature),
            "s3://sif/containers/spike__1.2.3__x.sif moves"
        );
        assert_eq!(
            amd64("docker://h.io/a:{version}", &feature),
            "docker://h.io/a:1.2.3 stays"
        );
        assert_eq!(
            amd64("docker://h.io/a:nightly", &Branch::Main),
            "docker://h.io/a:nightly moves"
        );
    }

    #[test]
    fn long_and_strange_names_make_good_tags() {
        let branch = Branch::Other("-".repeat(10) + &"ab/".repeat(50) + "é");
        assert!(slug("-".repeat(70).as_str()).is_empty());
        let made = tag(&"9".repeat(300), "-arm64", &branch);
        assert_eq!(made.len(), MAX_TAG);
        assert!(made.ends_with("-arm64") && made.contains("__ab-ab-"));
        assert_eq!(
            tag(
                "=main",
                suffix(BaseArchitecture::Arm64, true),
                &Branch::None
            ),
            "_-main"
        );
    }
}
