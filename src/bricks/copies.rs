//! Clones and snapshots.

use bd_durable::failpoint;
use bd_model::{Bytes, Gfid};
use bd_proto::{CopyHow, Fault, FaultKind, ImageInfo};

use super::images::under_way;
use super::intent::Intent;
use super::{Brick, image};

impl Brick {
    /// Makes a volume as clone or snapshot of an image, under an intent.
    ///
    /// Asked again before it was committed (the answer got lost), it gives the volume that was
    /// made then.
    pub fn copy(
        &self,
        source: Gfid,
        dest: Gfid,
        name: Option<&str>,
        how: CopyHow,
        cow_size: Option<Bytes>,
    ) -> Result<ImageInfo, Fault> {
        if source == dest {
            let message = format!("image {source} cannot be copied to itself");
            return Err(Fault::new(FaultKind::Invalid, message));
        }
        let _image_lock = self.image_locks.lock(&[source, dest]);
        let intent = Intent::Copy { source, how };
        match self.intents.get(dest) {
            None => self.must_be_new(dest)?,
            Some(begun) if begun == intent => {
                if let Some(volume) = self.engine.find(dest)? {
                    return Ok(image(dest, volume));
                }
            }
            Some(other) => return Err(under_way(dest, other)),
        }
        self.volume(source)?;
        self.intents.put(dest, intent)?;
        failpoint::reach("copy.intended");
        let name = self.name_for(name, dest)?;
        let outcome = match how {
            CopyHow::Clone => self.engine.clone_image(source, dest, &name),
            CopyHow::Snapshot => self.engine.snapshot(source, dest, &name, cow_size),
        };
        let volume = self.made(dest, outcome)?;
        failpoint::reach("copy.made");
        Ok(image(dest, volume))
    }
}
