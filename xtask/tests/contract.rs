//! The contract reference, `docs/contract.md`, made from the WIT and nothing else. It knows how to show worlds, interfaces,
//! types and functions, and refuses to know what they mean: what is missing on the page is missing in the WIT.

use std::fmt::Write;
use std::path::Path;

use wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, Resolve, Type, TypeDef, TypeDefKind, TypeId, TypeOwner,
    WorldItem,
};

const WIT: &str = include_str!("../../wit/rapidbyte-connector.wit");

const HEAD: &str = "\
# The contract

<!-- Generated from `wit/rapidbyte-connector.wit`; `cargo xtask pages` brings it up to date. -->

What crosses the border between Rapidbyte and a connector, item by item, in the words of the WIT that both sides are generated
from. Connectors in Rust never see it: their [SDK](sdk.md) is built on it. Whoever writes one in another language finds the file
itself in `$(rapidbyte connector sdk)/wit`. [The clauses](clauses.md) say how the contract is proved.
";

struct Page<'r> {
    resolve: &'r Resolve,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn paragraph(&mut self, text: &str) {
        if !text.is_empty() {
            self.line("");
            self.line(text);
        }
    }

    fn interface(&mut self, interface: &Interface, shown: &[&Interface]) {
        let name = interface.name.as_deref().expect("an interface of a package has a name");
        self.paragraph(&format!("## Interface `{name}`"));
        self.paragraph(&prose(&interface.docs));
        let own = |id: &&TypeId| !is_use(&self.resolve.types[**id]);
        let types: Vec<TypeId> = interface.types.values().filter(own).copied().collect();
        let (resources, plain): (Vec<_>, Vec<_>) =
            types.into_iter().partition(|id| matches!(self.resolve.types[*id].kind, TypeDefKind::Resource));
        let signatures = |interface: &Interface| -> Vec<String> {
            interface.functions.values().map(|function| self.signature(function)).collect()
        };
        let twin = shown.iter().find(|other| {
            plain.is_empty() && resources.is_empty() && signatures(other) == signatures(interface)
        });
        if let Some(twin) = twin.and_then(|twin| twin.name.as_ref()) {
            self.paragraph(&format!("The same functions as [`{twin}`](#interface-{twin})."));
            return;
        }
        for id in resources {
            let resource = &self.resolve.types[id];
            self.type_heading(resource, "*resource*");
            for function in interface.functions.values().filter(|it| it.kind.resource() == Some(id)) {
                self.function(function, "####");
            }
        }
        for id in plain {
            self.type_definition(&self.resolve.types[id]);
        }
        for function in interface.functions.values().filter(|it| it.kind.resource().is_none()) {
            self.function(function, "###");
        }
    }

    fn type_heading(&mut self, definition: &TypeDef, kind: &str) {
        let name = definition.name.as_deref().expect("a type of an interface has a name");
        self.paragraph(&format!("### `{name}`"));
        let docs = prose(&definition.docs);
        self.paragraph(format!("{kind} {docs}").trim_end());
    }

    fn type_definition(&mut self, definition: &TypeDef) {
        match &definition.kind {
            TypeDefKind::Record(record) => {
                self.type_heading(definition, "*record*");
                let rows =
                    record.fields.iter().map(|it| (it.name.as_str(), Some(self.linked(&it.ty)), &it.docs));
                self.table("field", true, rows.collect());
            }
            TypeDefKind::Variant(variant) => {
                self.type_heading(definition, "*variant*");
                let typed = |ty: &Option<Type>| ty.as_ref().map(|ty| self.linked(ty));
                let rows = variant.cases.iter().map(|it| (it.name.as_str(), typed(&it.ty), &it.docs));
                self.table("case", true, rows.collect());
            }
            TypeDefKind::Enum(cases) => {
                self.type_heading(definition, "*enum*");
                self.table(
                    "case",
                    false,
                    cases.cases.iter().map(|it| (it.name.as_str(), None, &it.docs)).collect(),
                );
            }
            TypeDefKind::Flags(flags) => {
                self.type_heading(definition, "*flags*");
                self.table(
                    "flag",
                    false,
                    flags.flags.iter().map(|it| (it.name.as_str(), None, &it.docs)).collect(),
                );
            }
            kind => self.type_heading(definition, &format!("*type* = `{}`.", self.kind(kind))),
        }
    }

    /// A row for each; a plain list of names where nothing is said of any.
    fn table(&mut self, what: &str, typed: bool, rows: Vec<(&str, Option<String>, &Docs)>) {
        let silent = rows.iter().all(|(_, _, docs)| docs.contents.is_none());
        if silent && !typed {
            let names: Vec<String> = rows.iter().map(|(name, ..)| format!("`{name}`")).collect();
            return self.paragraph(&format!("{}.", names.join(", ")));
        }
        let mut columns = vec![what];
        columns.extend(typed.then_some("type"));
        columns.extend((!silent).then_some("meaning"));
        self.paragraph(&format!("| {} |", columns.join(" | ")));
        self.line(&format!("|{}", " --- |".repeat(columns.len())));
        for (name, ty, docs) in rows {
            let mut row = format!("| `{name}` |");
            let mut cell = |text: &str| match text {
                "" => row.push_str(" |"),
                text => write!(row, " {text} |").expect("writing to a string"),
            };
            if typed {
                cell(&ty.unwrap_or_default());
            }
            if !silent {
                cell(&prose(docs));
            }
            self.line(&row);
        }
    }

    fn function(&mut self, function: &Function, level: &str) {
        let name = match function.kind.resource() {
            None => function.item_name().to_owned(),
            Some(id) => {
                let resource = self.resolve.types[id].name.as_deref().unwrap_or_default();
                format!("{resource}.{}", function.item_name())
            }
        };
        self.paragraph(&format!("{level} `{name}`"));
        self.paragraph(&format!("```wit\n{}\n```", self.signature(function)));
        self.paragraph(&prose(&function.docs));
    }

    fn signature(&self, function: &Function) -> String {
        let method = matches!(function.kind, FunctionKind::Method(_));
        let params: Vec<String> = function
            .params
            .iter()
            // A method's first one is the resource itself.
            .skip(usize::from(method))
            .map(|param| format!("{}: {}", param.name, self.ty(&param.ty)))
            .collect();
        let word = if matches!(function.kind, FunctionKind::Static(_)) { "static func" } else { "func" };
        let result = function.result.as_ref().map(|ty| format!(" -> {}", self.ty(ty))).unwrap_or_default();
        format!("{}: {word}({}){result};", function.item_name(), params.join(", "))
    }

    /// A type as code, pointing to the first named type in it.
    fn linked(&self, ty: &Type) -> String {
        let code = format!("`{}`", self.ty(ty));
        match self.first_named(ty) {
            Some(name) => format!("[{code}](#{name})"),
            None => code,
        }
    }

    fn first_named(&self, ty: &Type) -> Option<&str> {
        let Type::Id(id) = ty else { return None };
        let definition = &self.resolve.types[*id];
        if let Some(name) = &definition.name {
            return Some(name);
        }
        match &definition.kind {
            TypeDefKind::Option(inner) | TypeDefKind::List(inner) | TypeDefKind::Type(inner) => {
                self.first_named(inner)
            }
            TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => self.first_named(&Type::Id(*id)),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().find_map(|ty| self.first_named(ty)),
            _ => None,
        }
    }

    fn ty(&self, ty: &Type) -> String {
        let word = match ty {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext => "error-context",
            Type::Id(id) => {
                let definition = &self.resolve.types[*id];
                return match &definition.name {
                    Some(name) => name.clone(),
                    None => self.kind(&definition.kind),
                };
            }
        };
        word.to_owned()
    }

    fn kind(&self, kind: &TypeDefKind) -> String {
        let optional = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), |ty| self.ty(ty));
        match kind {
            TypeDefKind::Type(ty) => self.ty(ty),
            TypeDefKind::List(ty) => format!("list<{}>", self.ty(ty)),
            TypeDefKind::Option(ty) => format!("option<{}>", self.ty(ty)),
            TypeDefKind::Result(result) if result.err.is_none() => {
                format!("result<{}>", optional(&result.ok))
            }
            TypeDefKind::Result(result) => {
                format!("result<{}, {}>", optional(&result.ok), optional(&result.err))
            }
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<String> = tuple.types.iter().map(|ty| self.ty(ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::Handle(Handle::Own(id)) => self.ty(&Type::Id(*id)),
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", self.ty(&Type::Id(*id))),
            other => panic!("the contract has a kind of type that this page cannot show yet: {other:?}"),
        }
    }
}

/// Whether a type is another interface's, brought here by `use`.
fn is_use(definition: &TypeDef) -> bool {
    matches!(&definition.kind, TypeDefKind::Type(Type::Id(_)))
        && matches!(definition.owner, TypeOwner::Interface(_))
}

/// A doc comment on one line.
fn prose(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn page(wit: &str) -> String {
    let mut resolve = Resolve::default();
    // What is said to readers of the file alone would be taken for documentation.
    let documented: Vec<&str> = wit.lines().filter(|line| !line.trim_start().starts_with("// ")).collect();
    let id =
        resolve.push_source("rapidbyte-connector.wit", &documented.join("\n")).expect("the contract is WIT");
    let package = &resolve.packages[id];
    let mut page = Page { resolve: &resolve, text: HEAD.to_owned() };
    page.paragraph(&format!("Package `{}`", package.name));
    for paragraph in package.docs.contents.as_deref().unwrap_or_default().split("\n\n") {
        page.paragraph(&prose(&Docs { contents: Some(paragraph.to_owned()) }));
    }
    page.paragraph("## Worlds");
    page.paragraph("| world | imports | exports | |\n| --- | --- | --- | --- |");
    for world in package.worlds.values().map(|id| &resolve.worlds[*id]) {
        let list = |items: Vec<&WorldItem>| {
            let named = items.into_iter().filter_map(|item| match item {
                WorldItem::Interface { id, .. } => resolve.interfaces[*id].name.as_deref(),
                _ => None,
            });
            named.map(|name| format!("[`{name}`](#interface-{name})")).collect::<Vec<_>>().join(", ")
        };
        let (imports, exports) =
            (list(world.imports.values().collect()), list(world.exports.values().collect()));
        page.line(&format!("| `{}` | {imports} | {exports} | {} |", world.name, prose(&world.docs)));
    }
    let mut shown: Vec<&Interface> = Vec::new();
    for interface in package.interfaces.values().map(|id| &resolve.interfaces[*id]) {
        page.interface(interface, &shown);
        shown.push(interface);
    }
    page.text
}

#[test]
fn the_page_of_the_contract_is_up_to_date() {
    let page = page(WIT);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/contract.md");
    if std::fs::read_to_string(&path).unwrap_or_default() != page {
        std::fs::write(&path, page).expect("docs can be written");
        panic!("docs/contract.md was out of date; it is written anew, look at it and commit it");
    }
}

#[test]
fn every_name_of_the_contract_is_on_its_page() {
    let page = page(WIT);
    let mut names = 0;
    for line in WIT.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        let mut words = line.split([' ', ':', '{', '=', ';']);
        let name = match words.next() {
            Some("record" | "variant" | "enum" | "flags" | "resource" | "type" | "interface" | "world") => {
                words.next()
            }
            Some(name) if line.contains(": func(") || line.contains(": static func(") => Some(name),
            _ => None,
        };
        if let Some(name) = name {
            names += 1;
            let name = name.trim_start_matches('%');
            assert!(page.contains(&format!("`{name}`")) || page.contains(&format!(".{name}`")), "`{name}`");
        }
    }
    assert!(names > 60, "{names}");
    for (index, _) in page.match_indices("](#") {
        let anchor = page[index + 3..].split(')').next().expect("a link ends");
        let heading = anchor.strip_prefix("interface-").map_or_else(
            || format!("\n### `{anchor}`\n"),
            |interface| format!("\n## Interface `{interface}`\n"),
        );
        assert!(page.contains(&heading), "nothing is called `{anchor}`");
    }
}

#[test]
fn a_change_of_the_contract_changes_the_page() {
    let changed = WIT.replace("max-record-bytes: u64", "max-record-bytes: u32");
    assert_ne!(page(&changed), page(WIT));
    assert!(page(&changed).contains("| `max-record-bytes` | `u32` |"));
}
