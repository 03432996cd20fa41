//! The control wire between the brick translator, the command line and gluster-bdd.
//!
//! One Unix socket, one request at a time on a connection, answered in order. A frame is a
//! little-endian `u32` length and that many bytes of JSON ([`frame`]). The first request is
//! [`Request::Hello`]; a server that does not speak [`VERSION`] answers a fault that says so.
//! [`Reply::Opened`] carries a file descriptor (`SCM_RIGHTS`, see unix(7)) with its frame.
#![forbid(unsafe_code)]

mod adoption;
mod brick;
mod client;
mod fault;
mod finding;
pub mod frame;
mod image;
mod job;
pub mod places;
mod pool;
mod reply;
mod request;
pub mod seal;

pub use adoption::{Adoption, OldImage, OldStep, OldVolume};
pub use brick::{BrickInfo, BrickSpec, EngineSpec, RefusedBrick, Released, Space};
pub use client::{CallError, Client, ConnectError};
pub use fault::{Fault, FaultKind};
pub use finding::{Finding, FindingKind};
pub use image::{CopyHow, Foreign, ImageInfo, ImageUsage, IoCounters, Opened};
pub use job::{JobInfo, JobKind, JobOrder, JobState, Work, WorkReport, WorkStop};
pub use pool::{PoolHealth, PoolInfo};
pub use reply::Reply;
pub use request::Request;

use std::path::{Path, PathBuf};

use bd_model::Gfid;

/// The version of the messages; both sides must have the same.
pub const VERSION: u32 = 1;

/// Where gluster-bdd listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/gluster-bd/gluster-bdd.sock";

/// The folder of a brick directory that belongs to gluster-bdd.
///
/// Not two hexadecimal digits: those are the folders of the posix translator's handles.
pub const BRICK_FOLDER: &str = ".glusterfs/gluster-bd";

/// Name of a brick's configuration in its [`BRICK_FOLDER`].
pub const BRICK_CONFIGURATION: &str = "brick.toml";

/// Name of the folder of a brick's intents in its [`BRICK_FOLDER`].
pub const BRICK_INTENTS: &str = "intents";

/// What the intent of an image holds whose last name is about to go. gluster-bdd writes it; while that is
/// away, the brick does.
pub const CONDEMNED: &str = r#"{"intent":"condemn"}"#;

/// The file with the intent of an image of the brick in `dir`.
pub fn intent_path(dir: &Path, gfid: Gfid) -> PathBuf {
    let folder = dir.join(BRICK_FOLDER).join(BRICK_INTENTS);
    folder.join(format!("{gfid}.json"))
}

/// The folder of the brick in `dir` with an empty file for each copy whose stub was made and which was not
/// finished yet. The brick keeps it, and gluster-bdd removes such stubs when the brick starts.
pub fn pending_folder(dir: &Path) -> PathBuf {
    dir.join(BRICK_FOLDER).join("pending")
}

/// The file that says of an image of the brick in `dir` that it waits for its copy.
pub fn pending_path(dir: &Path, gfid: Gfid) -> PathBuf {
    pending_folder(dir).join(gfid.to_string())
}

/// Environment variable that names another socket, for tests and second instances.
pub const SOCKET_VARIABLE: &str = "GLUSTER_BDD_SOCKET";

/// The socket that clients use: [`SOCKET_VARIABLE`] if set and not empty, else [`DEFAULT_SOCKET`].
pub fn socket_path() -> PathBuf {
    std::env::var_os(SOCKET_VARIABLE)
        .filter(|value| !value.is_empty())
        .map_or_else(|| PathBuf::from(DEFAULT_SOCKET), PathBuf::from)
}
