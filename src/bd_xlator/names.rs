//! Names of attributes as C strings.

use std::ffi::CStr;

use glusterfs::Dict;

/// [`bd_model::xattr::DIR`].
pub(crate) const DIR: &CStr = c"user.glusterfs.bd.dir";
/// [`bd_model::xattr::IMAGE`].
pub(crate) const IMAGE: &CStr = c"user.glusterfs.bd";
/// `GFID2PATH_VIRT_XATTR_KEY`: where posix says a file is.
pub(crate) const PATH: &CStr = c"glusterfs.gfidtopath";
/// `GF_CONTENT_KEY`: the bytes of a small file along with its lookup.
pub(crate) const CONTENT: &str = "glusterfs.content";
/// `GLUSTERFS_INTERNAL_FOP_KEY`: a fop that a translator made for its own purposes, as DHT's
/// rename makes links.
pub(crate) const INTERNAL_FOP: &str = "glusterfs-internal-fop";
/// `GLUSTERFS_OPEN_FD_COUNT`: AFR wants the number of open descriptors with the answer.
pub(crate) const OPEN_FD_COUNT: &str = "glusterfs.open-fd-count";
/// `GLUSTERFS_ACTIVE_FD_COUNT`: the number of those that are still in use. Where there are several, AFR
/// keeps no lock on attributes between changes.
pub(crate) const ACTIVE_FD_COUNT: &str = "glusterfs.open-active-fd-count";
/// `GLUSTERFS_WRITE_IS_APPEND`: AFR wants to know whether a write started at the end.
pub(crate) const WRITE_IS_APPEND: &str = "glusterfs.write-is-append";
/// `GLUSTERFS_WRITE_UPDATE_ATOMIC`: sharding wants the attributes before and after to differ by the write
/// alone.
pub(crate) const UPDATE_ATOMIC: &str = "glusterfs.write-update-atomic";
/// `GF_PRESTAT`: attributes before a change of extended ones, with its answer.
pub(crate) const PRESTAT: &str = "virt-gf-prestat";
/// `GF_POSTSTAT`: those after it; md-cache keeps them.
pub(crate) const POSTSTAT: &str = "virt-gf-poststat";
/// `GF_GET_FILE_BLOCK_COUNT`: how many blocks a removed file had.
pub(crate) const BLOCK_COUNT: &str = "gf_get_file_block_count";
/// `GF_PROTECT_FROM_EXTERNAL_WRITES`: DHT's note that a client has written to a file that is just
/// being moved to this brick; with a write, the wish to leave it.
pub(crate) const PROTECT_WRITES: &str = "trusted.glusterfs.protect.writes";
/// [`PROTECT_WRITES`].
pub(crate) const PROTECT_WRITES_C: &CStr = c"trusted.glusterfs.protect.writes";
/// The size of a file of which this brick has a part, as EC keeps it.
pub(crate) const DISPERSED_SIZE: &CStr = c"trusted.ec.size";
/// `GF_AVOID_OVERWRITE`: a write of DHT's rebalance, which must not be done after such a note.
pub(crate) const AVOID_OVERWRITE: &str = "glusterfs.avoid.overwrite";
/// On a file that sharding keeps in pieces, and with the request to make it: their size.
pub(crate) const SHARD_SIZE: &str = "trusted.glusterfs.shard.block-size";
/// `GF_XATTR_MDATA_KEY`: the times that clients gave to a file's changes.
pub(crate) const TIMES: &str = "trusted.glusterfs.mdata";
/// What [`TIMES`] is before the first one: its version, flags, and three times.
pub(crate) const NO_TIMES: [u8; 57] = {
    let mut times = [0; 57];
    times[0] = 1;
    times
};
/// What `features/bitrot-stub` takes for what the bytes of a file must be. It knows writes and truncates
/// alone as changes, and no merge, no hole that is punched: a file that differs is corrupt, and nobody may
/// read it. Images have none.
pub(crate) const SIGNATURE: &str = "trusted.bit-rot.signature";
/// [`SIGNATURE`].
pub(crate) const SIGNATURE_C: &CStr = c"trusted.bit-rot.signature";
/// `GF_AFR_DIRTY`: AFR's note that a change of bytes, attributes or names is under way, or was cut short.
pub(crate) const AFR_DIRTY: &str = "trusted.afr.dirty";
/// The gfid that a new file shall have.
pub(crate) const GFID_REQ: &str = "gfid-req";
/// With a statfs: translators themselves ask, how full the brick is.
pub(crate) const IGNORE_QUOTA: &str = "ignore-deem-statfs";

/// The dictionary of a request, to put further wishes into.
pub(crate) fn request_of(xdata: Option<Dict<'_>>) -> Dict<'_> {
    match xdata {
        Some(xdata) => xdata,
        None => Dict::new(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_c_form_is_the_rust_form() {
        assert_eq!(super::DIR.to_str(), Ok(bd_model::xattr::DIR));
        assert_eq!(super::IMAGE.to_str(), Ok(bd_model::xattr::IMAGE));
        assert_eq!(super::PROTECT_WRITES_C.to_str(), Ok(super::PROTECT_WRITES));
        assert_eq!(super::SIGNATURE_C.to_str(), Ok(super::SIGNATURE));
    }
}
