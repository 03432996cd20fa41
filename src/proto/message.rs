use std::path::PathBuf;

use bd_model::{BrickId, Bytes, Gfid, ImageKind, LvName, VgName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Adoption, Fault, JobInfo, JobOrder, Work, WorkReport};

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
    /// answers [`Reply::Adoption`].
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
    /// [`Reply::Released`]. No LV of an image is removed; those of images that were removed already go. A brick that is attached is refused.
    ReleaseBrick {
        /// The brick directory.
        dir: PathBuf,
        /// Images stay as LVs; else a brick that has any is refused.
        keep: bool,
    },
    /// Compares a brick's stubs, volumes and intents, and answers [`Reply::Findings`].
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
    /// What became of a merge whose answer was lost: answers [`Reply::Merged`]. If it was not
    /// done, it is not done later.
    SettleMerge {
        /// The brick.
        brick: BrickId,
        /// The snapshot.
        snapshot: Gfid,
    },
    /// Activates the image's LV and answers [`Reply::Opened`] with a descriptor of its device,
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
    /// zeros. Answers [`Reply::Mapped`].
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
    /// The release of the server. Answers [`Reply::Release`].
    Release,
    /// Bricks that were not taken when they asked for it last. Answers [`Reply::Refused`].
    Refused,
    /// Total and free space of the brick's pool or VG.
    Space {
        /// The brick.
        brick: BrickId,
    },
    /// A brick asks for a piece of a job, and tells what became of the one it had. Answers
    /// [`Reply::Work`].
    Work {
        /// The brick.
        brick: BrickId,
        /// The piece it had.
        report: Option<WorkReport>,
    },
    /// All jobs, the oldest first, with those that ended lately.
    Jobs,
    /// Makes a job that moves all that lies on a disk to other disks of its volume group, which a
    /// brick must use; answers [`Reply::Job`]. Asked again for the same disk, it answers the same job.
    Evacuate {
        /// The node of the disk.
        device: String,
    },
    /// Changes a job, and answers [`Reply::Job`].
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

/// What a new brick shall be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrickSpec {
    /// The brick directory; must exist, on a file system with extended attributes.
    pub dir: PathBuf,
    /// Where images live.
    pub engine: EngineSpec,
    /// Name of the top image directory; the VG's or store's name if not given.
    pub top: Option<String>,
    /// Whether LVs that exist already appear as files.
    pub adopt: bool,
}

/// Where images live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineSpec {
    /// On logical volumes.
    Lvm {
        /// The volume group.
        vg: VgName,
        /// The thin pool; without one, images are thick.
        pool: Option<LvName>,
    },
    /// In sparse files of a folder, for hosts without device-mapper.
    File {
        /// The folder.
        store: PathBuf,
    },
}

/// How an image is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyHow {
    /// A full clone, which ends up sharing nothing with its source.
    Clone,
    /// A snapshot, which goes on sharing blocks with its origin.
    Snapshot,
}

/// What gluster-bdd answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "with", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Hello`]: the server's [`crate::VERSION`].
    Hello(u32),
    /// Done; nothing else to say.
    Done,
    /// A brick was made or attached.
    Brick(BrickInfo),
    /// What an old brick holds, and what became of it.
    Adoption(Adoption),
    /// One image.
    Image(ImageInfo),
    /// All images.
    Images(Vec<ImageInfo>),
    /// An image was opened; the descriptor comes with the frame.
    Opened(Opened),
    /// Allocated bytes of several images.
    Allocated(Vec<Option<Bytes>>),
    /// Mapped spans of an image, in order: the first byte, and the byte behind the last one.
    /// `null` where that is not known: all of it may hold data.
    Mapped(Option<Vec<(Bytes, Bytes)>>),
    /// LVs that should appear as files.
    Foreign(Vec<Foreign>),
    /// How thin pools are.
    Pools(Vec<PoolCare>),
    /// What images have read, written and allocated.
    Usage(Vec<ImageUsage>),
    /// The release of the server.
    Release(String),
    /// Bricks that were not taken.
    Refused(Vec<RefusedBrick>),
    /// Space of a brick.
    Space(Space),
    /// A piece of a job; `null` if there is nothing to do now.
    Work(Option<Work>),
    /// Jobs.
    Jobs(Vec<JobInfo>),
    /// A job.
    Job(JobInfo),
    /// A brick is one no more.
    Released(Released),
    /// Whether a merge was done.
    Merged(bool),
    /// What a check found wrong; empty if all is well.
    Findings(Vec<Finding>),
    /// It could not be done, and nothing has changed.
    Fault(Fault),
}

/// What a brick is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrickInfo {
    /// Its identity.
    pub id: BrickId,
    /// Where its images live.
    pub engine: EngineSpec,
    /// Name of the top image directory, directly below the brick's root.
    pub top: String,
    /// The kind of image that its top image directory makes.
    pub kind: ImageKind,
    /// The allocation unit of LVs, in bytes.
    pub extent_size: Bytes,
    /// Whether LVs that exist already appear as files.
    pub adopt: bool,
    /// The Gluster volume that it belongs to, once that has attached it.
    pub volume: Option<Uuid>,
}

/// A brick that was not taken when it asked for it last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedBrick {
    /// Its directory.
    pub dir: PathBuf,
    /// Why, for people.
    pub why: String,
}

/// A brick that is one no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Released {
    /// What it was.
    pub brick: BrickInfo,
    /// LVs of its images, which are still there.
    pub kept: Vec<LvName>,
}

/// Something that a check found wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// For programs.
    pub kind: FindingKind,
    /// The image it is about, if it is known.
    pub gfid: Option<Gfid>,
    /// For people: the object, what is wrong with it, and what mends it.
    pub message: String,
    /// Whether it was mended just now.
    #[serde(default)]
    pub repaired: bool,
}

impl Finding {
    /// Whether it is out of order but harms nobody.
    pub fn is_advice(&self) -> bool {
        matches!(
            self.kind,
            FindingKind::Name
                | FindingKind::NotShown
                | FindingKind::KeptForSnapshots
                | FindingKind::LargeFile
        )
    }
}

/// The kinds of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A stub says it is an image, but there is no volume of its gfid.
    NoVolume,
    /// A volume has a gfid, but there is no stub of it.
    NoStub,
    /// A volume has no gfid and is not shown as a file, because other bricks have the same files.
    NotShown,
    /// A stub that says it is an image has no name, or a name has no handle.
    NoName,
    /// The volume cannot hold the bytes that the stub's size promises.
    TooSmall,
    /// The stub says another kind than the volume is of.
    Kind,
    /// The volume of an image in the top image directory bears another name than the file; names
    /// are for people only.
    Name,
    /// The mark of a stub cannot be read.
    Mark,
    /// The policy of a directory cannot be read.
    Policy,
    /// The destination of a clone or snapshot that was never finished.
    Pending,
    /// An operation on an image was begun and not ended.
    Intent,
    /// The volume of a removed image stays as long as copy-on-write snapshots of it need it.
    KeptForSnapshots,
    /// The file system of the names is nearly full.
    NamesFull,
    /// A plain file takes much of the file system of the names.
    LargeFile,
    /// The thin pool has devices that no LV of the group has, and that LVM would take for new ones.
    StrayDevice,
}

/// What is known of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// The image.
    pub gfid: Gfid,
    /// Its LV (or file of the store).
    pub lv: LvName,
    /// Thin or thick.
    pub kind: ImageKind,
    /// Bytes the LV holds, in whole extents; the image's own size is that of its stub.
    pub lv_size: Bytes,
    /// Bytes that are allocated to it alone or shared with others.
    pub allocated: Bytes,
    /// The thin pool.
    pub pool: Option<LvName>,
    /// The LV that it is a snapshot of.
    pub origin: Option<LvName>,
    /// The image that it is a snapshot of.
    #[serde(default)]
    pub origin_image: Option<Gfid>,
}

/// What an image has read, written and allocated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageUsage {
    /// The directory of its brick.
    pub brick: PathBuf,
    /// The image.
    pub gfid: Gfid,
    /// Its LV (or file of the store).
    pub lv: LvName,
    /// Bytes that are allocated to it, alone or shared; `None` while it is not active.
    pub allocated: Option<Bytes>,
    /// What was done to it; `None` while it is not active, or where nobody counts.
    pub io: Option<IoCounters>,
}

/// What was done to a device since it was activated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoCounters {
    /// Reads that have ended.
    pub reads: u64,
    /// Bytes of them.
    pub read: Bytes,
    /// Writes that have ended.
    pub writes: u64,
    /// Bytes of them.
    pub written: Bytes,
}

/// How a thin pool is, and from when on gluster-bdd extends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolCare {
    /// Its volume group.
    pub vg: VgName,
    /// Its name.
    pub pool: LvName,
    /// Whether it takes writes.
    pub health: PoolHealth,
    /// Bytes of data in use; zero if the pool has failed.
    pub data_used: Bytes,
    /// Bytes for data; zero if the pool has failed.
    pub data_size: Bytes,
    /// Bytes of metadata in use; zero if the pool has failed.
    pub metadata_used: Bytes,
    /// Bytes of metadata; zero if the pool has failed.
    pub metadata_size: Bytes,
    /// How many thin LVs it has.
    pub images: u64,
    /// Bytes of its thin LVs together.
    pub provisioned: Bytes,
    /// All bytes of the volume group.
    pub group_size: Bytes,
    /// Bytes of the volume group that belong to no LV.
    pub group_free: Bytes,
    /// Percent of the data in use from which on it is extended; 100 means never.
    pub extend_at: u64,
    /// Percent of the metadata in use from which on they are extended; 100 means never.
    pub metadata_extend_at: u64,
    /// Bytes that its policy may still add to its data from the volume group.
    #[serde(default)]
    pub data_growable: Bytes,
    /// The same for its metadata.
    #[serde(default)]
    pub metadata_growable: Bytes,
    /// Seconds until its data and all that may be added to them are full, if it goes on as in the
    /// last hours; `None` where that is not known or not within a year.
    #[serde(default)]
    pub full_in: Option<u64>,
    /// The same for its metadata.
    #[serde(default)]
    pub metadata_full_in: Option<u64>,
}

/// Whether a thin pool takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolHealth {
    /// It does.
    Good,
    /// It has no free chunk: writes that need one fail.
    Full,
    /// Its metadata cannot be changed.
    ReadOnly,
    /// It has failed.
    Failed,
}

/// How to use the descriptor of an opened image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// The image.
    pub image: ImageInfo,
    /// Alignment of direct I/O on the device, in bytes; a power of two.
    pub block_size: u32,
    /// Alignment of discards that free space, in bytes; zero if the device has no discard.
    pub discard_granularity: u64,
}

/// An LV that should appear as a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foreign {
    /// The LV.
    pub lv: LvName,
    /// The image it belonged to, if its tag says so.
    pub gfid: Option<Gfid>,
    /// Thin or thick.
    pub kind: ImageKind,
    /// Its bytes.
    pub size: Bytes,
}

/// Space of a brick, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// All of it.
    pub total: Bytes,
    /// What can still be written.
    pub free: Bytes,
    /// What belongs to no volume: thick images can have it.
    pub unclaimed: Bytes,
}
