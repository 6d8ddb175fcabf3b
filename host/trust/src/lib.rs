//! Who is trusted. The only place where it is decided whether a package may be installed or run as far as its origin goes: the
//! user's policy, what a registry offers as evidence, and the judgement of one by the other.
//!
//! ```text
//! config.toml [trust] ──► TrustConfig ──resolve──► Policy ─┐
//! registry ──gather──► Evidence ──────────────────────────┼─ judge ──► Trusted (keep its signer in the lock)
//! RegistryRef + repository + digests = Subject ───────────┘       └──► Refusal (a code for every reason)
//! ```
//!
//! How to use it:
//!
//! 1. [`TrustConfig`] is what `[trust]` of `config.toml` is read as (serde). [`Policy::resolve`] makes a [`Policy`] of it, once:
//!    reads key files, turns aliases into registries ([`Places`] says how), refuses rules that contradict each other.
//! 2. Before a package's layer is fetched: [`Policy::asks_for_evidence`] says whether there is anything to gather (not where
//!    trust is `off`); [`gather`] asks the registry, bounded in number and size; without it, [`Evidence::none`].
//! 3. [`judge()`] answers [`Trusted`] or a [`Refusal`]. `Trusted` is the proof to demand of whoever installs: it can be made here
//!    only, *also the permission to run something unsigned*. [`Trusted::signer`] belongs into the lock (as text);
//!    [`Trusted::signers`] has all, for comparing with a lock; [`Trusted::warning`] is to be shown.
//! 4. What is installed already has its signer in the store or lock: [`judge_installed`] holds that against the policy of today,
//!    without a network.
//!
//! 5. The index of a registry, for searching, versions, dates and what was withdrawn: [`open_index`], judged like a package. Keep
//!    `built_at` of the last one by registry and hand it in as `seen`; a stale or older one is an error with its own code.
//!
//! Refuses to know: HTTP, how signatures are computed, what a component does, terminals.

pub mod config;
pub mod evidence;
pub mod index;
pub mod judge;
pub mod limits;
pub mod native;
pub mod policy;
pub mod refusal;

pub use config::{IdentityConfig, Level, RuleConfig, TrustConfig};
pub use evidence::{Evidence, gather};
pub use index::{IndexError, OpenedIndex, open_index};
pub use judge::{Signer, Subject, Trusted, judge, judge_installed};
pub use native::{Platform, TrustedNative, fetch_native};
pub use policy::{Places, Policy, PolicyError};
pub use refusal::Refusal;
