//! Which network connectors get: the real one, the real one recorded, or a recording. Decided once for a [`Host`].

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use rapidbyte_wasm::Network;
use rapidbyte_wasm::network::cassette::{Player, Recorder};

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

    /// What connectors get instead of the engine's own network.
    pub(crate) fn network(&self) -> Option<Arc<dyn Network>> {
        Some(match self.cassettes.get()? {
            Cassettes::Recording(recorder) => recorder.clone(),
            Cassettes::Playing(player) => player.clone(),
        })
    }

    /// An error if a recording is played and something else was done: the connector may have made anything of it.
    pub(crate) fn as_recorded(&self) -> Result<(), HostError> {
        match self.cassettes.get() {
            Some(Cassettes::Playing(player)) => match player.difference() {
                Some(message) => Err(HostError::NotAsRecorded { message }),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
