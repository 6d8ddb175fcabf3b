//! Bounds of the evidence about one package, which anybody who may push to a registry can add to. Sizes are in bytes.

/// Referrers that are looked at: a package has a handful; a registry that lists more is not asked for all of them.
pub const REFERRERS_MAX: usize = 64;
/// Signatures in the older form, each a layer of one manifest.
pub const SIMPLE_SIGNATURES_MAX: usize = 64;
/// One bundle or payload: a keyless bundle has about 10 KB, a certificate of the suite about as much.
pub const SIGNATURE_BYTES_MAX: u64 = 1 << 20;
/// Requests for evidence under way at once.
pub const CONCURRENT_REQUESTS_MAX: usize = 4;
/// Other manifests that signatures found here turn out to be about, looked up to say what they are.
pub const OTHER_SUBJECTS_MAX: usize = 8;
/// Compiled code of one component: several times the component.
pub const NATIVE_BYTES_MAX: u64 = 4 * rapidbyte_packages::limits::COMPONENT_BYTES_MAX;
/// A trusted root's file: the public one has 6 KB.
pub const ROOT_FILE_BYTES_MAX: u64 = 1 << 20;
/// A public key's file.
pub const KEY_FILE_BYTES_MAX: u64 = 16 << 10;

const _: () = assert!(SIGNATURE_BYTES_MAX <= rapidbyte_packages::limits::STATEMENT_BYTES_MAX);
const _: () = assert!(SIGNATURE_BYTES_MAX <= rapidbyte_signing::limits::SIGNATURE_BYTES_MAX as u64);
