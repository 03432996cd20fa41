//! Full clones.

use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use bd_engine::{BackingVolume, EngineError};
use bd_lvm::{LvReport, Tag};
use bd_model::{Bytes, Extents, Gfid, LvName};
use bd_proto::FaultKind;

use super::create::cow_extents;
use super::kernel::Node;
use super::model::visible_size;
use super::{LvmEngine, fault};

/// Bytes copied at once.
const SLICE: usize = 4 << 20;
/// Alignment in memory that direct I/O takes on every device.
const PAGE: usize = 4096;

impl LvmEngine {
    pub(super) fn make_clone(
        &self,
        source: Gfid,
        dest: Gfid,
        name: &LvName,
    ) -> Result<BackingVolume, EngineError> {
        let what = format!("clone image {source} to {}", self.path(name));
        let _image_lock = self.image_locks.lock(&[source, dest]);
        let (vg_lock, origin) = self.source_of_copy(&what, source, dest)?;
        if origin.is_thin() {
            self.snapshot_thin(&vg_lock, &what, &origin, dest, name)?;
            return self.known(dest).ok_or_else(|| self.unknown(&what, dest));
        }
        let extents = self.extents(&what, visible_size(&origin))?;
        let tags = vec![Tag::Gfid(dest), Tag::Unfinished];
        let made = self.make_linear(&vg_lock, &what, dest, name, extents, tags)?;
        drop(vg_lock);
        let copied = if origin.is_cow() {
            // There is no snapshot of a snapshot to copy from; `_image_lock` keeps new users away.
            self.copy_quiet(&what, &origin, &made)
        } else {
            self.copy_frozen(&what, &origin, &made)
        };
        if let Err(error) = copied {
            self.undo(&made);
            return Err(error);
        }
        self.retag(&self.vg_lock(), &what, dest, &[], &[Tag::Unfinished])?;
        self.known(dest).ok_or_else(|| self.unknown(&what, dest))
    }

    /// Copies through a temporary snapshot, while the source may be written.
    fn copy_frozen(
        &self,
        what: &str,
        origin: &LvReport,
        made: &LvReport,
    ) -> Result<(), EngineError> {
        let frozen = {
            let vg_lock = self.vg_lock();
            let free = self.model().vg.free;
            let extents = Extents(cow_extents(origin.size, self.extent).0.min(free.0));
            if extents.0 == 0 {
                return Err(self.no_space(&vg_lock, what, self.extent));
            }
            // It has no gfid, so that nobody takes it for an image.
            let name = Gfid::random();
            let tags = vec![Tag::Temporary];
            let wanted = LvName::for_gfid(name);
            self.snapshot_cow(&vg_lock, what, origin, name, &wanted, extents, tags)?
        };
        let copied = self.copy_bytes(what, &frozen, made);
        self.undo(&frozen);
        copied
    }

    fn copy_quiet(
        &self,
        what: &str,
        origin: &LvReport,
        made: &LvReport,
    ) -> Result<(), EngineError> {
        let device = self
            .kernel
            .by_uuid(&self.dm_uuid(origin))
            .map_err(|e| fault::failed(what, e))?;
        if device.is_some_and(|device| device.open_count > 0) {
            return Err(EngineError::new(
                FaultKind::Busy,
                format!(
                    "cannot {what}: {} is a copy-on-write snapshot, which can be cloned only \
                     while nobody has it open",
                    self.path(&origin.name)
                ),
            ));
        }
        self.copy_bytes(what, origin, made)
    }

    fn copy_bytes(&self, what: &str, from: &LvReport, to: &LvReport) -> Result<(), EngineError> {
        let source = self.node(what, from)?;
        let dest = self.node(what, to)?;
        self.copy_range(&source, &dest, visible_size(from))
            .map_err(|e| fault::failed(&format!("{what}: copying stopped"), e))
    }

    /// Copies all of it; zeros are written too, because the new LV holds old bytes.
    fn copy_range(&self, source: &Node, dest: &Node, size: Bytes) -> io::Result<()> {
        let mut memory = vec![0; SLICE + PAGE];
        let start = memory.as_ptr().align_offset(PAGE);
        let buffer = memory
            .get_mut(start..start + SLICE)
            .ok_or(ErrorKind::OutOfMemory)?;
        let mut at = 0;
        while at < size.0 {
            let rest = usize::try_from(size.0 - at).unwrap_or(usize::MAX);
            let slice = &mut buffer[..rest.min(SLICE)];
            source.file.read_exact_at(slice, at)?;
            let len = Bytes(u64::try_from(slice.len()).map_err(io::Error::other)?);
            if slice.iter().all(|byte| *byte == 0) {
                self.kernel.zero(&dest.file, Bytes(at), len)?;
            } else {
                dest.file.write_all_at(slice, at)?;
            }
            at += len.0;
        }
        dest.file.sync_all()
    }
}
