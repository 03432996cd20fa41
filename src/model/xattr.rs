/// On a stub: "this file is an image" ([`crate::ImageMark`]); travels with heal and rebalance.
pub const IMAGE: &str = "user.glusterfs.bd";
/// On a directory: new files in it are images ([`crate::DirPolicy`]); subdirectories inherit it.
pub const DIR: &str = "user.glusterfs.bd.dir";
/// Virtual, set on the source: clone it into the stub whose gfid is the value (text form).
pub const CLONE: &str = "glusterfs.bd.clone";
/// Virtual, set on the source: snapshot it into the stub whose gfid is the value (text form).
pub const SNAPSHOT: &str = "glusterfs.bd.snapshot";
/// Virtual, read: what the server knows of an image, as JSON.
pub const INFO: &str = "glusterfs.bd.info";
/// Prefix of every attribute of gluster-bd in the user namespace.
pub const USER_PREFIX: &str = "user.glusterfs.bd";
/// Set by DHT on link files, which never become images.
pub const DHT_LINKTO: &str = "trusted.glusterfs.dht.linkto";
/// In the xdata of a link or symlink: `bd-client` has seen that no copy is meant.
pub const PLAIN: &str = "glusterfs.bd.plain";
