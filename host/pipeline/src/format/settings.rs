//! The tables of `rapidbyte.toml`.

use rapidbyte_core::limits as host;

use super::{Key, RESOURCES, STATE, Shape, Table, Together};

pub(crate) static SETTINGS: Table = Table {
    name: "settings",
    about: "The settings of a Rapidbyte workspace: defaults for its pipelines.",
    keys: &[
        Key::of("pipelines", Shape::Text, "The folder of the pipelines. Default: pipelines."),
        Key::of("state", Shape::Map(&STATE), "For pipelines without `state`."),
        Key::of("resources", Shape::Map(&RESOURCES), "For what pipelines do not say themselves."),
        Key::of("run", Shape::Map(&RUN), "How `rapidbyte run` goes."),
    ],
    elsewhere: &[
        ("registries", "to `config.toml` in the user's folder"),
        ("default-registry", "to `config.toml` in the user's folder"),
        ("minimum-release-age", "to `config.toml` in the user's folder"),
        ("trust", "to `config.toml` in the user's folder"),
        ("telemetry", "to `config.toml` in the user's folder"),
    ],
    together: Together::Any,
};

pub(crate) static RUN: Table = Table {
    name: "run",
    about: "How `rapidbyte run` goes.",
    keys: &[Key::of(
        "parallel",
        Shape::Integer { min: 1, max: host::PARALLELISM_MAX as u64 },
        "Pipelines of a folder side by side with `--parallel`. Default: as many as processors.",
    )],
    elsewhere: &[],
    together: Together::Any,
};
