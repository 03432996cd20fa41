use std::path::PathBuf;

use bd_model::{BrickId, Bytes, Gfid, ImageKind, LvName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BrickSpec, CopyHow, JobOrder, WorkReport};

/// What a client asks of gluster-bdd.
///
/// Requests that name a brick are answered with [`crate::FaultKind::NotAttached`] until that
/// brick was attached by [`Request::AttachBrick`] since the server started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The first request on a connection.
    Hello {
        /// The client's [`crate::VERSION`].
        version: u32,
        /// Who is calling, for the log.
        client: String,
    },
    /// Writes the configuration of a new brick and takes its VG or store for it.
    InitBrick(BrickSpec),
    /// Looks at a brick of the BD translator that GlusterFS 3.5 to 5 had, and makes it one of ours;
    /// answers [`crate::Reply::Adoption`].
    AdoptBrick {
        /// What it is to become.
        spec: BrickSpec,
        /// Do it, if all fits; else nothing is changed.
        #[serde(default)]
        really: bool,
    },
    /// What the configuration in a brick directory says; the brick need not be attached.
    DescribeBrick {
        /// The brick directory.
        dir: PathBuf,
    },
    /// Gives up a brick's claim of its VG or store and removes its configuration; answers
    /// [`crate::Reply::Released`]. No LV of an image is removed; those of images that were removed
    /// already go. A brick that is attached is refused.
    ReleaseBrick {
        /// The brick directory.
        dir: PathBuf,
        /// Images stay as LVs; else a brick that has any is refused.
        keep: bool,
    },
    /// Compares a brick's stubs, volumes and intents, and answers [`crate::Reply::Findings`].
    ///
    /// Operations that are between two requests show as findings, so the answer means most while
    /// the brick is quiet or stopped.
    Check {
        /// The brick directory.
        dir: PathBuf,
        /// Whether what can be mended without a loss is mended; else nothing is changed.
        #[serde(default)]
        repair: bool,
    },
    /// Reads a brick's configuration and begins to serve it.
    AttachBrick {
        /// The brick directory.
        dir: PathBuf,
        /// The Gluster volume the brick belongs to.
        volume: Uuid,
        /// The brick starts: repair what a crash left. It must not serve clients yet, and
        /// requests of an earlier process of this brick are refused from now on.
        ///
        /// Not set when a serving brick attaches again after the server was restarted: then the
        /// operations that were under way stay as they are until the brick commits, aborts,
        /// spares or removes them.
        fresh: bool,
        /// Other bricks have the same files, and heal brings back what this one has lost: an LV
        /// without a stub waits for it, and is not shown as a file.
        #[serde(default, skip_serializing_if = "is_not")]
        heals: bool,
    },
    /// Makes an LV for a new image, under an intent that [`Request::Commit`] or
    /// [`Request::Abort`] ends.
    Create {
        /// The brick.
        brick: BrickId,
        /// The new image.
        gfid: Gfid,
        /// The file's name, where the LV should bear it.
        name: Option<String>,
        /// Thin or thick.
        kind: ImageKind,
        /// Bytes the LV must hold; rounded up to whole extents, at least one.
        size: Bytes,
        /// The stub exists and holds bytes which will be copied into the LV: after a crash the
        /// stub's bytes count, not the LV's.
        import: bool,
    },
    /// Takes the LV of an image again whose stub heal makes anew, with the bytes it has, and gives
    /// it the file's name. Answers [`crate::FaultKind::NotFound`] if there is none.
    Retake {
        /// The brick.
        brick: BrickId,
        /// The image.
        gfid: Gfid,
        /// The file's name, where the LV should bear it.
        name: Option<String>,
    },
    /// Makes an LV as clone or snapshot of an image, under an intent as for a create.
    Copy {
        /// The brick.
        brick: BrickId,
        /// The image to copy.
        source: Gfid,
        /// The new image.
        dest: Gfid,
        /// The new file's name, where the LV should bear it.
        name: Option<String>,
        /// Clone or snapshot.
        how: CopyHow,
        /// For snapshots of thick images: bytes of the copy-on-write space; chosen so that it
        /// cannot overflow when not given.
        cow_size: Option<Bytes>,
    },
    /// The namespace holds the image: ends the intent of a create or copy.
    Commit {
        /// The brick.
        brick: BrickId,
        /// The image.
        gfid: Gfid,
    },
    /// The namespace does not hold the image: removes an LV that was never committed.
    Abort {
        /// The brick.
        brick: BrickId,
        /// The image.
        gfid: Gfid,
    },
    /// The last name of an image is about to go: records it, so that the LV goes too even after
    /// a crash. Must be called before the name is removed.
    Condemn {
        /// The brick.
        brick: BrickId,
        /// The image.
        gfid: Gfid,
    },
    /// The name could not be removed after all: ends the intent of a condemn.
    Spare {
        /// The brick.
        brick: BrickId,
        /// The image.
        gfid: Gfid,
    },
    /// The name is gone and nobody has the image open: removes the LV of a condemned image.
    Remove {
        /// The brick.
        brick: BrickId,
        /// The image.
        gfid: Gfid,
    },
    /// Gives a snapshot's content to its origin: their LVs change places, under an intent. From
    /// then on the origin's stub is `size` bytes long for every later start, and the snapshot's is
    /// gone; the brick sees to both, and then asks for [`Request::Remove`] of the snapshot, which
    /// removes the LV that was the origin's.
    ///
    /// Nobody has the snapshot open, and the brick holds all I/O on the origin.
    Merge {
        /// The brick.
        brick: BrickId,
        /// The snapshot.
        snapshot: Gfid,
        /// The image it is a snapshot of.
        origin: Gfid,
        /// Bytes of the snapshot's file.
        size: Bytes,
    },
    /// What became of a merge whose answer was lost: answers [`crate::Reply::Merged`]. If it was not
    /// done, it is not done later.
    SettleMerge {
        /// The brick.
        brick: BrickId,
        /// The snapshot.
        snapshot: Gfid,
    },
    /// Activates the image's LV and answers [`crate::Reply::Opened`] with a descriptor of its device,
    /// open for reading, writing and direct I/O.
    Open {
        /// The brick.
        brick: BrickId,
        /// The image.
        gfid: Gfid,
    },
    /// Grows or shrinks the LV so that it holds `size` bytes in the fewest extents.
    ///
    /// New blocks read as zeros. The caller has made sure that bytes past a shrunk end are gone
    /// from the file.
    Resize {
        /// The brick.
        brick: BrickId,
        /// The image.
        gfid: Gfid,
        /// Bytes the LV must hold; rounded up to whole extents, at least one.
        size: Bytes,
    },
    /// The file has got or lost a name: the LV follows. It keeps its own as long as the file has
    /// it in the top image directory, and bears its gfid if the file has no name there.
    Rename {
        /// The brick.
        brick: BrickId,
        /// The image.
        gfid: Gfid,
        /// The file's new name in the top image directory, if it has got one.
        name: Option<String>,
    },
    /// What is known of one image.
    Info {
        /// The brick.
        brick: BrickId,
        /// The image.
        gfid: Gfid,
    },
    /// The allocated bytes of several images, in order; `null` for those not known.
    Allocated {
        /// The brick.
        brick: BrickId,
        /// The images.
        gfids: Vec<Gfid>,
    },
    /// Which bytes of an image are mapped, at a moment after it was asked: all else reads as
    /// zeros. Answers [`crate::Reply::Mapped`].
    Mapped {
        /// The brick.
        brick: BrickId,
        /// The image.
        gfid: Gfid,
    },
    /// Brings what was written to an image to stable storage, where the flush of its device got "no
    /// space": device-mapper refuses that of a thin LV whose first chunk is not mapped, while its
    /// pool is full. Answered with [`crate::FaultKind::NoSpace`] where there is no other way.
    Sync {
        /// The brick.
        brick: BrickId,
        /// The image.
        gfid: Gfid,
    },
    /// All images of a brick.
    List {
        /// The brick.
        brick: BrickId,
    },
    /// LVs that should appear as files: those without a gfid, and those with a gfid but
    /// without a stub.
    Foreign {
        /// The brick.
        brick: BrickId,
    },
    /// Makes a foreign LV an image: tags it with the gfid of the stub that now stands for it.
    Adopt {
        /// The brick.
        brick: BrickId,
        /// The LV.
        lv: LvName,
        /// The image it becomes.
        gfid: Gfid,
    },
    /// How the thin pools of all attached bricks are, and what is done about them.
    Pools,
    /// What each image of the attached bricks has read, written and allocated.
    Usage,
    /// The release of the server. Answers [`crate::Reply::Release`].
    Release,
    /// Bricks that were not taken when they asked for it last. Answers [`crate::Reply::Refused`].
    Refused,
    /// Total and free space of the brick's pool or VG.
    Space {
        /// The brick.
        brick: BrickId,
    },
    /// A brick asks for a piece of a job, and tells what became of the one it had. Answers
    /// [`crate::Reply::Work`].
    Work {
        /// The brick.
        brick: BrickId,
        /// The piece it had.
        report: Option<WorkReport>,
    },
    /// All jobs, the oldest first, with those that ended lately.
    Jobs,
    /// Makes a job that moves all that lies on a disk to other disks of its volume group, which a
    /// brick must use; answers [`crate::Reply::Job`]. Asked again for the same disk, it answers the same job.
    Evacuate {
        /// The node of the disk.
        device: String,
    },
    /// Changes a job, and answers [`crate::Reply::Job`].
    OrderJob {
        /// Its number.
        id: u64,
        /// What is wanted of it.
        order: JobOrder,
    },
}

/// For serde: whether a switch is off.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_not(switch: &bool) -> bool {
    !*switch
}
