//! Playing: recorded connections instead of a network. A connection takes the first recorded one of its connector and
//! endpoint that nobody has; if it then sends something else, it goes over to one that began the same and sends that. If
//! there is none, the first difference is the error.

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rapidbyte_core::ConnectorError;
use rapidbyte_core::redact::{MASK_BYTE, Redactor};
use tokio::time::Sleep;

use super::tape::{Tape, What};
use super::{CassetteError, INDEX_FILE, Index, Instances, VERSION, random_bytes};
use crate::limits::REPLAY_STALL_MS;
use crate::network::socket::failure_kind;
use crate::network::{Dial, Network, TlsInfo, TlsOptions, Transport, TransportError};

/// So many bytes on either side of a difference are shown.
const SHOWN_BYTES: usize = 40;
/// Fewer stars are not a masked secret.
const MASK_RUN_MIN: usize = 4;

/// Plays a recording.
pub struct Player {
    tapes: Arc<Tapes>,
    redactor: Redactor,
    seed: u64,
    instances: Instances,
}

struct Tapes {
    all: Arc<Vec<Tape>>,
    taken: Mutex<Taken>,
    /// Whether a tape that was played may be played once more.
    repeats: bool,
    /// The first difference between recording and run.
    difference: Arc<Mutex<Option<String>>>,
}

/// Which tapes are in use or were played.
#[derive(Default)]
struct Taken {
    flags: Vec<bool>,
    /// Those that were taken, in order.
    order: Vec<usize>,
}

/// A point in time: what was played since can be played again, see [`Player::again`].
#[derive(Debug, Clone)]
pub struct Mark {
    connections: usize,
    instances: HashMap<String, u64>,
}

impl Player {
    /// Reads a whole recording. `redactor` knows the secrets of this run, which may be others than those of the recording.
    pub fn open(folder: &Path, redactor: Redactor) -> Result<Self, CassetteError> {
        let path = folder.display().to_string();
        let file = |source| CassetteError::File { path: path.clone(), source };
        let index = match std::fs::read_to_string(folder.join(INDEX_FILE)) {
            Ok(index) => index,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(CassetteError::NoRecording { path });
            }
            Err(source) => return Err(file(source)),
        };
        let index: Index = serde_json::from_str(&index).map_err(|error| CassetteError::Malformed {
            path: folder.join(INDEX_FILE).display().to_string(),
            line: error.line(),
            message: error.to_string(),
        })?;
        if index.version != VERSION {
            return Err(CassetteError::Version { path, found: index.version });
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(file)? {
            let entry = entry.map_err(file)?.path();
            if entry.extension().is_some_and(|extension| extension == "jsonl") {
                files.push(entry);
            }
        }
        // Their names begin with the order in which they were made.
        files.sort();
        let all = files.iter().map(|file| Tape::read(file)).collect::<Result<Vec<_>, _>>()?;
        let taken = Mutex::new(Taken { flags: vec![false; all.len()], order: Vec::new() });
        let (all, difference) = (Arc::new(all), Arc::default());
        let tapes = Arc::new(Tapes { all, taken, repeats: false, difference });
        Ok(Player { tapes, redactor, seed: index.random_seed, instances: Instances::default() })
    }

    /// Now.
    pub fn mark(&self) -> Mark {
        Mark { connections: self.tapes.lock().order.len(), instances: self.instances.counts() }
    }

    /// What was played between two marks, to be played again and as often as is asked: for a run that does the same, or
    /// begins so. Its random numbers are those of that time.
    pub fn again(&self, from: &Mark, to: &Mark) -> Player {
        let order = self.tapes.lock().order.clone();
        let mut flags = vec![true; self.tapes.all.len()];
        for index in order.get(from.connections..to.connections).unwrap_or_default() {
            flags[*index] = false;
        }
        let playable =
            flags.iter().enumerate().filter(|(_, taken)| !**taken).map(|(index, _)| index).collect();
        let tapes = Tapes {
            all: self.tapes.all.clone(),
            taken: Mutex::new(Taken { flags, order: playable }),
            repeats: true,
            difference: self.tapes.difference.clone(),
        };
        Player {
            tapes: Arc::new(tapes),
            redactor: self.redactor.clone(),
            seed: self.seed,
            instances: Instances::of(from.instances.clone()),
        }
    }

    /// Where this run first did something else than the recording, whatever the connector made of it.
    pub fn difference(&self) -> Option<String> {
        self.tapes.difference.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

impl Tapes {
    fn differs(&self, message: String) -> ConnectorError {
        let mut difference = self.difference.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        difference.get_or_insert_with(|| message.clone());
        ConnectorError::internal("cassette_mismatch", message)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes the first free tape that fits; if there is none and tapes repeat, one that is not free.
    fn take(&self, fits: impl Fn(&Tape) -> bool) -> Option<usize> {
        let mut taken = self.lock();
        let free = (0..self.all.len()).find(|index| !taken.flags[*index] && fits(&self.all[*index]));
        if self.repeats {
            let played = || taken.order.iter().copied().find(|index| fits(&self.all[*index]));
            let index = free.or_else(played)?;
            taken.flags[index] = true;
            return Some(index);
        }
        let index = free?;
        taken.flags[index] = true;
        taken.order.push(index);
        Some(index)
    }

    fn give_back(&self, index: usize) {
        let mut taken = self.lock();
        taken.flags[index] = false;
        if !self.repeats {
            taken.order.retain(|taken| *taken != index);
        }
    }
}

#[async_trait]
impl Network for Player {
    async fn dial(&self, dial: Dial<'_>) -> Result<Box<dyn Transport>, ConnectorError> {
        // Versions may differ: a recording outlives them.
        let name = |id: &str| id.split('@').next().unwrap_or_default().to_owned();
        let wanted = name(dial.connector);
        let same = |tape: &Tape| {
            name(&tape.header.connector) == wanted
                && tape.header.host.eq_ignore_ascii_case(dial.host)
                && tape.header.port == dial.port
        };
        let Some(index) = self.tapes.take(same) else {
            let recorded = self.tapes.all.iter().filter(|tape| same(tape)).count();
            return Err(self.tapes.differs(format!(
                "`{wanted}` opens connection {} to `{}:{}`, the recording has {recorded}",
                recorded + 1,
                dial.host,
                dial.port
            )));
        };
        if let Some(What::Refused(error)) = self.tapes.all[index].moments.first().map(|moment| &moment.what)
            && self.tapes.all[index].sent.is_empty()
        {
            return Err(error.clone());
        }
        Ok(Box::new(Playing {
            tapes: self.tapes.clone(),
            redactor: self.redactor.clone(),
            index,
            matched: 0,
            pending: Vec::new(),
            moment: 0,
            offset: 0,
            broken: false,
            stall: None,
            stalled: false,
        }))
    }

    fn random_bytes(&self, connector: &str) -> Option<Vec<u8>> {
        Some(random_bytes(self.seed, connector, self.instances.next(connector)))
    }
}

struct Playing {
    tapes: Arc<Tapes>,
    redactor: Redactor,
    index: usize,
    /// How much of what was sent in the recording has been sent now.
    matched: usize,
    /// What was sent now and may be the beginning of a secret.
    pending: Vec<u8>,
    /// The next moment, and how much of its bytes has been read.
    moment: usize,
    offset: usize,
    broken: bool,
    stall: Option<Pin<Box<Sleep>>>,
    stalled: bool,
}

/// How far `now` goes along `recorded`.
enum Comparison {
    /// All of it fits: so many recorded bytes, and so many of `now` may be the beginning of a secret.
    Fits { recorded: usize, undecided: usize },
    /// They differ: at this recorded byte and this byte of now.
    Differs { recorded: usize, now: usize },
}

/// Compares with secrets masked on both sides: where the recording has a mask, a secret of any length fits.
fn compare(recorded: &[u8], now: &[u8], redactor: &Redactor) -> Comparison {
    let mut masked = now.to_vec();
    redactor.mask_bytes(&mut masked);
    let run = |bytes: &[u8]| bytes.iter().take_while(|byte| **byte == MASK_BYTE).count();
    let (mut r, mut n) = (0, 0);
    while n < masked.len() {
        let recorded_run = run(&recorded[r..]);
        let masked_run = run(&masked[n..]);
        if recorded_run >= MASK_RUN_MIN && masked_run >= MASK_RUN_MIN {
            r += recorded_run;
            n += masked_run;
        } else if recorded.get(r) == Some(&masked[n]) {
            r += 1;
            n += 1;
        } else if recorded_run >= MASK_RUN_MIN && now.len() - n < redactor.secret_bytes_max() {
            return Comparison::Fits { recorded: r, undecided: now.len() - n };
        } else {
            return Comparison::Differs { recorded: r, now: n };
        }
    }
    Comparison::Fits { recorded: r, undecided: 0 }
}

fn excerpt(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    match shown.is_empty() {
        true => "nothing more".to_owned(),
        false => format!("`{}`", shown.escape_ascii()),
    }
}

impl Playing {
    fn tape(&self) -> &Tape {
        &self.tapes.all[self.index]
    }

    /// Where the connection is, for errors.
    fn differs(&mut self, how: String) -> ConnectorError {
        self.broken = true;
        let header = &self.tape().header;
        let message = format!(
            "the connection of `{}` to `{}:{}` is not as recorded in `{}`: {how}",
            header.connector,
            header.host,
            header.port,
            self.tape().name
        );
        self.tapes.differs(message)
    }

    /// Another free recording that was the same up to here and goes on with what is sent now.
    fn change_over(&mut self) -> bool {
        let here = self.tape();
        let fits = |tape: &Tape| {
            let partly = |tape: &Tape| match tape.moments.get(self.moment).map(|moment| &moment.what) {
                Some(What::Received(bytes)) => bytes.get(..self.offset).map(<[u8]>::to_vec),
                _ => (self.offset == 0).then(Vec::new),
            };
            tape.header == here.header
                && tape.sent.get(..self.matched) == here.sent.get(..self.matched)
                && tape.moments.get(..self.moment) == here.moments.get(..self.moment)
                && partly(tape).is_some_and(|part| partly(here).is_some_and(|own| own == part))
                && matches!(
                    compare(&tape.sent[self.matched..], &self.pending, &self.redactor),
                    Comparison::Fits { .. }
                )
        };
        match self.tapes.take(fits) {
            Some(other) => {
                self.tapes.give_back(self.index);
                self.index = other;
                true
            }
            None => false,
        }
    }

    fn is_waiting(&self) -> bool {
        self.tape().moments.get(self.moment).is_none_or(|moment| moment.after_sent > self.matched)
    }
}

#[async_trait]
impl Transport for Playing {
    fn try_read(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, TransportError> {
        if self.broken {
            return Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into());
        }
        let Some(moment) = self.tape().moments.get(self.moment) else {
            // A peer that was silent until the connection was closed, as it is between the requests of one that is kept.
            return match self.stalled {
                true => Err(self.differs("it reads on, where the recording ends".to_owned()).into()),
                false => Ok(None),
            };
        };
        if moment.after_sent > self.matched {
            if self.stalled {
                let next = excerpt(&self.tape().sent[self.matched..]);
                return Err(self.differs(format!("it waits for an answer instead of sending {next}")).into());
            }
            return Ok(None);
        }
        match &moment.what {
            What::Received(bytes) => {
                let end = self.offset.saturating_add(bytes_max).min(bytes.len());
                let read = bytes[self.offset..end].to_vec();
                if end == bytes.len() {
                    self.moment += 1;
                    self.offset = 0;
                } else {
                    self.offset = end;
                }
                Ok(Some(read))
            }
            What::End => Ok(Some(Vec::new())),
            What::Failed(code) => Err(std::io::Error::from(failure_kind(code)).into()),
            What::Refused(error) => Err(error.clone().into()),
            What::Tls(_) => Err(self.differs("it reads, where TLS was started".to_owned()).into()),
            What::Cut => Err(self.differs("the recording was cut here for its size".to_owned()).into()),
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        if self.broken {
            return Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into());
        }
        (self.stall, self.stalled) = (None, false);
        self.pending.extend_from_slice(bytes);
        let mut compared = compare(&self.tape().sent[self.matched..], &self.pending, &self.redactor);
        if matches!(compared, Comparison::Differs { .. }) && self.change_over() {
            compared = compare(&self.tape().sent[self.matched..], &self.pending, &self.redactor);
        }
        match compared {
            Comparison::Fits { recorded, undecided } => {
                self.matched += recorded;
                self.pending.drain(..self.pending.len() - undecided);
                Ok(bytes.len())
            }
            Comparison::Differs { recorded, now } => {
                let at = self.matched + recorded;
                let mut masked = self.pending.clone();
                self.redactor.mask_bytes(&mut masked);
                let how = format!(
                    "at byte {at} of what is sent it has {}, the recording {}",
                    excerpt(&masked[now..]),
                    excerpt(&self.tape().sent[at..])
                );
                // Where writing had failed at this very place, it fails again.
                match self.tape().moments.get(self.moment).map(|moment| &moment.what) {
                    Some(What::Failed(code)) if at == self.tape().sent.len() => {
                        Err(std::io::Error::from(failure_kind(code)).into())
                    }
                    _ => Err(self.differs(how).into()),
                }
            }
        }
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.broken || self.stalled || !self.is_waiting() {
            return Poll::Ready(());
        }
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(REPLAY_STALL_MS))));
        std::task::ready!(stall.as_mut().poll(cx));
        self.stalled = true;
        Poll::Ready(())
    }

    fn poll_writable(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn has_unsent(&self) -> bool {
        false
    }

    async fn start_tls(&mut self, _options: &TlsOptions) -> Result<TlsInfo, ConnectorError> {
        let moment = self.tape().moments.get(self.moment).cloned();
        match moment.filter(|moment| moment.after_sent <= self.matched).map(|moment| moment.what) {
            Some(What::Tls(tls)) => {
                self.moment += 1;
                let decode = |text: &String| STANDARD.decode(text).ok();
                Ok(TlsInfo { alpn: tls.alpn, channel_binding: tls.channel_binding.as_ref().and_then(decode) })
            }
            Some(What::Refused(error)) => Err(error),
            _ => Err(self.differs("it starts TLS, where the recording does not".to_owned())),
        }
    }

    async fn close(self: Box<Self>) {}

    fn reset(&mut self) {
        self.broken = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_any_length_fit_a_mask() {
        let redactor = Redactor::default();
        redactor.register("longer-secret");
        let fits = |recorded: &str, now: &str| match compare(recorded.as_bytes(), now.as_bytes(), &redactor) {
            Comparison::Fits { recorded, undecided } => Ok((recorded, undecided)),
            Comparison::Differs { recorded, now } => Err((recorded, now)),
        };
        assert_eq!(fits("token: ******\n", "token: longer-secret\n"), Ok((14, 0)));
        assert_eq!(fits("token: ******\n", "token: longer"), Ok((7, 6)), "may become the secret");
        assert_eq!(fits("token: ******\n", "token: c29tZXRoaW5n"), Ok((7, 12)), "base64 may hold the secret");
        assert_eq!(fits("token: ******\n", "token: something that no secret is as long as\n"), Err((7, 7)));
        assert_eq!(fits("abc", "ab"), Ok((2, 0)));
        assert_eq!(fits("abc", "abd"), Err((2, 2)));
        assert_eq!(fits("abc", "abcd"), Err((3, 3)));
    }
}
