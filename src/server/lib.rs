//! gluster-bdd: the one owner of LVM and dm-thin on a storage host.
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod engine;
pub mod engine_file;
