/// On a stub: "this file is an image" ([`crate::ImageMark`]); travels with heal and rebalance.
pub const IMAGE: &str = "user.glusterfs.bd";
/// On a directory: new files in it are images ([`crate::DirPolicy`]); subdirectories inherit it.
pub const DIR: &str = "user.glusterfs.bd.dir";
/// Virtual, set on the source: clone it into the stub whose gfid is the value (text form).
/// `bd-client` does it.
pub const CLONE: &str = "glusterfs.bd.clone";
/// Virtual, set on the source: snapshot it into the stub whose gfid is the value (text form). For
/// a copy-on-write snapshot the bytes of its space may follow behind a colon. `bd-client` does it.
pub const SNAPSHOT: &str = "glusterfs.bd.snapshot";
/// Virtual, set on the source of a copy-on-write snapshot: the value is the bytes of its space, a
/// blank, and the path of the new file from the volume's root. `bd-client` does it.
pub const SNAPSHOT_AS: &str = "glusterfs.bd.snapshot-as";
/// Virtual, set on a snapshot: the brick shall be ready to merge it into its origin, whose gfid is
/// the value (text form), and keeps it closed until that comes. `bd-client` does it.
pub const PROMISE_MERGE: &str = "glusterfs.bd.merge.promise";
/// Virtual, set on a snapshot: the merge that the brick has promised does not come. `bd-client`
/// does it.
pub const CALL_OFF_MERGE: &str = "glusterfs.bd.merge.call-off";
/// In the xdata of an unlink of a snapshot: the brick has promised the merge into its origin, whose
/// gfid is the value (text form), and does it now. `bd-client` does it.
pub const MERGE: &str = "glusterfs.bd.merge";
/// In the xdata of a rename: the gfid (text form) of the file or directory that is meant. A brick of
/// several with the same files may have missed that another one got the name. `bd-client` does it.
pub const RENAMED: &str = "glusterfs.bd.renamed";
/// Virtual, read: the gfid (text form) of the image that an image is a snapshot of.
pub const ORIGIN: &str = "glusterfs.bd.origin";
/// Virtual, read: what the server knows of an image, as JSON.
pub const INFO: &str = "glusterfs.bd.info";
/// Virtual, read of a file or directory: the space of the brick that holds it, as JSON.
pub const SPACE: &str = "glusterfs.bd.space";
/// Virtual, read: the name of the top image directory.
pub const TOP: &str = "glusterfs.bd.top";
/// Virtual, read: the release of the brick's translator.
pub const RELEASE: &str = "glusterfs.bd.release";
/// Virtual, set on an empty plain file by who owns it: it may become a copy of the image whose gfid
/// is the value (text form). `bd-client` does it, in its caller's name.
pub const COPY_OF: &str = "glusterfs.bd.copy-of";
/// Set by DHT on link files, which never become images.
pub const DHT_LINKTO: &str = "trusted.glusterfs.dht.linkto";
/// In the xdata of a link or symlink: `bd-client` has seen that no copy is meant.
pub const PLAIN: &str = "glusterfs.bd.plain";
/// In the xdata of a set or removal of [`IMAGE`] or [`DIR`]: say whether the caller may, and change
/// nothing. `bd-client` asks so where a replica is an arbiter, which would keep what others refuse.
pub const ONLY_ASK: &str = "glusterfs.bd.only-ask";
/// Virtual, read, as in GlusterFS 5: `1` on a volume of gluster-bd.
pub const VOLUME_TYPE: &str = "volume.type";
/// Virtual, read, as in GlusterFS 5: what the volume can do, a sum of [`caps`].
pub const VOLUME_CAPS: &str = "volume.caps";
/// Virtual, read, as in GlusterFS 5: the LV that an image is a snapshot of.
pub const LIST_ORIGIN: &str = "list-origin";

/// The bits of [`VOLUME_CAPS`], with the values that they had in GlusterFS 5.
pub mod caps {
    /// Files can be logical volumes.
    pub const BD: u32 = 0x01;
    /// They can be thin.
    pub const THIN: u32 = 0x02;
    /// The server makes clones.
    pub const OFFLOAD_COPY: u32 = 0x04;
    /// The server makes snapshots.
    pub const OFFLOAD_SNAPSHOT: u32 = 0x08;
    /// The server writes zeros.
    pub const OFFLOAD_ZERO: u32 = 0x20;
}

/// Virtual, set on the source, as in GlusterFS 5: clone it into the empty file whose gfid is the
/// value. A size behind a colon has no effect.
pub const OLD_CLONE: &str = "clone";
/// Virtual, set on the source, as in GlusterFS 5: as [`OLD_CLONE`], for a snapshot. A size behind
/// a colon is that of the space of a copy-on-write snapshot.
pub const OLD_SNAPSHOT: &str = "snapshot";
/// Virtual, set on a snapshot, as in GlusterFS 5: merge it into its origin. Any value will do.
pub const OLD_MERGE: &str = "merge";

/// The keys that translators of gluster-bd use among themselves. Nobody may set them from above.
pub const INTERNAL: [&str; 9] = [
    CLONE,
    SNAPSHOT,
    PROMISE_MERGE,
    CALL_OFF_MERGE,
    MERGE,
    COPY_OF,
    RENAMED,
    PLAIN,
    ONLY_ASK,
];

/// Whether a name of an attribute is one that gluster-bd gives a meaning, or may give one later.
pub fn is_ours(name: &str) -> bool {
    let rest = ["user.", "trusted.", ""]
        .iter()
        .find_map(|space| name.strip_prefix(space)?.strip_prefix("glusterfs.bd"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether programs that copy attributes see nothing of it: [`IMAGE`], [`DIR`], and what is like them.
pub fn is_hidden(name: &str) -> bool {
    is_ours(name) && (name.starts_with("user.") || name.starts_with("trusted."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_are_ours_and_their_neighbours_are_not() {
        for name in [IMAGE, DIR, "user.glusterfs.bd.x", "trusted.glusterfs.bd"] {
            assert!(is_ours(name) && is_hidden(name), "{name}");
        }
        for name in INTERNAL {
            assert!(is_ours(name) && !is_hidden(name), "{name}");
        }
        for name in ["user.glusterfs.bdx", "user.note", DHT_LINKTO, "glusterfs"] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
