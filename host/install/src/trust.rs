//! The judgement of each package, by the room that decides it: with what its registry offers as evidence where it comes from
//! there, by who had signed it where it is here already.

use rapidbyte_packages::package::Described;
use rapidbyte_packages::store::Installed;
use rapidbyte_trust::{Evidence, Subject, Trusted, gather, judge, judge_installed};

use crate::Installer;
use crate::error::InstallError;
use crate::registries::Place;

impl Installer {
    /// Whether a package of a registry may be installed.
    pub(crate) async fn judge(
        &self,
        place: &Place,
        repository: &str,
        described: &Described,
    ) -> Result<Trusted, InstallError> {
        let registry = place.source.parse()?;
        let subject = Subject {
            registry: &registry,
            repository,
            manifest: described.digest,
            component: described.layer.digest,
        };
        let evidence = match self.policy.asks_for_evidence(&subject) {
            true => gather(place.registry.as_ref(), repository, &described.digest).await?,
            false => Evidence::none(),
        };
        Ok(judge(&self.policy, &subject, &evidence)?)
    }

    /// Whether what was installed may still run.
    pub(crate) fn judge_installed(&self, installed: &Installed) -> Result<Trusted, InstallError> {
        let registry = installed.registry.parse()?;
        let subject = Subject {
            registry: &registry,
            repository: &installed.repository,
            manifest: installed.manifest,
            component: installed.layer,
        };
        Ok(judge_installed(&self.policy, &subject, installed.signer.as_deref())?)
    }
}
