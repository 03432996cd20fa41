use std::path::{Path, PathBuf};

use bd_proto::{BrickInfo, CallError, Client, EngineSpec, Released, Reply, Request};
use serde::Serialize;

use crate::CliError;

/// Asks the server on `socket` one thing.
pub(crate) fn ask(socket: &Path, request: &Request) -> Result<Reply, CliError> {
    Ok(Client::connect(socket, "gluster-bd")?.call(request)?)
}

/// As [`ask`], where a brick is the answer.
pub(crate) fn ask_brick(socket: &Path, request: &Request) -> Result<BrickInfo, CliError> {
    match ask(socket, request)? {
        Reply::Brick(info) => Ok(info),
        other => Err(out_of_turn(&other)),
    }
}

/// Gives up a brick's claim of its group or store.
pub(crate) fn release_brick(socket: &Path, dir: &Path, keep: bool) -> Result<Released, CliError> {
    let dir = dir.to_owned();
    match ask(socket, &Request::ReleaseBrick { dir, keep })? {
        Reply::Released(released) => Ok(released),
        other => Err(out_of_turn(&other)),
    }
}

/// The error for an answer that does not belong to the request.
pub(crate) fn out_of_turn(reply: &Reply) -> CliError {
    CallError::OutOfTurn(format!("{reply:?}")).into()
}

/// A path as the server must see it: its working directory is not ours.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|source| CliError::Path {
        path: path.display().to_string(),
        source,
    })
}

/// A brick, as commands print it.
#[derive(Debug, Serialize)]
pub(crate) struct BrickReport {
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// What the server says of it.
    #[serde(flatten)]
    pub(crate) info: BrickInfo,
    /// What was set of its pool, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) set: Vec<String>,
}

impl BrickReport {
    pub(crate) fn new(dir: &Path, info: BrickInfo) -> BrickReport {
        BrickReport {
            dir: dir.to_owned(),
            info,
            set: Vec::new(),
        }
    }

    /// Also tells what was set of its pool.
    pub(crate) fn with_settings(self, set: Vec<String>) -> BrickReport {
        BrickReport { set, ..self }
    }

    /// Line by line, for people.
    pub(crate) fn describe(&self) -> String {
        let info = &self.info;
        let engine = match &info.engine {
            EngineSpec::Lvm { vg, pool } => {
                let pool = pool
                    .as_ref()
                    .map_or_else(|| "none, images are thick".into(), ToString::to_string);
                format!("engine:     lvm\nvg:         {vg}\npool:       {pool}")
            }
            EngineSpec::File { store } => format!(
                "engine:     file (sparse files, no logical volumes)\nstore:      {}",
                store.display()
            ),
        };
        let volume = info
            .volume
            .map_or_else(|| "none yet".into(), |id| id.to_string());
        let adopt = if info.adopt { "yes" } else { "no" };
        let mut text = format!(
            "brick:      {}\nid:         {}\n{engine}\nvolume:     {volume}\n\
             top:        /{}\nnew images: {}\nextent:     {}\nadopt:      {adopt}\n",
            self.dir.display(),
            info.id,
            info.top,
            info.kind,
            info.extent_size,
        );
        for line in &self.set {
            text.push_str(&format!("set:        {line}\n"));
        }
        text
    }
}
