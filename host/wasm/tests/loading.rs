//! Loading: what is refused, what the cache does, what a bare component says about itself.

mod harness;

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::*;
use rapidbyte_core::ports::Connector;
use rapidbyte_core::{ConnectorError, ConnectorRole};
use rapidbyte_wasm::{
    ComponentError, Engine, EngineOptions, LoadOptions, NativeTarget, WasmConnector, component, composition,
};

fn fresh_engine(cache: &Path) -> Engine {
    Engine::new(EngineOptions { cache_dir: Some(cache.to_owned()), resolver: None }).unwrap()
}

fn load(engine: &Engine, path: &Path) -> Result<WasmConnector, ComponentError> {
    engine.load(
        path,
        LoadOptions {
            id: "guest@0.0.0".into(),
            grants: Default::default(),
            memory_bytes_max: 64 * MIB,
            idle_timeout: Duration::from_secs(60),
            redactor: Default::default(),
        },
    )
}

fn works(connector: &WasmConnector) {
    block_on(async {
        let io = rapidbyte_core::ports::InstanceIo {
            inlet: None,
            outlet: None,
            services: std::sync::Arc::new(FakeServices::default()),
            limits: Rig::source("").limits,
            memory_bytes_max: 64 * MIB,
        };
        let mut instance = connector.start(io).await.unwrap();
        instance.open(r#"{"behaviour": "echo"}"#).await.unwrap();
    });
}

#[test]
fn compiled_code_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = guest(ConnectorRole::Source);
    let first = load(&fresh_engine(folder.path()), &path).unwrap();
    assert!(!first.cache().hit && first.cache().compiled_in.is_some());
    let second = load(&fresh_engine(folder.path()), &path).unwrap();
    assert!(second.cache().hit && second.cache().compiled_in.is_none());
    assert_eq!(first.cache().path, second.cache().path);
    works(&second);
    assert_eq!(second.role(), ConnectorRole::Source);
}

#[test]
fn precompiled_code_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = guest(ConnectorRole::Transform);
    let engine = fresh_engine(folder.path());
    let made = engine.precompile(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(made.code_bytes, fs::metadata(made.cache.path.unwrap()).unwrap().len());
    assert!(load(&engine, &path).unwrap().cache().hit);
}

#[test]
fn damaged_code_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = guest(ConnectorRole::Destination);
    let code = load(&fresh_engine(folder.path()), &path).unwrap().cache().path.clone().unwrap();
    let whole = fs::read(&code).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    for damaged in [Vec::new(), whole[..whole.len() / 2].to_vec(), flipped, b"not code".to_vec()] {
        fs::write(&code, &damaged).unwrap();
        let again = load(&fresh_engine(folder.path()), &path).unwrap();
        assert!(!again.cache().hit);
        works(&again);
        assert_eq!(fs::read(&code).unwrap().len(), whole.len());
    }
    // Rewritten with the same contents, as a restored backup would be.
    let whole = fs::read(&code).unwrap();
    fs::remove_file(&code).unwrap();
    fs::write(&code, &whole).unwrap();
    assert!(load(&fresh_engine(folder.path()), &path).unwrap().cache().hit);
    // Its seal is lost.
    fs::remove_file(code.with_extension("seal")).unwrap();
    assert!(!load(&fresh_engine(folder.path()), &path).unwrap().cache().hit);
}

#[test]
fn a_component_that_changes_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guest.wasm");
    let engine = fresh_engine(&folder.path().join("cache"));
    for role in [ConnectorRole::Source, ConnectorRole::Transform, ConnectorRole::Source] {
        fs::copy(guest(role), &path).unwrap();
        assert_eq!(load(&engine, &path).unwrap().role(), role);
    }
}

#[cfg(unix)]
#[test]
fn a_cache_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    load(&fresh_engine(&cache), &guest(ConnectorRole::Source)).unwrap();
    for folder in [cache.clone(), cache.join("code"), cache.join("notes")] {
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            0o700,
            "{}",
            folder.display()
        );
    }
    // Where there can be none, everything works without.
    fs::write(folder.path().join("file"), "").unwrap();
    let engine = fresh_engine(&folder.path().join("file"));
    let connector = load(&engine, &guest(ConnectorRole::Source)).unwrap();
    assert_eq!(connector.cache().path, None);
    works(&connector);
}

#[test]
fn what_is_no_connector_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let engine = fresh_engine(&folder.path().join("cache"));
    let path = folder.path().join("guest.wasm");
    let refusal = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        load(&engine, &path).err().unwrap()
    };
    assert_eq!(refusal(b"\0asm\x01\0\0\0").code(), "component_is_core_module");
    assert_eq!(refusal(b"plainly not").code(), "component_malformed");
    assert_eq!(refusal(b"\0asm\x0d\0\x01\0").code(), "component_without_role");
    let source = fs::read(guest(ConnectorRole::Source)).unwrap();
    assert_eq!(refusal(&source[..source.len() / 2]).code(), "component_malformed");
    let renamed = replace(&source, b"wasi:cli/environment@", b"evil:cli/environment@");
    let error = refusal(&renamed);
    assert_eq!(error.code(), "component_import");
    assert!(error.to_string().contains("`evil:cli/environment@"), "{error}");
    let older = replace(&source, b"rapidbyte:connector/source@4.0.0", b"rapidbyte:connector/source@3.0.0");
    assert!(refusal(&older).to_string().contains("rapidbyte:connector@3.0.0"));
    let missing = load(&engine, &folder.path().join("missing.wasm")).err().unwrap();
    assert_eq!(missing.code(), "component_unreadable");
}

/// Memory that no limiter would see.
#[test]
fn shared_memory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let engine = fresh_engine(&folder.path().join("cache"));
    let module = |flags| [&b"\0asm\x01\0\0\0"[..], &[5, 4, 1, flags, 1, 2]].concat();
    let component = |flags| {
        let mut bytes = fs::read(guest(ConnectorRole::Transform)).unwrap();
        let module = module(flags);
        bytes.extend([1, module.len() as u8]);
        bytes.extend(module);
        bytes
    };
    engine.precompile(&component(1)).unwrap();
    let error = engine.precompile(&component(3)).unwrap_err();
    assert_eq!(error.code(), "component_does_not_compile");
    assert!(error.to_string().contains("threads"), "{error}");
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut found = 0;
    for start in 0..=bytes.len() - from.len() {
        if bytes[start..].starts_with(from) {
            bytes[start..start + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0, "not in the component");
    bytes
}

#[test]
fn a_component_tells_about_itself() {
    let bytes = fs::read(guest(ConnectorRole::Source)).unwrap();
    let inspection = component::inspect(&bytes).unwrap();
    assert_eq!(inspection.role, ConnectorRole::Source);
    assert!(inspection.imports.iter().any(|import| import == "rapidbyte:connector/host-io@4.0.0"));
    assert_eq!(inspection.exports, ["rapidbyte:connector/source@4.0.0"]);
    assert_eq!(inspection.manifest_json, None);
    // A custom section appended at component level is found.
    let mut with_manifest = bytes;
    let name = component::MANIFEST_SECTION;
    let body = br#"{"name":"guest"}"#;
    with_manifest.push(0);
    with_manifest.push((1 + name.len() + body.len()) as u8);
    with_manifest.push(name.len() as u8);
    with_manifest.extend_from_slice(name.as_bytes());
    with_manifest.extend_from_slice(body);
    let inspection = component::inspect(&with_manifest).unwrap();
    assert_eq!(inspection.manifest_json.as_deref(), Some(r#"{"name":"guest"}"#));
}

#[test]
fn an_instance_keeps_to_the_order_of_calls() {
    block_on(async {
        let mut rig = Rig::source("echo");
        let mut started = rig.start().await;
        let code = |error: ConnectorError| error.code;
        assert_eq!(started.instance.validate().await.map_err(code), Err("not_open".to_owned()));
        started.instance.close().await.unwrap();
        started.open().await.unwrap();
        assert_eq!(started.open().await.map_err(code).unwrap_err(), "already_open");
        started.instance.close().await.unwrap();
        started.instance.close().await.unwrap();
    });
}

#[test]
fn a_bad_config_is_the_guests_own_error() {
    block_on(async {
        let mut started = Rig::source("echo").start().await;
        assert_eq!(started.instance.open("{}").await.unwrap_err().code, "bad_config");
        started.open().await.unwrap();
    });
}

#[test]
fn code_for_other_platforms_is_kept_by_digest() {
    let folder = tempfile::tempdir().unwrap();
    let path = guest(ConnectorRole::Destination);
    let first = fresh_engine(folder.path()).compile_for(&path, NativeTarget::WindowsArm64).unwrap();
    assert!(first.compiled_in.is_some());
    let again = fresh_engine(folder.path()).compile_for(&path, NativeTarget::WindowsArm64).unwrap();
    assert!(again.compiled_in.is_none() && again.bytes == first.bytes);
    let other = fresh_engine(folder.path()).compile_for(&path, NativeTarget::LinuxX86_64).unwrap();
    assert!(other.compiled_in.is_some() && other.bytes != first.bytes);

    // What was damaged is not handed out.
    for file in fs::read_dir(folder.path().join("code")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "cwasm") {
            fs::write(file, "rubbish").unwrap();
        }
    }
    let anew = fresh_engine(folder.path()).compile_for(&path, NativeTarget::WindowsArm64).unwrap();
    assert!(anew.compiled_in.is_some() && anew.bytes == first.bytes, "the same code as the first time");
}

#[test]
fn a_component_says_what_it_calls_and_what_it_is_made_of() {
    let bytes = fs::read(guest(ConnectorRole::Source)).unwrap();
    let functions = component::host_functions(&bytes).unwrap();
    for function in ["tcp-connect", "state-get", "telemetry-checkpoint", "[static]frame.from-ipc"] {
        assert!(functions.iter().any(|it| it == function), "{function} in {functions:?}");
    }
    let made_of = composition::composition(&bytes).unwrap();
    assert!(made_of.crates.iter().any(|size| size.name == "core" && size.bytes > 0), "{made_of:?}");
    let all = made_of.code_bytes() + made_of.data_bytes + made_of.names_bytes;
    assert_eq!(all + made_of.custom_bytes + made_of.other_bytes, bytes.len() as u64);
}
