//! `config.toml` in the user's folder: registries by alias, the default one, how old a release must be, where runs are told
//! to. Strict: an unknown key is an error with its place and a suggestion. Changed by commands without losing anybody's
//! comments. The tables that it shares with `rapidbyte.toml` are let through: `rapidbyte-pipeline` reads them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rapidbyte_core::telemetry::TelemetrySettings;
use rapidbyte_packages::blob;
use rapidbyte_packages::reference::{PackageName, RegistryRef};
use rapidbyte_pipeline::{Diagnostic, DocumentErrors, ProjectSettings, SourceFile, Span, quantity, suggest};
use rapidbyte_trust::{Places, Policy, TrustConfig};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_edit::{DocumentMut, Item, Table};

use crate::error::InstallError;
use crate::limits::CONFIG_BYTES_MAX;

/// The file in the user's folder.
pub const CONFIG_FILE_NAME: &str = "config.toml";

/// The alias of the official registry: the default where none is named, and signatures are required of it unless a rule says
/// otherwise.
pub const OFFICIAL_ALIAS: &str = "rapidbyte";

const REGISTRIES: &str = "registries";
const DEFAULT_REGISTRY: &str = "default-registry";
const MINIMUM_RELEASE_AGE: &str = "minimum-release-age";
const TRUST: &str = "trust";
const TELEMETRY: &str = "telemetry";

/// What holds for every project of this user.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GlobalSettings {
    /// By alias.
    pub registries: BTreeMap<String, RegistrySettings>,
    /// Where packages lie that name no registry: an alias.
    pub default_registry: Option<String>,
    /// Younger releases are not chosen.
    pub minimum_release_age: Duration,
    /// Who is trusted, as it is written.
    pub trust: TrustConfig,
    /// Where runs are told to.
    pub telemetry: TelemetrySettings,
    /// Where the file is: paths in it are relative to this.
    pub folder: PathBuf,
}

/// One registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// A server or a folder, never another alias.
    pub place: RegistryRef,
    /// Certificates to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// Whether it is spoken to in plain HTTP. None: this machine is, others are not.
    pub plain_http: Option<bool>,
}

impl GlobalSettings {
    /// Reads the file; the defaults where there is none.
    pub fn read(path: &Path) -> Result<Self, InstallError> {
        match read_text(path)? {
            None => Ok(GlobalSettings {
                folder: path.parent().unwrap_or(Path::new(".")).to_owned(),
                ..GlobalSettings::default()
            }),
            Some(text) => Self::parse(&text, path).map_err(InstallError::Settings),
        }
    }

    /// Reads its text. Relative paths in it are relative to its folder.
    pub fn parse(text: &str, path: &Path) -> Result<Self, DocumentErrors> {
        let file = Arc::new(SourceFile::new(path.display().to_string(), text));
        let root = match DeTable::parse(text) {
            Ok(root) => root,
            Err(error) => {
                let error = Diagnostic::error("invalid_toml", span(error.span()), error.message().to_owned());
                return Err(DocumentErrors::new(file, vec![error]));
            }
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut reader = Reader { errors: Vec::new() };
        let settings = reader.settings(root.get_ref(), folder);
        if reader.errors.is_empty() { Ok(settings) } else { Err(DocumentErrors::new(file, reader.errors)) }
    }

    /// Who is trusted, with the keys read.
    pub fn policy(&self) -> Result<Policy, InstallError> {
        let aliases = |alias: &str| self.registries.get(alias).map(|registry| registry.place.clone());
        let places = Places { folder: &self.folder, aliases: &aliases, official: aliases(OFFICIAL_ALIAS) };
        Policy::resolve(&self.trust, &places).map_err(InstallError::Policy)
    }
}

fn span(range: Option<std::ops::Range<usize>>) -> Span {
    range.map_or(Span::NONE, |range| Span::new(range.start, range.end))
}

struct Reader {
    errors: Vec<Diagnostic>,
}

impl Reader {
    fn settings(&mut self, root: &DeTable<'_>, folder: &Path) -> GlobalSettings {
        let mut settings = GlobalSettings { folder: folder.to_owned(), ..GlobalSettings::default() };
        let mut known = vec![REGISTRIES, DEFAULT_REGISTRY, MINIMUM_RELEASE_AGE, TRUST, TELEMETRY];
        known.extend(ProjectSettings::SHARED_TABLES);
        self.known(root, "the settings", &known);
        let mut default = None;
        for (key, value) in root {
            match key.get_ref().as_ref() {
                REGISTRIES => settings.registries = self.registries(value, folder),
                TELEMETRY => settings.telemetry = self.telemetry(value),
                TRUST => settings.trust = self.trust(value).unwrap_or_default(),
                DEFAULT_REGISTRY => default = self.text(value, DEFAULT_REGISTRY).map(|alias| (alias, value)),
                MINIMUM_RELEASE_AGE => {
                    let Some(text) = self.text(value, MINIMUM_RELEASE_AGE) else { continue };
                    match quantity::parse_duration_ms(&text) {
                        Ok(ms) => settings.minimum_release_age = Duration::from_millis(ms),
                        Err(why) => self.error("invalid_duration", value, why),
                    }
                }
                _ => {}
            }
        }
        if let Some((alias, value)) = default {
            if !settings.registries.contains_key(&alias) {
                let known = settings.registries.keys().map(String::as_str);
                let error = Diagnostic::error(
                    "unknown_registry",
                    span(Some(value.span())),
                    format!("`{DEFAULT_REGISTRY}` is `{alias}`, which is no registry of this file"),
                );
                let error = match suggest(&alias, known) {
                    Some(similar) => error.label(format!("did you mean `{similar}`?")),
                    None => error.help(format!("describe it under `[registries.{alias}]`")),
                };
                self.errors.push(error);
            }
            settings.default_registry = Some(alias);
        } else if settings.registries.contains_key(OFFICIAL_ALIAS) {
            settings.default_registry = Some(OFFICIAL_ALIAS.to_owned());
        }
        settings
    }

    fn telemetry(&mut self, value: &Spanned<DeValue<'_>>) -> TelemetrySettings {
        let mut settings = TelemetrySettings::default();
        let Some(table) = self.table(value, "`telemetry`") else { return settings };
        self.known(table, "`telemetry`", &["endpoint", "headers", "sample"]);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "endpoint" => settings.endpoint = self.text(value, "endpoint"),
                "headers" => {
                    let Some(table) = self.table(value, "`telemetry.headers`") else { continue };
                    for (name, value) in table {
                        let name = name.get_ref().as_ref();
                        if let Some(text) = self.text(value, name) {
                            settings.headers.insert(name.to_owned(), text);
                        }
                    }
                }
                "sample" => {
                    let share = match value.get_ref() {
                        DeValue::Float(float) => float.as_str().parse().ok(),
                        DeValue::Integer(integer) => integer.as_str().parse().ok(),
                        _ => None,
                    };
                    settings.sample = share.filter(|share: &f64| (0.0..=1.0).contains(share));
                    if settings.sample.is_none() {
                        self.error(
                            "invalid_share",
                            value,
                            "`sample` must be a share of runs, 0 to 1".to_owned(),
                        );
                    }
                }
                _ => {}
            }
        }
        settings
    }

    /// The section whose types are the trust room's; its parser tells one mistake at a time.
    fn trust(&mut self, value: &Spanned<DeValue<'_>>) -> Option<TrustConfig> {
        let table = self.table(value, "`trust`")?;
        let table = Spanned::new(value.span(), table.clone());
        match TrustConfig::deserialize(toml::de::Deserializer::from(table)) {
            Ok(trust) => Some(trust),
            Err(error) => {
                let at = span(error.span().or_else(|| Some(value.span())));
                let message = error.message().trim_end();
                let error = match unknown_field(message) {
                    None => Diagnostic::error("invalid_trust", at, message.to_owned()),
                    Some((key, known)) => {
                        let message = format!("unknown key `{key}` in `trust`");
                        let error = Diagnostic::error("unknown_key", at, message);
                        match suggest(key, known.iter().copied()) {
                            Some(similar) => error.label(format!("did you mean `{similar}`?")),
                            None => error.help(format!("there may be `{}`", known.join("`, `"))),
                        }
                    }
                };
                self.errors.push(error);
                None
            }
        }
    }

    fn registries(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        folder: &Path,
    ) -> BTreeMap<String, RegistrySettings> {
        let mut registries = BTreeMap::new();
        let Some(table) = self.table(value, "`registries`") else { return registries };
        for (alias, value) in table {
            let name = alias.get_ref().as_ref();
            if let Err(bad) = check_alias(name) {
                let error = Diagnostic::error("invalid_alias", span(Some(alias.span())), bad);
                self.errors
                    .push(error.help("write an alias such as `acme`: lower-case letters, digits and dashes"));
                continue;
            }
            if let Some(registry) = self.registry(name, value, folder) {
                registries.insert(name.to_owned(), registry);
            }
        }
        registries
    }

    fn registry(
        &mut self,
        alias: &str,
        value: &Spanned<DeValue<'_>>,
        folder: &Path,
    ) -> Option<RegistrySettings> {
        let place = format!("registry `{alias}`");
        let table = self.table(value, &place)?;
        self.known(table, &place, &["url", "ca", "plain-http"]);
        let get =
            |name: &str| table.iter().find(|(key, _)| key.get_ref().as_ref() == name).map(|(_, value)| value);
        let Some(url) = get("url") else {
            self.error("missing_key", value, format!("{place} needs `url`"));
            return None;
        };
        let text = self.text(url, "url")?;
        let located = match text.parse() {
            Ok(RegistryRef::Alias(other)) => {
                self.error(
                    "invalid_registry",
                    url,
                    format!("`{other}` is an alias, not a registry; write `registry.example/acme` or `dir:./registry`"),
                );
                return None;
            }
            Ok(RegistryRef::Dir(path)) => RegistryRef::Dir(folder.join(path)),
            Ok(server) => server,
            Err(bad) => {
                self.error("invalid_registry", url, format!("{bad}; {}", bad.hint));
                return None;
            }
        };
        let ca = get("ca").and_then(|value| self.text(value, "ca")).map(|path| folder.join(path));
        let plain_http = get("plain-http").and_then(|value| match value.get_ref().as_bool() {
            Some(plain) => Some(plain),
            None => {
                self.error("wrong_type", value, "`plain-http` must be `true` or `false`".to_owned());
                None
            }
        });
        Some(RegistrySettings { place: located, ca, plain_http })
    }

    fn known(&mut self, table: &DeTable<'_>, place: &str, known: &[&str]) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let error = Diagnostic::error(
                "unknown_key",
                span(Some(key.span())),
                format!("unknown key `{name}` in {place}"),
            );
            self.errors.push(match suggest(name, known.iter().copied()) {
                Some(similar) => error.label(format!("did you mean `{similar}`?")),
                None => error.help(format!("{place} may have `{}`", known.join("`, `"))),
            });
        }
    }

    fn table<'v, 'i>(&mut self, value: &'v Spanned<DeValue<'i>>, what: &str) -> Option<&'v DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let message = format!("{what} must be a table, not a {}", value.get_ref().type_str());
            self.error("wrong_type", value, message);
        }
        table
    }

    fn text(&mut self, value: &Spanned<DeValue<'_>>, key: &str) -> Option<String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            let message = format!("`{key}` must be a text, not a {}", value.get_ref().type_str());
            self.error("wrong_type", value, message);
        }
        text
    }

    fn error(&mut self, code: &'static str, value: &Spanned<DeValue<'_>>, message: String) {
        self.errors.push(Diagnostic::error(code, span(Some(value.span())), message));
    }
}

/// The key and those that could be there, of Serde's message about an unknown one.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let (key, rest) = message.strip_prefix("unknown field `")?.split_once('`')?;
    Some((key, rest.split('`').skip(1).step_by(2).collect()))
}

/// Whether a text can be an alias: what a package's name can be, and no name of a server.
pub fn check_alias(text: &str) -> Result<(), String> {
    match text.parse::<PackageName>() {
        Ok(_) if text != "localhost" => Ok(()),
        _ => Err(format!("`{text}` cannot be an alias")),
    }
}

/// Adds a registry to the file, or changes it, and makes it the default one if that is asked for.
pub fn add_registry(
    path: &Path,
    alias: &str,
    registry: &RegistrySettings,
    default: bool,
) -> Result<(), InstallError> {
    change(path, |document| {
        let registries = document.entry(REGISTRIES).or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let mut table = Table::new();
        table.insert("url", toml_edit::value(registry.place.to_string()));
        if let Some(ca) = &registry.ca {
            table.insert("ca", toml_edit::value(ca.display().to_string()));
        }
        if let Some(plain) = registry.plain_http {
            table.insert("plain-http", toml_edit::value(plain));
        }
        if let Some(registries) = registries.as_table_like_mut() {
            registries.insert(alias, Item::Table(table));
        }
        if default {
            document.insert(DEFAULT_REGISTRY, toml_edit::value(alias));
        }
        true
    })
    .map(drop)
}

/// Takes a registry out of the file; answers whether it was there.
pub fn remove_registry(path: &Path, alias: &str) -> Result<bool, InstallError> {
    change(path, |document| {
        let registries = document.get_mut(REGISTRIES).and_then(Item::as_table_like_mut);
        let removed = registries.is_some_and(|registries| registries.remove(alias).is_some());
        if removed && document.get(DEFAULT_REGISTRY).and_then(Item::as_str) == Some(alias) {
            document.remove(DEFAULT_REGISTRY);
        }
        removed
    })
}

/// Changes the file in one step if `edit` says that it did something. What is changed has to be right before and after.
fn change(path: &Path, edit: impl FnOnce(&mut DocumentMut) -> bool) -> Result<bool, InstallError> {
    let text = read_text(path)?.unwrap_or_default();
    GlobalSettings::parse(&text, path).map_err(InstallError::Settings)?;
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let file = Arc::new(SourceFile::new(path.display().to_string(), text.as_str()));
        let error = Diagnostic::error("invalid_toml", span(error.span()), error.message().to_owned());
        InstallError::Settings(DocumentErrors::new(file, vec![error]))
    })?;
    if !edit(&mut document) {
        return Ok(false);
    }
    // What stood before something that is gone now is no heading.
    let text = document.to_string().trim_start_matches('\n').to_owned();
    GlobalSettings::parse(&text, path).map_err(InstallError::Settings)?;
    blob::replace(path, text.as_bytes())
        .map_err(|source| InstallError::Write { path: path.to_owned(), source })?;
    Ok(true)
}

fn read_text(path: &Path) -> Result<Option<String>, InstallError> {
    let failed = |source| InstallError::Read { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut text = String::new();
    file.take(CONFIG_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/home/user/.rapidbyte/config.toml";

    fn parse(text: &str) -> GlobalSettings {
        GlobalSettings::parse(text, Path::new(PATH)).unwrap_or_else(|errors| panic!("{}", errors.render()))
    }

    fn refused(text: &str) -> String {
        GlobalSettings::parse(text, Path::new(PATH)).unwrap_err().render()
    }

    #[test]
    fn registries_are_read() {
        let settings = parse(
            "default-registry = \"acme\"\nminimum-release-age = \"3d\"\n\
             [registries.acme]\nurl = \"registry.example/acme\"\nca = \"acme.pem\"\n\
             [registries.local]\nurl = \"dir:registry\"\n\
             [registries.lab]\nurl = \"10.0.0.1:5000\"\nplain-http = true\n",
        );
        assert_eq!(settings.default_registry.as_deref(), Some("acme"));
        assert_eq!(settings.minimum_release_age, Duration::from_secs(3 * 24 * 3600));
        let shown: Vec<String> = settings.registries.values().map(|it| it.place.to_string()).collect();
        let folder = "dir:/home/user/.rapidbyte/registry";
        assert_eq!(shown, ["oci://registry.example/acme", "oci://10.0.0.1:5000", folder]);
        assert_eq!(
            settings.registries["acme"].ca.as_deref(),
            Some(Path::new("/home/user/.rapidbyte/acme.pem"))
        );
        assert_eq!(settings.registries["lab"].plain_http, Some(true));
        assert_eq!(parse("").registries, BTreeMap::new());
        let trust = parse("[trust]\nlevel = \"off\"\n[[trust.rule]]\nregistry = \"dir:/srv\"\n").trust;
        assert_eq!((trust.level, trust.rules.len()), (Some(rapidbyte_trust::Level::Off), 1));
    }

    #[test]
    fn telemetry_is_read() {
        let settings = parse(
            "[telemetry]\nendpoint = \"http://localhost:4318\"\nsample = 0.25\nheaders = { x-tenant = \"acme\" }\n",
        );
        assert_eq!(settings.telemetry.endpoint.as_deref(), Some("http://localhost:4318"));
        assert_eq!(settings.telemetry.sample, Some(0.25));
        assert_eq!(settings.telemetry.headers["x-tenant"], "acme");
        assert_eq!(parse("[telemetry]\nsample = 1\n").telemetry.sample, Some(1.0));
        assert_eq!(parse("").telemetry, TelemetrySettings::default());
        assert!(refused("[telemetry]\nsample = 2\n").contains("a share of runs, 0 to 1"));
        assert!(refused("[telemetry]\nsample = true\n").contains("a share of runs, 0 to 1"));
        assert!(refused("[telemetry]\nendpiont = \"x\"\n").contains("did you mean `endpoint`?"));
        assert!(refused("[telemetry]\nheaders = { a = 1 }\n").contains("`a` must be a text"));
    }

    #[test]
    fn the_official_registry_is_the_default_and_must_be_signed() {
        let settings = parse(
            "[registries.rapidbyte]\nurl = \"registry.example/rapidbyte\"\n\
             [registries.acme]\nurl = \"registry.example/acme\"\n",
        );
        assert_eq!(settings.default_registry.as_deref(), Some(OFFICIAL_ALIAS));
        let level = |settings: &GlobalSettings, alias: &str| {
            let digest = rapidbyte_packages::digest::Digest::of(b"");
            let registry = &settings.registries[alias].place;
            let repository = format!("{alias}/source-a");
            let subject = rapidbyte_trust::Subject {
                registry,
                repository: &repository,
                manifest: digest,
                component: digest,
            };
            settings.policy().unwrap().level(&subject)
        };
        assert_eq!(level(&settings, "rapidbyte"), rapidbyte_trust::Level::Require);
        assert_eq!(level(&settings, "acme"), rapidbyte_trust::Level::Warn);
        let settings = parse(
            "default-registry = \"acme\"\n[registries.rapidbyte]\nurl = \"registry.example/rapidbyte\"\n\
             [registries.acme]\nurl = \"registry.example/acme\"\n",
        );
        assert_eq!(settings.default_registry.as_deref(), Some("acme"));
    }

    #[test]
    fn what_is_wrong_has_a_place_and_a_suggestion() {
        let shown = refused("default-registy = \"acme\"\n");
        assert!(
            shown.contains("config.toml:1:1") && shown.contains("did you mean `default-registry`?"),
            "{shown}"
        );
        let shown = refused("[registries.acme]\nurll = \"registry.example\"\n");
        assert!(shown.contains(":2:1") && shown.contains("did you mean `url`?"), "{shown}");
        assert!(shown.contains("needs `url`"), "{shown}");
        for (text, why) in [
            ("registries = 3", "must be a table"),
            ("[registries.Acme]\nurl = \"registry.example\"", "cannot be an alias"),
            ("[registries.acme]\nurl = \"other\"", "is an alias"),
            ("[registries.acme]\nurl = \"registry.example/UP\"", "which no registry takes"),
            ("[registries.acme]\nurl = 3", "must be a text"),
            (
                "[registries.acme]\nurl = \"registry.example\"\nplain-http = \"yes\"",
                "must be `true` or `false`",
            ),
            ("default-registry = \"acme\"", "no registry of this file"),
            ("minimum-release-age = \"soon\"", "a number with a unit"),
            ("= 3", "config.toml:1:1"),
            ("[trust]\nlevle = \"off\"", "config.toml:2:1"),
            ("[trust]\nlevle = \"off\"", "did you mean `level`?"),
            ("[trust]\nlevel = \"of\"", "unknown variant `of`"),
        ] {
            let shown = refused(text);
            assert!(shown.contains(why), "{text}: {shown}");
        }
    }

    #[test]
    fn tables_of_workspaces_are_let_through() {
        let settings = parse(
            "[resources]\nparallelism = 2\n[state]\nbackend = \"sqlite\"\n[run]\nparallel = 2\n\
             [telemetry]\nendpoint = \"http://localhost:4318\"\n",
        );
        assert_eq!(settings.registries.len(), 0);
        assert!(refused("[resource]\n").contains("did you mean `resources`?"));
        assert!(refused("pipelines = \"x\"\n").contains("unknown key"));
    }

    #[test]
    fn commands_keep_what_people_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFIG_FILE_NAME);
        fs::write(&path, "# Ours.\n[registries.acme] # the team's\nurl = \"registry.example/acme\"\n")
            .unwrap();
        let local =
            RegistrySettings { place: RegistryRef::Dir("/srv/registry".into()), ca: None, plain_http: None };
        add_registry(&path, "local", &local, true).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("# Ours.") && text.contains("# the team's"), "{text}");
        let settings = GlobalSettings::read(&path).unwrap();
        assert_eq!(settings.default_registry.as_deref(), Some("local"));
        assert_eq!(settings.registries["local"], local);
        assert!(remove_registry(&path, "local").unwrap());
        assert!(!remove_registry(&path, "local").unwrap());
        let settings = GlobalSettings::read(&path).unwrap();
        assert_eq!((settings.default_registry, settings.registries.len()), (None, 1));
        fs::write(&path, "[registries").unwrap();
        assert!(remove_registry(&path, "acme").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "[registries");
    }
}
