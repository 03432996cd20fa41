use std::fmt;
use std::path::Path;

use bd_dm_thin::{Inherited, Spans};
use bd_lvm::{PvName, PvReport};
use bd_model::{BrickId, Bytes, Gfid, ImageKind, LvName};
use bd_proto::{EngineSpec, FaultKind, Finding, PoolInfo, Space};

use crate::thin_pool::Attention;
use crate::{BackingVolume, EngineError, OpenVolume, Removed, Standing, Used};

/// A place where images live: the volumes of one VG, or the files of one store.
///
/// All calls block, and may be made from several threads at once. An image is found by its
/// gfid; names are for people. Each verb either does all it says or leaves no trace.
pub trait Engine: fmt::Debug + Send + Sync {
    /// What it was made from.
    fn spec(&self) -> EngineSpec;

    /// What tells its VG from all others, whatever that is called; `None` where a name is all.
    fn identity(&self) -> Option<String> {
        None
    }

    /// The allocation unit in bytes.
    fn extent_size(&self) -> Bytes;

    /// The kind of image it makes unless asked for another.
    fn default_kind(&self) -> ImageKind;

    /// Takes the VG or store for a brick, so that no other brick or host uses it.
    ///
    /// Asking again for the same brick changes nothing.
    fn claim(&self, brick: BrickId) -> Result<(), EngineError>;

    /// Keeps in `folder`, from now on, what is needed to find the volumes again if the VG's metadata are
    /// lost. What fails is told in the log.
    fn keep_metadata(&self, folder: &Path) {
        let _ = folder;
    }

    /// Gives up the claim of `brick`; changes nothing where another brick or none has it.
    fn release(&self, brick: BrickId) -> Result<(), EngineError>;

    /// Which brick has taken it.
    fn claimed_by(&self) -> Result<Option<BrickId>, EngineError>;

    /// All volumes which may appear as files, read afresh.
    ///
    /// Internal ones are left out, and those that belong to no image and are in use: mounted
    /// file systems of the host, for example.
    fn volumes(&self) -> Result<Vec<BackingVolume>, EngineError>;

    /// As [`Engine::volumes`], but what others have changed may be missing for some seconds. For
    /// who asks again and again.
    fn volumes_lately(&self) -> Result<Vec<BackingVolume>, EngineError> {
        self.volumes()
    }

    /// All volumes but internal ones, read afresh.
    fn inventory(&self) -> Result<Vec<Standing>, EngineError> {
        let free = |volume| Standing {
            volume,
            open: false,
            hidden: false,
        };
        Ok(self.volumes()?.into_iter().map(free).collect())
    }

    /// The volume of an image, from memory where that is in step.
    fn find(&self, gfid: Gfid) -> Result<Option<BackingVolume>, EngineError>;

    /// Makes a volume of at least `size` bytes that reads as zeros.
    ///
    /// If `name` is taken by another volume, the new one is named by its gfid.
    fn create(
        &self,
        gfid: Gfid,
        name: &LvName,
        kind: ImageKind,
        size: Bytes,
    ) -> Result<BackingVolume, EngineError>;

    /// Makes a snapshot of an image.
    ///
    /// `cow_size` is the space of a copy-on-write snapshot, which is lost when more than that is
    /// written to either side; one that cannot overflow is chosen when not given. Other snapshots
    /// have no size of their own, and are refused with one.
    fn snapshot(
        &self,
        source: Gfid,
        dest: Gfid,
        name: &LvName,
        cow_size: Option<Bytes>,
    ) -> Result<BackingVolume, EngineError>;

    /// Makes a full clone of an image, complete and independent for its user at once.
    fn clone_image(
        &self,
        source: Gfid,
        dest: Gfid,
        name: &LvName,
    ) -> Result<BackingVolume, EngineError>;

    /// Gives the volume of a snapshot to its origin, and the origin's to the snapshot, which is
    /// then [`BackingVolume::outgoing`]. Answers the origin's new volume.
    ///
    /// A volume that says of no image that it is a snapshot of it is taken at the caller's word: heal
    /// has made it, and copied its bytes from a replica that knows.
    ///
    /// The change is made at one moment: a crash leaves all of it or nothing. Who has one of the
    /// two open goes on with the bytes that were open. Copy-on-write snapshots are refused.
    fn merge(&self, snapshot: Gfid, origin: Gfid) -> Result<BackingVolume, EngineError>;

    /// Grows or shrinks a volume to the fewest extents that hold `size`; new blocks read as zeros.
    fn resize(&self, gfid: Gfid, size: Bytes) -> Result<BackingVolume, EngineError>;

    /// Renames a volume; if the name is taken by another, it is named by its gfid instead.
    fn rename(&self, gfid: Gfid, name: &LvName) -> Result<BackingVolume, EngineError>;

    /// Removes a volume.
    fn remove(&self, gfid: Gfid) -> Result<Removed, EngineError>;

    /// Gives a volume that belongs to nobody, or to `gfid` already, to the image `gfid`.
    fn adopt(&self, name: &LvName, gfid: Gfid) -> Result<BackingVolume, EngineError>;

    /// Activates a volume and opens it.
    fn open(&self, gfid: Gfid) -> Result<OpenVolume, EngineError>;

    /// Brings what was written to an image to stable storage, though the flush of its device got
    /// "no space".
    fn sync(&self, gfid: Gfid) -> Result<(), EngineError> {
        Err(EngineError::new(
            FaultKind::NoSpace,
            format!("cannot flush image {gfid} but by its device; make room there"),
        ))
    }

    /// Allocated bytes of each image; `None` where not known without activating it.
    fn allocated(&self, gfids: &[Gfid]) -> Result<Vec<Option<Bytes>>, EngineError>;

    /// Makes the mappings of this moment readable by [`Engine::mapped`], until
    /// [`Engine::release_mappings`]. Fails if somebody else has done so.
    fn reserve_mappings(&self) -> Result<(), EngineError>;

    /// Which bytes of an image are mapped, in order; `None` where that is not known.
    fn mapped(&self, gfid: Gfid) -> Result<Option<Spans>, EngineError>;

    /// Which chunks an image has from the one that it was copied of, by the same mappings, and in
    /// order; `None` if there are no such chunks, ever. `before` is that of an earlier answer.
    fn inherited(
        &self,
        _gfid: Gfid,
        _before: Option<u64>,
    ) -> Result<Option<Inherited>, EngineError> {
        Ok(None)
    }

    /// Gives up what [`Engine::reserve_mappings`], of this or an earlier process, has reserved.
    fn release_mappings(&self) -> Result<(), EngineError>;

    /// Looks after its thin pool: extends it where the policy says so, and logs what it did and
    /// what it could not do.
    fn tend(&self) -> Attention {
        Attention::None
    }

    /// Lets go of what nobody has used for a while, and what comes back at the next use.
    fn rest_idle(&self) {}

    /// How its thin pool is; `None` without one, or while it is not active.
    fn pool(&self) -> Result<Option<PoolInfo>, EngineError> {
        Ok(None)
    }

    /// What is wrong with its store, apart from any image.
    fn finding(&self) -> Option<Finding> {
        None
    }

    /// Why a job should not write `now` bytes to new chunks of the pool, of `all` that it is to
    /// write; `None` if it may.
    fn no_room(&self, _now: Bytes, _all: Bytes) -> Result<Option<String>, EngineError> {
        Ok(None)
    }

    /// What lies on a disk; `None` if it is none of this group's.
    fn disk(&self, _pv: &PvName) -> Result<Option<PvReport>, EngineError> {
        Ok(None)
    }

    /// Moves a piece of what lies on a disk to other disks of the group, while its users go on;
    /// answers the bytes that are left. A piece has `most` bytes, or less where the engine has it
    /// so, but one extent at least. If `is_new`, it only sees to it that nothing new comes there.
    fn move_piece(&self, pv: &PvName, _is_new: bool, _most: Bytes) -> Result<u64, EngineError> {
        Err(EngineError::new(
            FaultKind::Unsupported,
            format!("cannot move what lies on {pv}: images are no logical volumes here"),
        ))
    }

    /// Lets new volumes come to a disk again.
    fn allow_disk(&self, _pv: &PvName) -> Result<(), EngineError> {
        Ok(())
    }

    /// Bytes of an image that are still to be zeroed, where a call does not do it itself: because it
    /// is much, or because [`Engine::zero_piece`] has begun. `None` if there are none.
    ///
    /// As long as there are some, [`Engine::create`] and [`Engine::resize`] have succeeded but must
    /// not be told of, and other calls that need the bytes are refused as [`FaultKind::Busy`].
    fn unzeroed(&self, _gfid: Gfid) -> Option<Bytes> {
        None
    }

    /// The images for which [`Engine::unzeroed`] knows bytes.
    fn all_unzeroed(&self) -> Vec<Gfid> {
        Vec::new()
    }

    /// Zeroes `most` of these bytes, and answers how many are left.
    fn zero_piece(&self, _gfid: Gfid, _most: Bytes) -> Result<Bytes, EngineError> {
        Ok(Bytes(0))
    }

    /// Writes down how far [`Engine::zero_piece`] has come, so that it goes on there after a crash,
    /// and lets go of the volume until it goes on.
    fn keep_zeroed(&self, _gfid: Gfid) -> Result<(), EngineError> {
        Ok(())
    }

    /// Gives back what an image has grown by, as far as that is known, if it is still to be zeroed.
    fn take_back_growth(&self, _gfid: Gfid) -> Result<(), EngineError> {
        Ok(())
    }

    /// Whether images were read or written since this was asked last, but for what is zeroed.
    fn clients_at_work(&self) -> bool {
        false
    }

    /// How many images it has, where it knows that without asking anybody.
    fn count(&self) -> Option<u64> {
        None
    }

    /// What was read, written and allocated, of each image; asks LVM nothing.
    fn used(&self) -> Vec<Used> {
        let used = self.known().into_iter().filter_map(|volume| {
            volume.gfid.map(|gfid| Used {
                gfid,
                name: volume.name,
                allocated: Some(volume.allocated),
                io: None,
            })
        });
        used.collect()
    }

    /// All volumes that belong to images, as far as it knows them without asking anybody.
    fn known(&self) -> Vec<BackingVolume> {
        Vec::new()
    }

    /// Total and free bytes.
    fn space(&self) -> Result<Space, EngineError>;
}
