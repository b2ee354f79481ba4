//! The AWS tools' profile files, as text.
//!
//! ```text
//! ~/.aws/credentials          ~/.aws/config
//! [default]                   [default]
//! aws_access_key_id = …       region = eu-central-1
//! [work]                      [profile work]
//! ```
//!
//! Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials files".

use std::collections::BTreeMap;

/// The settings of one profile, keys in lower case.
pub(super) type Profile = BTreeMap<String, String>;

/// The settings of profile `name` from the texts of both files; of a key that both have, the
/// credentials file's value counts. Nothing when neither file knows the profile.
pub(super) fn profile(config: &str, credentials: &str, name: &str) -> Option<Profile> {
    let from_config = section(config, |header| {
        let mut words = header.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("profile"), Some(found), None) => found == name,
            (Some(found), None, None) => found == name && name == "default",
            _ => false,
        }
    });
    let from_credentials = section(credentials, |header| header == name);
    match (from_config, from_credentials) {
        (None, None) => None,
        (config, credentials) => {
            let mut all = config.unwrap_or_default();
            all.extend(credentials.unwrap_or_default());
            Some(all)
        }
    }
}

/// The keys and values of all sections whose header is wanted.
fn section(text: &str, is_wanted: impl Fn(&str) -> bool) -> Option<Profile> {
    let mut found = None;
    let mut inside = false;
    for line in text.lines() {
        // An indented line belongs to the nested setting above it, of which we need none.
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let header = rest.split(']').next().unwrap_or_default().trim();
            inside = is_wanted(header);
            if inside && found.is_none() {
                found = Some(Profile::new());
            }
        } else if let (true, false, Some((key, value))) = (inside, is_nested, line.split_once('='))
        {
            let value = without_comment(value).trim().to_owned();
            if let Some(found) = &mut found {
                found.insert(key.trim().to_lowercase(), value);
            }
        }
    }
    found
}

/// A comment at a line's end begins with blank and `#` or `;`; secret keys may hold neither.
fn without_comment(value: &str) -> &str {
    let end = [" #", " ;", "\t#", "\t;"]
        .iter()
        .filter_map(|mark| value.find(mark))
        .min();
    &value[..end.unwrap_or(value.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
        # a comment\n[default]\nregion = eu-central-1\noutput=json\n\
        [profile work]\nregion=us-west-2 ; there\ns3 =\n  max_concurrent_requests = 20\nrole_arn = arn:x\n\
        [work]\nregion = not-this-one\n[sso-session x]\nregion = nor-this\n";
    const CREDENTIALS: &str = "\
        [default]\naws_access_key_id = A\naws_secret_access_key = a/b+c=\n\
        [work]\nAWS_ACCESS_KEY_ID=W\naws_secret_access_key=w\nregion = eu-west-1\n";

    #[test]
    fn settings_come_from_both_files() {
        let default = profile(CONFIG, CREDENTIALS, "default").expect("there");
        assert_eq!(default["region"], "eu-central-1");
        assert_eq!(default["aws_secret_access_key"], "a/b+c=");
        let work = profile(CONFIG, CREDENTIALS, "work").expect("there");
        assert_eq!(work["aws_access_key_id"], "W");
        assert_eq!(work["region"], "eu-west-1", "the credentials file wins");
        assert_eq!(work["role_arn"], "arn:x");
        assert!(!work.contains_key("max_concurrent_requests"));
        assert_eq!(
            profile(CONFIG, "", "work").expect("there")["region"],
            "us-west-2"
        );
    }

    #[test]
    fn a_profile_in_neither_file_is_none() {
        assert_eq!(profile(CONFIG, CREDENTIALS, "absent"), None);
        assert_eq!(profile("", "", "default"), None);
        assert_eq!(profile("[", "]\n=\n[]\n", "default"), None);
    }
}
