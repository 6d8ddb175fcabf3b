//! `rapidbyte connector build`: a crate becomes a component that runs anywhere, compiled for here.

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::operations::connector::{BuildOptions, BuildReport};
use rapidbyte_host::wasm::composition::Composition;
use serde::Serialize;

use crate::building::Building;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::quantity::{Bytes, Elapsed, plural};

/// So many crates are shown; the rest is small.
const CRATES_SHOWN: usize = 15;

pub fn build(host: &Host, options: &BuildOptions, printer: &Printer) -> Result<Exit> {
    let mut building = Building::new(printer);
    let report = host.build_connector(options, &mut building).inspect_err(|error| building.explain(error))?;
    show(&report, printer);
    printer.data(report.built.component.display());
    printer.json(&BuildJson::new(&report));
    Ok(Exit::Success)
}

/// Says what was built, for people.
pub fn show(report: &BuildReport, printer: &Printer) {
    let built = &report.built;
    let age = if built.fresh { ", unchanged" } else { "" };
    printer.status(
        Tone::Good,
        "Component",
        format_args!("{} ({}{age})", built.manifest.id(), Bytes(built.size_bytes)),
    );
    if let Some(bytes) = report.code_bytes {
        let age = match report.compiled_in {
            Some(time) => format!("compiled in {}", Elapsed(time)),
            None => "unchanged".to_owned(),
        };
        printer.status(Tone::Good, "Native code", format_args!("{} ({age})", Bytes(bytes)));
    }
    for file in &report.native {
        let age = match file.compiled_in {
            Some(time) => format!("compiled in {}", Elapsed(time)),
            None => "unchanged".to_owned(),
        };
        printer.status(
            Tone::Good,
            "Native code",
            format_args!("for {} ({}, {age})", file.target, Bytes(file.bytes)),
        );
    }
    for warning in &built.warnings {
        printer.warning(warning);
    }
    if let Some(composition) = &report.composition {
        show_composition(composition, printer);
    }
}

/// What the component is made of, the largest first.
fn show_composition(composition: &Composition, printer: &Printer) {
    let whole = composition.code_bytes()
        + composition.data_bytes
        + composition.names_bytes
        + composition.custom_bytes
        + composition.other_bytes;
    let line = |bytes: u64, what: &str| {
        let percent = bytes as f64 * 100.0 / whole.max(1) as f64;
        printer.foreign_line(&format!("{:>12} {percent:>5.1} % {what}", Bytes(bytes).to_string()));
    };
    for size in composition.crates.iter().take(CRATES_SHOWN) {
        line(size.bytes, &format!("{} ({})", size.name, plural(size.functions, "function")));
    }
    let rest = composition.crates.iter().skip(CRATES_SHOWN);
    let (count, bytes) = rest.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size.bytes));
    if count > 0 {
        line(bytes, &format!("{} more", plural(count, "crate")));
    }
    line(composition.data_bytes, "(data)");
    line(composition.names_bytes, "(names of functions)");
    line(composition.custom_bytes, "(manifest, config schema, other sections)");
    line(composition.other_bytes, "(types, tables, imports and exports)");
}

#[derive(Serialize)]
struct BuildJson<'a> {
    /// Name and version.
    connector: String,
    role: &'static str,
    component: String,
    component_bytes: u64,
    /// SHA-256 of the component.
    component_digest: &'a str,
    /// Nothing had to be compiled.
    fresh: bool,
    /// The code for this machine, and its size.
    code: Option<String>,
    code_bytes: Option<u64>,
    /// The code for the platforms that were asked for.
    native: Vec<NativeJson>,
    warnings: &'a [String],
    /// With `--verbose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_of: Option<CompositionJson<'a>>,
}

#[derive(Serialize)]
struct NativeJson {
    target: &'static str,
    code: String,
    code_bytes: u64,
    fresh: bool,
}

#[derive(Serialize)]
struct CompositionJson<'a> {
    crates: Vec<CrateJson<'a>>,
    data_bytes: u64,
    names_bytes: u64,
    custom_bytes: u64,
    other_bytes: u64,
}

#[derive(Serialize)]
struct CrateJson<'a> {
    name: &'a str,
    bytes: u64,
    functions: u64,
}

impl<'a> BuildJson<'a> {
    fn new(report: &'a BuildReport) -> Self {
        let built = &report.built;
        let native = report.native.iter().map(|file| NativeJson {
            target: file.target.triple(),
            code: file.path.display().to_string(),
            code_bytes: file.bytes,
            fresh: file.compiled_in.is_none(),
        });
        BuildJson {
            connector: built.manifest.id(),
            role: built.manifest.role.as_str(),
            component: built.component.display().to_string(),
            component_bytes: built.size_bytes,
            component_digest: &built.digest,
            fresh: built.fresh,
            code: report.code.as_ref().map(|path| path.display().to_string()),
            code_bytes: report.code_bytes,
            native: native.collect(),
            warnings: &built.warnings,
            made_of: report.composition.as_ref().map(CompositionJson::new),
        }
    }
}

impl<'a> CompositionJson<'a> {
    fn new(composition: &'a Composition) -> Self {
        let crates = composition.crates.iter();
        CompositionJson {
            crates: crates
                .map(|size| CrateJson { name: &size.name, bytes: size.bytes, functions: size.functions })
                .collect(),
            data_bytes: composition.data_bytes,
            names_bytes: composition.names_bytes,
            custom_bytes: composition.custom_bytes,
            other_bytes: composition.other_bytes,
        }
    }
}
