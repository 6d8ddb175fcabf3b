//! Where a PostgreSQL state lies: connection strings as libpq takes them, a URL or keywords, with `schema` on top.
//!
//! No message of this file quotes a value: it may be part of a password. Refuses to know: how to connect.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::tls::Verification;
use crate::limits::{
    CONNECT_TIMEOUT, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, UNANSWERED_TIME_MAX,
};

/// The schema of the tables where the connection string does not say.
pub const SCHEMA_DEFAULT: &str = "rapidbyte";
const PORT_DEFAULT: u16 = 5432;
/// PostgreSQL cuts longer names.
const NAME_BYTES_MAX: usize = 63;

/// A server, a database and a schema in it, with all that connecting needs.
#[derive(Clone)]
pub struct Address {
    pub config: Config,
    pub verification: Verification,
    /// PEM file of the roots; none: the system's.
    pub root_certificates: Option<PathBuf>,
    pub schema: String,
}

impl Address {
    /// Reads a connection string. The message of an error shows nothing of it but names of parameters.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let pairs = match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
            Some(rest) => url_pairs(rest)?,
            None if text.contains("://") => {
                return Err("a URL of PostgreSQL starts with `postgresql://`".to_owned());
            }
            None => keyword_pairs(text)?,
        };
        Self::from_pairs(pairs)
    }

    fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, String> {
        let mut config = Config::new();
        config
            .application_name("rapidbyte")
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(UNANSWERED_TIME_MAX);
        let mut ssl = "prefer".to_owned();
        let mut root_certificates = None;
        let mut system_roots = false;
        let mut schema = SCHEMA_DEFAULT.to_owned();
        let wrong = |key: &str, wanted: &str| Err(format!("`{key}` must be {wanted}"));
        for (key, value) in pairs {
            match key.as_str() {
                "host" => value.split(',').for_each(|host| _ = config.host(host)),
                "hostaddr" => {
                    for address in value.split(',') {
                        let Ok(address) = address.parse() else { return wrong("hostaddr", "an IP address") };
                        config.hostaddr(address);
                    }
                }
                "port" => {
                    for port in value.split(',') {
                        match port {
                            "" => config.port(PORT_DEFAULT),
                            port => match port.parse() {
                                Ok(port) => config.port(port),
                                Err(_) => return wrong("port", "a number up to 65535"),
                            },
                        };
                    }
                }
                "user" => _ = config.user(value),
                "password" => _ = config.password(value),
                "dbname" | "database" => _ = config.dbname(value),
                "application_name" => _ = config.application_name(value),
                "options" => _ = config.options(value),
                "connect_timeout" => match value.parse() {
                    Ok(0) => {}
                    Ok(seconds) => _ = config.connect_timeout(Duration::from_secs(seconds)),
                    Err(_) => return wrong("connect_timeout", "a number of seconds"),
                },
                "target_session_attrs" => match value.as_str() {
                    "any" => _ = config.target_session_attrs(TargetSessionAttrs::Any),
                    "read-write" | "primary" => {
                        _ = config.target_session_attrs(TargetSessionAttrs::ReadWrite)
                    }
                    _ => return wrong("target_session_attrs", "`any`, `read-write` or `primary`"),
                },
                // What is offered is never used, which both of these allow.
                "channel_binding" if matches!(value.as_str(), "disable" | "prefer") => {}
                "channel_binding" => {
                    return wrong("channel_binding", "`disable` or `prefer`; use `sslmode=verify-full`");
                }
                "sslmode" => ssl = value,
                "sslrootcert" if value == "system" => system_roots = true,
                "sslrootcert" => root_certificates = Some(PathBuf::from(value)),
                "schema" if is_plain_name(&value) => schema = value,
                "schema" => {
                    return wrong(
                        "schema",
                        "a name of lower-case letters, digits and `_` that does not start with `pg_`",
                    );
                }
                unknown => {
                    return Err(format!(
                        "the parameter `{unknown}` is not known; there are host, hostaddr, port, user, password, \
                         dbname, sslmode, sslrootcert, channel_binding, connect_timeout, application_name, options, \
                         target_session_attrs and schema"
                    ));
                }
            }
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("it names no `host`".to_owned());
        }
        let (mode, verification) = match ssl.as_str() {
            "disable" => (SslMode::Disable, Verification::None),
            "prefer" => (SslMode::Prefer, Verification::None),
            // As libpq: whoever gives roots wants them used.
            "require" if root_certificates.is_some() => (SslMode::Require, Verification::Chain),
            "require" => (SslMode::Require, Verification::None),
            "verify-ca" => (SslMode::Require, Verification::Chain),
            "verify-full" => (SslMode::Require, Verification::Full),
            _ => return wrong("sslmode", "`disable`, `prefer`, `require`, `verify-ca` or `verify-full`"),
        };
        #[cfg(unix)]
        let mode = if config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
            && !config.get_hosts().is_empty()
        {
            SslMode::Disable
        } else {
            mode
        };
        config.ssl_mode(mode);
        if system_roots {
            root_certificates = None;
        }
        Ok(Address { config, verification, root_certificates, schema })
    }

    /// For messages: the server, user and database, and the schema. No secrets.
    pub fn location(&self) -> String {
        let ports = self.config.get_ports();
        let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(PORT_DEFAULT);
        let hosts: Vec<String> = match self.config.get_hosts() {
            [] => self.config.get_hostaddrs().iter().map(ToString::to_string).collect(),
            hosts => hosts.iter().map(host_name).collect(),
        };
        let hosts: Vec<String> =
            hosts.into_iter().enumerate().map(|(index, host)| format!("{host}:{}", port(index))).collect();
        let user = self.config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        let schema = match self.schema.as_str() {
            SCHEMA_DEFAULT => String::new(),
            schema => format!("?schema={schema}"),
        };
        format!("postgresql://{user}{}/{database}{schema}", hosts.join(","))
    }

    /// Takes the password out of a text, wherever it came from.
    pub fn redact(&self, text: &str) -> String {
        match self.config.get_password().and_then(|password| std::str::from_utf8(password).ok()) {
            Some(password) if !password.is_empty() => text.replace(password, "***"),
            _ => text.to_owned(),
        }
    }
}

fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]"),
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(folder) => folder.display().to_string(),
    }
}

fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(plain)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.starts_with("pg_")
}

/// `user:password@host:port,host:port/database?key=value&…`, percent-encoded.
fn url_pairs(rest: &str) -> Result<Vec<(String, String)>, String> {
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded.map(|text| text.into_owned()).map_err(|_| "it is not UTF-8 once decoded".to_owned())
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let mut pairs = Vec::new();
    if !login.is_empty() {
        let (user, password) = login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word)));
        pairs.push(("user".to_owned(), decode(user)?));
        if let Some(password) = password {
            pairs.push(("password".to_owned(), decode(password)?));
        }
    }
    if !hosts.is_empty() {
        for host in hosts.split(',') {
            let (name, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
                Some((name, port)) => (name, port.strip_prefix(':')),
                None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
            };
            pairs.push(("host".to_owned(), decode(name)?));
            pairs.push(("port".to_owned(), port.unwrap_or_default().to_owned()));
        }
    }
    if !database.is_empty() {
        pairs.push(("dbname".to_owned(), decode(database)?));
    }
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let Some((key, value)) = parameter.split_once('=') else {
            return Err("a parameter behind `?` has no `=`".to_owned());
        };
        pairs.push((decode(key)?, decode(value)?));
    }
    Ok(pairs)
}

/// `key=value key='a value' …`, with `\` before what is meant as it is.
fn keyword_pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((key, behind)) = rest.split_once('=') else {
            return Err(
                "it is neither a URL nor `key=value` pairs; quote values with spaces in `'`".to_owned()
            );
        };
        let key = key.trim();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err("there is a word without `=`; quote values with spaces in `'`".to_owned());
        }
        let behind = behind.trim_start();
        let quoted = behind.starts_with('\'');
        let mut value = String::new();
        let mut characters = behind.char_indices().skip(usize::from(quoted));
        let mut end = None;
        while let Some((index, character)) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some((_, escaped)) => value.push(escaped),
                    None => return Err(format!("the value of `{key}` ends in a `\\`")),
                },
                '\'' if quoted => {
                    end = Some(index + 1);
                    break;
                }
                character if !quoted && character.is_whitespace() => {
                    end = Some(index);
                    break;
                }
                character => value.push(character),
            }
        }
        let end = match end {
            Some(end) => end,
            None if quoted => return Err(format!("the value of `{key}` has no closing `'`")),
            None => behind.len(),
        };
        pairs.push((key.to_owned(), value));
        rest = behind[end..].trim_start();
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|message| panic!("{text}: {message}"))
    }

    #[test]
    fn urls_and_keywords_say_the_same() {
        let url = parsed(
            "postgresql://etl:p%40ss%20w%3Frd@db.example:6000/state?sslmode=verify-full&schema=etl_state",
        );
        let keywords = parsed(
            r"host=db.example port = 6000 user=etl password='p@ss w?rd' dbname=state sslmode=verify-full schema=etl_state",
        );
        assert!(url.config == keywords.config && url.schema == keywords.schema);
        assert_eq!(url.config.get_password(), Some("p@ss w?rd".as_bytes()));
        assert_eq!(url.location(), "postgresql://etl@db.example:6000/state?schema=etl_state");
        assert_eq!(url.verification, Verification::Full);
        assert_eq!(url.redact("no p@ss w?rd here"), "no *** here");
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        let address = parsed("postgres://a,[::1]:7/db");
        assert_eq!(address.config.get_ports(), [5432, 7]);
        assert_eq!(address.location(), "postgresql://a:5432,[::1]:7/db");
        assert_eq!(
            (address.config.get_ssl_mode(), address.schema.as_str()),
            (SslMode::Prefer, SCHEMA_DEFAULT)
        );
        let quoted = parsed(r"host=h password='it\'s \\' user=u\ x");
        assert_eq!(quoted.config.get_password(), Some(r"it's \".as_bytes()));
        assert_eq!(quoted.config.get_user(), Some("u x"));
        assert_eq!(parsed("host=h sslmode=require sslrootcert=ca.pem").verification, Verification::Chain);
        assert_eq!(parsed("host=h sslmode=require channel_binding=prefer").verification, Verification::None);
        #[cfg(unix)]
        assert_eq!(parsed("host=/run/pg sslmode=require").config.get_ssl_mode(), SslMode::Disable);
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_being_shown() {
        for (text, said) in [
            ("host=h password=open sesame", "quote values with spaces"),
            ("host=h password='sesame", "closing"),
            ("sesame", "neither a URL"),
            ("mysql://u:sesame@h/db", "postgresql://"),
            ("postgres://u:sesame@h:seventy/db", "`port`"),
            ("postgres://u:sesame@h/db?sslmode=sesame", "`sslmode`"),
            ("postgres://u:sesame@h/db?schema=Sesame", "`schema`"),
            ("postgres://u:sesame@h/db?schema=pg_sesame", "`schema`"),
            ("postgres://u:sesame@h/db?passfile=sesame", "`passfile` is not known"),
            ("postgres://u:sesame@h/db?channel_binding=require", "`channel_binding`"),
            ("postgres://u:sesame@/db", "no `host`"),
            ("postgres://u:%ffsesame@h/db", "UTF-8"),
        ] {
            let message = Address::parse(text).err().unwrap_or_else(|| panic!("`{text}` was taken"));
            assert!(message.contains(said), "{text}: {message}");
            assert!(!message.to_lowercase().contains("sesame"), "{message}");
        }
    }
}
