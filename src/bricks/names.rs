//! The names that volumes bear: those of their files in the top image directory.

use bd_durable::failpoint;
use bd_model::{Gfid, LvName};
use bd_proto::{Fault, ImageInfo};

use super::namespace::Namespace;
use super::{Brick, image, lv_name};

impl Brick {
    /// Lets the name of an image's volume follow the file's names; `new` is the one that the file
    /// has just got, if it has got one.
    pub fn rename(&self, gfid: Gfid, new: Option<&str>) -> Result<ImageInfo, Fault> {
        let (before, volume) = {
            let _image_lock = self.image_locks.lock(&[gfid]);
            let before = self.volume(gfid)?;
            let name = self.name_for(new, gfid)?;
            let volume = self.engine.rename(gfid, &name)?;
            failpoint::reach("rename.done");
            (before.name, volume)
        };
        if before != volume.name {
            self.name_is_free(&before);
        }
        Ok(image(gfid, volume))
    }

    /// The name that an image's volume should bear: its own as long as the file has it, else the
    /// one that the file has just got, else another that it has.
    ///
    /// What the file is called now decides, not what it was called when somebody asked.
    pub(super) fn name_for(&self, new: Option<&str>, gfid: Gfid) -> Result<LvName, Fault> {
        let wanted = |file: Option<&str>| lv_name(&self.config.engine, file, gfid);
        let Some(files) = self
            .namespace
            .names_in(&self.namespace.top(&self.config), gfid)
        else {
            // It has no file yet, or nobody notes its names.
            return Ok(wanted(new));
        };
        let now = self.engine.find(gfid)?.map(|volume| volume.name);
        let bears = |file: &&String| now.as_ref() == Some(&wanted(Some(file)));
        let file = files
            .iter()
            .find(bears)
            .or_else(|| files.iter().find(|file| new == Some(file)))
            .or_else(|| files.first());
        Ok(wanted(file.map(String::as_str)))
    }

    /// Lets volumes of images in the top image directory have the names of their files: a crash may have come
    /// between the two. Nothing else works on the brick meanwhile.
    pub(super) fn settle_names(&self) -> Result<(), Fault> {
        let mut files = Vec::new();
        Namespace::each_file_in(&self.namespace.top(&self.config), |gfid, name| {
            files.push((gfid, name.to_owned()));
        })?;
        for (gfid, file) in files {
            let Some(volume) = self.engine.find(gfid)?.filter(|volume| !volume.outgoing) else {
                continue;
            };
            if self.intents.get(gfid).is_some()
                || volume.name == self.name_for(Some(&file), gfid)?
            {
                continue;
            }
            match self.rename(gfid, Some(&file)) {
                Ok(image) if image.lv != volume.name => {
                    tracing::info!("volume {} is called {} now", volume.name, image.lv);
                }
                Ok(_) => {}
                Err(fault) => tracing::warn!("no name for volume {}: {fault}", volume.name),
            }
        }
        Ok(())
    }

    /// No volume bears `name` any more: the volume of the file of that name may have waited for it.
    pub(super) fn name_is_free(&self, name: &LvName) {
        let renamed = self.give_name(name);
        if let Err(fault) = renamed {
            // A name is for people only, and a check tells of it.
            tracing::warn!("no volume gets the name {name}: {fault}");
        }
    }

    fn give_name(&self, name: &LvName) -> Result<(), Fault> {
        let Some(gfid) = Namespace::file_in(&self.namespace.top(&self.config), name.as_str())?
        else {
            return Ok(());
        };
        // Whoever works on it names it.
        let Some(_image_lock) = self.image_locks.try_lock(gfid) else {
            return Ok(());
        };
        if self.intents.get(gfid).is_none()
            && self.engine.find(gfid)?.is_some()
            && self.name_for(Some(name.as_str()), gfid)? == *name
        {
            self.engine.rename(gfid, name)?;
        }
        Ok(())
    }
}
