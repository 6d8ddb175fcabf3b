//! The policy: which rule holds for a package, and whom it trusts. Reads key files once; refuses to know signatures.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rapidbyte_packages::reference::{BadReference, RegistryRef, is_repository};
use rapidbyte_signing::keyless::{BadRoot, Identity, Root};
use rapidbyte_signing::{KeyError, PublicKey};

use crate::config::{Level, RuleConfig, TrustConfig};
use crate::judge::Subject;
use crate::limits::{KEY_FILE_BYTES_MAX, ROOT_FILE_BYTES_MAX};

const PEM_BEGIN: &str = "-----BEGIN ";

/// What the words of a configuration stand for.
pub struct Places<'a> {
    /// Paths are relative to this folder: the configuration's.
    pub folder: &'a Path,
    /// What an alias stands for.
    pub aliases: &'a dyn Fn(&str) -> Option<RegistryRef>,
    /// The official registry: signatures are required there unless a rule says otherwise.
    pub official: Option<RegistryRef>,
}

/// Why a configuration makes no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("a rule of `[trust]` names the registry `{alias}`, which is no alias")]
    UnknownAlias { alias: String },
    #[error("a rule of `[trust]` names a registry that is none: {0}")]
    Registry(#[from] BadReference),
    #[error("a rule of `[trust]` names the namespace `{namespace}`, which no registry takes")]
    Namespace { namespace: String },
    #[error("two rules of `[trust]` are about `{scope}`")]
    Twice { scope: String },
    #[error("cannot read the key `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot read the trusted root `{}`", path.display())]
    ReadRoot { path: PathBuf, source: io::Error },
    #[error("`{}` is not usable: {source}", path.display())]
    Root { path: PathBuf, source: BadRoot },
    #[error("`[trust]` names identities, and no `trusted-root` to verify them by")]
    NoRoot,
    #[error("`{key}` of `[trust]` is not usable: {source}")]
    Key { key: String, source: KeyError },
}

impl PolicyError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            PolicyError::UnknownAlias { .. } => "trust_unknown_alias",
            PolicyError::Registry(_) => "trust_bad_registry",
            PolicyError::Namespace { .. } => "trust_bad_namespace",
            PolicyError::Twice { .. } => "trust_rule_twice",
            PolicyError::Read { .. } => "trust_key_file",
            PolicyError::Key { .. } => "trust_key_malformed",
            PolicyError::ReadRoot { .. } => "trust_root_file",
            PolicyError::Root { .. } => "trust_root_malformed",
            PolicyError::NoRoot => "trust_root_missing",
        }
    }

    /// The next step.
    pub fn hint(&self) -> String {
        match self {
            PolicyError::UnknownAlias { alias } => {
                format!("`rapidbyte registry add {alias} REF` makes it one")
            }
            PolicyError::Registry(bad) => bad.hint.clone(),
            PolicyError::Namespace { .. } => {
                "parts of the path are lower-case letters and digits, joined by `-`, `_` or `.`".to_owned()
            }
            PolicyError::Twice { .. } => "put their keys into one rule".to_owned(),
            PolicyError::Root { .. } | PolicyError::NoRoot => {
                "name a `trusted_root.json` of Sigstore's under `trusted-root`".to_owned()
            }
            PolicyError::Read { .. } | PolicyError::ReadRoot { .. } => {
                "paths are relative to the configuration's folder".to_owned()
            }
            PolicyError::Key { .. } => {
                "name the public key that `rapidbyte key generate` or `cosign generate-key-pair` wrote"
                    .to_owned()
            }
        }
    }
}

/// What of the world a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    /// Everything.
    All,
    /// What lies below a path on a server; `path` has no slash at either end and may be empty.
    Server { host: String, path: String },
    /// What lies in a folder.
    Folder { root: PathBuf, path: String },
}

impl Scope {
    fn of(registry: RegistryRef, namespace: &str) -> Self {
        match registry {
            RegistryRef::Oci { host, namespace: above } => {
                Scope::Server { host, path: joined(&above, namespace) }
            }
            RegistryRef::Dir(root) => Scope::Folder { root: plain(&root), path: namespace.to_owned() },
            // Resolved by whoever calls; an alias that is left names nothing.
            RegistryRef::Alias(alias) => Scope::Server { host: alias, path: namespace.to_owned() },
        }
    }

    /// How narrowly it names the subject, more being narrower; none if it does not.
    fn fits(&self, subject: &Subject<'_>) -> Option<usize> {
        let path = match (self, subject.registry) {
            (Scope::All, _) => return Some(0),
            (Scope::Server { host, path }, RegistryRef::Oci { host: of, .. }) if host == of => path,
            (Scope::Folder { root, path }, RegistryRef::Dir(of)) if *root == plain(of) => path,
            _ => return None,
        };
        let below = path.is_empty()
            || subject.repository.strip_prefix(path.as_str()).is_some_and(|rest| {
                // Whole parts of the path: `acme` says nothing of `acme-labs`.
                rest.is_empty() || rest.starts_with('/')
            });
        below.then_some(1 + path.len())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (registry, path) = match self {
            Scope::All => return f.write_str("all other registries"),
            Scope::Server { host, path } => (format!("oci://{host}"), path),
            Scope::Folder { root, path } => (format!("dir:{}", root.display()), path),
        };
        match path.is_empty() {
            true => f.write_str(&registry),
            false => write!(f, "{registry}/{path}"),
        }
    }
}

/// Who may sign what lies in a scope.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    scope: Scope,
    pub level: Level,
    pub keys: Vec<PublicKey>,
    pub identities: Vec<Identity>,
    pub native_keys: Vec<PublicKey>,
    pub require_conformance: bool,
}

impl Rule {
    fn new(scope: Scope, level: Level) -> Self {
        Rule {
            scope,
            level,
            keys: Vec::new(),
            identities: Vec::new(),
            native_keys: Vec::new(),
            require_conformance: false,
        }
    }

    pub fn trusts_nobody(&self) -> bool {
        self.keys.is_empty() && self.identities.is_empty()
    }

    /// What it is about, in words.
    pub fn place(&self) -> String {
        self.scope.to_string()
    }
}

/// What the user has decided about trust.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Rule>,
    /// Of whatever no rule names.
    otherwise: Rule,
    /// What identities are verified by.
    pub(crate) root: Option<Root>,
    /// Whatever the rules say.
    require_conformance: bool,
}

impl Policy {
    /// Makes a configuration one that can be asked.
    pub fn resolve(config: &TrustConfig, places: &Places<'_>) -> Result<Self, PolicyError> {
        let mut rules: Vec<Rule> = Vec::new();
        for written in &config.rules {
            let rule = resolve_rule(written, places)?;
            if rules.iter().any(|other| other.scope == rule.scope) {
                return Err(PolicyError::Twice { scope: rule.scope.to_string() });
            }
            rules.push(rule);
        }
        if let Some(official) = &places.official {
            let scope = Scope::of(official.clone(), "");
            if !rules.iter().any(|rule| rule.scope == scope) {
                rules.push(Rule::new(scope, Level::Require));
            }
        }
        let otherwise = Rule::new(Scope::All, config.level.unwrap_or(Level::Warn));
        let root =
            config.trusted_root.as_deref().map(|path| read_root(&places.folder.join(path))).transpose()?;
        if root.is_none() && rules.iter().any(|rule| !rule.identities.is_empty()) {
            return Err(PolicyError::NoRoot);
        }
        Ok(Policy { rules, otherwise, root, require_conformance: false })
    }

    /// The policy of somebody who trusts this key and nothing else, wherever a package comes from.
    pub fn of_key(key: PublicKey) -> Self {
        let otherwise = Rule { keys: vec![key], ..Rule::new(Scope::All, Level::Require) };
        Policy { rules: Vec::new(), otherwise, root: None, require_conformance: false }
    }

    /// Asks for a certificate of conformance of everything, whatever the rules say.
    pub fn require_conformance(&mut self) {
        self.require_conformance = true;
    }

    /// Lets the first rule hold for everything.
    #[cfg(test)]
    pub(crate) fn hold_everywhere(&mut self) {
        self.otherwise = self.rules.remove(0);
    }

    /// The same for what no suite can certify.
    pub(crate) fn without_conformance(&self) -> Self {
        let mut policy = self.clone();
        policy.require_conformance = false;
        for rule in policy.rules.iter_mut().chain([&mut policy.otherwise]) {
            rule.require_conformance = false;
        }
        policy
    }

    /// How much is insisted on for a package.
    pub fn level(&self, subject: &Subject<'_>) -> Level {
        self.rule(subject).level
    }

    /// Whether what a registry offers as evidence matters at all.
    pub fn asks_for_evidence(&self, subject: &Subject<'_>) -> bool {
        self.rule(subject).level != Level::Off || self.asks_for_conformance(subject)
    }

    /// Whether anybody is trusted with compiled code of a package.
    pub fn trusts_code(&self, subject: &Subject<'_>) -> bool {
        !self.rule(subject).native_keys.is_empty()
    }

    pub(crate) fn asks_for_conformance(&self, subject: &Subject<'_>) -> bool {
        self.require_conformance || self.rule(subject).require_conformance
    }

    /// The narrowest rule that names the package.
    pub(crate) fn rule(&self, subject: &Subject<'_>) -> &Rule {
        let fitting = self.rules.iter().filter_map(|rule| Some((rule.scope.fits(subject)?, rule)));
        fitting.max_by_key(|(narrowness, _)| *narrowness).map_or(&self.otherwise, |(_, rule)| rule)
    }
}

fn resolve_rule(written: &RuleConfig, places: &Places<'_>) -> Result<Rule, PolicyError> {
    let registry = match written.registry.parse()? {
        RegistryRef::Alias(alias) => {
            (places.aliases)(&alias).ok_or(PolicyError::UnknownAlias { alias: alias.clone() })?
        }
        RegistryRef::Dir(path) => RegistryRef::Dir(places.folder.join(path)),
        server => server,
    };
    let namespace = written.namespace.as_deref().unwrap_or("");
    if !namespace.is_empty() && !is_repository(namespace) {
        return Err(PolicyError::Namespace { namespace: namespace.to_owned() });
    }
    let keys = |written: &[String]| -> Result<Vec<PublicKey>, PolicyError> {
        written.iter().map(|key| read_key(key, places.folder)).collect()
    };
    Ok(Rule {
        keys: keys(&written.keys)?,
        identities: written
            .identities
            .iter()
            .map(|it| Identity { issuer: it.issuer.clone(), subject: it.subject.clone() })
            .collect(),
        native_keys: keys(&written.native_keys)?,
        require_conformance: written.require_conformance,
        ..Rule::new(Scope::of(registry, namespace), written.level)
    })
}

/// A key that is written out, or lies in a file.
fn read_key(written: &str, folder: &Path) -> Result<PublicKey, PolicyError> {
    if written.trim_start().starts_with(PEM_BEGIN) {
        return PublicKey::from_pem(written)
            .map_err(|source| PolicyError::Key { key: "a key".to_owned(), source });
    }
    let path = folder.join(written);
    let failed = |source| PolicyError::Read { path: path.clone(), source };
    let mut text = String::new();
    let file = File::open(&path).map_err(failed)?;
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    PublicKey::from_pem(&text).map_err(|source| PolicyError::Key { key: path.display().to_string(), source })
}

fn read_root(path: &Path) -> Result<Root, PolicyError> {
    let failed = |source| PolicyError::ReadRoot { path: path.to_owned(), source };
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(ROOT_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Root::from_json(&text).map_err(|source| PolicyError::Root { path: path.to_owned(), source })
}

fn joined(above: &str, below: &str) -> String {
    match (above.is_empty(), below.is_empty()) {
        (_, true) => above.to_owned(),
        (true, false) => below.to_owned(),
        (false, false) => format!("{above}/{below}"),
    }
}

/// A path without the detours that can be seen from its words.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect()
}

#[cfg(test)]
mod tests {
    use rapidbyte_packages::digest::Digest;
    use rapidbyte_signing::PrivateKey;

    use super::*;

    fn resolve(text: &str) -> Result<Policy, PolicyError> {
        #[derive(serde::Deserialize)]
        struct Config {
            #[serde(default)]
            trust: TrustConfig,
        }
        let config: Config = toml::from_str(text).unwrap();
        let official = || "oci://official.example/rapidbyte".parse().unwrap();
        let aliases = |alias: &str| match alias {
            "official" => Some(official()),
            "acme" => Some("oci://registry.example/acme".parse().unwrap()),
            _ => None,
        };
        let places = Places { folder: Path::new("/etc"), aliases: &aliases, official: Some(official()) };
        Policy::resolve(&config.trust, &places)
    }

    fn level(policy: &Policy, registry: &str, repository: &str) -> Level {
        let registry = registry.parse().unwrap();
        let digest = Digest::of(b"");
        policy.level(&Subject { registry: &registry, repository, manifest: digest, component: digest })
    }

    #[test]
    fn without_a_word_the_official_registry_is_strict_and_others_warn() {
        let policy = resolve("").unwrap();
        assert_eq!(level(&policy, "oci://official.example/rapidbyte", "rapidbyte/source-a"), Level::Require);
        assert_eq!(level(&policy, "oci://official.example/other", "other/source-a"), Level::Warn);
        assert_eq!(level(&policy, "oci://registry.example/acme", "acme/source-a"), Level::Warn);
        assert_eq!(level(&policy, "dir:/registry", "source-a"), Level::Warn);
        // The level of all others is not that of the official one.
        let policy = resolve("[trust]\nlevel = 'off'").unwrap();
        assert_eq!(level(&policy, "oci://official.example/rapidbyte", "rapidbyte/source-a"), Level::Require);
        assert_eq!(level(&policy, "dir:/registry", "source-a"), Level::Off);
    }

    #[test]
    fn the_narrowest_rule_holds() {
        let policy = resolve(
            "[[trust.rule]]\nregistry = 'acme'\n[[trust.rule]]\nregistry = 'acme'\nnamespace = 'labs'\nlevel = 'off'\n\
             [[trust.rule]]\nregistry = 'oci://registry.example'\nlevel = 'warn'\n\
             [[trust.rule]]\nregistry = 'official'\nlevel = 'warn'\n\
             [[trust.rule]]\nregistry = 'dir:./packages'\n",
        )
        .unwrap();
        let at = |repository| level(&policy, "oci://registry.example/any", repository);
        assert_eq!(at("acme/source-a"), Level::Require);
        assert_eq!(at("acme/labs/source-a"), Level::Off);
        assert_eq!(at("acme/labs-two/source-a"), Level::Require);
        assert_eq!(at("acme-labs/source-a"), Level::Warn);
        assert_eq!(at("source-a"), Level::Warn);
        assert_eq!(level(&policy, "oci://official.example/rapidbyte", "rapidbyte/source-a"), Level::Warn);
        assert_eq!(level(&policy, "dir:/etc/packages", "source-a"), Level::Require);
        assert_eq!(level(&policy, "dir:/etc/packages-too", "source-a"), Level::Warn);
    }

    #[test]
    fn keys_are_files_or_written_out() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::generate().unwrap().public();
        let path = folder.path().join("acme.pub");
        std::fs::write(&path, key.to_pem()).unwrap();
        let policy = resolve(&format!(
            "[[trust.rule]]\nregistry = 'acme'\nkeys = ['{}', '''{}''']\n",
            path.display(),
            key.to_pem()
        ))
        .unwrap();
        assert_eq!(policy.rules[0].keys, [key.clone(), key]);
    }

    #[test]
    fn what_is_wrong_with_a_configuration_has_a_code() {
        let refused = |text: &str| resolve(text).unwrap_err().code();
        let rule = |rest: &str| format!("[[trust.rule]]\nregistry = {rest}\n");
        assert_eq!(refused(&rule("'nobody'")), "trust_unknown_alias");
        assert_eq!(refused(&rule("'oci://registry.example/Acme'")), "trust_bad_registry");
        assert_eq!(refused(&rule("'acme'\nnamespace = '../x'")), "trust_bad_namespace");
        assert_eq!(refused(&format!("{}{}", rule("'acme'"), rule("'acme'"))), "trust_rule_twice");
        assert_eq!(refused(&rule("'acme'\nkeys = ['none.pub']")), "trust_key_file");
        let malformed = "'acme'\nkeys = ['-----BEGIN PUBLIC KEY-----']";
        assert_eq!(refused(&rule(malformed)), "trust_key_malformed");
        assert!(toml::from_str::<TrustConfig>("levle = 'off'").is_err());
    }
}
