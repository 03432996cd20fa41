use std::io;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bd_model::{Bytes, Gfid, Pace};
use bd_proto::{Reply, Request, Work, WorkReport, WorkStop};
use blockdev::Span;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use glusterfs::{Errno, gf_warn};

use crate::Brick;
use crate::Image;
use bd_image::{Failure, Hydrated};

/// How often gluster-bdd is asked for work when there was none.
const IDLE: Duration = Duration::from_secs(2);
/// After this time what was done is told, though more is left of a piece.
const SLICE: Duration = Duration::from_secs(2);

/// The brick's thread for work in the background: makes clones independent of their sources.
///
/// gluster-bdd says which chunks. This thread alone waits for them; clients wait for the chunk at
/// most that is just being copied.
#[derive(Debug)]
pub(crate) struct Hydrator {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Hydrator {
    /// Starts the thread. It keeps no brick alive.
    pub(crate) fn start(brick: &Arc<Brick>) -> io::Result<Hydrator> {
        let (stop, stopped) = bounded(0);
        let brick = Arc::downgrade(brick);
        let thread = std::thread::Builder::new()
            .name("bd-hydrate".to_owned())
            .spawn(move || run(&brick, &stopped))?;
        Ok(Hydrator { stop, thread })
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.thread().id() != std::thread::current().id() {
            let _ended = self.thread.join();
        }
    }
}

fn run(brick: &Weak<Brick>, stopped: &Receiver<()>) {
    let mut report = None;
    let mut held: Option<Arc<Image>> = None;
    let mut pause = IDLE;
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let Some(brick) = Weak::upgrade(brick) else {
            return;
        };
        let request = Request::Work {
            brick: brick.server.id(),
            report: report.take(),
        };
        brick.xl.node().enter(|| {
            // While gluster-bdd is away there is nothing to do; it reads anew what is left.
            let work = match brick.server.ask(&request) {
                Ok(Reply::Work(work)) => work,
                Ok(_) | Err(_) => None,
            };
            let next = work.as_ref().map(|work| work.gfid);
            if let Some(image) = held.take_if(|image| Some(image.gfid()) != next) {
                image.close_idle_device();
            }
            pause = match work {
                None => IDLE,
                Some(work) => {
                    report = Some(do_piece(&brick, stopped, &work, &mut held));
                    Duration::ZERO
                }
            };
        });
    }
    if let Some(image) = held {
        image.close_idle_device();
    }
}

/// Does a piece of work, or as much as there is time for.
fn do_piece(
    brick: &Arc<Brick>,
    stopped: &Receiver<()>,
    work: &Work,
    held: &mut Option<Arc<Image>>,
) -> WorkReport {
    let mut done = 0;
    let stop = match find(brick, work.gfid, held) {
        Ok(image) => chunks(brick, stopped, work, &image, &mut done).err(),
        Err(stop) => Some(stop),
    };
    if let Some(WorkStop::Failed(why)) = &stop {
        gf_warn!("cannot hydrate image <gfid:{}>: {why}", work.gfid);
    }
    WorkReport {
        job: work.job,
        done: Bytes(done),
        stopped: stop,
    }
}

/// The image, which is then held until there is other work.
fn find(brick: &Brick, gfid: Gfid, held: &mut Option<Arc<Image>>) -> Result<Arc<Image>, WorkStop> {
    if let Some(image) = held {
        return Ok(Arc::clone(image));
    }
    match brick.image_by_gfid(gfid) {
        Ok(Some(image)) => Ok(Arc::clone(held.insert(image))),
        Ok(None) => Err(WorkStop::Later("its file is no image yet".to_owned())),
        Err(Errno::ENOENT | Errno::ESTALE) => Err(WorkStop::Gone),
        Err(errno) => Err(WorkStop::Later(format!("its file cannot be read: {errno}"))),
    }
}

fn chunks(
    brick: &Brick,
    stopped: &Receiver<()>,
    work: &Work,
    image: &Image,
    done: &mut u64,
) -> Result<(), WorkStop> {
    let begun = Instant::now();
    let rate = work.rate.map(|rate| rate.0);
    let mut pace = Pace::new(rate, brick.traffic(), begun);
    for (start, end) in &work.spans {
        let span = Span {
            start: start.0,
            end: end.0,
        };
        for chunk in span.slices(work.chunk.0.max(1)) {
            let before = Instant::now();
            match image.hydrate(&brick.server, chunk.start) {
                Ok(Hydrated::Done) => *done += chunk.len(),
                Ok(Hydrated::Orphan) => return Err(WorkStop::Gone),
                Err(failure) => return Err(stop_for(&failure, chunk.start)),
            }
            let now = Instant::now();
            let took = now.duration_since(before);
            let rest = pace.rest(chunk.len(), took, brick.traffic(), now);
            let is_over = now.duration_since(begun) >= SLICE;
            if stopped.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) || is_over {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn stop_for(failure: &Failure, at: u64) -> WorkStop {
    match failure {
        Failure::Server(error) if error.is_not_found() => WorkStop::Gone,
        Failure::Server(error) => WorkStop::Later(error.to_string()),
        failure if failure.errno() == libc::ENOSPC => {
            WorkStop::Later("the pool has no free chunk".to_owned())
        }
        failure => WorkStop::Failed(format!("its chunk at byte {at}: {failure}")),
    }
}
