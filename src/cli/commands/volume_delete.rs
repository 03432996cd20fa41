use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bd_proto::EngineSpec;
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::image::Session;
use crate::server::release_brick;
use crate::storage::{brick_dir, forget, mounts_of, remove_names, run};
use crate::volume::{Standing, gluster, is_brick, is_local};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct VolumeDelete {
    /// The volume
    #[arg(value_name = "VOL")]
    name: String,
    /// Delete its images and other files first; else a volume that has any is refused
    #[arg(long)]
    wipe: bool,
}

/// A volume that is no more.
#[derive(Debug, Serialize)]
pub(super) struct Gone {
    pub(super) volume: String,
    /// Images that were deleted with it.
    pub(super) deleted: Vec<String>,
    /// What is left, with what removes it.
    pub(super) left: Vec<String>,
}

/// How long the volumes of deleted images may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl VolumeDelete {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let name = self.name.as_str();
        let info = gluster(&["volume", "info", name])?;
        let volume = Standing::read(&info).filter(|volume| volume.is_ours);
        let volume = volume.ok_or_else(|| {
            CliError::Refused(format!(
                "volume {name} serves no images; run: gluster volume delete {name}"
            ))
        })?;
        if !volume.is_started && !volume.is_new {
            return Err(CliError::Refused(format!(
                "volume {name} is stopped, so that nobody sees what it holds; run: gluster volume start {name}"
            )));
        }
        let images = match volume.is_started {
            true => self.images(context)?,
            false => Vec::new(),
        };
        context.confirm(&match images.len() {
            0 => format!("Delete volume {name}"),
            number => format!("Delete volume {name} and the {number} images that it has"),
        })?;
        // A mount that is in use ends it here, before anything is lost.
        let of_volume = |source: &str| {
            let mut parts = source.split(":/");
            parts.nth(1) == Some(name)
        };
        for at in mounts_of("fuse.glusterfs", of_volume)? {
            run("umount", &[&at])?;
        }
        forget(of_volume)?;
        if !images.is_empty() {
            let session = Session::open(context, name)?;
            for image in &images {
                session.files.unlink(image)?;
            }
        }
        if volume.is_started {
            gluster(&["volume", "stop", name])?;
        }
        gluster(&["volume", "delete", name])?;
        let mut left = Vec::new();
        for brick in &volume.bricks {
            left.extend(match brick.split_once(':') {
                Some((host, dir)) if is_local(host) => release(context, Path::new(dir), self.wipe)?,
                Some((host, dir)) => Some(format!("on {host}: gluster-bd brick remove {dir}")),
                None => None,
            });
        }
        let gone = Gone {
            volume: self.name,
            deleted: images,
            left,
        };
        context.print(&gone, |gone| {
            let deleted = gone
                .deleted
                .iter()
                .map(|path| format!("deleted {}:{path}\n", gone.volume));
            let left = gone.left.iter().map(|left| format!("left: {left}\n"));
            let done = format!("volume delete: {}: success\n", gone.volume);
            deleted.chain(left).chain([done]).collect()
        })?;
        Ok(Exit::Done)
    }

    /// The images that the volume has, which are to be deleted.
    fn images(&self, context: &Context) -> Result<Vec<String>, CliError> {
        let name = &self.name;
        let session = Session::open(context, name)?;
        let files = session.files_of_all()?;
        if let Some(first) = files.first()
            && !self.wipe
        {
            return Err(CliError::Refused(format!(
                "volume {name} has files, {} of them, such as {name}:{first}; delete them first, or with the \
                 volume by --wipe",
                files.len()
            )));
        }
        let images = session.images(None)?.into_iter().map(|image| image.path);
        Ok(images.collect())
    }
}

/// Makes a directory of this host no brick, and removes what was made for it; says what is left.
fn release(context: &Context, dir: &Path, wipe: bool) -> Result<Option<String>, CliError> {
    if !is_brick(dir) {
        return Ok(Some(format!(
            "{}, which is no brick of images",
            dir.display()
        )));
    }
    let start = Instant::now();
    let released = loop {
        match release_brick(&context.socket, dir, false) {
            Ok(released) => break released,
            // Volumes go a moment after their names, and a brick's process after its volume.
            Err(CliError::Call(_)) if start.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(200))
            }
            Err(error) => return Err(error),
        }
    };
    let EngineSpec::Lvm { vg, .. } = &released.brick.engine else {
        return Ok(Some(format!("the directory {}", dir.display())));
    };
    if dir != brick_dir(vg.as_str()) {
        return Ok(Some(format!("the directory {}", dir.display())));
    }
    if !wipe && let Some(file) = other_file(dir, &released.brick.top)? {
        return Ok(Some(format!(
            "the names, which have the file {}",
            file.display()
        )));
    }
    remove_names(vg.as_str())?;
    Ok(Some(format!(
        "volume group {vg}; remove it with: vgremove {vg}"
    )))
}

/// Something in a brick directory that is neither Gluster's nor an empty image directory.
fn other_file(dir: &Path, top: &str) -> Result<Option<PathBuf>, CliError> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let is_empty = || std::fs::read_dir(&path).is_ok_and(|mut files| files.next().is_none());
        match name {
            Some(".glusterfs" | ".trashcan") => {}
            name if name == Some(top) && is_empty() => {}
            name if name.is_some_and(|name| name.starts_with(".glusterfs-")) && is_empty() => {}
            _ => return Ok(Some(path)),
        }
    }
    Ok(None)
}
