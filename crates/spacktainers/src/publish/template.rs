//! Targets of many containers in one text: `docker://host/{name}:{version}`.

use super::{Target, TargetError};

/// What stands for what in the text of a target.
#[derive(Debug, Clone, Copy)]
pub struct Placeholders<'a> {
    /// `{name}`: the container's.
    pub name: &'a str,
    /// `{arch}`: what the image is for, in the words of its folder.
    pub platform: &'a str,
    /// `{version}`; characters that no tag can have become `-`.
    pub version: &'a str,
    /// `{tag}`: what [`crate::publish::release::tag`] makes of the version and the branch.
    pub tag: &'a str,
}

impl Placeholders<'_> {
    /// The target that `template` is for this container.
    ///
    /// # Errors
    /// When what comes out is none.
    pub fn fill(&self, template: &str) -> Result<Target, TargetError> {
        // A tag has no `=`, which versions from git have.
        let plain = |c: char| match c {
            c if c.is_ascii_alphanumeric() || "._-".contains(c) => c,
            _ => '-',
        };
        let version: String = self.version.chars().map(plain).collect();
        template
            .replace("{name}", self.name)
            .replace("{arch}", self.platform)
            .replace("{version}", &version)
            .replace("{tag}", self.tag)
            .parse()
    }
}

/// Says whether `template` will be a target when it is filled in.
///
/// # Errors
/// What is wrong with it, with names in place of what is filled in.
pub fn check_template(template: &str) -> Result<(), TargetError> {
    let sample = Placeholders {
        name: "name",
        platform: "amd64",
        version: "1.0",
        tag: "1.0",
    };
    sample.fill(template).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in() {
        let of = Placeholders {
            name: "hdf5",
            platform: "arm64",
            version: "git.abc=1.14",
            tag: "1.14__x",
        };
        let target = of
            .fill("docker://host:5000/{name}-{arch}:{version}")
            .unwrap();
        assert_eq!(
            target.to_string(),
            "docker://host:5000/hdf5-arm64:git.abc-1.14"
        );
        let object = of.fill("s3://bucket/{name}__{tag}.sif").unwrap();
        assert_eq!(object.to_string(), "s3://bucket/hdf5__1.14__x.sif");
        assert!(check_template("s3://bucket/{name}__{version}.sif").is_ok());
        assert!(check_template("ftp://host/{name}").is_err());
    }
}
