//! Which archives to ask for which suite: the settings' mirror, or what this machine's apt uses.

use super::apt_sources::{AptSource, SignedBy};
use super::settings::DebianSettings;

/// What apt's own sources put where a snapshot's time belongs; sources.list(5), "Snapshots".
const SNAPSHOT: &str = "@SNAPSHOTID@";
/// Pockets taken over from the machine when nothing is said.
const USUAL_POCKETS: [&str; 2] = ["updates", "security"];

/// One suite and the places where it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SuitePlan {
    /// `bookworm`, `bookworm-security`
    pub(super) suite: String,
    /// In the order to try them.
    pub(super) places: Vec<Place>,
}

/// The root of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Without a final slash.
    pub(super) root: String,
    /// Keys that apt's configuration wants for it.
    pub(super) signed_by: Option<SignedBy>,
}

/// Why there is no place to ask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// `[base.debian]` without a suite.
    #[error(
        "[base.debian] has no `suite`: set it to the codename of a release, such as `bookworm`"
    )]
    NoSuite,
    /// A suite or component that is no name.
    #[error("`{0}` in [base.debian] is not the name of a suite or component")]
    Name(String),
    /// No mirror is set and the machine has none for the suite.
    #[error(
        "no mirror for `{suite}`: set `mirror` in [base.debian] to the archive's root (the part before `/dists`); this machine's apt has no source for that suite and architecture {architecture} either"
    )]
    NoMirror {
        /// The suite.
        suite: String,
        /// The architecture.
        architecture: String,
    },
    /// A snapshot, and nothing in the mirror's address to put it in.
    #[error(
        "`snapshot` is set, and the mirror `{0}` has no {SNAPSHOT} for it to take the place of"
    )]
    NoSnapshotPlace(String),
    /// A snapshot wanted and no mirror named.
    #[error(
        "`snapshot` is set and no `mirror`: name a mirror that keeps snapshots, with {SNAPSHOT} in its address"
    )]
    SnapshotWithoutMirror,
}

/// The suites to read, main one first.
pub(super) fn suites(
    settings: &DebianSettings,
    machine: &[AptSource],
    architecture: &str,
) -> Result<Vec<SuitePlan>, PlanError> {
    if settings.suite.is_empty() {
        return Err(PlanError::NoSuite);
    }
    let pockets = settings.pockets.clone().unwrap_or_default();
    for name in settings
        .components
        .iter()
        .chain([&settings.suite])
        .chain(&pockets)
    {
        let is_good = |b: u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'/' | b'+' | b'~')
        };
        if name.is_empty()
            || name.starts_with('/')
            || name.contains("..")
            || !name.bytes().all(is_good)
        {
            return Err(PlanError::Name(name.clone()));
        }
    }
    let mut plans = vec![suite(settings, machine, architecture, &settings.suite)?];
    match &settings.pockets {
        Some(pockets) => {
            for pocket in pockets {
                let name = format!("{}-{pocket}", settings.suite);
                plans.push(suite(settings, machine, architecture, &name)?);
            }
        }
        None if settings.mirror.is_none() => {
            for pocket in USUAL_POCKETS {
                let name = format!("{}-{pocket}", settings.suite);
                plans.extend(suite(settings, machine, architecture, &name).ok());
            }
        }
        None => {}
    }
    Ok(plans)
}

/// The places of one suite.
pub(super) fn suite(
    settings: &DebianSettings,
    machine: &[AptSource],
    architecture: &str,
    name: &str,
) -> Result<SuitePlan, PlanError> {
    let is_security = name.ends_with("-security");
    let named = match &settings.security_mirror {
        Some(mirror) if is_security => Some(mirror),
        _ => settings.mirror.as_ref(),
    };
    let suite = name.to_owned();
    if let Some(mirror) = named {
        let mirror = mirror.trim_end_matches('/');
        let root = match &settings.snapshot {
            Some(_) if !mirror.contains(SNAPSHOT) => {
                return Err(PlanError::NoSnapshotPlace(mirror.to_owned()));
            }
            Some(time) => mirror.replace(SNAPSHOT, time),
            None => mirror.to_owned(),
        };
        return Ok(SuitePlan {
            suite,
            places: vec![Place {
                root,
                signed_by: None,
            }],
        });
    }
    if settings.snapshot.is_some() {
        return Err(PlanError::SnapshotWithoutMirror);
    }
    let mut found: Vec<&AptSource> = machine
        .iter()
        .filter(|source| {
            source.suite == name
                && settings
                    .components
                    .iter()
                    .any(|wanted| source.components.contains(wanted))
                && (source.architectures.is_empty()
                    || source
                        .architectures
                        .iter()
                        .any(|known| known == architecture))
        })
        .collect();
    // Third parties name suites like the distribution's; whether a place is the distribution's own
    // its signature tells. These come first because they most likely are.
    found.sort_by_key(|source| !is_distribution(&source.uri));
    let mut places: Vec<Place> = Vec::new();
    for source in found {
        if places.iter().all(|place| place.root != source.uri) {
            places.push(Place {
                root: source.uri.clone(),
                signed_by: source.signed_by.clone(),
            });
        }
    }
    if places.is_empty() {
        return Err(PlanError::NoMirror {
            suite,
            architecture: architecture.to_owned(),
        });
    }
    Ok(SuitePlan { suite, places })
}

fn is_distribution(uri: &str) -> bool {
    let last = uri.rsplit('/').next().unwrap_or_default();
    matches!(
        last,
        "debian" | "debian-security" | "debian-ports" | "ubuntu" | "ubuntu-ports"
    )
}

/// Lines for the image's own `sources.list`: only what the settings name. A snapshot's state is what
/// the image was made of, so it is what its apt sees.
pub(super) fn apt_lines(settings: &DebianSettings, plans: &[SuitePlan]) -> Vec<String> {
    let is_public = |root: &str| root.starts_with("http://") || root.starts_with("https://");
    if settings.mirror.is_none() {
        return Vec::new();
    }
    plans
        .iter()
        .filter_map(|plan| Some((plan, plan.places.first()?)))
        .filter(|(_, place)| is_public(&place.root) && !has_credentials(&place.root))
        .map(|(plan, place)| {
            format!(
                "deb {} {} {}",
                place.root,
                plan.suite,
                settings.components.join(" ")
            )
        })
        .collect()
}

/// `http://user:secret@host/`: such an address must not get into a lock or an image.
fn has_credentials(root: &str) -> bool {
    root.split("://")
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .is_some_and(|host| host.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::super::apt_sources::parse_one_line;
    use super::*;

    fn machine() -> Vec<AptSource> {
        parse_one_line(
            "deb https://third.example/php/ bookworm main\n\
             deb [arch=amd64] http://mirror.example/debian bookworm main contrib\n\
             deb http://mirror.example/debian bookworm-updates main\n\
             deb http://mirror.example/debian-security bookworm-security main\n\
             deb http://mirror.example/debian trixie main\n",
        )
    }

    fn names(plans: &[SuitePlan]) -> Vec<&str> {
        plans.iter().map(|plan| plan.suite.as_str()).collect()
    }

    #[test]
    fn without_a_mirror_the_machines_own_sources_of_the_suite_are_asked() {
        let settings = DebianSettings::new("bookworm");
        let plans = suites(&settings, &machine(), "amd64").expect("sources");
        assert_eq!(
            names(&plans),
            ["bookworm", "bookworm-updates", "bookworm-security"]
        );
        assert_eq!(plans[0].places[0].root, "http://mirror.example/debian");
        assert_eq!(plans[0].places.len(), 2, "third parties come last");
        assert!(
            apt_lines(&settings, &plans).is_empty(),
            "nothing of the machine goes into the image"
        );
        let settings = DebianSettings::new("trixie");
        assert_eq!(
            names(&suites(&settings, &machine(), "amd64").expect("sources")),
            ["trixie"]
        );
    }

    #[test]
    fn a_mirror_of_the_settings_is_the_only_one_asked() {
        let mut settings = DebianSettings::new("bookworm");
        settings.mirror = Some("https://m.example/debian/".into());
        settings.pockets = Some(vec!["security".into()]);
        settings.security_mirror = Some("https://m.example/debian-security".into());
        let plans = suites(&settings, &machine(), "arm64").expect("a mirror");
        assert_eq!(names(&plans), ["bookworm", "bookworm-security"]);
        assert_eq!(plans[1].places[0].root, "https://m.example/debian-security");
        assert_eq!(
            apt_lines(&settings, &plans),
            [
                "deb https://m.example/debian bookworm main",
                "deb https://m.example/debian-security bookworm-security main"
            ]
        );
        settings.mirror = Some("https://user:secret@m.example/debian".into());
        let plans = suites(&settings, &[], "arm64").expect("a mirror");
        assert_eq!(
            apt_lines(&settings, &plans).len(),
            1,
            "no credentials in the image"
        );
    }

    #[test]
    fn without_any_place_the_message_says_what_to_set() {
        let error =
            suites(&DebianSettings::new("noble"), &machine(), "amd64").expect_err("unknown");
        assert!(
            error.to_string().contains("set `mirror` in [base.debian]"),
            "{error}"
        );
        let limited = parse_one_line("deb [arch=amd64] http://h/debian bookworm main");
        assert!(suites(&DebianSettings::new("bookworm"), &limited, "arm64").is_err());
        assert_eq!(
            suites(&DebianSettings::new(""), &[], "amd64"),
            Err(PlanError::NoSuite)
        );
        assert!(matches!(
            suites(&DebianSettings::new("../x"), &[], "amd64"),
            Err(PlanError::Name(_))
        ));
    }

    #[test]
    fn a_snapshot_takes_its_place_in_the_mirror() {
        let mut settings = DebianSettings::new("bookworm");
        settings.snapshot = Some("20260711T000000Z".into());
        assert_eq!(
            suites(&settings, &machine(), "amd64"),
            Err(PlanError::SnapshotWithoutMirror)
        );
        settings.mirror = Some("https://s.example/@SNAPSHOTID@/debian".into());
        let plans = suites(&settings, &[], "amd64").expect("a mirror");
        assert_eq!(
            plans[0].places[0].root,
            "https://s.example/20260711T000000Z/debian"
        );
        settings.mirror = Some("https://s.example/debian".into());
        assert!(matches!(
            suites(&settings, &[], "amd64"),
            Err(PlanError::NoSnapshotPlace(_))
        ));
    }
}
