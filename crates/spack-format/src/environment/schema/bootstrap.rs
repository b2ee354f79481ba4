//! `bootstrap`. [Spack: `schema/bootstrap.py`]

use super::optional;
use crate::yaml::shape::{MapShape, Others, Shape, required};

pub(super) static BOOTSTRAP: Shape = Shape::Map(&MapShape {
    name: "`bootstrap`",
    keys: &[
        optional("enable", Shape::Boolean),
        optional("root", Shape::String),
        optional(
            "sources",
            Shape::List(&Shape::Map(&MapShape {
                name: "a source under `bootstrap`",
                keys: &[
                    required("name", Shape::String),
                    required("metadata", Shape::String),
                ],
                others: Others::Refused,
            })),
        ),
        optional(
            "trusted",
            Shape::Map(&MapShape {
                name: "`trusted`",
                keys: &[],
                others: Others::Named(Shape::Boolean),
            }),
        ),
    ],
    others: Others::Anything,
});
