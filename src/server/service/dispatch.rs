//! Which request does what.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use bd_bricks::{Attach, Brick};
use bd_engine::OpenVolume;
use bd_model::{BrickId, Gfid};
use bd_proto::{Fault, FaultKind, ImageInfo, Opened, RefusedBrick, Reply, Request};

use super::{Caller, Service, lock};

/// An answer: a message, and the descriptor that goes with it.
#[derive(Debug)]
pub struct Answer {
    /// The message.
    pub reply: Reply,
    /// The descriptor of [`Reply::Opened`].
    pub fd: Option<OwnedFd>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Answer {
        Answer { reply, fd: None }
    }
}

impl From<Result<Answer, Fault>> for Answer {
    fn from(result: Result<Answer, Fault>) -> Answer {
        result.unwrap_or_else(|fault| Reply::Fault(fault).into())
    }
}

impl Service {
    /// Does what is asked and answers.
    pub fn answer(&self, caller: &Caller, request: Request) -> Answer {
        self.handle(caller, request).into()
    }

    fn handle(&self, caller: &Caller, request: Request) -> Result<Answer, Fault> {
        let reply = match request {
            Request::Hello { .. } => {
                let message = "a connection says hello once, in its first request";
                return Err(Fault::new(FaultKind::Invalid, message));
            }
            Request::InitBrick(spec) => {
                let _alone = self.lock_attach();
                Reply::Brick(bd_bricks::init(&spec, &*self.engines)?)
            }
            Request::AdoptBrick { spec, really } => {
                let _alone = self.lock_attach();
                Reply::Adoption(bd_bricks::take_over(&spec, really, &*self.engines)?)
            }
            Request::DescribeBrick { dir } => {
                Reply::Brick(bd_bricks::describe(&dir, &*self.engines)?)
            }
            Request::ReleaseBrick { dir, keep } => Reply::Released(self.release(&dir, keep)?),
            Request::Check { dir, repair } => Reply::Findings(self.check(&dir, repair)?),
            Request::AttachBrick {
                dir,
                volume,
                fresh,
                heals,
            } => {
                let _alone = self.lock_attach();
                let epoch = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
                let how = Attach {
                    volume,
                    fresh,
                    heals,
                    epoch,
                };
                let taken = self.attach(&dir, how);
                match &taken {
                    Ok(_) => lock(&self.refused).remove(&dir),
                    Err(fault) => lock(&self.refused).insert(dir, fault.to_string()),
                };
                let brick = taken?;
                caller.epoch.store(epoch, Ordering::SeqCst);
                *lock(&caller.serves) = Some(self.token(brick.id()));
                Reply::Brick(brick.info())
            }
            Request::Create {
                brick,
                gfid,
                name,
                kind,
                size,
                import,
            } => Reply::Image(self.create_zeroed(caller, brick, gfid, |b| {
                b.create(gfid, name.as_deref(), kind, size, import)
            })?),
            Request::Retake { brick, gfid, name } => {
                self.image(caller, brick, |b| b.retake(gfid, name.as_deref()))?
            }
            Request::Copy {
                brick,
                source,
                dest,
                name,
                how,
                cow_size,
            } => Reply::Image(self.with_zeroed(caller, brick, source, |b| {
                b.copy(source, dest, name.as_deref(), how, cow_size)
            })?),
            Request::Commit { brick, gfid } => self.done(caller, brick, |b| {
                if b.is_new_clone(gfid) {
                    self.hydrate(b, gfid);
                }
                b.commit(gfid)
            })?,
            Request::Abort { brick, gfid } => self.done(caller, brick, |b| {
                b.abort(gfid)?;
                self.jobs.image_is_gone(brick, gfid);
                Ok(())
            })?,
            Request::Condemn { brick, gfid } => {
                self.done(caller, brick, |b| b.mark_for_removal(gfid))?
            }
            Request::Spare { brick, gfid } => {
                self.done(caller, brick, |b| b.cancel_removal(gfid))?
            }
            Request::Remove { brick, gfid } => self.done(caller, brick, |b| {
                b.remove(gfid)?;
                self.jobs.image_is_gone(brick, gfid);
                Ok(())
            })?,
            Request::Merge {
                brick,
                snapshot,
                origin,
                size,
            } => self.image(caller, brick, |b| b.merge(snapshot, origin, size))?,
            Request::SettleMerge { brick, snapshot } => {
                Reply::Merged(self.with(caller, brick, |b| b.settle_merge(snapshot))?)
            }
            Request::Open { brick, gfid } => {
                return self.with_zeroed(caller, brick, gfid, |b| {
                    b.open(gfid).map(|v| opened(gfid, v))
                });
            }
            Request::Resize { brick, gfid, size } => {
                Reply::Image(self.resize_zeroed(caller, brick, gfid, |b| b.resize(gfid, size))?)
            }
            Request::Rename { brick, gfid, name } => {
                self.image(caller, brick, |b| b.rename(gfid, name.as_deref()))?
            }
            Request::Info { brick, gfid } => self.image(caller, brick, |b| b.image(gfid))?,
            Request::Allocated { brick, gfids } => {
                Reply::Allocated(self.with(caller, brick, |b| b.allocated(&gfids))?)
            }
            Request::Mapped { brick, gfid } => {
                Reply::Mapped(self.with(caller, brick, |b| b.mapped(gfid))?)
            }
            Request::Sync { brick, gfid } => self.done(caller, brick, |b| b.sync(gfid))?,
            Request::List { brick } => Reply::Images(self.with(caller, brick, Brick::images)?),
            Request::Foreign { brick } => {
                Reply::Foreign(self.with(caller, brick, Brick::foreign)?)
            }
            Request::Adopt { brick, lv, gfid } => {
                self.image(caller, brick, |b| b.adopt(&lv, gfid))?
            }
            Request::Work { brick, report } => Reply::Work(self.work(caller, brick, report)?),
            Request::Jobs => Reply::Jobs(self.jobs()),
            Request::Evacuate { device } => Reply::Job(self.evacuate(&device)?),
            Request::OrderJob { id, order } => Reply::Job(self.order(id, order)?),
            Request::Pools => Reply::Pools(self.pools()?),
            Request::Usage => Reply::Usage(self.usage()),
            Request::Release => Reply::Release(env!("CARGO_PKG_VERSION").to_owned()),
            Request::Refused => {
                let refused = lock(&self.refused).clone().into_iter();
                Reply::Refused(
                    refused
                        .map(|(dir, why)| RefusedBrick { dir, why })
                        .collect(),
                )
            }
            Request::Space { brick } => Reply::Space(self.with(caller, brick, Brick::space)?),
        };
        Ok(reply.into())
    }

    fn done(
        &self,
        caller: &Caller,
        id: BrickId,
        act: impl FnOnce(&Brick) -> Result<(), Fault>,
    ) -> Result<Reply, Fault> {
        self.with(caller, id, act).map(|()| Reply::Done)
    }

    fn image(
        &self,
        caller: &Caller,
        id: BrickId,
        act: impl FnOnce(&Brick) -> Result<ImageInfo, Fault>,
    ) -> Result<Reply, Fault> {
        self.with(caller, id, act).map(Reply::Image)
    }
}

fn opened(gfid: Gfid, open: OpenVolume) -> Answer {
    Answer {
        reply: Reply::Opened(Opened {
            image: bd_bricks::image(gfid, open.volume),
            block_size: open.block_size,
            discard_granularity: open.discard_granularity,
        }),
        fd: Some(open.fd),
    }
}
