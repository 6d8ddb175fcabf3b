//! Credentials where Docker, Podman's login and most tools of the field keep them: `config.json` with its `auths`, and the
//! programs that it names (`credHelpers`, `credsStore`), so that who has logged in anywhere has logged in here. A password goes
//! nowhere but there.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rapidbyte_packages::blob;
use rapidbyte_registry::Credentials;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::limits::{CONFIG_BYTES_MAX, HELPER_ANSWER_BYTES_MAX};

const FILE: &str = "config.json";
const HELPER_PREFIX: &str = "docker-credential-";
/// What a helper says, with a failure, where it has nothing.
const NOT_FOUND: &str = "credentials not found";
/// The user's name where the secret is no password but a token to get others with.
const TOKEN_USER: &str = "<token>";

/// Docker's configuration.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    folder: PathBuf,
}

/// Where credentials were put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In this file, readable to whoever reads the file.
    File(PathBuf),
    /// By this program.
    Helper(String),
}

/// Why there are no credentials where there might be.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    #[error("cannot use `{}`", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("`{}` is not right: {message}", path.display())]
    Malformed { path: PathBuf, message: String },
    #[error("the credential helper `{program}` does not work: {message}")]
    Helper { program: String, message: String },
    #[error("the credentials for `{host}` are an identity token, which only `docker` itself can use")]
    Token { host: String },
}

impl DockerError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            DockerError::Io { .. } => "docker_config",
            DockerError::Malformed { .. } => "docker_config_malformed",
            DockerError::Helper { .. } => "credential_helper",
            DockerError::Token { .. } => "credentials_token",
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HelperSecret<'a> {
    #[serde(rename = "ServerURL")]
    server_url: &'a str,
    username: &'a str,
    secret: &'a str,
}

impl DockerConfig {
    /// The one in `folder`: `$DOCKER_CONFIG`, or `~/.docker`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        DockerConfig { folder: folder.into() }
    }

    fn path(&self) -> PathBuf {
        let path = self.folder.join(FILE);
        // Whoever keeps it elsewhere, behind a link, keeps it there.
        path.canonicalize().unwrap_or(path)
    }

    fn text(&self) -> Result<Option<Zeroizing<String>>, DockerError> {
        let path = self.path();
        let failed = |source| DockerError::Io { path: path.clone(), source };
        let file = match fs::File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        let mut text = Zeroizing::new(String::new());
        file.take(CONFIG_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        Ok((!text.trim().is_empty()).then_some(text))
    }

    fn parse<T: for<'de> Deserialize<'de> + Default>(&self) -> Result<T, DockerError> {
        let Some(text) = self.text()? else { return Ok(T::default()) };
        // The parser's own words might quote a secret: only the place is told.
        serde_json::from_str(&text).map_err(|error| DockerError::Malformed {
            path: self.path(),
            message: format!("line {}, column {}", error.line(), error.column()),
        })
    }

    /// What is known for a server (`registry.example:5000`), if anything.
    pub fn credentials(&self, host: &str) -> Result<Option<Credentials>, DockerError> {
        let file: File = self.parse()?;
        if let Some(helper) = helper_for(&file, host) {
            return helper_get(&helper, host);
        }
        let Some((_, auth)) = file.auths.into_iter().find(|(key, _)| is_server(key, host)) else {
            return Ok(None);
        };
        if auth.identitytoken.is_some_and(|token| !token.is_empty()) {
            return Err(DockerError::Token { host: host.to_owned() });
        }
        if let (Some(user), Some(password)) = (auth.username, auth.password) {
            return Ok(Some(Credentials::new(user, password)));
        }
        // An empty entry says that somebody logged in once, and a helper has the rest.
        let Some(pair) = auth.auth.filter(|pair| !pair.is_empty()) else { return Ok(None) };
        let malformed = || DockerError::Malformed {
            path: self.path(),
            message: format!("`auth` of `{host}` is not the base64 of `user:password`"),
        };
        let bytes = Zeroizing::new(STANDARD.decode(pair.trim()).map_err(|_| malformed())?);
        let pair =
            std::str::from_utf8(&bytes).ok().and_then(|pair| pair.split_once(':')).ok_or_else(malformed)?;
        Ok(Some(Credentials::new(pair.0, pair.1.trim_end_matches('\0'))))
    }

    /// Keeps credentials: with the program that the file names for the server, else in the file.
    pub fn store(&self, host: &str, user: &str, password: &str) -> Result<Kept, DockerError> {
        let file: File = self.parse()?;
        if let Some(helper) = helper_for(&file, host) {
            let secret = HelperSecret { server_url: host, username: user, secret: password };
            let input = Zeroizing::new(serde_json::to_vec(&secret).unwrap_or_default());
            run_helper(&helper, "store", &input)?;
            return Ok(Kept::Helper(format!("{HELPER_PREFIX}{helper}")));
        }
        let pair = Zeroizing::new(format!("{user}:{password}"));
        let auth = STANDARD.encode(pair.as_bytes());
        self.change(|auths| {
            auths.retain(|key, _| !is_server(key, host));
            auths.insert(host.to_owned(), json!({ "auth": auth }));
            true
        })?;
        Ok(Kept::File(self.path()))
    }

    /// Forgets what is known for a server; answers whether there was anything.
    pub fn erase(&self, host: &str) -> Result<bool, DockerError> {
        let file: File = self.parse()?;
        let mut erased = false;
        if let Some(helper) = helper_for(&file, host)
            && helper_get(&helper, host)?.is_some()
        {
            run_helper(&helper, "erase", host.as_bytes())?;
            erased = true;
        }
        if !file.auths.keys().any(|key| is_server(key, host)) {
            return Ok(erased);
        }
        self.change(|auths| {
            let before = auths.len();
            auths.retain(|key, _| !is_server(key, host));
            auths.len() < before
        })
        .map(|changed| changed || erased)
    }

    /// Changes `auths` and nothing else of the file.
    fn change(&self, edit: impl FnOnce(&mut Map<String, Value>) -> bool) -> Result<bool, DockerError> {
        let path = self.path();
        let mut file: Map<String, Value> = self.parse()?;
        let auths = file.entry("auths").or_insert_with(|| json!({}));
        let Some(auths) = auths.as_object_mut() else {
            return Err(DockerError::Malformed { path, message: "`auths` is no object".to_owned() });
        };
        if !edit(auths) {
            return Ok(false);
        }
        // A tree of texts and numbers always serialises. Temporary files are the user's alone.
        let text = Zeroizing::new(serde_json::to_vec_pretty(&file).unwrap_or_default());
        blob::replace(&path, &text).map_err(|source| DockerError::Io { path, source })?;
        Ok(true)
    }
}

/// Whether a key of `auths` is for this server: `registry.example`, `https://registry.example`, `https://registry.example/v2/`.
fn is_server(key: &str, host: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    bare.split('/').next() == Some(host)
}

fn helper_for(file: &File, host: &str) -> Option<String> {
    let own = file.cred_helpers.iter().find(|(key, _)| is_server(key, host)).map(|(_, helper)| helper);
    own.or(file.creds_store.as_ref()).filter(|helper| !helper.is_empty()).cloned()
}

fn helper_get(helper: &str, host: &str) -> Result<Option<Credentials>, DockerError> {
    let answer = match run_helper(helper, "get", host.as_bytes()) {
        Ok(answer) => answer,
        Err(DockerError::Helper { message, .. }) if message.contains(NOT_FOUND) => return Ok(None),
        Err(error) => return Err(error),
    };
    let answer: HelperAnswer = serde_json::from_slice(&answer).map_err(|_| DockerError::Helper {
        program: format!("{HELPER_PREFIX}{helper}"),
        message: "it does not answer as helpers do".to_owned(),
    })?;
    if answer.username == TOKEN_USER {
        return Err(DockerError::Token { host: host.to_owned() });
    }
    let secret = Zeroizing::new(answer.secret);
    Ok(Some(Credentials::new(answer.username, secret.as_str())))
}

/// Runs `docker-credential-<helper> <verb>` with this on its stdin.
fn run_helper(helper: &str, verb: &str, input: &[u8]) -> Result<Zeroizing<Vec<u8>>, DockerError> {
    let program = format!("{HELPER_PREFIX}{helper}");
    let failed = |message: String| DockerError::Helper { program: program.clone(), message };
    // A name of a program, not a path to one.
    if helper.contains(['/', '\\']) {
        return Err(failed("its name is a path".to_owned()));
    }
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input) {
            // One that does not listen may have said why.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(failed(error.to_string())),
            _ => {}
        }
    }
    let mut answer = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(HELPER_ANSWER_BYTES_MAX)
            .read_to_end(&mut answer)
            .map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(answer);
    }
    // Helpers say what went wrong on stdout; a secret is there only after success.
    let said = String::from_utf8_lossy(&answer).trim().to_owned();
    let said = if said.is_empty() { String::from_utf8_lossy(&output.stderr).trim().to_owned() } else { said };
    Err(failed(said.chars().filter(|c| !c.is_control()).take(200).collect()))
}

/// Whether a folder could hold Docker's configuration; for messages.
pub fn file_in(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> (tempfile::TempDir, DockerConfig) {
        let folder = tempfile::tempdir().unwrap();
        if !text.is_empty() {
            fs::write(folder.path().join(FILE), text).unwrap();
        }
        let config = DockerConfig::new(folder.path());
        (folder, config)
    }

    fn user(config: &DockerConfig, host: &str) -> Option<String> {
        config.credentials(host).unwrap().map(|credentials| credentials.user)
    }

    #[test]
    fn what_is_stored_is_found_and_erased_and_nothing_else_changes() {
        let (folder, config) = config(r#"{"auths":{"other.example":{"auth":"YTpi"}},"experimental":"on"}"#);
        assert_eq!(user(&config, "registry.example"), None);
        let kept = config.store("registry.example:5000", "me", "a:secret").unwrap();
        assert_eq!(kept, Kept::File(folder.path().canonicalize().unwrap().join(FILE)));
        assert_eq!(user(&config, "registry.example:5000").as_deref(), Some("me"));
        assert_eq!(user(&config, "registry.example"), None);
        assert_eq!(user(&config, "other.example").as_deref(), Some("a"));
        assert!(fs::read_to_string(folder.path().join(FILE)).unwrap().contains("experimental"));
        assert!(config.erase("registry.example:5000").unwrap());
        assert!(!config.erase("registry.example:5000").unwrap());
        assert_eq!(user(&config, "other.example").as_deref(), Some("a"));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_the_users_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, config) = config("");
        config.store("registry.example", "me", "secret").unwrap();
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }

    #[test]
    fn keys_are_written_in_many_ways() {
        let (_folder, config) = config(
            r#"{"auths":{"https://one.example/v2/":{"auth":"YTpi"},"two.example":{"username":"c","password":"d"},"three.example":{}}}"#,
        );
        assert_eq!(user(&config, "one.example").as_deref(), Some("a"));
        assert_eq!(user(&config, "two.example").as_deref(), Some("c"));
        assert_eq!(user(&config, "three.example"), None);
    }

    #[test]
    fn what_is_not_right_is_said_without_quoting_it() {
        for (text, code) in [
            (r#"{"auths":{"registry.example":{"auth":"c2VjcmV0"}}}"#, "docker_config_malformed"),
            (r#"{"auths":{"registry.example":{"auth":7,"password":"secret"}}}"#, "docker_config_malformed"),
            (r#"{"auths":{"registry.example":{"identitytoken":"secret"}}}"#, "credentials_token"),
            (r#"{"credsStore":"not-on-this-machine"}"#, "credential_helper"),
            (r#"{"credHelpers":{"registry.example":"../../evil"}}"#, "credential_helper"),
        ] {
            let (_folder, config) = config(text);
            let error = config.credentials("registry.example").unwrap_err();
            assert_eq!(error.code(), code, "{text}");
            assert!(!error.to_string().contains("secret") && !error.to_string().contains("c2Vj"), "{error}");
        }
    }
}
