//! What has to be done though no client asks.

mod abandoned;
pub(crate) mod hydrator;
mod show;

use std::io;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) use self::show::{doubt_top, show_first};
use crate::Brick;
use crate::ops::{flush, merge};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

/// How long stubs may not know when their images were written.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How often LVs are looked for that nobody has given a name yet, in turns of [`SAVE_EVERY`].
const ADOPT_TURNS: u64 = 3;
/// How often images that nobody holds are forgotten, in turns of [`SAVE_EVERY`].
const SWEEP_TURNS: u64 = 30;

/// The brick's own thread: what has to be done though no client asks.
#[derive(Debug)]
pub(crate) struct Maintenance {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Maintenance {
    /// Starts the thread. It keeps no brick alive.
    pub(crate) fn start(brick: &Arc<Brick>) -> io::Result<Maintenance> {
        let (stop, stopped) = bounded(0);
        let brick = Arc::downgrade(brick);
        let thread = std::thread::Builder::new()
            .name("bd-maintenance".to_owned())
            .spawn(move || {
                let mut turn: u64 = 0;
                while stopped.recv_timeout(SAVE_EVERY) == Err(RecvTimeoutError::Timeout) {
                    turn += 1;
                    let Some(brick) = Weak::upgrade(&brick) else {
                        return;
                    };
                    brick.xl.node().enter(|| take_turn(&brick, turn));
                }
            })?;
        Ok(Maintenance { stop, thread })
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.thread().id() != std::thread::current().id() {
            let _ended = self.thread.join();
        }
    }
}

fn take_turn(brick: &Arc<Brick>, turn: u64) {
    save(brick);
    // While gluster-bdd is away, whoever needs it says so.
    let _settled = brick.server.settle();
    merge::settle_all(brick);
    merge::forget_promises(brick);
    if turn.is_multiple_of(SWEEP_TURNS) {
        brick.images.sweep();
    }
    if turn.is_multiple_of(ADOPT_TURNS) && brick.top_is_known() {
        show::show_new(brick);
        abandoned::remove_abandoned(brick);
    }
}

/// Writes the times of images to their stubs.
pub(crate) fn save(brick: &Brick) {
    for (inode, image) in brick.take_unsaved() {
        flush::save_times(brick, &inode, &image);
    }
}
