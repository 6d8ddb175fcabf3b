//! The keys of documents as tables: name, shape, what it is for. The reader takes from them which keys there are, the JSON
//! Schema everything. Refuses to know how values are read, and what is impossible together.

mod pipeline;
mod settings;

pub(crate) use pipeline::*;
pub(crate) use settings::*;

/// One mapping of a format.
pub(crate) struct Table {
    /// What the schema calls it: `stream`.
    pub name: &'static str,
    pub about: &'static str,
    pub keys: &'static [Key],
    /// Keys of other mappings that are often sought here, with where they belong.
    pub elsewhere: &'static [(&'static str, &'static str)],
    pub together: Together,
}

/// Which keys of a mapping may be there at once, as far as a schema says it.
pub(crate) enum Together {
    Any,
    /// Exactly one key.
    One,
    /// At least one of these.
    AtLeastOne(&'static [&'static str]),
    /// Either the first (with whatever else is allowed) or the second, which excludes the third.
    Either {
        this: &'static str,
        that: &'static str,
        that_excludes: &'static str,
    },
}

/// One key of a mapping.
pub(crate) struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub about: &'static str,
    pub required: bool,
    /// Whether it may be there without a value.
    pub may_be_empty: bool,
}

impl Key {
    const fn of(name: &'static str, shape: Shape, about: &'static str) -> Key {
        Key { name, shape, about, required: false, may_be_empty: false }
    }

    const fn required(self) -> Key {
        Key { required: true, ..self }
    }

    const fn may_be_empty(self) -> Key {
        Key { may_be_empty: true, ..self }
    }
}

/// What a value looks like before the environment is put in.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Version,
    PipelineName,
    /// A text that is not empty.
    Text,
    Words(&'static [&'static str]),
    Boolean,
    Integer {
        min: u64,
        max: u64,
    },
    /// Above 0 and at most 1.
    Fraction,
    /// `64mb`
    Size,
    /// `30s`
    Duration,
    /// `60` or `5m`
    Seconds,
    /// A list of distinct names, not empty.
    Names,
    NameOrNames,
    /// A connector's own mapping.
    Config,
    Map(&'static Table),
    /// A list; empty only where that means something.
    List {
        of: &'static Shape,
        may_be_empty: bool,
    },
    /// `all`, or a list that is not empty.
    AllOr(&'static Shape),
}

/// What a mapping may hold.
#[derive(Clone, Copy)]
pub(crate) enum Keys {
    /// Names alone: a format that has no table.
    Names(&'static [&'static str]),
    Table(&'static Table),
}

impl Keys {
    pub const fn of(names: &'static [&'static str]) -> Keys {
        Keys::Names(names)
    }

    pub fn names(&self) -> Box<dyn Iterator<Item = &'static str>> {
        match self {
            Keys::Names(names) => Box::new(names.iter().copied()),
            Keys::Table(table) => Box::new(table.keys.iter().map(|key| key.name)),
        }
    }

    pub fn contains(&self, name: &str) -> bool {
        match self {
            Keys::Names(names) => names.contains(&name),
            Keys::Table(table) => table.keys.iter().any(|key| key.name == name),
        }
    }

    /// Where a key belongs that does not belong here.
    pub fn home_of(&self, name: &str) -> Option<&'static str> {
        match self {
            Keys::Names(_) => None,
            Keys::Table(table) => {
                table.elsewhere.iter().find(|(other, _)| *other == name).map(|(_, home)| *home)
            }
        }
    }
}

impl From<&'static Table> for Keys {
    fn from(table: &'static Table) -> Keys {
        Keys::Table(table)
    }
}

impl Shape {
    /// Every table below, this one's included, each once.
    pub fn tables(self, found: &mut Vec<&'static Table>) {
        match self {
            Shape::Map(table) if !found.iter().any(|other| std::ptr::eq(*other, table)) => {
                found.push(table);
                table.keys.iter().for_each(|key| key.shape.tables(found));
            }
            Shape::List { of, .. } | Shape::AllOr(of) => of.tables(found),
            _ => {}
        }
    }
}
