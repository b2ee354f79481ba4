//! `WWW-Authenticate`: how a server wants to be told who asks.
//!
//! Source: RFC 9110, sections 5.6.4 (quoted strings) and 11.6.1.

/// One way to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    /// `basic`, `bearer`, …, in lower case.
    pub(super) scheme: String,
    /// Parameters, names in lower case.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Reads the challenges of one header; what makes no sense ends the reading.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut rest = header.trim_start_matches([' ', '\t', ',']);
    let mut challenges: Vec<Challenge> = Vec::new();
    while let Some((word, after)) = token(rest) {
        match after.trim_start().strip_prefix('=') {
            // `name=value` belongs to the scheme before it. A lone `=` is the padding of a token68,
            // which no scheme that we know uses.
            Some(value) => {
                let Some(challenge) = challenges.last_mut() else {
                    return challenges;
                };
                let Some((value, after)) = parameter_value(value.trim_start()) else {
                    return challenges;
                };
                challenge
                    .parameters
                    .push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            None => {
                challenges.push(Challenge {
                    scheme: word.to_ascii_lowercase(),
                    parameters: Vec::new(),
                });
                rest = after;
            }
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    challenges
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bearer_challenge_is_taken_apart() {
        let header = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let challenges = parse(header);
        assert_eq!(challenges.len(), 1);
        assert_eq!(challenges[0].scheme, "bearer");
        assert_eq!(
            challenges[0].parameter("realm"),
            Some("https://auth.docker.io/token")
        );
        assert_eq!(
            challenges[0].parameter("scope"),
            Some("repository:a/b:pull,push")
        );
        assert_eq!(challenges[0].parameter("error"), None);
    }

    #[test]
    fn several_challenges_in_one_header_are_told_apart() {
        let challenges = parse(r#"Basic realm="a \"b\", c" , BEARER Realm=x,service=y"#);
        assert_eq!(challenges.len(), 2);
        assert_eq!(challenges[0].parameter("realm"), Some(r#"a "b", c"#));
        assert_eq!(challenges[1].scheme, "bearer");
        assert_eq!(challenges[1].parameter("realm"), Some("x"));
        assert_eq!(challenges[1].parameter("service"), Some("y"));
    }

    #[test]
    fn a_quote_that_never_ends_gives_what_came_before_it() {
        let challenges = parse(r#"Bearer realm="https://x"#);
        assert_eq!(challenges.len(), 1);
        assert_eq!(challenges[0].parameter("realm"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_header_is_read_without_a_panic(header in "[ -~äß]{0,60}") {
            let _ = parse(&header);
        }
    }
}
