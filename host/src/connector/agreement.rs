//! Whether a manifest and its component say the same: role, config schema, and what is reached. A pipeline is granted what
//! the manifest asks for, so a manifest that asks for less than the code calls fails in somebody's run, and one that asks
//! for more frightens who installs it.

use std::path::Path;

use rapidbyte_pipeline::manifest::HostFunction;
use rapidbyte_pipeline::{ConfigSchema, Manifest};
use rapidbyte_wasm::component::Inspection;
use rapidbyte_wasm::faults::Import;

use crate::error::HostError as Error;

/// Functions of `host-io` that are refused at run time unless the manifest lists the right.
const GUARDED: &[(&str, HostFunction, &str)] = &[
    ("state-get", HostFunction::StateRead, "state_read"),
    ("state-compare-and-swap", HostFunction::StateRead, "state_read"),
    ("state-put", HostFunction::StateWrite, "state_write"),
    ("state-compare-and-swap", HostFunction::StateWrite, "state_write"),
];
const CONNECT: &str = "tcp-connect";

/// Fills in the config schema from the code and holds the manifest's claims against the component.
pub fn complete(mut manifest: Manifest, inspection: &Inspection, path: &Path) -> Result<Manifest, Error> {
    let disagree = |what: String| Error::Disagree { manifest: path.to_owned(), what };
    if manifest.role != inspection.role {
        return Err(disagree(format!(
            "the manifest says role `{}`, the component exports `{}`",
            manifest.role, inspection.role
        )));
    }
    if let Some(schema) = &inspection.config_schema_json {
        let schema =
            ConfigSchema::from_json(schema, "the config schema in the component").map_err(Error::Document)?;
        match &manifest.config_schema {
            Some(written) if *written != schema => {
                return Err(disagree(
                    "`config_schema` differs from the component's own; leave it out".to_owned(),
                ));
            }
            _ => manifest.config_schema = Some(schema),
        }
    }
    if manifest.config_schema.is_none() {
        return Err(disagree(
            "there is no `config_schema`, neither in the manifest nor in the component".to_owned(),
        ));
    }
    Ok(manifest)
}

/// Whether a component imports all of `host-io`, as the tools of some languages make them: what it calls cannot be told from
/// that. The conformance suite watches it run.
fn imports_all(functions: &[String]) -> bool {
    // Methods of frames are no functions of the interface.
    let all = Import::ALL.iter().filter(|import| import.is_host_io());
    let mut names = all.map(|import| import.name()).filter(|name| !name.contains('.'));
    names.all(|name| functions.iter().any(|function| function == name))
}

/// Holds what the component calls (`functions` of `host-io`) against what the manifest asks for. Answers warnings.
pub fn capabilities(manifest: &Manifest, functions: &[String], path: &Path) -> Result<Vec<String>, Error> {
    if imports_all(functions) {
        return Ok(Vec::new());
    }
    let calls = |function: &str| functions.iter().any(|it| it == function);
    let asked = &manifest.capabilities;
    let disagree = |what: String| Error::Disagree { manifest: path.to_owned(), what };
    for (function, right, word) in GUARDED {
        if calls(function) && !asked.host_functions.contains(right) {
            return Err(disagree(format!(
                "the component calls `{function}`, and `{word}` is missing in `capabilities.host_functions`"
            )));
        }
    }
    if calls(CONNECT) && asked.network.is_none() {
        return Err(disagree(format!(
            "the component calls `{CONNECT}`, and the manifest has no `capabilities.network`"
        )));
    }

    let mut warnings = Vec::new();
    if asked.network.is_some() && !calls(CONNECT) {
        warnings.push(
            "the manifest asks for the network, which the component never uses; leave `capabilities.network` out"
                .to_owned(),
        );
    }
    for (right, word) in [(HostFunction::StateRead, "state_read"), (HostFunction::StateWrite, "state_write")]
    {
        let used = GUARDED.iter().any(|(function, guard, _)| *guard == right && calls(function));
        if asked.host_functions.contains(&right) && !used {
            warnings.push(format!(
                "the manifest asks for `{word}`, which the component never uses; leave it out"
            ));
        }
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(capabilities: &str) -> Manifest {
        let text = format!(
            "name: source-a\nversion: 0.1.0\nrole: source\ndescription: A\nlicense: MIT\ntier: community\n\
             wasm: {{ entrypoint: a.wasm, target: wasm32-wasip2, contract: 4.0.0 }}\n\
             capabilities: {capabilities}\nlimits: {{ memory: 64mb, timeout: 1h }}\nstreams: discovery\n\
             sync_modes: [full_refresh]\n"
        );
        Manifest::from_yaml(&text, "rapidbyte-plugin.yaml").unwrap()
    }

    fn judge(asked: &str, called: &[&str]) -> Result<Vec<String>, String> {
        let called: Vec<_> = called.iter().map(ToString::to_string).collect();
        capabilities(&manifest(asked), &called, Path::new("m.yaml")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_called_is_asked_for() {
        let network = "{ network: { runtime_hosts: true, tls: optional } }";
        assert_eq!(judge(network, &["tcp-connect"]), Ok(vec![]));
        assert!(judge("{ host_functions: [logging] }", &["tcp-connect"]).unwrap_err().contains("network"));
        assert!(
            judge("{ host_functions: [state_read] }", &["state-put"]).unwrap_err().contains("`state_write`")
        );
        let both = "{ host_functions: [state_read, state_write] }";
        assert_eq!(judge(both, &["state-compare-and-swap"]), Ok(vec![]));
        assert!(
            judge("{ host_functions: [state_write] }", &["state-compare-and-swap"])
                .unwrap_err()
                .contains("`state_read`")
        );
    }

    #[test]
    fn nothing_is_told_from_a_component_that_imports_everything() {
        let functions = Import::ALL.iter().filter(|import| import.is_host_io());
        let all: Vec<&str> = functions.map(|import| import.name()).collect();
        assert_eq!(judge("{ host_functions: [logging] }", &all), Ok(vec![]));
        let but_one: Vec<&str> = all.into_iter().filter(|name| *name != "telemetry-dlq").collect();
        assert!(judge("{ host_functions: [logging] }", &but_one).is_err());
    }

    #[test]
    fn what_is_asked_for_is_called() {
        let network = "{ network: { runtime_hosts: true, tls: optional } }";
        assert!(judge(network, &["batch-emit"]).unwrap()[0].contains("network"));
        let warnings = judge("{ host_functions: [state_read, state_write] }", &["state-get"]).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains("`state_write`"), "{warnings:?}");
    }
}
