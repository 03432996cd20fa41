//! The commands, one file each.

mod adopt;
mod brick_create;
mod brick_init;
mod brick_remove;
mod brick_show;
mod check;
mod clone;
mod complete_names;
mod completions;
mod copy;
mod create;
mod delete;
mod info;
mod job_list;
mod job_order;
mod job_show;
mod job_wait;
mod list;
mod merge;
mod pool_extend;
mod pool_status;
mod rename;
mod resize;
mod snapshot;
mod storage_create;
mod storage_evacuate;
mod storage_list;
mod top;
mod tree;
mod volfile_filter;
mod volume_add_brick;
mod volume_create;
mod volume_delete;
mod volume_set_virt;

use bd_proto::JobOrder;
use clap::{Parser, Subcommand};

use crate::context::Context;
use crate::{CliError, Exit};

/// Serve logical volumes as files of a Gluster volume
///
/// Images are named VOL:/PATH, or VOL:NAME in the volume's top image directory. Sizes are as LVM
/// takes them (10G, 512MiB, 1.5t); a bare number is MiB, and b means bytes.
///
/// Exit status: 0 done, 1 failed (or a check found something), 2 usage, 3 not found, 4 gluster-bdd
/// or the volume does not answer, 5 refused because the object is in use, exists already or belongs
/// to another. Ctrl-C lets a command end the step that is under way and undo what it has begun, and
/// a second one ends it at once.
#[derive(Debug, Parser)]
#[command(name = "gluster-bd", version, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    context: Context,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an image
    Create(create::Create),
    /// Remove images
    Delete(delete::Delete),
    /// Make a full copy of an image
    Clone(clone::Clone),
    /// Make a snapshot of an image
    Snapshot(snapshot::Snapshot),
    /// Give the content of a snapshot back to the image it was taken of
    Merge(merge::Merge),
    /// Make an image larger or smaller
    Resize(resize::ResizeImage),
    /// Give an image another name
    Rename(rename::Rename),
    /// List the images of a volume or directory
    List(list::List),
    /// Show one image
    Info(info::Info),
    /// Show images below those that they are snapshots of
    Tree(tree::Tree),
    /// Show which images of this host read, write and grow most, as it happens
    Top(top::Top),
    /// Look for disks and make volume groups of this host
    #[command(subcommand)]
    Storage(Storage),
    /// Show and extend thin pools of this host
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Show and steer work in the background of this host: clones that become independent, disks that are emptied
    #[command(subcommand)]
    Job(Job),
    /// Make volumes of bricks on volume groups
    #[command(subcommand)]
    Volume(Volume),
    /// Make, show and release bricks
    #[command(subcommand)]
    Brick(Brick),
    /// Take over a brick of the BD translator that GlusterFS 3.5 to 5 had
    ///
    /// Tells what each of its files becomes, and what does not fit; exits 1 if something does not.
    /// No LV changes its name, its size or a byte.
    Adopt(adopt::Adopt),
    /// Look for what is wrong with a brick or this host, and mend it; exits 1 if something is
    Check(check::Check),
    /// Print the completions for a shell
    Completions(completions::Completions),
    /// Print the names that the last word can become; completions run this
    #[command(hide = true)]
    CompleteNames(complete_names::CompleteNames),
    /// Put the translators into a volfile; glusterd runs this
    VolfileFilter(volfile_filter::VolfileFilter),
}

#[derive(Debug, Subcommand)]
enum Storage {
    /// List disks, partitions and loop devices, and what they hold
    List(storage_list::StorageList),
    /// Make a volume group with a thin pool on empty disks
    Create(storage_create::StorageCreate),
    /// Move all that lies on a disk to the other disks of its volume group, in the background
    Evacuate(storage_evacuate::StorageEvacuate),
}

#[derive(Debug, Subcommand)]
enum PoolCommand {
    /// Show how full thin pools are
    Status(pool_status::PoolStatus),
    /// Give a thin pool more of its volume group
    Extend(pool_extend::PoolExtend),
}

#[derive(Debug, Subcommand)]
enum Job {
    /// List jobs, the oldest first
    List(job_list::JobList),
    /// Show one job
    Show(job_show::JobShow),
    /// Wait until jobs are over, and show how far they are; exits 1 if one is not done then
    Wait(job_wait::JobWait),
    /// Let jobs rest until they are resumed, also over restarts
    Pause(job_order::JobIds),
    /// Let jobs go on
    Resume(job_order::JobIds),
    /// End jobs; what they have done stays
    Cancel(job_order::JobIds),
}

#[derive(Debug, Subcommand)]
enum Volume {
    /// Make bricks on volume groups, and a Gluster volume of them
    Create(volume_create::VolumeCreate),
    /// Delete a volume and what was made for it: mount, bricks, the file systems of their names
    Delete(volume_delete::VolumeDelete),
    /// Make bricks on volume groups, and add them to a volume
    AddBrick(volume_add_brick::AddBrick),
    /// Set the options for images of virtual machines
    SetVirt(volume_set_virt::SetVirt),
}

#[derive(Debug, Subcommand)]
enum Brick {
    /// Make a brick on a volume group, with its file system
    Create(brick_create::BrickCreate),
    /// Make a directory a brick whose images live in a volume group
    Init(brick_init::Init),
    /// Show what a brick is made of
    Show(brick_show::Show),
    /// Release a brick's volume group or store; no image's volume is removed
    Remove(brick_remove::Remove),
}

impl Arguments {
    /// Runs the command.
    pub fn run(self) -> Result<Exit, CliError> {
        let context = &self.context;
        match self.command {
            Command::Create(command) => command.run(context),
            Command::Delete(command) => command.run(context),
            Command::Clone(command) => command.run(context),
            Command::Snapshot(command) => command.run(context),
            Command::Merge(command) => command.run(context),
            Command::Resize(command) => command.run(context),
            Command::Rename(command) => command.run(context),
            Command::List(command) => command.run(context),
            Command::Info(command) => command.run(context),
            Command::Tree(command) => command.run(context),
            Command::Top(command) => command.run(context),
            Command::Storage(Storage::List(command)) => command.run(context),
            Command::Storage(Storage::Create(command)) => command.run(context),
            Command::Storage(Storage::Evacuate(command)) => command.run(context),
            Command::Pool(PoolCommand::Status(command)) => command.run(context),
            Command::Pool(PoolCommand::Extend(command)) => command.run(context),
            Command::Job(Job::List(command)) => command.run(context),
            Command::Job(Job::Show(command)) => command.run(context),
            Command::Job(Job::Wait(command)) => command.run(context),
            Command::Job(Job::Pause(jobs)) => jobs.order(context, JobOrder::Pause),
            Command::Job(Job::Resume(jobs)) => jobs.order(context, JobOrder::Resume),
            Command::Job(Job::Cancel(jobs)) => jobs.order(context, JobOrder::Cancel),
            Command::Volume(Volume::Create(command)) => command.run(context),
            Command::Volume(Volume::Delete(command)) => command.run(context),
            Command::Volume(Volume::AddBrick(command)) => command.run(context),
            Command::Volume(Volume::SetVirt(command)) => command.run(context),
            Command::Brick(Brick::Create(command)) => command.run(context),
            Command::Brick(Brick::Init(command)) => command.run(context),
            Command::Brick(Brick::Show(command)) => command.run(context),
            Command::Brick(Brick::Remove(command)) => command.run(context),
            Command::Adopt(command) => command.run(context),
            Command::Check(command) => command.run(context),
            Command::Completions(command) => command.run(),
            Command::CompleteNames(command) => command.run(context),
            Command::VolfileFilter(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod json_tests;
#[cfg(test)]
mod tests;
