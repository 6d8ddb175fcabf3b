//! Components made with the SDK, run in a real sandbox: the guest's executor under stress, the exports, what is in the
//! component. The host here is a small one of the SDK's own that counts every call; nothing of the product's host is used.

mod executor;
mod exports;
mod guests;
mod host;
mod peer;
