//! Bounds of what a registry may make us wait for and take in.

use std::time::Duration;

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of a server.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A request is tried so often, where trying again may help.
pub const ATTEMPTS_MAX: u32 = 4;
/// Before the second attempt; doubled before each further one.
pub const BACKOFF: Duration = Duration::from_millis(200);
/// Longest wait that a server may ask for with `Retry-After`.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
pub const REDIRECTS_MAX: u32 = 5;
/// A tag list's page, a token, an error.
pub const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Pages of a tag list.
pub const PAGES_MAX: u32 = 100;
pub const TAGS_PER_PAGE: u32 = 1000;
/// What is shown of a server's own words.
pub const MESSAGE_CHARS_MAX: usize = 300;
