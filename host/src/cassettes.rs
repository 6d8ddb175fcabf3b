//! Which network connectors get: the real one, the real one recorded, or a recording. Decided once for a [`Host`].

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use rapidbyte_wasm::Network;
use rapidbyte_wasm::network::cassette::{Mark, Player, Recorder};

use crate::error::HostError;
use crate::settings::Host;

/// A recording, while it is made or played.
pub(crate) enum Cassettes {
    Recording(Arc<Recorder>),
    Playing(Arc<Player>),
}

impl Host {
    /// From now on records to `folder` what connectors exchange with the network. Secrets that are known when a connection
    /// ends are masked.
    pub fn record_network(&self, folder: &Path) -> Result<(), HostError> {
        let network = self.engine()?.network();
        // Another one each time.
        let seed = RandomState::new().build_hasher().finish();
        let recorder = Recorder::new(folder, network, self.settings.redactor.clone(), seed)?;
        let _ = self.cassettes.set(Cassettes::Recording(Arc::new(recorder)));
        Ok(())
    }

    /// From now on serves connectors from the recording in `folder`; nothing is connected to.
    pub fn replay_network(&self, folder: &Path) -> Result<(), HostError> {
        let player = Player::open(folder, self.settings.redactor.clone())?;
        let _ = self.cassettes.set(Cassettes::Playing(Arc::new(player)));
        Ok(())
    }

    /// A point in time, for [`Host::network_again`].
    pub fn network_mark(&self) -> Option<Mark> {
        match self.cassettes.get()? {
            Cassettes::Playing(player) => Some(player.mark()),
            Cassettes::Recording(_) => None,
        }
    }

    /// The network for a run that does once more what was done between two marks and may be broken off: what was played
    /// then; while recording the real one, which such runs are not recorded of. None: there is no cassette.
    pub fn network_again(
        &self,
        from: Option<&Mark>,
        to: Option<&Mark>,
    ) -> Result<Option<Arc<dyn Network>>, HostError> {
        Ok(match (self.cassettes.get(), from.zip(to)) {
            (None, _) => None,
            (Some(Cassettes::Playing(player)), Some((from, to))) => Some(Arc::new(player.again(from, to))),
            (Some(_), _) => Some(self.engine()?.network()),
        })
    }

    /// What connectors are connected to, for reports.
    pub fn network_word(&self) -> &'static str {
        match self.cassettes.get() {
            None => "live",
            Some(Cassettes::Recording(_)) => "recorded",
            Some(Cassettes::Playing(_)) => "replayed",
        }
    }

    /// Whether connectors have another network than the engine's own.
    pub fn uses_cassettes(&self) -> bool {
        self.cassettes.get().is_some()
    }

    /// What connectors get instead of the engine's own network.
    pub(crate) fn network(&self) -> Option<Arc<dyn Network>> {
        Some(match self.cassettes.get()? {
            Cassettes::Recording(recorder) => recorder.clone(),
            Cassettes::Playing(player) => player.clone(),
        })
    }

    /// An error if a recording is played and something else was done: the connector may have made anything of it.
    pub fn as_recorded(&self) -> Result<(), HostError> {
        match self.cassettes.get() {
            Some(Cassettes::Playing(player)) => match player.difference() {
                Some(message) => Err(HostError::NotAsRecorded { message }),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
