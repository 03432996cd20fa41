use bd_model::{Bytes, LvName, VgName};
use serde::{Deserialize, Serialize};

/// How a thin pool is, and from when on gluster-bdd extends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolInfo {
    /// Its volume group.
    pub vg: VgName,
    /// Its name.
    pub pool: LvName,
    /// Whether it takes writes.
    pub health: PoolHealth,
    /// Bytes of data in use; zero if the pool has failed.
    pub data_used: Bytes,
    /// Bytes for data; zero if the pool has failed.
    pub data_size: Bytes,
    /// Bytes of metadata in use; zero if the pool has failed.
    pub metadata_used: Bytes,
    /// Bytes of metadata; zero if the pool has failed.
    pub metadata_size: Bytes,
    /// How many thin LVs it has.
    pub images: u64,
    /// Bytes of its thin LVs together.
    pub provisioned: Bytes,
    /// All bytes of the volume group.
    pub group_size: Bytes,
    /// Bytes of the volume group that belong to no LV.
    pub group_free: Bytes,
    /// Percent of the data in use from which on it is extended; 100 means never.
    pub extend_at: u64,
    /// Percent of the metadata in use from which on they are extended; 100 means never.
    pub metadata_extend_at: u64,
    /// Bytes that its policy may still add to its data from the volume group.
    #[serde(default)]
    pub data_growable: Bytes,
    /// The same for its metadata.
    #[serde(default)]
    pub metadata_growable: Bytes,
    /// Seconds until its data and all that may be added to them are full, if it goes on as in the
    /// last hours; `None` where that is not known or not within a year.
    #[serde(default)]
    pub full_in: Option<u64>,
    /// The same for its metadata.
    #[serde(default)]
    pub metadata_full_in: Option<u64>,
}

/// Whether a thin pool takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolHealth {
    /// It does.
    Good,
    /// It has no free chunk: writes that need one fail.
    Full,
    /// Its metadata cannot be changed.
    ReadOnly,
    /// It has failed.
    Failed,
}
