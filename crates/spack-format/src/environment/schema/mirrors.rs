//! `mirrors`. [Spack: `schema/mirrors.py`]

use super::optional;
use crate::yaml::shape::{KeyShape, MapShape, Others, STRING_OR_NULL, Shape, outdated, required};

pub(super) static MIRRORS: Shape = Shape::Map(&MapShape {
    name: "`mirrors`",
    keys: &[],
    others: Others::Named(Shape::Either(&[Shape::String, Shape::Map(&MIRROR)])),
});

static MIRROR: MapShape = MapShape {
    name: "a mirror",
    keys: &[
        optional("source", Shape::Boolean),
        optional("binary", Shape::Boolean),
        optional("signed", Shape::Boolean),
        optional("autopush", Shape::Boolean),
        optional(
            "fetch",
            Shape::Either(&[Shape::String, Shape::Map(&CONNECTION)]),
        ),
        optional(
            "push",
            Shape::Either(&[Shape::String, Shape::Map(&CONNECTION)]),
        ),
        URL,
        optional("access_pair", Shape::Either(&ACCESS_PAIR)),
        PROFILE,
        ENDPOINT,
        TOKEN_VARIABLE,
        TOKEN,
        // 1.2: a named index.
        optional("view", Shape::String),
    ],
    others: Others::Refused,
};

static CONNECTION: MapShape = MapShape {
    name: "the connection of a mirror",
    keys: &[
        URL,
        optional("access_pair", Shape::Either(&ACCESS_PAIR)),
        PROFILE,
        ENDPOINT,
        TOKEN_VARIABLE,
        TOKEN,
        optional("view", Shape::String),
    ],
    others: Others::Refused,
};

const URL: KeyShape = optional("url", Shape::String);
const PROFILE: KeyShape = optional("profile", STRING_OR_NULL);
const ENDPOINT: KeyShape = optional("endpoint_url", STRING_OR_NULL);
const TOKEN_VARIABLE: KeyShape = optional("access_token_variable", STRING_OR_NULL);
const TOKEN: KeyShape = outdated(
    "access_token",
    STRING_OR_NULL,
    "a secret does not belong into a file: name a variable that holds it in `access_token_variable`",
);
/// A list of two texts was the form before 0.23.
static ACCESS_PAIR: [Shape; 2] = [Shape::Map(&PAIR), Shape::List(&STRING_OR_NULL)];

static PAIR: MapShape = MapShape {
    name: "`access_pair`",
    keys: &[
        required("secret_variable", Shape::String),
        optional("id", Shape::String),
        optional("id_variable", Shape::String),
    ],
    others: Others::Anything,
};
