//! Calls whose images are zeroed in the background, and who does that.
//!
//! A call that needs much zeroed waits for the job, and holds nothing meanwhile: neither the image, nor
//! the brick. So others go on, also with this image, and the call looks anew at what is there when the
//! job has ended.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bd_bricks::Brick;
use bd_model::{BrickId, Bytes, Gfid};
use bd_proto::{Fault, FaultKind, ImageInfo, JobInfo, JobOrder};

use super::{Caller, Service};
use crate::target::Target;

impl Service {
    /// Zeroes a piece of an image of a brick; answers how long to rest then. `None` if there is nothing
    /// to be zeroed now.
    pub(crate) fn zero_piece(&self, id: BrickId) -> Option<Duration> {
        let brick = self.bricks().get(&id).cloned()?;
        let next = self.jobs.next_to_zero(id)?;
        let (engine, begun) = (brick.engine(), Instant::now());
        let left = engine.zero_piece(next.gfid, next.most());
        let zeroed = self.jobs.zeroed(next.id, left.map_err(Fault::from));
        Some(next.rest(zeroed, begun, engine.clients_at_work()))
    }

    /// The bricks that have something to zero now.
    pub(crate) fn bricks_to_zero(&self) -> Vec<BrickId> {
        self.jobs
            .bricks_to_zero(|kind, brick| self.is_ready(kind, brick))
    }

    /// Waits a while for new work of that kind.
    pub(crate) fn wait_for_zeroing(&self, most: Duration, is_over: impl Fn() -> bool) {
        self.jobs.wait_for_change(most, is_over);
    }

    /// Lets whoever waits for jobs look again whether to go on waiting.
    pub(crate) fn wake_jobs(&self) {
        self.jobs.wake();
    }

    /// Writes down how far a brick's images are zeroed.
    pub(crate) fn keep_zeroed(&self, id: BrickId) {
        let Some(brick) = self.bricks().get(&id).cloned() else {
            return;
        };
        for gfid in brick.engine().all_unzeroed() {
            keep(&brick, gfid);
        }
    }

    /// The server is about to stop: calls that wait for jobs end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.jobs.wake();
    }

    /// The caller is gone: calls of it that wait for jobs end.
    pub(crate) fn left(&self, caller: &Caller) {
        caller.gone.store(true, Ordering::SeqCst);
        self.jobs.wake();
    }

    /// Goes on with what an earlier server, or a request that has ended, has left to be zeroed.
    pub(super) fn take_on(&self, brick: &Brick) {
        let engine = brick.engine();
        for gfid in engine.all_unzeroed() {
            if let Some(left) = engine.unzeroed(gfid)
                && let Err(error) = self.jobs.zero(&Target(brick), gfid, left)
            {
                // Whoever opens it tries again.
                tracing::error!("image {gfid} is not zeroed: {error}");
            }
        }
        // What a start of the brick has undone.
        for gfid in self.jobs.images_to_zero(brick.id()) {
            if matches!(engine.find(gfid), Ok(None)) {
                self.jobs.image_is_gone(brick.id(), gfid);
            }
        }
    }

    /// Calls `act` as [`Service::with`] does, when nothing of the image is to be zeroed any more, if
    /// `act` needs that.
    pub(super) fn with_zeroed<T>(
        &self,
        caller: &Caller,
        id: BrickId,
        gfid: Gfid,
        act: impl Fn(&Brick) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        loop {
            match self.try_zeroed(caller, id, gfid, &act)? {
                (Err(fault), Some(_)) if fault.kind == FaultKind::Busy => {}
                (outcome, _) => return outcome,
            }
            self.wait_zeroed(caller, id, gfid)?;
        }
    }

    /// Makes an image by `make`, and waits until all of it is zero. One that cannot be zeroed goes.
    pub(super) fn create_zeroed(
        &self,
        caller: &Caller,
        id: BrickId,
        gfid: Gfid,
        make: impl Fn(&Brick) -> Result<ImageInfo, Fault>,
    ) -> Result<ImageInfo, Fault> {
        let made = self.with_zeroed(caller, id, gfid, make)?;
        let left = self.with(caller, id, |brick| Ok(brick.engine().unzeroed(gfid)))?;
        if left.is_none() {
            return Ok(made);
        }
        let Err(mut fault) = self.wait_zeroed(caller, id, gfid) else {
            // It may have been removed meanwhile.
            return self.with(caller, id, |brick| brick.image(gfid));
        };
        // One whose caller is gone is asked for again, aborted or settled when the brick starts.
        if !caller.gone.load(Ordering::SeqCst) {
            match self.with(caller, id, |brick| brick.abort(gfid)) {
                Ok(()) => self.jobs.image_is_gone(id, gfid),
                Err(also) if also.kind == FaultKind::NotAttached => {}
                Err(also) => fault.message = format!("{}; besides, {also}", fault.message),
            }
        }
        Err(fault)
    }

    /// Sizes an image by `resize`, and waits until what it has gained is zero. If that is not to be, it
    /// gives it back.
    pub(super) fn resize_zeroed(
        &self,
        caller: &Caller,
        id: BrickId,
        gfid: Gfid,
        resize: impl Fn(&Brick) -> Result<ImageInfo, Fault>,
    ) -> Result<ImageInfo, Fault> {
        loop {
            match self.try_zeroed(caller, id, gfid, &resize)? {
                (Ok(_), Some(_)) => {}
                (Err(fault), Some(_)) if fault.kind == FaultKind::Busy => {}
                (outcome, _) => return outcome,
            }
            if let Err(fault) = self.wait_zeroed(caller, id, gfid) {
                // Where it is the call that ends, the job goes on, and the next call finds what it did.
                let job_ended = self.gives_up(caller, gfid).is_none();
                if job_ended && fault.kind != FaultKind::NotAttached {
                    self.take_back(id, gfid);
                }
                return Err(fault);
            }
            // Once more: another one may have sized it, or taken back what was gained.
        }
    }

    /// The outcome of `act`, and what was to be zeroed then.
    fn try_zeroed<T>(
        &self,
        caller: &Caller,
        id: BrickId,
        gfid: Gfid,
        act: impl Fn(&Brick) -> Result<T, Fault>,
    ) -> Result<(Result<T, Fault>, Option<Bytes>), Fault> {
        self.with(caller, id, |brick| {
            let acted = self.heeding(brick, act(brick));
            Ok((acted, brick.engine().unzeroed(gfid)))
        })
    }

    /// Waits until nothing of an image is to be zeroed any more. The job is made here if there is none.
    fn wait_zeroed(&self, caller: &Caller, id: BrickId, gfid: Gfid) -> Result<(), Fault> {
        loop {
            let job = self.with(caller, id, |brick| {
                let left = brick.engine().unzeroed(gfid);
                left.map(|left| self.jobs.zero(&Target(brick), gfid, left))
                    .transpose()
            })?;
            let Some(job) = job else { return Ok(()) };
            while !self.jobs.wait_for(job, || self.gives_up(caller, gfid))? {
                // The brick holds the image as long as this call lasts, and asks for the removal after.
                if self.with(caller, id, |brick| Ok(brick.has_lost_its_name(gfid)))? {
                    self.jobs.image_is_gone(id, gfid);
                }
            }
        }
    }

    /// Why a call need not wait any longer.
    fn gives_up(&self, caller: &Caller, gfid: Gfid) -> Option<Fault> {
        let why = if self.stopping.load(Ordering::SeqCst) {
            "gluster-bdd is stopping; zeroing goes on after its start"
        } else if caller.gone.load(Ordering::SeqCst) {
            "nobody waits for it any more"
        } else {
            return None;
        };
        let message = format!("image {gfid} is not zeroed yet: {why}");
        Some(Fault::new(FaultKind::Busy, message))
    }

    /// How many calls wait for a job.
    #[cfg(test)]
    pub(crate) fn waiting(&self, id: u64) -> u32 {
        self.jobs.waiting(id)
    }

    /// Does what an order about a job that zeroes brings about besides.
    pub(super) fn ordered_zeroing(&self, job: &JobInfo, order: JobOrder) {
        let Some((id, gfid)) = self.jobs.zeroes(job.id) else {
            return;
        };
        match order {
            JobOrder::Pause => {
                if let Some(brick) = self.bricks().get(&id).cloned() {
                    keep(&brick, gfid);
                }
            }
            JobOrder::Cancel => self.take_back(id, gfid),
            JobOrder::Resume => {}
        }
    }

    /// Gives back what an image has grown by. If that fails, the next call about it goes on zeroing.
    fn take_back(&self, id: BrickId, gfid: Gfid) {
        let Some(brick) = self.bricks().get(&id).cloned() else {
            return;
        };
        if let Err(error) = brick.engine().take_back_growth(gfid) {
            tracing::error!("{}", Fault::from(error));
        }
    }
}

/// Writes down how far an image is zeroed. If that fails, more is zeroed again after a crash.
fn keep(brick: &Brick, gfid: Gfid) {
    if let Err(error) = brick.engine().keep_zeroed(gfid) {
        tracing::warn!("{}", Fault::from(error));
    }
}
