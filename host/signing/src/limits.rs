//! Bounds of keys and signatures, which come from files and registries.

/// A key file.
pub const KEY_BYTES_MAX: usize = 16 << 10;
/// A bundle or a payload.
pub const SIGNATURE_BYTES_MAX: usize = 4 << 20;
/// A trusted root: the public one has 6 KB.
pub const ROOT_BYTES_MAX: usize = 1 << 20;
/// Of scrypt, as a power of two: what cosign writes is 15 or 16. More would let a key file take all memory.
pub const SCRYPT_LOG_N_MAX: u8 = 18;
pub const SCRYPT_R_MAX: u32 = 16;
pub const SCRYPT_P_MAX: u32 = 4;
